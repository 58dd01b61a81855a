"""Regressions, counts and lifetimes of old scripts, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, counts, fill, given, modelled, normal, scale, sound

GROUPS = "group lasso (Yuan & Lin 2006) over the incoming weights of each hidden unit"
NORMED = "batch normalisation by hand after a rectifier, as before it was a layer"
RELATED = "one minus Pearson's correlation of predictions and targets"
SPREAD = "regression with a standard deviation straight from the last layer, its bias one at the start"
RATES = "Poisson regression with a rectified rate"
DISPERSED = "negative binomial regression of counts, the probability a sigmoid"
LIFETIMES = "Weibull lifetimes with censoring (WTTE-RNN), scale and shape by exp"
HAZARDS = "discrete-time survival, the probability of having lived so long as a product"
FISHER = "squared gap of Fisher's z transforms of a predicted and a measured correlation"
LOG_TAU = 0.5 * math.log(2 * math.pi)


class Network(nn.Module):
    width = 1

    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(5, 10), nn.Linear(10, self.width)

    def forward(self, x):
        return self.out(torch.relu(self.hidden(x))).squeeze(-1)


class TwoHeads(Network):
    width = 2


def lasso(model, batch):
    x, y = batch
    norms = torch.sqrt((model.hidden.weight**2).sum(1))  # <- here
    return F.mse_loss(model(x), y) + 0.01 * norms.sum()


def lasso_smooth(model, batch):
    x, y = batch
    norms = torch.sqrt((model.hidden.weight**2).sum(1) + 1e-10)
    return F.mse_loss(model(x), y) + 0.01 * norms.sum()


def normed(model, batch, floor=0.0):
    x, y = batch
    h = torch.relu(model.hidden(x))
    mean = h.mean(0)
    inverse = torch.rsqrt(((h - mean) ** 2).mean(0) + floor)  # <- here
    return ((model.out((h - mean) * inverse).squeeze(-1) - y) ** 2).mean()


def normed_with_floor(model, batch):
    return normed(model, batch, 1e-5)


def related(pred, y):
    a, b = pred - pred.mean(), y - y.mean()
    return 1 - (a * b).sum() / (torch.sqrt((a**2).sum()) * torch.sqrt((b**2).sum()))  # <- here


def related_floored(pred, y):
    a, b = pred - pred.mean(), y - y.mean()
    return 1 - (a * b).sum() / torch.sqrt((a**2).sum() * (b**2).sum() + 1e-6)


class Spread(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.sigma = nn.Linear(5, 10), nn.Linear(10, 1), nn.Linear(10, 1)
        nn.init.normal_(self.sigma.weight, std=0.05)
        nn.init.ones_(self.sigma.bias)

    def forward(self, x):
        h = torch.tanh(self.body(x))
        return self.mean(h)[:, 0], self.sigma(h)[:, 0]


def spread_nll(mean, sigma, y):
    return (torch.log(sigma) + (y - mean) ** 2 / (2 * sigma**2) + LOG_TAU).mean()  # <- here


def spread_nll_softplus(mean, raw, y):
    sigma = F.softplus(raw) + 1e-3
    return (torch.log(sigma) + (y - mean) ** 2 / (2 * sigma**2) + LOG_TAU).mean()


def rectified(output, count):
    rate = torch.relu(output)
    return (rate - count * torch.log(rate)).mean()  # <- here


def softly(output, count):
    rate = F.softplus(output) + 1e-4
    return (rate - count * torch.log(rate)).mean()


def dispersed(output, count):
    r, p = F.softplus(output[:, 0]) + 0.01, torch.sigmoid(output[:, 1])
    ways = torch.lgamma(count + r) - torch.lgamma(r) - torch.lgamma(count + 1)
    return -(ways + r * torch.log(p) + count * torch.log(1 - p)).mean()  # <- here


def dispersed_logs(output, count):
    r, z = F.softplus(output[:, 0]) + 0.01, output[:, 1]
    ways = torch.lgamma(count + r) - torch.lgamma(r) - torch.lgamma(count + 1)
    return -(ways + r * F.logsigmoid(z) + count * F.logsigmoid(-z)).mean()


class Weibull(nn.Module):
    """Censored log-likelihood; `target` holds time and whether it was seen."""

    def forward(self, output, target):
        t, seen = target.unbind(1)
        a, b = torch.exp(output[:, 0]), torch.exp(output[:, 1])  # <- here
        hazard = (t / a) ** b  # <- here
        loglik = seen * (torch.log(b) + b * torch.log(t / a) - torch.log(t)) - hazard  # <- here
        return -loglik.mean()


class WeibullLogs(nn.Module):
    def forward(self, output, target):
        t, seen = target.unbind(1)
        b = F.softplus(output[:, 1]) + 1e-2
        ratio = b * (torch.log(t) - output[:, 0])
        return -(seen * (torch.log(b) + ratio - torch.log(t)) - torch.exp(ratio.clamp(max=50.0))).mean()


def lives(g):
    return torch.stack([torch.exp(0.4 * torch.randn(10, generator=g)), (torch.arange(10) % 3 > 0).float()], 1)


def hazards(score, year, died):
    hazard = torch.sigmoid(score)
    alive = torch.cumprod(1 - hazard, dim=1)
    h, s = hazard.gather(1, year)[:, 0], alive.gather(1, year)[:, 0]
    return -(died * (torch.log(h) - torch.log(1 - h)) + torch.log(s)).mean()  # <- here


def hazards_logs(score, year, died):
    alive = torch.cumsum(F.logsigmoid(-score), dim=1).gather(1, year)[:, 0]
    return -(died * score.gather(1, year)[:, 0] + alive).mean()


def fisher(raw, r):
    rho = torch.tanh(raw)
    z = 0.5 * torch.log((1 + rho) / (1 - rho))  # <- here
    return ((z - torch.atanh(0.9 * r)) ** 2).mean()


def fisher_shrunk(raw, r):
    rho = 0.999 * torch.tanh(raw)
    z = 0.5 * torch.log((1 + rho) / (1 - rho))
    return ((z - torch.atanh(0.9 * r)) ** 2).mean()


LINE = modelled(Network, normal(12, 5), normal(12))
YEARS = {
    "score": normal(8, 6, shift=-1.0),
    "year": lambda g: torch.randint(6, (8, 1), generator=g),
    "died": bits(8),
}
RAW_R = {"raw": normal(10), "r": lambda g: 2 * torch.rand(10, generator=g) - 1}


def _dead(state):
    state["hidden.weight"][3] = 0.0
    state["hidden.bias"][3] = -1.0


def _narrow(state):
    state["out.weight"][1] = 0.0
    state["out.bias"][1] = -200.0


CASES = (
    bug(lasso, LINE, "sqrt", GROUPS, _dead, phase="backward"),
    sound(lasso_smooth, LINE, GROUPS, _dead),
    bug(normed, LINE, "rsqrt", NORMED, _dead, verdict="limit defect"),
    sound(normed_with_floor, LINE, NORMED, _dead),
    bug(related, LINE, "div sqrt", RELATED, fill({"out.weight": 0.0, "out.bias": 0.0}), verdict="limit defect"),
    sound(related_floored, LINE, RELATED, fill({"out.weight": 0.0, "out.bias": 0.0})),
    bug(
        spread_nll,
        modelled(Spread, normal(12, 5), normal(12)),
        "log",
        SPREAD,
        fill({"sigma.bias": -1.0}),
        verdict="limit",
    ),
    sound(spread_nll_softplus, modelled(Spread, normal(12, 5), normal(12)), SPREAD, fill({"sigma.bias": -20.0})),
    bug(
        rectified,
        given(output=normal(10, shift=3.0, scale=0.5), count=counts(10), target="count"),
        "log",
        RATES,
        fill(output=-1.0),
        verdict="limit defect",
    ),
    sound(softly, modelled(Network, normal(10, 5), counts(10)), RATES, fill({"out.bias": -30.0})),
    bug(dispersed, modelled(TwoHeads, normal(10, 5), counts(10)), "log", DISPERSED, scale({"out.weight": 1e3})),
    sound(dispersed_logs, modelled(TwoHeads, normal(10, 5), counts(10)), DISPERSED),
    bug(
        Weibull(),
        modelled(TwoHeads, normal(10, 5), lives),
        "exp log div pow",
        LIFETIMES,
        _narrow,
        where=(Weibull.forward,),
    ),
    sound(WeibullLogs(), modelled(TwoHeads, normal(10, 5), lives), LIFETIMES),
    bug(hazards, given(**YEARS, target="year died"), "log", HAZARDS, scale(score=200.0)),
    sound(hazards_logs, given(**YEARS, target="year died"), HAZARDS, scale(score=20.0)),
    bug(fisher, given(**RAW_R, target="r"), "div log", FISHER, scale(raw=20.0)),
    sound(fisher_shrunk, given(**RAW_R, target="r"), FISHER, scale(raw=20.0)),
)
