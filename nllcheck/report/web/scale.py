"""From values to pixels: linear, or symmetric-logarithmic where a range spans many decades."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

SPAN = 300.0  # the largest value over the unit from which a range is drawn logarithmically
TICKS = 6
LARGEST = 1e307  # beyond it differences overflow


@dataclass(frozen=True, slots=True)
class Scale:
    """`low` is drawn at pixel `start`, `high` at `stop`; `unit` 0 means linear."""

    low: float
    high: float
    start: float
    stop: float
    unit: float = 0.0

    def __call__(self, value: float) -> float:
        low, high, at = (self._bent(v) for v in (self.low, self.high, value))
        part = (at - low) / (high - low) if high > low else 0.5
        return self.start + min(max(part, 0.0), 1.0) * (self.stop - self.start)

    def _bent(self, value: float) -> float:
        return math.copysign(math.log1p(min(abs(value / self.unit), 1e308)), value) if self.unit else value / 2

    def holds(self, value: float) -> bool:
        return self.low <= value <= self.high

    def ticks(self, gap: float) -> list[float]:
        """Round values inside the range, at least `gap` pixels apart, ascending; nearest to 0 first in doubt."""
        kept: list[float] = []
        for value in sorted(self._decades() if self.unit else _round(self.low, self.high), key=abs):
            if all(abs(self(value) - self(other)) >= gap for other in kept):
                kept.append(value)
        return sorted(kept)

    def _decades(self) -> list[float]:
        first, last = math.floor(math.log10(self.unit)), math.ceil(math.log10(max(abs(self.low), abs(self.high))))
        sizes = [10.0**k for k in range(first, min(last, 308) + 1)]
        return [v for v in (*(-s for s in reversed(sizes)), 0.0, *sizes) if self.holds(v)]


def _round(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten (Heckbert 1990, nice numbers for graph labels)."""
    raw = high / TICKS - low / TICKS
    if not raw > 1e-300:
        return [low]
    size = 10.0 ** math.floor(math.log10(raw))
    step = next((size * k for k in (1, 2, 5) if size * k >= raw), size * 10)
    first, last = math.ceil(low / step), math.floor(high / step)
    return [k * step for k in range(first, min(last, first + 20) + 1) if low <= k * step <= high]


def fitted(values: Iterable[float], start: float, stop: float, unit: float | None = None) -> Scale:
    """The scale that shows all finite values; logarithmic when they span more than `SPAN` units."""
    known = [min(max(v, -LARGEST), LARGEST) for v in values if math.isfinite(v)] or [0.0]
    low, high = min(known), max(known)
    if low == high:
        low, high = low - (abs(low) / 2 or 1.0), high + (abs(high) / 2 or 1.0)
    sizes = sorted(abs(v) for v in known if v) or [1.0]
    unit = unit or sizes[len(sizes) // 2]
    return Scale(low, high, start, stop, unit if max(abs(low), abs(high)) > SPAN * unit else 0.0)
