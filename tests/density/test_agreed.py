"""Bounds with several draws of a latent variable: an average of log-likelihoods over draws is no fault."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.draws.agreed import with_agreed_draws
from nllcheck.target import Target, split_batch

LOG = 0.5 * math.log(2 * math.pi)
DRAWS = 3


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.encoder, self.decoder = nn.Linear(3, 4), nn.Linear(2, 6)


def error(model, z, y, half):
    mean, raw = model.decoder(z).chunk(2, -1)
    raw = raw.clamp(-2, 2)
    return (half * ((y - mean) * torch.exp(-raw)) ** 2 + raw + LOG).sum(-1)


def one(model, mu, raw, y, half):
    return error(model, mu + raw.exp() * torch.randn_like(mu), y, half)


def one_by_one(model, mu, raw, y, half):
    return sum(one(model, mu, raw, y, half) for _ in range(DRAWS)) / DRAWS


def together(model, mu, raw, y, half):
    return error(model, mu + raw.exp() * torch.randn(DRAWS, *mu.shape), y, half).mean(0)


def behind(model, mu, raw, y, half):
    drawn = mu[:, None] + raw.exp()[:, None] * torch.randn(len(mu), DRAWS, 2)
    return error(model, drawn, y[:, None], half).mean(1)


def antithetic(model, mu, raw, y, half):
    """Each draw with its mirror image (Hammersley and Morton 1956)."""
    parts = [(noise, -noise) for noise in (torch.randn_like(mu), torch.randn_like(mu))]
    return sum(error(model, mu + raw.exp() * n, y, half) for pair in parts for n in pair) / 4


def stacked_antithetic(model, mu, raw, y, half):
    half_of_it = torch.rand(1, *mu.shape)
    noise = torch.special.ndtri(torch.cat([half_of_it, 1 - half_of_it]))
    return error(model, mu + raw.exp() * noise, y, half).mean(0)


def elbo(reconstruction, half):
    def loss(model, batch):
        x, y = batch
        mu, raw = model.encoder(x).chunk(2, -1)
        divergence = (0.5 * (mu**2 + torch.exp(2 * raw) - 1) - raw).sum(-1)
        return (reconstruction(model, mu, raw, y, half) + divergence).mean()

    return loss


CASES = {
    (one, 0.5): ("proper",), (one_by_one, 0.5): ("proper",), (together, 0.5): ("proper",),
    (behind, 0.5): ("proper",), (one, 1.0): ("constant",), (one_by_one, 1.0): ("constant",),
    (antithetic, 0.5): ("proper",), (stacked_antithetic, 0.5): ("proper",),
}  # fmt: skip


@pytest.mark.parametrize(("reconstruction", "half"), CASES)
def test_several_draws_are_no_fault(reconstruction, half):
    made = torch.Generator().manual_seed(1)
    batch = split_batch((torch.randn(6, 3, generator=made), torch.randn(6, 3, generator=made)))
    graph = capture(Target("t", elbo(reconstruction, half), "elbo", Autoencoder(), (batch,), "model"), batch)
    found = density(graph, default_axes(graph)[0], "elbo")
    assert found.name in CASES[reconstruction, half], found.text


def without_scale(model, mu, raw, y, half):
    means = (model.decoder(mu + raw.exp() * torch.randn_like(mu)) for _ in range(DRAWS))
    return sum((half * ((y - m[:, :3]) * torch.exp(-m[:, 3:])) ** 2).sum(-1) for m in means) / DRAWS


def mirrored_without_scale(model, mu, raw, y, half):
    noise = torch.randn_like(mu)
    means = (model.decoder(mu + raw.exp() * n) for n in (noise, -noise))
    return sum((half * ((y - m[:, :3]) * torch.exp(-m[:, 3:])) ** 2).sum(-1) for m in means) / 2


@pytest.mark.parametrize("reconstruction", [without_scale, mirrored_without_scale])
def test_a_forgotten_scale_is_one_still(reconstruction):
    made = torch.Generator().manual_seed(1)
    batch = split_batch((torch.randn(6, 3, generator=made), torch.randn(6, 3, generator=made)))
    graph = capture(Target("t", elbo(reconstruction, 0.5), "elbo", Autoencoder(), (batch,), "model"), batch)
    assert density(graph, default_axes(graph)[0], "elbo").name == "varies"


def test_a_loss_that_does_not_run_with_equal_draws_is_answered_as_it_is():
    def loss(model, batch):
        x, y = batch
        mean, raw = model.encoder(x).chunk(2, -1)
        drawn = torch.randn(4, 2)
        first = (drawn < drawn.max()).nonzero()[0]  # of equal numbers there is none
        return ((y[:, :2] - mean) ** 2 * torch.exp(-2 * raw)).sum(-1).mean() + 0 * first.sum()

    made = torch.Generator().manual_seed(1)
    batch = split_batch((torch.randn(6, 3, generator=made), torch.randn(6, 3, generator=made)))
    graph = capture(Target("t", loss, "nll", Autoencoder(), (batch,), "model"), batch)
    assert with_agreed_draws(graph) is None
    assert density(graph, default_axes(graph)[0], "nll").name != "proper"
