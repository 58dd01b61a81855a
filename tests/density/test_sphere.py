"""Von Mises-Fisher and Watson losses on unit vectors of two to four coordinates, and what is wrong with them."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers import answer

N = 8


def draw(seed, *shape):
    return torch.randn(N, *shape, generator=torch.Generator().manual_seed(seed))


def unit(seed, size):
    return F.normalize(draw(seed, size), dim=-1)


def log_bessel_ratio(kappa, order):
    """log of I_v(kappa) / kappa^v for v = 0, 1/2, 1, by closed forms."""
    if order == 0:
        return torch.log(torch.special.i0e(kappa)) + kappa
    if order == 1:
        return torch.log(torch.special.i1e(kappa)) + kappa - torch.log(kappa)
    log_sinh = kappa + torch.log1p(-torch.exp(-2 * kappa)) - math.log(2)
    return 0.5 * math.log(2 / math.pi) + log_sinh - torch.log(kappa)


def log_norm(kappa, size):
    """log of the integral of exp(kappa mu . y) over the unit sphere of `size` coordinates (Mardia and Jupp 2000)."""
    return 0.5 * size * math.log(2 * math.pi) + log_bessel_ratio(kappa, size / 2 - 1)


def batch(size, spread=1.0):
    return {"raw": draw(1, size), "log_kappa": spread * draw(2), "y": unit(3, size)}


def score(raw, log_kappa, y):
    return torch.exp(log_kappa) * (F.normalize(raw, dim=-1) * y).sum(-1)


def von_mises_fisher(raw, log_kappa, y):
    return (log_norm(torch.exp(log_kappa), y.shape[-1]) - score(raw, log_kappa, y)).mean()


def without_norm(raw, log_kappa, y):
    return -score(raw, log_kappa, y).mean()


def wrong_sign(raw, log_kappa, y):
    return -(log_norm(torch.exp(log_kappa), y.shape[-1]) + score(raw, log_kappa, y)).mean()


def without_area(raw, log_kappa, y):
    kappa = torch.exp(log_kappa)
    log_sinh = kappa + torch.log1p(-torch.exp(-2 * kappa)) - math.log(2)
    return (log_sinh - log_kappa - score(raw, log_kappa, y)).mean()


def watson(raw, log_kappa, y):
    """Two opposite peaks; on the circle exp(k cos^2) integrates to 2 pi exp(k / 2) I_0(k / 2)."""
    kappa = torch.exp(log_kappa)
    norm = math.log(2 * math.pi) + kappa + torch.log(torch.special.i0e(kappa / 2))
    return (norm - kappa * (F.normalize(raw, dim=-1) * y).sum(-1) ** 2).mean()


def watson_up(raw, log_kappa, y):
    """In three coordinates, by Dawson's integral in the form of a fine sum."""
    kappa = torch.exp(log_kappa)
    t = torch.linspace(-1, 1, 4001)
    weights = torch.full((4001,), 2 / 4000).index_fill(0, torch.tensor([0, 4000]), 1 / 4000)
    norm = math.log(2 * math.pi) + torch.log((weights * torch.exp(kappa[:, None] * t**2)).sum(-1))
    return (norm - kappa * (F.normalize(raw, dim=-1) * y).sum(-1) ** 2).mean()


def mse_of_directions(raw, log_kappa, y):
    return (F.normalize(raw, dim=-1) - y).square().sum(-1).mean() + 0 * log_kappa.sum()


CASES = (
    *((von_mises_fisher, batch(size), "proper", "1") for size in (2, 3, 4)),
    (von_mises_fisher, batch(2, 3.0), "proper", "1"),
    (von_mises_fisher, batch(3, 3.0), "proper", "1"),
    *((without_norm, batch(size), "varies", "") for size in (2, 3)),
    *((wrong_sign, batch(size), "varies", "") for size in (2, 3)),
    (without_area, batch(3), "constant", "4 pi"),
    (watson, batch(2), "proper", "1"),
    (watson_up, batch(3), "proper", "1"),
)


@pytest.mark.parametrize(("fn", "tensors", "name", "constant"), CASES,
                         ids=[f"{c[0].__name__}-{c[1]['y'].shape[-1]}" for c in CASES])  # fmt: skip
def test_the_answer_on_unit_vectors(fn, tensors, name, constant):
    asked, inferred = answer(fn, tensors, support="sphere"), answer(fn, tensors)
    assert (asked.name, asked.constant) == (name, constant), asked.text
    assert (inferred.name, inferred.constant, inferred.support) == (name, constant, "sphere"), inferred.text


def test_a_squared_distance_of_directions_stays_on_all_vectors():
    found = answer(mse_of_directions, batch(3))
    assert (found.name, found.support) == ("constant", "real")
