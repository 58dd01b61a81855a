"""Memory that the allocator keeps although nothing uses it, handed back once it has become much.

Every chunk of a sweep makes large tensors and leaves small ones. The C library cannot return what lies below the small
ones by itself: 300,000 points in float64 that hold 30 MiB at a time grew a process by 690 MiB. To hand back after every
chunk doubles the time of the sweep, since the pages must be had anew. Now and then costs nothing that can be measured
at a budget of 1 GiB and a fifth of the processor's time at 256 MiB.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from pathlib import Path


class Heap:
    """Watches how far this process has grown since memory was last handed back."""

    def __init__(self) -> None:
        self.least = 0  # resident bytes then

    def tidy(self, allowed: int) -> None:
        """Hand back what is free if the process has grown by more than `allowed` bytes. On Linux with glibc only."""
        now = resident()
        self.least = min(self.least or now, now)
        if now - self.least > allowed:
            with contextlib.suppress(AttributeError, OSError):
                ctypes.CDLL(None).malloc_trim(0)
            self.least = resident()


def resident() -> int:
    """Bytes of memory that this process holds; 0 where that cannot be told."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


HEAP = Heap()
