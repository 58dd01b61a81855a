"""A bound's divergence has plain numbers of its own, which are no constant of the likelihood beside it."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer

N, LATENT, D, LOG = 12, 2, 3, 0.5 * math.log(2 * math.pi)


def bound(full, draws):
    """0.5 * (trace + mu^2 - LATENT) - log det, as written by hand, of a full covariance; `full`: with LOG."""

    def elbo(mu, raw, low, decoder, y):
        scale = 0.1 + 0.9 * torch.sigmoid(raw)
        root = torch.diag_embed(scale) + torch.tril(low[:, None].expand(N, LATENT, LATENT), -1)
        divergence = 0.5 * ((root**2).sum((-1, -2)) + (mu**2).sum(-1) - LATENT) - scale.log().sum(-1)
        drawn = (mu + (root @ torch.randn(N, LATENT, 1))[..., 0] for _ in range(draws))
        error = sum((0.5 * (y - z @ decoder) ** 2 + full * LOG).sum(-1) for z in drawn) / draws
        return (error + divergence).mean()

    return elbo


@pytest.mark.parametrize(("full", "constant"), [(1, "1"), (0, "sqrt(2 pi)")])
@pytest.mark.parametrize("draws", [1, 5])
def test_the_constant_is_the_likelihoods_own(full, constant, draws):
    made = torch.Generator().manual_seed(2)
    shapes = {"mu": (N, LATENT), "raw": (N, LATENT), "low": (N, LATENT), "decoder": (LATENT, D), "y": (N, D)}
    found = answer(bound(full, draws), {k: torch.randn(*s, generator=made) for k, s in shapes.items()})
    assert found.constant == constant, found.text
