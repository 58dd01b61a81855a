"""When two gradients count as one."""

from __future__ import annotations

import math

import pytest
import torch

from nllcheck.capture.verify import close_gradients

NAN, INF = math.nan, math.inf
CASES = {
    "rounding": ([1.0, 2.0], [1.0, 2.00001], True),
    "another": ([1.0, 2.0], [1.0, 2.1], False),
    "small beside large": ([1e-4, 100.0], [2e-4, 100.0], True),
    "both next to nothing": ([1e-9, 0.0], [0.0, 0.0], True),
    "nothing": ([], [], True),
    "not finite in the same places": ([NAN, 1.0, INF], [INF, 1.0, NAN], True),
    "not finite in another place": ([NAN, 1.0], [1.0, NAN], False),
    "not finite in one": ([1.0, 1.0], [1.0, INF], False),
    "another beside one that is not finite": ([NAN, 1.0, 3.0], [NAN, 1.0, 2.0], False),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_two_gradients_are_one(name, dtype):
    a, b, same = CASES[name]
    assert close_gradients([torch.tensor(a, dtype=dtype)], [torch.tensor(b, dtype=dtype)]) is same


@pytest.mark.parametrize(("away", "same"), [(1e-6, True), (1e-4, False)])
@pytest.mark.parametrize("other", [1.0, 100.0])
def test_what_is_left_of_large_slopes_that_cancel_is_rounding(away, same, other):
    """Of a bias before a batch norm, say; measured by the largest slope of all."""
    large = torch.tensor([other, -3.0 * other])
    some, others = ([large, torch.tensor([w * other])] for w in (1e-7, away))
    assert close_gradients(some, others) is same
    assert close_gradients([*some, torch.zeros(0)], [*others, torch.zeros(0)]) is same
