"""The sentences of a finding, said once: terminal and notebook print these same rows.

Everything here returns plain text that has passed through `spelling.clean`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from itertools import dropwhile
from pathlib import PurePath
from typing import TYPE_CHECKING

from nllcheck.report.spelling import clean, count, exact, number, prose, short_path
from nllcheck.report.strip import failing
from nllcheck.types import SEVERITIES, ChainStep, Facts, Finding, Site, SweepTable

if TYPE_CHECKING:
    from nllcheck.report import Report

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


def coverage(report: Report) -> str:
    """How much was tried: "12 axes, 24,576 points, 41 ops; float32 on cpu"."""
    facts = report.facts
    if not report.evaluated:
        return "nothing"
    parts = [count(len(report.sweeps), "axis", "axes"), count(facts.points, "point"), count(facts.ops, "op")]
    parts += [count(facts.batches, "batch", "batches")] if facts.batches > 1 else []
    return f"{', '.join(parts)}; {clean(facts.dtype)} on {clean(facts.device)}"


def tally(report: Report) -> str:
    """How it ended: "2 errors, 1 warning, 4 notes", "no errors, no warnings"."""
    if not report.evaluated:
        return "not evaluated"
    found = Counter(finding.severity for finding in report.findings)
    parts = [count(found[severity], severity) for severity in SEVERITIES if found[severity]]
    parts = parts if report.worst in ("error", "warning") else ["no errors, no warnings", *parts]
    parts += [f"{len(report.accepted)} accepted"] if report.accepted else []
    left = len(report.incomplete)
    return ", ".join([*parts, f"{left} asked for and not evaluated"] if left else parts)


_INSTALLED = re.compile(r"^.*/(site|dist)-packages/")
MOSTLY = 0.1  # of the values tried: fewer are a place, not a state


def place(site: Site) -> str:
    """File and line; a file of an installed package begins with the package's name, wherever it is installed."""
    return clean(f"{re.sub(_INSTALLED, '', short_path(site.path))}:{site.line}")


def line(site: Site) -> str:
    """The file's own name and the line, where the whole path is told elsewhere."""
    return clean(f"{PurePath(site.path).name}:{site.line}")


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
    if table is not None and table.axis.is_special:
        return f"{subject(finding)} {'on' if table.axis.mode == 'batch' else 'where'} {axis}"
    if finding.threshold is None:
        value = finding.witness
        where = axis if value is None else f"{axis} = {exact(value, facts.dtype)}"
        word = "along" if value is None and finding.kind not in ("nan", "inf") else "at"
        return f"{subject(finding)} {word} {where}{_mostly(finding, table)}"
    text = f"{subject(finding)} {_from(finding, axis, facts.dtype)}"
    if finding.last_good is not None:
        text += f"; {_before(finding, exact(finding.last_good, facts.dtype), table)}"
    return text + _recovers(finding, facts.dtype, table)


def _mostly(finding: Finding, table: SweepTable | None) -> str:
    """Of what has no threshold, since it fails wherever it is moved to, how much fails: the witness is one value."""
    if table is None or finding.kind not in ("nan", "inf"):
        return ""
    share = sum(failing(table, i) for i in range(len(table.values))) / len(table.values)
    if share == 1.0:
        return "; not finite at any of the values tried"
    return f"; not finite at {100 * share:.0f} % of the values tried" if share >= MOSTLY else ""


def _before(finding: Finding, at: str, table: SweepTable | None) -> str:
    """What holds at the last good value: an op may fail only where another has failed before."""
    if finding.already == "gradient" and finding.phase == "forward":
        return f"at {at} only the gradient fails"
    if finding.already:
        by = f"the {finding.already_by}" if finding.already_by else "another op"
        return f"at {at} the {finding.already} fails already, by {by}"
    return f"{'still finite' if _was_finite(finding, table) else 'not yet'} at {at}"


def _was_finite(finding: Finding, table: SweepTable | None) -> bool:
    """Is all finite just before the threshold? A NaN can follow on an infinity."""
    if finding.kind not in ("nan", "inf") or finding.threshold is None or finding.last_good is None:
        return False
    sign = 1.0 if finding.last_good < finding.threshold else -1.0
    points = enumerate(table.values) if table else ()
    before = [(sign * value, i) for i, value in points if sign * value < sign * finding.threshold]
    return table is None or not before or not failing(table, max(before)[1])


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
        return _SIDES[_side(finding)].format(f"the batch's own range{span}")
    if math.isinf(finding.reach):
        return f"not reached by stretching the batch's own range{span}"
    times = f"1/{number(finding.reach, 3)} of" if _side(finding) == "closer" else f"{number(finding.reach, 3)} x"
    return f"at {times} the batch's own range{span}"


_SIDES = {"inside": "inside {}", "closer": "closer to 0 than {}", "outside": "outside {}, and no further from 0"}


def _side(finding: Finding) -> str:
    """Where the value lies, seen from the batch's own range: a key of `_SIDES`."""
    at = finding.witness if finding.threshold is None else finding.threshold
    low, high = finding.observed or (-math.inf, math.inf)
    if at is None or low <= at <= high:
        return "inside"
    return "closer" if low * high > 0 and at * low > 0 and abs(at) < min(abs(low), abs(high)) else "outside"


def _span(finding: Finding) -> str:
    if finding.observed is None or not all(map(math.isfinite, finding.observed)):
        return ""
    low, high = (number(end, 4) for end in finding.observed)
    return f" [{low}, {high}]"


def reference(finding: Finding, facts: Facts) -> str:
    """What the same formula gives in more precise arithmetic, beside what training sees."""
    better = _pair(finding.reference_loss, finding.reference_slope)
    fails = finding.reference_loss is not None and not math.isfinite(finding.reference_loss)
    if not better or (fails and finding.verdict == "defect"):  # of a defect the reason says what the value is
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
        ("term", clean(finding.term or "")),
        ("reach", reach(finding)),
        (finding.reference, better),
        ("verdict", verdict if verbose or not better else ""),
        ("severity", prose(f"{finding.severity}: {finding.weighed}") if verbose and finding.weighed else ""),
        ("also", ", ".join(map(clean, finding.also))),
        ("why", prose(finding.why) if verbose else ""),
        ("advice", prose(finding.advice or "")),
    ]
    return [(label, text) for label, text in found if text]
