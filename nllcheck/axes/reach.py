"""How far a value lies from what the checkpoint produces on the batch."""

from __future__ import annotations

import math

from nllcheck.types import Axis


def reach_of(axis: Axis, value: float) -> float:
    """The smallest factor on the observed range that gets to `value`; 1 inside it, inf if no factor does.

    For an axis of positive values the factor is taken on either end (a sigma of 1e-3 lies at 50 x from
    [0.05, 2]); otherwise on the largest magnitude seen. Of a found point the element furthest out counts.
    """
    if axis.moves:
        return max(_factor(m.observed, m.domain[0] >= 0, m.start + value * (m.end - m.start)) for m in axis.moves)
    return _factor(axis.observed, axis.domain[0] >= 0 or axis.mode == "scale", value)


def _factor(observed: tuple[float, float], positive: bool, value: float) -> float:
    low, high = observed
    if math.isnan(low) or math.isnan(value):
        return math.inf
    if low <= value <= high:
        return 1.0
    if low > 0 and positive:
        return _ratio(value, high) if value > high else _ratio(low, value)
    return max(1.0, _ratio(abs(value), max(abs(low), abs(high))))


def _ratio(a: float, b: float) -> float:
    return a / b if b > 0 else math.inf
