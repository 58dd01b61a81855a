"""One swept axis as a row of characters.

The axis is cut at the values that matter (the batch's own range, the threshold, where failing starts and
ends); each stretch between two cuts gets the same number of cells, and inside a stretch points are placed
by a symmetric logarithm. So a threshold at 9 stays visible on an axis that runs to 3.4e38.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from itertools import pairwise

from nllcheck.types import SweepTable

FINITE, NEGATIVE, INFINITE, NAN = "·", "-", "∞", "N"
RISING, FALLING, FLAT, BOTH = "+", "-", "0", "±"
FIRST_BAD, BATCH_LEFT, BATCH_FILL, BATCH_RIGHT, BATCH_POINT = "▲", "[", "=", "]", "#"
NO_POINT = " "
LEGEND = {  # what each row of a `Strip` can show, in the order it is explained
    "loss": (
        (FINITE, "· finite"),
        (NEGATIVE, "- below 0"),
        (INFINITE, "∞ infinite"),
        (NAN, "N NaN"),
        (NO_POINT, "blank: no point there"),
    ),
    "slope": ((RISING, "+ rising"), (FALLING, "- falling"), (FLAT, "0 flat"), (BOTH, "± both")),
    "marks": (
        (BATCH_LEFT, "[==] the batch's own range"),
        (BATCH_POINT, "# the batch's own value"),
        (FIRST_BAD, "▲ first failing value"),
    ),
}
MIN_STRETCH = 6  # cells between two cuts: room for a label
MAX_CHANGES = 3  # cuts at changes of state beyond the threshold's own; more is noise, not structure


@dataclass(frozen=True, slots=True)
class Strip:
    """Four rows of equal meaning a column; `scale` names the values under the cuts."""

    loss: str
    slope: str
    marks: str
    scale: str


@dataclass(frozen=True, slots=True)
class Ruler:
    """Where a value lies: `cuts` ascending, `starts[i]` the first cell of the stretch from `cuts[i]`."""

    cuts: tuple[float, ...]
    starts: tuple[int, ...]  # one more than stretches; the last is the number of cells

    def cell(self, value: float) -> int:
        index = min(max(bisect_right(self.cuts, value) - 1, 0), len(self.starts) - 2)
        low, high = self.cuts[index], self.cuts[min(index + 1, len(self.cuts) - 1)]
        first, room = self.starts[index], self.starts[index + 1] - self.starts[index]
        return first + min(max(int(self._part(value, low, high) * room), 0), room - 1)

    def _part(self, value: float, low: float, high: float) -> float:
        unit = min((abs(cut) for cut in self.cuts if cut), default=1.0)
        at, left, right = (_symlog(v, unit) for v in (value, low, high))
        return (at - left) / (right - left) if right > left else 0.0


def _symlog(value: float, unit: float) -> float:
    return math.copysign(math.log1p(min(abs(value) / unit, 1e308)), value)


def failing(table: SweepTable, point: int) -> bool:
    """Is the loss or any element of the gradient non-finite there?"""
    numbers_fail = not (math.isfinite(table.loss[point]) and math.isfinite(table.slope[point]))
    return numbers_fail or table.gradient_state[point] != "finite"


def loss_symbol(value: float) -> str:
    if math.isnan(value):
        return NAN
    return INFINITE if math.isinf(value) else NEGATIVE if value < 0 else FINITE


def slope_symbol(value: float, state: str) -> str:
    if math.isnan(value) or state == "nan":
        return NAN
    if math.isinf(value) or state == "inf":
        return INFINITE
    return FLAT if value == 0 else RISING if value > 0 else FALLING


def build(
    table: SweepTable, cells: int, *, bad: float | None = None, good: float | None = None, label: str = ""
) -> Strip | None:
    """The strip of `table` in `cells` columns; None when no point is finite.

    `bad` is the first failing value, `good` its neighbour that works, `label` how the scale writes `bad`.
    """
    points = [i for i, value in enumerate(table.values) if math.isfinite(value)]
    if not points:
        return None
    edge = bad if bad is None or good is None else max(bad, good)
    ruler = _ruler(table, points, edge, cells)
    losses = _cells(ruler, [(table.values[i], loss_symbol(table.loss[i])) for i in points])
    signs = ((i, slope_symbol(table.slope[i], table.gradient_state[i])) for i in points)
    slopes = _cells(ruler, [(table.values[i], sign) for i, sign in signs])
    batch = _batch_cells(ruler, table)
    mark = None if bad is None else ruler.cell(bad)
    return Strip(losses, slopes, _marks(cells, batch, mark), _scale(ruler, table, batch, mark, label))


def _ruler(table: SweepTable, points: list[int], edge: float | None, cells: int) -> Ruler:
    values = [table.values[i] for i in points]
    low, high = min(values), max(values)
    wanted = [v for v in (*table.axis.observed, edge) if v is not None and low < v < high]
    changes = [(table.values[a], table.values[b]) for a, b in pairwise(points) if _differ(table, a, b)]
    ends = [end for begin, end in changes if edge is None or not begin < edge <= end]
    room = cells // MIN_STRETCH - len(set(wanted)) - 1
    extra = ends if len(ends) <= min(MAX_CHANGES, room) else []
    cuts = tuple(sorted({low, high, *wanted, *extra}))
    stretches = max(len(cuts) - 1, 1)
    return Ruler(cuts, tuple(round(i * cells / stretches) for i in range(stretches + 1)))


def _differ(table: SweepTable, a: int, b: int) -> bool:
    return failing(table, a) != failing(table, b)


def _cells(ruler: Ruler, symbols: list[tuple[float, str]]) -> str:
    found: dict[int, set[str]] = {}
    for value, symbol in symbols:
        found.setdefault(ruler.cell(value), set()).add(symbol)
    worst = {cell: _worst(seen) for cell, seen in found.items()}
    return "".join(_fill(worst, start, stop) for start, stop in pairwise(ruler.starts))


def _worst(seen: set[str]) -> str:
    if {RISING, FALLING} <= seen and not seen & {NAN, INFINITE}:
        return BOTH
    return next(symbol for symbol in (NAN, INFINITE, NEGATIVE, RISING, FLAT, FINITE) if symbol in seen)


def _fill(worst: dict[int, str], start: int, stop: int) -> str:
    """A stretch; a cell without a point shows its nearest neighbour's, a stretch without one is blank."""
    known = [cell for cell in range(start, stop) if cell in worst]
    if not known:
        return NO_POINT * (stop - start)
    nearest = (min(known, key=lambda other: abs(other - cell)) for cell in range(start, stop))
    return "".join(worst[cell] for cell in nearest)


def _batch_cells(ruler: Ruler, table: SweepTable) -> tuple[int, int] | None:
    low, high = table.axis.observed
    if not (math.isfinite(low) and math.isfinite(high)):
        return None
    first, last = ruler.cell(low), ruler.cell(high)
    if last > first and high in ruler.cuts[1:-1]:
        last -= 1  # a range ends with the stretch it fills, not with the first cell of the next
    return first, last


def _marks(cells: int, batch: tuple[int, int] | None, mark: int | None) -> str:
    row = [" "] * cells
    if batch:
        first, last = batch
        row[first : last + 1] = BATCH_FILL * (last + 1 - first)
        row[first], row[last] = (BATCH_LEFT, BATCH_RIGHT) if last > first else (BATCH_POINT, BATCH_POINT)
    if mark is not None:
        row[mark] = FIRST_BAD
    return "".join(row).rstrip()


def _scale(ruler: Ruler, table: SweepTable, batch: tuple[int, int] | None, mark: int | None, label: str) -> str:
    """Values under the cuts; what does not fit beside something more important is left out."""
    row = [" "] * ruler.starts[-1]
    low, high = ruler.cuts[0], ruler.cuts[-1]
    _place(row, 0, _tick(low), "left")
    _place(row, len(row) - 1, _tick(high), "right")
    if mark is not None:
        any(_place(row, mark, label, side) for side in ("left", "centre", "right"))
    if batch:
        _place(row, batch[0], _tick(table.axis.observed[0]), "left")
        _place(row, batch[1], _tick(table.axis.observed[1]), "right")
    named = {*table.axis.observed, low, high}
    for cut, cell in zip(ruler.cuts, ruler.starts, strict=False):
        if cut not in named and cell != mark:
            _place(row, cell, _tick(cut), "left")
    return "".join(row).rstrip()


def _tick(value: float) -> str:
    return f"{value:.3g}"


def _place(row: list[str], cell: int, text: str, side: str) -> bool:
    """Write `text` into `row` at `cell` if that leaves a blank on both sides; True when written."""
    first = {"left": cell, "centre": cell - len(text) // 2, "right": cell - len(text) + 1}[side]
    if first < 0 or first + len(text) > len(row):
        return False
    if any(character != " " for character in row[max(first - 1, 0) : first + len(text) + 1]):
        return False
    row[first : first + len(text)] = text
    return True
