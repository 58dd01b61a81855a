"""What is told in short, since a page of the same in full hides what matters: alarms that are known in part, and notes
on failures that raise no alarm, a line each."""

from __future__ import annotations

from collections.abc import Sequence

from nllcheck.report import words
from nllcheck.report.spelling import clean, number
from nllcheck.types import Facts, Finding, SweepTable

LEGEND = "last how many times the batch's own range that is; --verbose says why"
FEW = 2  # so many are told in full
ROOMY = 96  # cells from which place and rule stand beside what fails


def split(notes: Sequence[Finding]) -> tuple[list[Finding], list[Finding]]:
    """Those told in full, and those told by a line: what is only not finite, the nearest first."""
    short = [note for note in notes if note.kind in ("nan", "inf") and not note.on_batch]
    if len(short) <= FEW:
        return list(notes), []
    return [note for note in notes if note not in short], short


def rows(notes: Sequence[Finding], facts: Facts, tables: Sequence[SweepTable], room: int) -> list[str]:
    """ "losses.py:17  NLL304 division-by-vanishing-scale  NaN from output[..., 3] <= -90.08, 33 x"."""
    rules = [clean(f"{note.rule} {note.name}") for note in notes]
    wide = room >= ROOMY
    places = lines(notes)
    heads = zip(_even(places), _even(rules), strict=True) if wide else zip(places, rules, strict=True)
    said = [_said(note, facts, tables) for note in notes]
    return [("  " if wide else "\n  ").join(("  ".join(head), one)) for head, one in zip(heads, said, strict=True)]


def same_rows(others: Sequence[Finding], facts: Facts, tables: Sequence[SweepTable]) -> list[str]:
    """ "losses.py:17  NaN from output[..., 3] <= -90.08, 33 x": the same offence at other ops."""
    said = [_said(other, facts, tables) for other in others]
    return ["  ".join(both) for both in zip(_even(lines(others)), said, strict=True)]


def lines(findings: Sequence[Finding]) -> list[str]:
    """ "losses.py:17", or the op where there is no line."""
    return [words.line(one.site) if one.site else clean(one.op) for one in findings]


def _said(note: Finding, facts: Facts, tables: Sequence[SweepTable]) -> str:
    table = next((t for t in tables if t.axis.label == note.axis), None)
    first = words.when(note, facts, table).split("; ")[0]
    near = note.reach is not None and 1 < note.reach < 1e6
    return f"{first}, {number(note.reach or 0.0, 3)} x" if near else first


def _even(texts: Sequence[str]) -> list[str]:
    return [text.ljust(max(map(len, texts))) for text in texts]


def grouped(findings: Sequence[Finding], apart: bool) -> list[tuple[Finding, list[Finding]]]:
    """Each offence with those that are the same at other ops; `apart`: every one of them on its own."""
    groups: list[tuple[Finding, list[Finding]]] = []
    for finding in findings:
        same = next((others for first, others in groups if not apart and is_same(finding, first)), None)
        groups.append((finding, [])) if same is None else same.append(finding)
    return groups


def is_behind(finding: Finding, other: Finding) -> bool:
    """Does it lie behind a failure on the other's axis?"""
    return finding.already is not None and finding.axis == other.axis


def is_same(finding: Finding, other: Finding) -> bool:
    """One rule's offence in one function, with one remedy?"""
    places = [one.site and (one.site.path, one.site.function) for one in (finding, other)]
    remedies = [(one.rule, one.severity, one.advice, one.fix) for one in (finding, other)]
    return places[0] == places[1] and remedies[0] == remedies[1] and bool(finding.advice or finding.fix)
