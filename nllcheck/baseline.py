"""Findings that were there before the gate was: a file that people review, after which only new or worse ones fail.

    [[finding]]
    target = "mixture"
    rule = "NLL301"
    ...

An entry is known again by its fingerprint (`report.identity`), which survives lines that move.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

from nllcheck.config import toml_of
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.report import Accepted, Report, words
from nllcheck.report.identity import fingerprints
from nllcheck.report.spelling import number
from nllcheck.types import SEVERITIES, Finding, Severity

VERSION = 1
HEAD = f"""\
# Findings that were here before: with this file `nllcheck run` fails only on new or worse ones.
# Written by `nllcheck baseline`. Give a reason where you know one; delete an entry once it is mended.
version = {VERSION}
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """One accepted finding. `place` and `code` are for the reader; they decide nothing."""

    target: str
    rule: str
    name: str
    severity: Severity
    fingerprint: str
    place: str = ""
    code: str = ""
    reach: float = math.inf  # factor on the batch's range at which it happens
    on_batch: bool = False
    reason: str = ""


def entries_of(reports: Iterable[Report], before: Sequence[Entry] = ()) -> tuple[Entry, ...]:
    """What a new baseline holds: errors and warnings (and notes where these fail), with the reasons given `before`.

    What was not evaluated to its end keeps its old entries.
    """
    reasons = {(entry.target, entry.fingerprint): entry.reason for entry in before}
    made: list[Entry] = []
    for report in reports:
        rows = zip(report.findings, fingerprints(report.findings, report.facts), strict=True)
        loud = [(one, text) for one, text in rows if one in report.alarms]
        made += [_entry(report, one, text, reasons.get((report.label, text), "")) for one, text in loud]
        known = {text for _, text in loud}
        made += [e for e in before if report.incomplete and e.target == report.label and e.fingerprint not in known]
    return tuple(sorted(made, key=order))


def order(entry: Entry) -> tuple[str, str, str, str]:
    """Entries of one target and rule stand together."""
    return entry.target, entry.rule, entry.place, entry.fingerprint


def _entry(report: Report, finding: Finding, fingerprint: str, reason: str) -> Entry:
    site = finding.site
    return Entry(
        report.label,
        finding.rule,
        finding.name,
        finding.severity,
        fingerprint,
        place=words.place(site) if site else "",
        code=site.source if site else "",
        reach=_reach(finding),
        on_batch=finding.on_batch,
        reason=reason,
    )


def _reach(finding: Finding) -> float:
    reach = finding.reach
    return math.inf if reach is None or math.isnan(reach) else float(f"{reach:.4g}")


def text_of(entries: Sequence[Entry]) -> str:
    """The file: TOML, one block an entry, the same bytes for the same entries."""
    return "\n".join([HEAD, *(f"[[finding]]\n{_block(entry)}" for entry in entries)])


def _block(entry: Entry) -> str:
    told = {field.name: getattr(entry, field.name) for field in fields(entry)}
    plain = Entry("", "", "", "error", "")
    kept = {k: v for k, v in told.items() if v != getattr(plain, k) or k in ("severity", "reason")}
    return "".join(f"{name} = {_toml(value)}\n" for name, value in kept.items())


def _toml(value: Any) -> str:
    """A TOML value: basic strings escape as JSON's do, but for DEL and lone surrogates."""
    if isinstance(value, str):
        plain = value.encode("utf-8", "backslashreplace").decode()
        return json.dumps(plain, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool) else repr(value)


def read(path: str | Path) -> tuple[Entry, ...]:
    """The entries of a baseline file. Raises NllcheckError for a file that is missing or not one."""
    where = str(path)
    content = toml_of(Path(path))
    if content is None:
        raise NllcheckError("there is no such baseline", where=where, hint="nllcheck baseline writes one")
    return _checked(content, where)


def _checked(content: dict[str, Any], where: str) -> tuple[Entry, ...]:
    again = "nllcheck baseline writes it anew"
    if type(content.get("version")) is not int or content["version"] != VERSION:
        said = f"this is no baseline of version {VERSION}, which this nllcheck reads"
        raise NllcheckError(said, where=where, hint=again)
    for key in content.keys() - {"version", "finding"}:
        raise NllcheckError(f"unknown key '{key}'", where=where, hint=did_you_mean(key, {"version", "finding"}))
    blocks = content.get("finding", [])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise NllcheckError("findings must be [[finding]] tables", where=where, hint=again)
    made = tuple(_read_entry(block, f"{where}, finding {i + 1}") for i, block in enumerate(blocks))
    seen: set[tuple[str, str]] = set()
    for entry in made:
        if (entry.target, entry.fingerprint) in seen:
            raise NllcheckError(
                f"the entry {entry.fingerprint} of {entry.target} stands twice", where=where, hint=again
            )
        seen.add((entry.target, entry.fingerprint))
    return made


def _read_entry(block: dict[str, Any], where: str) -> Entry:
    hints = get_type_hints(Entry)
    for key, value in block.items():
        if key not in hints:
            raise NllcheckError(f"unknown key '{key}'", where=where, hint=did_you_mean(key, set(hints)))
        kind = str if get_args(hints[key]) else hints[key]
        fits = type(value) is kind or (kind is float and type(value) is int)
        if not fits or (kind is float and not value >= 0):  # nothing is nearer than NaN: all would pass
            raise NllcheckError(f"'{key}' cannot be {value!r}", where=where)
    if block.get("severity") not in SEVERITIES:
        hint = did_you_mean(str(block.get("severity")), SEVERITIES)
        raise NllcheckError(f"severity cannot be {block.get('severity')!r}", where=where, hint=hint)
    missing = [name for name in ("target", "rule", "name", "fingerprint") if not block.get(name)]
    if missing:
        raise NllcheckError(f"the key '{missing[0]}' is missing", where=where, hint="nllcheck baseline writes it anew")
    return Entry(**block)


def applied(report: Report, entries: Sequence[Entry]) -> Report:
    """The report with known findings accepted; worse ones stay, with a remark, as do entries that are stale."""
    known = {entry.fingerprint: entry for entry in entries if entry.target == report.label}
    found = [*report.findings, *(one.finding for one in report.accepted)]
    prints = fingerprints(found, report.facts)
    kept: list[Finding] = []
    accepted, notes = list(report.accepted), list(report.notes)
    for finding, text in zip(report.findings, prints, strict=False):
        entry = known.get(text)
        worse = _worse(finding, entry) if entry else ""
        if entry and not worse:
            accepted.append(Accepted(finding, "baseline", entry.reason or "in the baseline"))
            continue
        kept.append(finding)
        notes += [f"{finding.rule} {finding.name}: worse than in the baseline: {worse}"] if entry else []
    gone = [entry for text, entry in known.items() if text not in prints and not report.incomplete]
    notes += [f"stale in the baseline: {e.rule} {e.name} {e.place} is not found any more; delete it" for e in gone]
    return replace(report, findings=tuple(kept), accepted=tuple(accepted), notes=tuple(notes))


def _worse(finding: Finding, entry: Entry) -> str:
    """What has become worse: the severity, the batch shows it now, or it lies less than half as far away."""
    if SEVERITIES.index(finding.severity) < SEVERITIES.index(entry.severity):
        return f"{finding.severity}, was {entry.severity}"
    if finding.on_batch and not entry.on_batch:
        return "the batch itself shows it now"
    reach = _reach(finding)
    if reach < entry.reach / 2 or reach <= 1 < entry.reach:
        return f"at {number(reach, 3)} x the batch's range, was at {number(entry.reach, 3)} x"
    return ""


def strangers(entries: Iterable[Entry], labels: Iterable[str]) -> list[str]:
    """Remarks on targets that a baseline names and that no longer exist."""
    gone = sorted({entry.target for entry in entries} - set(labels))
    return [f"stale in the baseline: there is no target '{name}' any more" for name in gone]
