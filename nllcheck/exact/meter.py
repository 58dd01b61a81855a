"""How long exact arithmetic takes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Meter:
    """Seconds that the process has spent in exact arithmetic, for `--timings`."""

    seconds = 0.0

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            cls.seconds += time.perf_counter() - start


def seconds_spent() -> float:
    """Seconds that this process has spent in `certain` so far."""
    return Meter.seconds
