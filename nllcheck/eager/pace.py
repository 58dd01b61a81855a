"""How many points a loss that is run op by op can afford on each axis."""

from __future__ import annotations

import time
from collections.abc import Callable

POINTS = 60  # on each axis, fewer where a run is slow
FEWEST = 16
SECONDS = 20.0  # after which no further axis is begun
TRIES = 3  # of a run that seems slow, and is not so slow that these alone would take long
_TOO_SLOW = SECONDS / 20


def timed(run: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds that one run takes."""
    began = clock()
    run()
    return clock() - began


def points_for(axes: int, first: float, again: Callable[[], float]) -> int:
    """Points on each of so many axes, in [`FEWEST`, `POINTS`]. `first`: seconds of one run; `again` times another.

    A garbage collection, or somebody else's work, in one single run must not decide how much is tried.
    """
    pace = first
    for _ in range(TRIES - 1):
        if _affordable(axes, pace) == POINTS or pace > _TOO_SLOW:
            break
        pace = min(pace, again())
    return _affordable(axes, pace)


def _affordable(axes: int, pace: float) -> int:
    return int(min(POINTS, max(FEWEST, SECONDS / 3 / max(pace * axes, 1e-9))))
