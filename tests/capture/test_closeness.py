"""When two gradients count as one."""

from __future__ import annotations

import math

import pytest
import torch

from nllcheck.capture.verify import _close_tensors

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
    assert _close_tensors(torch.tensor(a, dtype=dtype), torch.tensor(b, dtype=dtype)) is same
