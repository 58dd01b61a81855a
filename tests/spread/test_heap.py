"""Memory that the allocator keeps is handed back once it is much, and only then."""

import platform
import subprocess
import sys

import pytest

from nllcheck.sweep import heap

# In a process of its own: what else a process has freed before fills up the holes, or goes by itself.
PROGRAM = """
import runpy, sys
heap = runpy.run_path(sys.argv[1])
watched, many = heap["Heap"](), 2000
watched.tidy(2**40)
before, large, small = watched.least, [], []
for _ in range(many):  # below the size that the C library maps by itself, so all of it lies in one heap
    large.append(bytearray(100_000))
    small.append(bytearray(1_000))
grown = heap["resident"]()
del large
watched.tidy(2**40)
assert watched.least == before, "not yet enough"
watched.tidy(2**20)
assert watched.least < grown - many * 50_000, (watched.least, grown)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="needs glibc on Linux")
def test_holes_between_small_values_are_handed_back():
    subprocess.run([sys.executable, "-c", PROGRAM, str(heap.__file__)], check=True)


def test_what_cannot_be_told_is_never_too_much(monkeypatch):
    monkeypatch.setattr(heap, "resident", lambda: 0)
    watched = heap.Heap()
    watched.tidy(0)
    assert watched.least == 0
