"""A term that a whole row of targets shares, as log(s1 * s2): no number of the row has a half of it."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import answer

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.target import Target, split_batch, style_of

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


class Scaled(torch.nn.Module):
    """Predicts in the scale of the first steps, whose logarithm it adds to that of its own scale."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(5, 10)

    def forward(self, x):
        scale = x[:, :2].abs().mean(1, keepdim=True) + 0.1
        out = self.layer(x / scale).reshape(-1, 2, 5)
        return (out[:, 0] * scale)[:, 1:-1], (out[:, 1] + scale.log())[:, 1:-1]


@pytest.mark.parametrize(("weight", "verdict"), [(1.0, "proper"), (0.5, "varies")])
def test_what_each_row_adds_to_the_logarithm_of_a_scale_is_that_rows(weight, verdict):
    """DeepAR (Salinas et al. 2020, equation 4)."""
    draw = torch.Generator().manual_seed(21)

    def nll(output, y):
        mean, log_scale = output
        gap = ((y - mean) / log_scale.exp()).square()
        return (0.5 * gap + weight * log_scale + 0.5 * math.log(2 * math.pi)).mean()

    x = torch.randn(6, 5, generator=draw)
    batch = split_batch((x, torch.randn(6, 3, generator=draw)))
    graph = capture(Target("model", nll, "nll", Scaled(), (batch,), style_of(nll, None)), batch)
    assert density(graph, default_axes(graph)[0], "nll").name == verdict
