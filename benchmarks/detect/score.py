"""Answers -> figures: recall, right op, right line, right verdict, false alarms, seconds."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.detect.case import Bug, Case
from benchmarks.detect.tools import Answer, Flag


@dataclass(frozen=True, slots=True)
class Mark:
    """How one answer compares with what is expected. `op`, `line`, `phase` and `verdict` are of the best flag; None:
    nothing is said about it."""

    case: str
    is_bug: bool
    found: bool  # a bug: reported with a right kind; a sound loss: any alarm
    op: bool | None = None
    line: bool | None = None
    phase: bool | None = None
    verdict: bool | None = None
    stray: int = 0  # alarms on a bug that name neither its line nor its op
    seconds: float = 0.0
    error: str = ""


def mark(case: Case, answer: Answer) -> Mark:
    """An alarm counts, and so does a remark that names a limit where a limit is what the bug is."""
    if case.bug is None:
        alarms = sum(flag.is_alarm for flag in answer.flags)
        return Mark(case.id, False, alarms > 0, seconds=answer.seconds, error=answer.error)
    lines, wanted = case.marks(), case.bug
    hits = [flag for flag in answer.flags if _reports(flag, wanted)]
    # A tool may report several things; what it says rightly about one of them is what the user can act on.
    best = max(hits, key=lambda flag: _agreement(flag, wanted, lines), default=None)
    stray = sum(f.is_alarm and f.op not in wanted.ops and f.line not in lines for f in answer.flags)
    plain = Mark(case.id, True, bool(hits), stray=stray, seconds=answer.seconds, error=answer.error)
    if best is None:
        return plain
    said = (best.op, best.line, best.verdict, best.phase)
    agreed = [a if s is not None else None for s, a in zip(said, _agreement(best, wanted, lines), strict=True)]
    return replace(plain, op=agreed[0], line=agreed[1], verdict=agreed[2], phase=agreed[3])


def _reports(flag: Flag, wanted: Bug) -> bool:
    if flag.kind is not None and flag.kind not in wanted.kinds:
        return False
    return flag.is_alarm or (flag.verdict == "limit" and "limit" in wanted.verdicts)


def _agreement(flag: Flag, wanted: Bug, lines: frozenset[tuple[str, int]]) -> tuple[bool, bool, bool, bool]:
    """op, line, verdict, phase; in this order of weight."""
    return flag.op in wanted.ops, flag.line in lines, flag.verdict in wanted.verdicts, flag.phase in wanted.phases


def summary(marks: Sequence[Mark]) -> dict[str, float]:
    """Shares: recall of all bugs; op, line, phase and verdict of the bugs found; false alarms of sound losses."""
    bugs, sound = [m for m in marks if m.is_bug], [m for m in marks if not m.is_bug]
    found = [m for m in bugs if m.found]
    seconds = [m.seconds for m in marks] or [0.0]
    return {
        "bugs": len(bugs),
        "sound": len(sound),
        "recall": _share([m.found for m in bugs]),
        "recall with right op": _share([bool(m.found and m.op) for m in bugs]),
        "right op": _share([m.op for m in found]),
        "right line": _share([m.line for m in found]),
        "right phase": _share([m.phase for m in found]),
        "right verdict": _share([m.verdict for m in found]),
        "false alarms": _share([m.found for m in sound]),
        "stray alarms a bug": sum(m.stray for m in bugs) / max(1, len(bugs)),
        "not checked": sum(bool(m.error) for m in marks),
        "median seconds": statistics.median(seconds),
        "worst seconds": max(seconds),
    }


def _share(values: Sequence[bool | None]) -> float:
    """The share of True; NaN where nothing is ever said."""
    said = any(v is not None for v in values)
    return sum(bool(v) for v in values) / len(values) if said else float("nan")


COLUMNS = (
    "recall",
    "recall with right op",
    "right op",
    "right line",
    "right verdict",
    "false alarms",
    "median seconds",
    "worst seconds",
)


def table(rows: dict[str, dict[str, float]]) -> str:
    """Markdown, a row a tool."""
    head = ("| | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|")
    body = [f"| {name} | " + " | ".join(_cell(c, row[c]) for c in COLUMNS) + " |" for name, row in rows.items()]
    return "\n".join([*head, *body])


def _cell(column: str, value: float) -> str:
    if value != value:
        return "-"
    return f"{value:.2f} s" if "seconds" in column else f"{100 * value:.0f} %"
