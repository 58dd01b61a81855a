"""The sentences of a finding, said once: terminal and notebook print these same rows.

Everything here returns plain text. User strings pass through `clean` before they are shown anywhere.
"""

from __future__ import annotations

import math
import os
import struct
import unicodedata
from collections import Counter
from itertools import dropwhile
from pathlib import Path
from typing import TYPE_CHECKING

from nllcheck.report.strip import failing
from nllcheck.types import SEVERITIES, ChainStep, Facts, Finding, Site, SweepTable

if TYPE_CHECKING:
    from nllcheck.report import Report

REFERENCE = "float64"
KINDS = {
    "nan": "NaN",
    "inf": "infinite",
    "raises": "an exception",
    "negative-nll": "loss below 0",
    "sign-flip": "slope changes sign",
    "precision": "digits lost",
    "dead-gradient": "gradient exactly 0",
    "wrong-density": "not a density",
    "unbounded": "no lower bound",
}
STEPS = {
    "overflow": "{op} overflows",
    "underflow": "{op} underflows{to}",
    "saturation": "{op} saturates{at}",
    "absorption": "{op} loses the small term",
    "inf": "{op} gives inf",
    "nan": "{op} gives NaN",
    "loss": "reaches the loss",
    "gradient": "reaches the gradient",
}
_SPECIAL = {"\t": " ", "\n": "\\n", "\r": "\\r"}


def clean(text: str) -> str:
    """`text` on one line with nothing in it that steers a terminal.

    Control and format characters (ANSI, bidirectional overrides, zero width, lone surrogates, line
    separators) become visible escapes; a tab becomes a space.
    """
    return "".join(_visible(character) for character in text)


def _visible(character: str) -> str:
    if character.isprintable():  # false for categories C and Z, the ordinary space excepted
        return character
    if character in _SPECIAL:
        return _SPECIAL[character]
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape").decode("ascii")


def prose(text: str) -> str:
    """A text of sentences, where line breaks are only layout."""
    return clean(" ".join(text.split()))


def number(value: float, digits: int = 7) -> str:
    """A value for people: "NaN", "inf", "-0.8312", "3.4e+38"."""
    if math.isnan(value):
        return "NaN"
    return f"{value:.{digits}g}"


def exact(value: float, dtype: str) -> str:
    """The shortest decimal that reads back as the same float of `dtype`; float64's where it is no such float."""
    if not math.isfinite(value) or round_to(value, dtype) != value:
        return repr(value) if math.isfinite(value) else number(value)
    texts = (f"{value:.{digits}g}" for digits in range(1, 18))
    return next(text for text in texts if round_to(float(text), dtype) == value)


def round_to(value: float, dtype: str) -> float:
    """`value` rounded to the nearest float of `dtype`, ties to even; any other dtype counts as float64."""
    if dtype == "bfloat16":
        return _round_bfloat16(value)
    code = {"float32": "f", "float16": "e"}.get(dtype, "d")
    try:
        return float(struct.unpack(code, struct.pack(code, value))[0])
    except OverflowError:
        return math.copysign(math.inf, value)


def _round_bfloat16(value: float) -> float:
    single = round_to(value, "float32")
    if not math.isfinite(single):
        return single
    bits = struct.unpack("I", struct.pack("f", single))[0]
    bits += 0x7FFF + (bits >> 16 & 1)
    return float(struct.unpack("f", struct.pack("I", bits & 0xFFFF0000))[0])


def count(items: int, noun: str, plural: str = "") -> str:
    """One point; 2,001 points."""
    return f"{items:,} {noun if items == 1 else plural or noun + 's'}"


def coverage(report: Report) -> str:
    """How much was tried: "12 axes, 24,576 points, 41 ops; float32 on cpu"."""
    facts = report.facts
    parts = [count(len(report.sweeps), "axis", "axes"), count(facts.points, "point"), count(facts.ops, "op")]
    parts += [count(facts.batches, "batch", "batches")] if facts.batches > 1 else []
    return f"{', '.join(parts)}; {clean(facts.dtype)} on {clean(facts.device)}"


def tally(report: Report) -> str:
    """How it ended: "2 errors, 1 warning, 4 notes"."""
    found = Counter(finding.severity for finding in report.findings)
    parts = [count(found[severity], severity) for severity in SEVERITIES if found[severity]]
    parts = parts or ["nothing found"]
    left = len(report.incomplete)
    return ", ".join([*parts, f"{left} asked for and not evaluated"] if left else parts)


def short_path(path: str) -> str:
    """`path` against the working directory where it lies below it, else as it is; with forward slashes."""
    try:
        path = str(Path(path).relative_to(os.getcwd()))
    except (ValueError, OSError):
        pass
    return path.replace(os.sep, "/")


def place(site: Site) -> str:
    return clean(f"{short_path(site.path)}:{site.line} in {site.function}")


def step(link: ChainStep) -> str:
    """One station of the chain: "tanh saturates at 1"."""
    known = math.isfinite(link.value)
    to = f" to {number(link.value, 3)}" if known else ""
    at = f" at {number(link.value, 3)}" if known else ""
    side = " (backward)" if link.phase == "backward" and link.what not in ("loss", "gradient") else ""
    return STEPS[link.what].format(op=clean(link.op), to=to, at=at) + side


def subject(finding: Finding) -> str:
    """What goes wrong, in two words: "NaN", "infinite gradient"."""
    word = KINDS[finding.kind]
    if finding.kind in ("nan", "inf") and len(finding.reaches) == 1:
        return f"{word} {clean(finding.reaches[0])}"
    return word


def when(finding: Finding, facts: Facts, table: SweepTable | None) -> str:
    """From which value on, exactly; empty where no value is to blame."""
    axis = clean(finding.axis or "")
    if not axis:
        return "always: the formula is off, whatever the values" if finding.verdict == "wrong-formula" else ""
    if finding.threshold is None:
        known = finding.witness is not None
        return f"{subject(finding)} at {axis} = {exact(finding.witness or 0.0, facts.dtype)}" if known else ""
    text = f"{subject(finding)} {_from(finding, axis, facts.dtype)}"
    if finding.last_good is not None:
        still = "still finite" if finding.kind in ("nan", "inf") else "not yet"
        text += f"; {still} at {exact(finding.last_good, facts.dtype)}"
    return text + _recovers(finding, facts.dtype, table)


def _from(finding: Finding, axis: str, dtype: str) -> str:
    assert finding.threshold is not None
    edge = exact(finding.threshold, dtype)
    if finding.last_good is None:
        return f"at {axis} = {edge}"
    return f"from {axis} {'>=' if finding.last_good < finding.threshold else '<='} {edge}"


def _recovers(finding: Finding, dtype: str, table: SweepTable | None) -> str:
    """Where the points beyond the threshold are finite again, so that "from" does not promise too much."""
    if table is None or finding.kind not in ("nan", "inf") or None in (finding.threshold, finding.last_good):
        return ""
    sign = 1.0 if finding.last_good < finding.threshold else -1.0  # type: ignore[operator]
    edge = sign * finding.threshold  # type: ignore[operator]
    beyond = sorted((sign * v, failing(table, i)) for i, v in enumerate(table.values) if sign * v >= edge)
    past_good = dropwhile(lambda point: not point[1], beyond)
    again = next((sign * value for value, fails in past_good if not fails), None)
    return "" if again is None else f"; finite again from {exact(again, dtype)}"


def reach(finding: Finding) -> str:
    """How far the failure lies from what the checkpoint does on the batch."""
    if finding.on_batch:
        return "on the batch itself, as it is"
    if finding.reach is None or math.isnan(finding.reach):
        return ""
    span = _span(finding)
    if finding.reach <= 1:
        return f"inside the batch's own range{span}"
    if math.isinf(finding.reach):
        return f"not reached by stretching the batch's own range{span}"
    return f"at {number(finding.reach, 2 if finding.reach < 100 else 3)} x the batch's own range{span}"


def _span(finding: Finding) -> str:
    if finding.observed is None or not all(map(math.isfinite, finding.observed)):
        return ""
    low, high = (number(end, 4) for end in finding.observed)
    return f" [{low}, {high}]"


def reference(finding: Finding, facts: Facts) -> str:
    """What the same formula gives in more precise arithmetic, beside what training sees."""
    better = _pair(finding.reference_loss, finding.reference_slope)
    if not better:
        return ""
    seen = _pair(finding.loss, finding.slope)
    where = ""
    if finding.axis and finding.witness is not None:
        where = f" at {clean(finding.axis)} = {exact(finding.witness, facts.dtype)}"
    return better + where + (f" ({clean(facts.dtype)}: {seen})" if seen else "")


def _pair(loss: float | None, slope: float | None) -> str:
    named = (("loss", loss), ("slope", slope))
    return ", ".join(f"{name} {number(value)}" for name, value in named if value is not None)


def rows(finding: Finding, facts: Facts, table: SweepTable | None, verbose: bool) -> list[tuple[str, str]]:
    """Label and sentence of everything said about a finding below its source line and strip."""
    better = reference(finding, facts)
    verdict = f"{finding.verdict}: {prose(finding.reason)}" if finding.reason else ""
    found = [
        ("reach", reach(finding)),
        (REFERENCE, better),
        ("verdict", verdict if verbose or not better else ""),
        ("also", ", ".join(map(clean, finding.also))),
        ("why", prose(finding.why) if verbose else ""),
        ("advice", prose(finding.advice or "")),
    ]
    return [(label, text) for label, text in found if text]
