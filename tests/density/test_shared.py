"""A term that a whole row of targets shares, as log(s1 * s2): no number of the row has a half of it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import answer

SHAPES = [(8, 2), (3, 4, 2), (6, 3)]
WEIGHTS = {1.0: "proper", 0.5: "varies"}


def row_nll(mean, raw, y, weight):
    scale = F.softplus(raw) + 1e-3
    gap = ((y - mean) / scale).square().sum(-1)
    own = torch.log(scale.prod(-1)) + 0.5 * mean.shape[-1] * math.log(2 * math.pi)
    return (weight * own + 0.5 * gap).mean()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_product_of_a_rows_scales_is_the_rows(shape, weight):
    draw = torch.Generator().manual_seed(20)
    tensors = {name: torch.randn(shape, generator=draw) for name in ("mean", "raw", "y")}

    def nll(mean, raw, y):
        return row_nll(mean, raw, y, weight)

    assert answer(nll, tensors).name == WEIGHTS[weight]
