"""One swept axis as a picture: loss and slope against the axis, what class each point is, and its sign.

Colours are middle tones that stand out on white and on black; shapes and letters say the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import groupby, pairwise

from nllcheck.report import strip, words
from nllcheck.report.spelling import exact, number
from nllcheck.report.web.marks import LEFT, RIGHT, WIDTH, band, key, line, picture, rows, text, value_axis
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.report.web.scale import Scale, fitted
from nllcheck.types import Facts, Finding, SweepTable

PANELS = {"loss": (22, 150), "slope": (172, 280)}  # top and bottom of each
STRIPS = {"loss": 292, "slope": 314}
BAR, BOTTOM = 16, 336
COLOURS = {"loss": "#3b82d6", "slope": "#d9722b"}
FILLS = {
    strip.FINITE: "#3c7f58",
    strip.NEGATIVE: "#6b5bc0",
    strip.INFINITE: "#b4581a",
    strip.NAN: "#b32d2d",
    strip.RISING: "#3b6ea8",
    strip.FLAT: "#6f7883",
    strip.BOTH: "#3c7f58",
}
MOST = 160  # points a line is drawn with
VISIBLE = 0.01  # relative difference that a picture shows
LARGEST = 3.4e38  # float32's and bfloat16's largest number


def window(table: SweepTable, finding: Finding) -> tuple[float, float]:
    """The part of the axis worth a picture: the batch's range, the threshold, and as much again beyond."""
    ends = (*table.axis.observed, finding.threshold, finding.last_good, finding.witness)
    marked = [v for v in ends if v is not None and math.isfinite(v)]
    known = [v for v in table.values if math.isfinite(v)]
    if not known:
        return 0.0, 0.0
    if not marked:
        return min(known), max(known)
    low, high = min(marked), max(marked)
    more = 0.6 * (high - low) or abs(high) or 1.0
    return max(min(known), low - more), min(max(known), high + more)


def chart(table: SweepTable, finding: Finding, facts: Facts) -> Safe | None:
    """The picture of the axis a finding was made on; None when no point lies in its window."""
    low, high = window(table, finding)
    points = thinned([i for i, v in enumerate(table.values) if low <= v <= high], table)
    if len(points) < 2:
        return None
    unit = max((abs(v) for v in table.axis.observed if math.isfinite(v)), default=0.0)
    across = fitted([table.values[i] for i in points], LEFT, WIDTH - RIGHT, unit or None)
    body = [band(across, table.axis.observed, BOTTOM), value_axis(across, table.axis.label, BOTTOM)]
    body += [_panel(across, table, points, which, finding) for which in PANELS]
    body += [_classes(across, table, points, which) for which in STRIPS]
    body += [_threshold(across, finding, facts)]
    body += [key("dotted: float64", BOTTOM)] if any(beside(table, points, which) for which in PANELS) else []
    said = f"{table.axis.label}: loss, slope and their classes. {words.when(finding, facts, table)}"
    return picture(BOTTOM + 40, said, *body)


def thinned(points: list[int], table: SweepTable) -> list[int]:
    """At most about `MOST` of the points: the ends of every run of one class, and equally many between."""
    if len(points) <= MOST:
        return points
    runs = [list(run) for _, run in groupby(points, key=lambda i: _symbols(table, i))]
    kept = {i for run in runs for i in (run[0], run[-1])} if len(runs) <= MOST // 4 else set()
    return sorted(kept | set(points[:: math.ceil(len(points) / MOST)]) | {points[-1]})


def _symbols(table: SweepTable, i: int) -> tuple[str, str]:
    return strip.loss_symbol(table.loss[i]), strip.slope_symbol(table.slope[i], table.gradient_state[i])


def _panel(across: Scale, table: SweepTable, points: list[int], which: str, finding: Finding) -> Safe:
    """A curve, broken where it is not finite, float64's where that is another, and the reference at the witness."""
    values = table.loss if which == "loss" else table.slope
    better = finding.reference_loss if which == "loss" else finding.reference_slope
    top, bottom = PANELS[which]
    wide = beside(table, points, which)
    shown = [v for v in (*(values[i] for i in points), *wide.values(), better) if v is not None]
    up = fitted(shown, bottom, top)
    grid = rows(up, [(v, f"{v:.3g}") for v in up.ticks(24)])
    colour = COLOURS[which]
    runs = _finite_runs(table, wide, points)  # below the computed curve: seen where that is another
    curves = [_curve(across, up, run, "currentColor", stroke_dasharray="3 3") for run in runs]
    curves += [_curve(across, up, run, colour) for run in _finite_runs(table, dict(enumerate(values)), points)]
    title = text(12, (top + bottom) / 2, which, transform=f"rotate(-90 12 {(top + bottom) / 2:g})", font_weight="bold")
    return join(grid, *curves, _diamond(across, up, finding.witness, better, finding.reference), title)


def beside(table: SweepTable, points: list[int], which: str) -> dict[int, float]:
    """Float64's values by point, where one of them is visibly another than the computed one; else nothing.

    Values that the training dtype could not hold anyway are left out.
    """
    values, wide = (table.loss, table.wide_loss) if which == "loss" else (table.slope, table.wide_slope)
    known = {i: wide[i] for i in points if wide and abs(wide[i]) <= LARGEST}
    size = max((abs(values[i]) for i in points if math.isfinite(values[i])), default=0.0)
    differs = any(not abs(values[i] - v) <= VISIBLE * max(abs(v), VISIBLE * size) for i, v in known.items())
    return known if differs else {}


def _finite_runs(table: SweepTable, values: Mapping[int, float], points: list[int]) -> list[list[tuple[float, float]]]:
    runs = groupby(points, key=lambda i: math.isfinite(values.get(i, math.nan)))
    return [[(table.values[i], values[i]) for i in run] for finite, run in runs if finite]


def _curve(across: Scale, up: Scale, run: list[tuple[float, float]], colour: str, **more: object) -> Safe:
    if len(run) == 1:
        return tag("circle", cx=round(across(run[0][0]), 1), cy=round(up(run[0][1]), 1), r="2", fill=colour)
    path = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in run)
    return tag("polyline", points=path, fill="none", stroke=colour, stroke_width="2", **more)


def _diamond(across: Scale, up: Scale, at: float | None, value: float | None, said: str) -> Safe | None:
    if at is None or value is None or not (math.isfinite(value) and across.holds(at)):
        return None
    x, y = across(at), up(value)
    shape = tag("polygon", points=f"{x:.1f},{y - 6:.1f} {x + 6:.1f},{y:.1f} {x:.1f},{y + 6:.1f} {x - 6:.1f},{y:.1f}",
                fill="none", stroke="currentColor", stroke_width="2")  # fmt: skip
    side, anchor = (-10, "end") if x > WIDTH / 2 else (10, "start")
    return join(shape, text(x + side, y - 5, f"{said}: {number(value, 4)}", anchor))


def _classes(across: Scale, table: SweepTable, points: list[int], which: str) -> Safe:
    """One bar for every run of one class, with its letter where there is room."""
    pick = 0 if which == "loss" else 1
    runs = [(key, list(run)) for key, run in groupby(points, key=lambda i: _symbols(table, i)[pick])]
    edges = [across(table.values[points[0]])]
    for (_, before), (_, after) in pairwise(runs):
        edges.append((across(table.values[before[-1]]) + across(table.values[after[0]])) / 2)
    edges.append(across(table.values[points[-1]]))
    bars = [bar(a, b, STRIPS[which], key, which) for (key, _), a, b in zip(runs, edges, edges[1:], strict=False)]
    return join(*bars, text(LEFT - 6, STRIPS[which] + 12, "class" if which == "loss" else "sign", "end"))


def bar(start: float, stop: float, y: float, symbol: str, which: str) -> Safe:
    """A piece of a strip from `start` to `stop`; the falling slope shares its letter with the negative loss."""
    fill = COLOURS["slope"] if which == "slope" and symbol == strip.FALLING else FILLS[symbol]
    width = max(stop - start, 1.0)
    letter = text(start + width / 2, y + 12, symbol, fill="#fff", font_weight="bold") if width > 12 else None
    return join(tag("rect", x=round(start, 1), y=y, width=round(width, 1), height=BAR, fill=fill), letter)


def _threshold(across: Scale, finding: Finding, facts: Facts) -> Safe | None:
    at = finding.threshold
    if at is None or not across.holds(at):
        return None
    x = across(at)
    anchor = "end" if x > WIDTH / 2 else "start"
    label = f"first failing: {exact(at, facts.dtype)}"
    mark = line(x, 14, x, BOTTOM, stroke="#c93a3a", stroke_width="2", stroke_dasharray="5 3")
    return join(mark, text(x - 6 if anchor == "end" else x + 6, 90, label, anchor, font_weight="bold"))
