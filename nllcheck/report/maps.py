"""Two axes at once, in words and as a small map of characters."""

from __future__ import annotations

from collections.abc import Sequence

from nllcheck.names import short_label
from nllcheck.report import Report
from nllcheck.report.spelling import clean, number, prose
from nllcheck.types import PAIR_STATES, Finding, PairMap

SYMBOLS = {".": "·", "g": "g", "i": "∞", "n": "N"}  # of a terminal
BATCH = "="
MEANING = {
    "·": "finite",
    BATCH: "finite, within the batch's own ranges",
    "g": "only the gradient fails",
    "∞": "loss infinite",
    "N": "loss NaN",
}
HEIGHT, WIDTH = 13, 33
TICK = 10  # cells of a value beside the map


def short(label: str) -> str:
    """The user's own name of an axis, where it has one."""
    return clean(short_label(label))


def sentence(one: PairMap) -> str:
    """Where loss or gradient fail, in a line; or that no line says it."""
    names = f"{short(one.first)} and {short(one.second)}"
    if one.nearest is None:
        return f"{names}: nothing fails at {one.points:,} points"
    near = f"{short(one.first)} = {number(one.nearest[0], 3)}, {short(one.second)} = {number(one.nearest[1], 3)}"
    alone = "; some of it where neither value fails alone" if one.together else ""
    if one.region:
        about, right = ("about ", f"{one.points - one.wrong:,} of") if one.wrong else ("", "all")
        how = f"(right at {right} {one.points:,} points tried)"
        return prose(f"loss or gradient fail {about}where {one.region}{alone} {how}")
    share = f"{100 * one.failing / one.points:.3g} %"
    return prose(f"{names}: no simple line says where loss or gradient fail ({share} of {one.points:,} points, "
                 f"the nearest at {near}){alone}")  # fmt: skip


def told(report: Report, verbose: bool = False) -> tuple[PairMap, ...]:
    """The one map that says most about an alarm, and those that somebody asked for; all of them if `verbose`."""
    asked = {table.axis.label for table in report.sweeps if table.axis.requested}
    loud = [f for f in report.findings if f.severity != "note" and f.axis]
    wanted = tuple(m for m in report.pairs if {m.first, m.second} <= asked)
    about = tuple(m for m in report.pairs if any(_is_about(f, m) for f in loud))
    return report.pairs if verbose else wanted or about[:1]


def _is_about(finding: Finding, one: PairMap) -> bool:
    """Is it on one of the two axes, or on the way to a point that needs both?"""
    axis = finding.axis or ""
    both = all(f"{short(label)} = " in axis for label in (one.first, one.second))
    return finding.kind in ("nan", "inf") and (axis in (one.first, one.second) or both)


def drawn(one: PairMap, width: int) -> list[str]:
    """The map with the first axis upwards and the second to the right, no line wider than `width`."""
    columns = _parts(len(one.second_values), min(WIDTH, width - TICK - 1))
    rows = _cells(one, columns)
    up, right = one.first_values, one.second_values
    ticks = {0: up[-1], len(rows) // 2: up[len(up) // 2], len(rows) - 1: up[0]}
    lines = [f"{number(ticks[k], 3) if k in ticks else '':>{TICK - 1}} {row}" for k, row in enumerate(rows)]
    low, high = number(right[0], 3), number(right[-1], 3)
    across = low + high.rjust(max(len(columns) - len(low), len(high) + 1))
    named = f"up {short(one.first)}, right {short(one.second)}"
    return [*lines, *(_fitted(text, width) for text in (" " * TICK + across, named))]


def _cells(one: PairMap, columns: list[range]) -> list[str]:
    """The rows of the map, top first."""
    rows = [_merged([one.rows[i] for i in part]) for part in reversed(_parts(len(one.rows), HEIGHT))]
    cells = ["".join(_worst([row[j] for j in part]) for part in columns) for row in rows]
    inside = _inside(one, columns)
    return ["".join(BATCH if c == "." and b else SYMBOLS[c] for c, b in zip(row, line, strict=True))
            for row, line in zip(cells, inside, strict=True)]  # fmt: skip


def _fitted(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def legend(one: PairMap, width: int) -> str:
    """The symbols of this map, and no others."""
    shown = set("".join(drawn(one, width)[:-2]))
    return "  ".join(f"{symbol} {said}" for symbol, said in MEANING.items() if symbol in shown)


def _parts(count: int, most: int) -> list[range]:
    """`count` positions in at most `most` neighbouring groups."""
    groups = max(1, min(count, most))
    return [range(k * count // groups, (k + 1) * count // groups) for k in range(groups)]


def _merged(rows: Sequence[str]) -> str:
    return "".join(_worst(column) for column in zip(*rows, strict=True))


def _worst(cells: Sequence[str]) -> str:
    return max(cells, key=list(PAIR_STATES).index)


def _inside(one: PairMap, columns: list[range]) -> list[list[bool]]:
    """Which cells lie in the batch's own ranges, top row first."""
    (a, b), (c, d) = one.observed
    up = [any(a <= one.first_values[i] <= b for i in part) for part in reversed(_parts(len(one.rows), HEIGHT))]
    right = [any(c <= one.second_values[j] <= d for j in part) for part in columns]
    return [[u and r for r in right] for u in up]
