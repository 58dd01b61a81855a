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
    places = [words.line(note.site) if note.site else clean(note.op) for note in notes]
    rules = [clean(f"{note.rule} {note.name}") for note in notes]
    said = [_said(note, facts, tables) for note in notes]
    wide = room >= ROOMY
    heads = zip(_even(places), _even(rules), strict=True) if wide else zip(places, rules, strict=True)
    return [("  " if wide else "\n  ").join(("  ".join(head), one)) for head, one in zip(heads, said, strict=True)]


def _said(note: Finding, facts: Facts, tables: Sequence[SweepTable]) -> str:
    table = next((t for t in tables if t.axis.label == note.axis), None)
    first = words.when(note, facts, table).split("; ")[0]
    near = note.reach is not None and 1 < note.reach < 1e6
    return f"{first}, {number(note.reach or 0.0, 3)} x" if near else first


def _even(texts: Sequence[str]) -> list[str]:
    return [text.ljust(max(map(len, texts))) for text in texts]


def is_known(finding: Finding, other: Finding) -> bool:
    """Is it the same offence as one told before, or one that lies behind a failure of the other's axis?"""
    behind = finding.already is not None and finding.axis == other.axis
    return behind or is_same(finding, other)


def is_same(finding: Finding, other: Finding) -> bool:
    """One rule's offence in one function, with one remedy?"""
    places = [one.site and (one.site.path, one.site.function) for one in (finding, other)]
    remedies = [(one.rule, one.severity, one.advice, one.fix) for one in (finding, other)]
    return places[0] == places[1] and remedies[0] == remedies[1] and bool(finding.advice or finding.fix)
