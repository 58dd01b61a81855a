"""Draws of weights, as many as there are samples, or as a target has numbers: still an average over draws."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer

from nllcheck.density.draws.single import ONE_DRAW

N, LOG = 8, 0.5 * math.log(2 * math.pi)


def error(x, mu, raw, y, draws, half):
    """(draws, N, D), Blundell et al. 2015."""
    out = x @ (mu + torch.nn.functional.softplus(raw) * torch.randn(draws, *mu.shape))
    mean, log_scale = out.chunk(2, -1)
    return half * ((y - mean) * torch.exp(-log_scale)) ** 2 + log_scale + LOG


def mean(each):
    return each.sum(-1).mean(0).mean()


def sum_by_number(each):
    return each.sum((0, 2)).mean() / len(each)


def bayes(reduction, draws, half):
    def nll(x, mu, raw, y):
        scale = torch.nn.functional.softplus(raw)
        divergence = (0.5 * (mu**2 + scale**2 - 1) - scale.log()).sum()
        return reduction(error(x, mu, raw, y, draws, half)) + divergence / 100

    return nll


def batch(width):
    made = torch.Generator().manual_seed(1)
    x, y = (torch.randn(N, k, generator=made) for k in (3, width))
    mu, raw = (torch.randn(3, 2 * width, generator=made) * 0.3 for _ in range(2))
    return {"x": x, "mu": mu, "raw": raw - 2, "y": y}


@pytest.mark.parametrize(("half", "name"), [(0.5, "proper"), (1.0, "constant")])
@pytest.mark.parametrize("reduction", [mean, sum_by_number])
@pytest.mark.parametrize(("draws", "width"), [(2, 2), (N, 2)])
def test_the_answer(draws, width, reduction, half, name):
    found = answer(bayes(reduction, draws, half), batch(width))
    assert found.name == name, found.text
    assert ONE_DRAW in found.text
