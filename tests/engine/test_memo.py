"""What is kept for one check is asked for once, and gone when the check is."""

from __future__ import annotations

import gc

import torch

import nllcheck
from nllcheck.memo import forget, remembered
from nllcheck.sweep.joint import Joint


def test_it_is_asked_once_until_it_is_forgotten():
    asked = []

    @remembered(4)
    def double(x: int) -> int:
        asked.append(x)
        return 2 * x

    assert [double(1), double(1), double(2)] == [2, 2, 4] and asked == [1, 2]
    forget()
    assert double(1) == 2 and asked == [1, 2, 1]


def test_a_check_leaves_no_program_behind():
    forget()
    gc.collect()
    before = sum(type(o) is Joint for o in gc.get_objects())
    nllcheck.check_function(
        lambda x, y: torch.log(torch.sigmoid(x * y)).mean(), {"x": torch.ones(4), "y": torch.ones(4)}
    )
    gc.collect()
    assert sum(type(o) is Joint for o in gc.get_objects()) == before
