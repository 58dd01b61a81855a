"""A straight line through a row of vertical segments, and short numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

SLOPES = (1.0, -1.0, 2.0, -2.0, 0.5, -0.5, 3.0, -3.0, 1.5, -1.5)  # tried before any other
DIGITS = 9


def shortest(low: float, high: float) -> float:
    """A number in [low, high) with as few digits as can be; either end may be infinite."""
    if not np.isfinite(low) or not np.isfinite(high):
        return float(high - abs(high) if np.isfinite(high) else low if np.isfinite(low) else 0.0)
    if low <= 0 < high:
        return 0.0
    size = max(abs(low), abs(high))
    for digits in range(1, DIGITS + 1):
        unit = 10.0 ** (np.floor(np.log10(size)) - digits + 1)
        tried = float(f"{np.round((low + high) / 2 / unit) * unit:.{DIGITS}g}")
        if low <= tried < high:
            return tried
    return float(low)


def shortest_up_to(low: float, high: float) -> float:
    """The same in (low, high]."""
    return 0.0 - shortest(-high, -low)


def stabbed(at: Floats, low: Floats, high: Floats, first: tuple[float, ...] = ()) -> float | None:
    """The slope of a line that passes every segment [low, high) at its place; None where there is none.

    Slopes in `first` are preferred, then short ones near the one that leaves the line's level the most room.
    """

    def room(slopes: Floats) -> Floats:
        return (high - slopes[:, None] * at).min(1) - (low - slopes[:, None] * at).max(1)

    if not (low < high).all():
        return None
    plain = np.array(first)
    fits = plain[room(plain) > 0]
    if len(fits):
        return float(fits[0])
    best = _widest(room)
    short = np.array([float(f"{best:.{d}g}") for d in range(1, DIGITS)] + [best])
    return float(next(iter(short[room(short) > 0]), np.nan)) if room(np.array([best]))[0] > 0 else None


ZOOMS = 30


def _widest(room: Callable[[Floats], Floats]) -> float:
    """Where a concave function is largest, by looking ever closer."""
    far = np.geomspace(1e-12, 1e12, 128)
    slopes = np.concatenate([-far[::-1], [0.0], far])
    for _ in range(ZOOMS):
        k = int(room(slopes).argmax())
        slopes = np.linspace(slopes[max(k - 1, 0)], slopes[min(k + 1, len(slopes) - 1)], 33)
    return float(slopes[int(room(slopes).argmax())])
