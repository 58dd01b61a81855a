"""How far a value lies from what the checkpoint produces on the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from nllcheck.types import Axis

Floats = npt.NDArray[np.float64]


def reaches(axis: Axis, values: Any) -> Floats:
    """The smallest factor on the observed range that gets to each value (P,): 1 inside it, inf if no factor does.

    For an axis of positive values the factor is taken on either end (a sigma of 1e-3 lies at 50 x from
    [0.05, 2]); otherwise on the largest magnitude seen. Of a found point the element furthest out counts.
    """
    values = np.asarray(values, dtype=np.float64)
    if axis.moves:
        with np.errstate(all="ignore"):  # half of an infinite way
            places = [m.start + values * (m.end - m.start) for m in axis.moves]
        ways = [_factors(m.observed, m.domain[0] >= 0, v) for m, v in zip(axis.moves, places, strict=True)]
        return np.max(ways, axis=0)  # type: ignore[no-any-return]
    if axis.mode == "noise":  # in units of the values' own size
        return 1.0 + np.abs(values)  # type: ignore[no-any-return]
    return _factors(axis.observed, axis.domain[0] >= 0 or axis.mode == "scale", values)


def reach_of(axis: Axis, value: float) -> float:
    """The same of one value."""
    return float(reaches(axis, value))


def _factors(observed: tuple[float, float], positive: bool, values: Floats) -> Floats:
    low, high = observed
    with np.errstate(all="ignore"):
        if low > 0 and positive:
            far = np.where(values > high, values / high, np.where(values > 0, low / values, math.inf))
        else:
            most = max(abs(low), abs(high))
            far = np.maximum(1.0, np.abs(values) / most) if most > 0 else np.full_like(values, math.inf)
    known = ~np.isnan(values) & (not math.isnan(low))
    return np.where(known, np.where((low <= values) & (values <= high), 1.0, far), math.inf)
