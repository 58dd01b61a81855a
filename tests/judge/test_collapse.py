"""Likelihoods that one sample alone can take to minus infinity, against what is known of each family."""

from __future__ import annotations

import math
import re

import pytest
import torch
import torch.distributions as D
import torch.nn.functional as F

import nllcheck

torch.manual_seed(0)
N = 12
Y = torch.randn(N)
ROWS = torch.softmax(torch.randn(N, 3), -1)
OUT = {k: torch.randn(N, k) for k in (2, 3, 6)}


def normal_nll(out, y):
    return -D.Normal(out[:, 0], out[:, 1].exp()).log_prob(y).mean()


def softplus_nll(out, y):
    return (0.5 * ((y - out[:, 0]) / F.softplus(out[:, 1])) ** 2 + torch.log(F.softplus(out[:, 1]))).mean()


def plain_sigma_nll(out, y):
    return -D.Normal(out[:, 0], out[:, 1].abs()).log_prob(y).mean()


def mixture_nll(out, y):
    parts = D.Normal(out[:, 2:4], out[:, 4:].exp()).log_prob(y[:, None])
    return -torch.logsumexp(torch.log_softmax(out[:, :2], -1) + parts, -1).mean()


def dirichlet_nll(out, y):
    return -D.Dirichlet(out.exp()).log_prob(y).mean()


def floored_nll(out, y):
    return -D.Normal(out[:, 0], F.softplus(out[:, 1]) + 1e-4).log_prob(y).mean()


def laplace_nll(out, y):
    return -D.Laplace(out[:, 0], 0.3 + out[:, 1].abs()).log_prob(y).mean()


def clamped_nll(out, y):
    return F.gaussian_nll_loss(out[:, 0], y, out[:, 1].exp(), full=True)


def shared_nll(mu, log_sigma, y):
    return -D.Normal(mu, log_sigma.exp()).log_prob(y).mean()


def poisson_nll(out, y):
    return F.poisson_nll_loss(out[:, 0], y, full=True)


def squares(out, y):
    return ((out[:, 0] - y) ** 2 / out[:, 1].exp() + out[:, 1]).mean()


# loss -> tensors, the output that goes, nats a unit of it (None: like its logarithm)
FALL = {
    normal_nll: ({"out": OUT[2], "y": Y}, r"out\[..., 1\] falls", 1.0),
    softplus_nll: ({"out": OUT[2], "y": Y}, r"out\[..., 1\] falls", 1.0),
    plain_sigma_nll: ({"out": OUT[2], "y": Y}, r"out\[..., 1\] (falls|grows)", None),
    mixture_nll: ({"out": OUT[6], "y": Y}, r"out\[..., [45]\] falls", 1.0),
    dirichlet_nll: ({"out": OUT[3], "y": ROWS}, r"out\[..., .\] grows", 1.0),  # (3 - 1) / 2 nats a unit of log c
}
STAY = {
    floored_nll: {"out": OUT[2], "y": Y},
    laplace_nll: {"out": OUT[2], "y": Y},
    clamped_nll: {"out": OUT[2], "y": Y},
    shared_nll: {"mu": OUT[2][:, 0], "log_sigma": torch.tensor(0.1), "y": Y},
    poisson_nll: {"out": OUT[2], "y": torch.arange(N).float()},
}


def collapse(loss, tensors):
    report = nllcheck.check_function(loss, tensors, target="y", points=17, effort="quick")
    return next((f for f in report.findings if f.rule == "NLL709"), None)


@pytest.mark.parametrize("loss", FALL, ids=lambda f: f.__name__)
def test_the_way_down_is_told(loss):
    tensors, way, rate = FALL[loss]
    found = collapse(loss, tensors)
    assert found is not None and (found.severity, found.kind) == ("note", "unbounded")
    assert re.search(way, found.message), found.message
    told = re.search(r"linearly, by about ([\d.]+) nats a unit", found.message)
    assert float(told[1]) == pytest.approx(rate, rel=0.2) if rate else told is None
    assert rate or "like its logarithm" in found.message
    assert found.reference == "exact" and math.isfinite(found.reference_loss)


@pytest.mark.parametrize("loss", STAY, ids=lambda f: f.__name__)
def test_a_floor_a_shared_scale_or_a_count_stops_it(loss):
    assert collapse(loss, STAY[loss]) is None


def test_the_floor_holds_what_it_says():
    found = collapse(normal_nll, {"out": OUT[2], "y": Y})
    edge, floor = re.search(
        r">= ([-\d.]+), the batch's own edge, would hold it at (-?\d+\.\d+)", found.message
    ).groups()
    assert float(edge) == pytest.approx(float(OUT[2][:, 1].min()), rel=1e-3)
    assert float(floor) == pytest.approx(float(edge) + 0.5 * math.log(2 * math.pi), rel=1e-3)


def test_of_a_mixture_every_component_needs_one():
    message = collapse(mixture_nll, {"out": OUT[6], "y": Y}).message
    assert "out[..., 4] >=" in message and "out[..., 5] >=" in message and "own edges" in message
