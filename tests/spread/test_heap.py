"""Memory that the allocator keeps is handed back once it is much, and only then."""

import platform
import sys

import pytest

from nllcheck.sweep import heap

MANY = 2000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc" or sys.platform != "linux", reason="needs glibc on Linux")
def test_holes_between_small_values_are_handed_back():
    watched = heap.Heap()
    watched.tidy(2**40)
    before, large, small = watched.least, [], []
    for _ in range(MANY):  # below the size that the C library maps by itself, so all of it lies in one heap
        large.append(bytearray(100_000))
        small.append(bytearray(1_000))
    grown = heap.resident()
    del large
    watched.tidy(2**40)
    assert watched.least == before  # not yet enough
    watched.tidy(2**20)
    assert watched.least < grown - MANY * 50_000
    assert len(small) == MANY


def test_what_cannot_be_told_is_never_too_much(monkeypatch):
    monkeypatch.setattr(heap, "resident", lambda: 0)
    watched = heap.Heap()
    watched.tidy(0)
    assert watched.least == 0
