"""Closed intervals of rounded numbers.

A computed value is a rounded one: `1 - tanh(x)**2` is above 0 for every real x and exactly 0 in float32 from
x = 9.01 on. So ends are closed, a correctly rounded op (+ - * /, IEEE 754) is evaluated at the corners in the dtype
itself, and every other op is widened by a few units in the last place (torch's vectorised square root, too: in
float32 that of 0.99900001 is off by one). A NaN is in no interval: a bound speaks
of the elements that are numbers or infinities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch

from nllcheck.axes.points import from_ordinal, to_ordinal

Interval = tuple[float, float]
REAL: Interval = (-math.inf, math.inf)
SLACK = 8  # units in the last place that an elementary function may be off by, twice what torch documents


def hull(parts: Iterable[Interval]) -> Interval:
    """The smallest interval around all of them; of none, everything."""
    lows, highs = zip(*parts, strict=True) if (parts := list(parts)) else ((-math.inf,), (math.inf,))
    return min(lows), max(highs)


def meet(a: Interval, b: Interval) -> Interval:
    """What lies in both; `a` where they do not meet."""
    low, high = max(a[0], b[0]), min(a[1], b[1])
    return (low, high) if low <= high else a


def rounded(value: Interval, dtype: torch.dtype, slack: int = 0) -> Interval:
    """Both ends as numbers of `dtype`, each moved outwards by `slack` of them.

    Without slack for correctly rounded ops: rounding first to float64 changes nothing, since 53 bits are more than
    twice float32's 24 (Figueroa 1995, "When is double rounding innocuous?").
    """
    return -_up(-value[0], dtype, slack), _up(value[1], dtype, slack)


def _up(value: float, dtype: torch.dtype, slack: int) -> float:
    if value == 0 or not math.isfinite(value):
        return math.inf if math.isnan(value) else value + 0.0
    info = torch.finfo(dtype)
    if abs(value) > info.max:
        return math.inf if value > 0 else -info.max
    near = torch.tensor(value, dtype=torch.float64).to(dtype).item()
    if math.isinf(near):
        return math.inf if near > 0 else -info.max
    moved = _stepped(near, slack, dtype) if slack else near
    return 0.0 if -info.tiny < moved < 0 else moved  # subnormal results may be flushed


def _stepped(value: float, steps: int, dtype: torch.dtype) -> float:
    rank = to_ordinal(value, dtype) + steps
    return math.inf if rank > to_ordinal(torch.finfo(dtype).max, dtype) else from_ordinal(rank, dtype)


def add(a: Interval, b: Interval) -> Interval:
    low, high = a[0] + b[0], a[1] + b[1]
    return (-math.inf if math.isnan(low) else low), (math.inf if math.isnan(high) else high)


def negative(a: Interval) -> Interval:
    return -a[1], -a[0]


def mul(a: Interval, b: Interval) -> Interval:
    """0 * inf counts as 0: beside the NaN, which is in no interval, the finite products tend to it."""
    corners = [0.0 if x == 0 or y == 0 else x * y for x in a for y in b]
    return min(corners), max(corners)


def div(a: Interval, b: Interval) -> Interval:
    """Everything where the divisor can be 0: a zero of either sign may be there."""
    if b[0] <= 0 <= b[1]:
        return REAL
    corners = [x / y for x in a for y in b if not (math.isinf(x) and math.isinf(y))]
    corners += [math.copysign(0.0, x) * 1.0 for x in a for y in b if math.isinf(x) and math.isinf(y)]
    corners += [math.copysign(math.inf, x * math.copysign(1.0, y)) for x in a for y in b if math.isinf(x)]
    return min(corners), max(corners)


def square(a: Interval) -> Interval:
    high = max(abs(a[0]), abs(a[1]))
    low = 0.0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return _product(low, low), _product(high, high)


def _product(a: float, b: float) -> float:
    return math.inf if math.isinf(a) or math.isinf(b) else a * b


def absolute(a: Interval) -> Interval:
    low = 0.0 if a[0] <= 0 <= a[1] else min(abs(a[0]), abs(a[1]))
    return low, max(abs(a[0]), abs(a[1]))


def rising(function: Callable[[float], float]) -> Callable[[Interval], Interval]:
    """A function that never falls, from its values at both ends; where it has none, the interval is open there."""

    def of(a: Interval) -> Interval:
        return _value(function, a[0], -math.inf), _value(function, a[1], math.inf)

    return of


def _value(function: Callable[[float], float], at: float, otherwise: float) -> float:
    try:
        value = function(at)
    except OverflowError:
        return math.inf if at > 0 else otherwise
    except ValueError:  # a pole, or outside the domain
        return otherwise
    return otherwise if math.isnan(value) else value
