"""The density test as pictures: Z with its error bar at the values of one axis that were tried.

Z is the integral, or sum, of exp(-loss) over one sample's target. A likelihood has Z = 1 everywhere, one up to a
constant the same Z everywhere; so the line at 1 and the height of the points are the whole answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from nllcheck.report.spelling import number
from nllcheck.report.web.marks import LEFT, RIGHT, WIDTH, band, key, line, picture, rows, text, value_axis
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.report.web.scale import fitted
from nllcheck.types import ZCurve

TOP, BOTTOM = 22, 150
DECADES = 2.0  # spread of Z in decades from which its logarithm is drawn
FLAT = 0.005  # of Z on both sides of 1 is shown at least: what only rounding moves is a level line
NEAR = 0.1  # decades from 1 within which that is drawn as it is
COLOUR = "#8a5cc7"
COLUMNS = ("value", "Z", "error bar of log Z")


def chart(curve: ZCurve) -> Safe | None:
    """One axis: the batch's range as a band, Z = 1 as a line, a point with its bar a setting. None without points."""
    settings = [row for row in zip(curve.values, curve.log_z, curve.error, strict=True) if all(map(math.isfinite, row))]
    if not settings:
        return None
    height, name, unit = _heights([z for _, z, _ in settings])
    ends = [height(z + side * e) for _, z, e in settings for side in (-1, 1)]
    least = [] if unit else [1 - FLAT, 1 + FLAT]
    up = replace(fitted([*ends, height(0.0), *least], BOTTOM, TOP), unit=unit)
    across = fitted(curve.values, LEFT, WIDTH - RIGHT)
    level = up(height(0.0))
    one = line(LEFT, level, WIDTH - RIGHT, level, stroke="currentColor", stroke_dasharray="5 3")
    points = [_point(across(v), up(height(z)), up(height(z - e)), up(height(z + e))) for v, z, e in settings]
    middle = (TOP + BOTTOM) / 2
    title = text(12, middle, "Z", transform=f"rotate(-90 12 {middle:g})", font_weight="bold")
    label = key("dashed: Z = 1, a likelihood", BOTTOM)
    below = value_axis(across, curve.axis, BOTTOM)
    grid = rows(up, [(v, name(v)) for v in up.ticks(24)])
    return picture(
        BOTTOM + 40, said(curve), band(across, curve.observed, BOTTOM), below, grid, one, label, *points, title
    )


def said(curve: ZCurve) -> str:
    """The picture in a sentence."""
    low, high = (number(_exp(z), 4) for z in (min(curve.log_z), max(curve.log_z)))
    return f"Z, the integral of exp(-loss), at {len(curve.values)} settings of {curve.axis}: from {low} to {high}"


def numbers(curve: ZCurve) -> list[tuple[str, str, str]]:
    """The rows of the table beside the picture."""
    settings = zip(curve.values, curve.log_z, curve.error, strict=True)
    return [(number(v, 6), number(_exp(z), 6), number(e, 2)) for v, z, e in settings]


def _heights(log_z: list[float]) -> tuple[Callable[[float], float], Callable[[float], str], float]:
    """What is drawn of log Z, what its values are called, and the unit beyond which the scale is bent (0: never).

    Over several decades it is the logarithm to base 10, bent beyond a tenth: what lies near 1 stays visible.
    """
    low, high = min(*log_z, 0.0), max(*log_z, 0.0)
    if high - low <= DECADES * math.log(10):
        return _exp, lambda z: f"{z:.4g}", 0.0
    return (lambda z: z / math.log(10)), lambda d: f"{10 ** min(d, 300):.3g}", NEAR


def _exp(value: float) -> float:
    """Z from its logarithm; what no float holds as the largest power of e that one does."""
    return math.exp(min(value, 709.0))


def _point(x: float, y: float, bottom: float, top: float) -> Safe:
    bar = line(x, bottom, x, top, stroke=COLOUR, stroke_width="2") if abs(bottom - top) > 3 else None
    return join(bar, tag("circle", cx=round(x, 1), cy=round(y, 1), r="3", fill=COLOUR))
