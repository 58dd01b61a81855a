"""Lifetimes, variances, hedges, doses and processes: losses of these fields with a defect, and repaired."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, fill, given, modelled, normal, positive, scale, sound, unit

CURED = "mixture cure model (Farewell 1982): part of the patients never fails"
PATHS = "stochastic variance simulated by Euler's steps (Heston 1993; Lord et al. 2010 truncate)"
HEDGED = "deep hedging (Buehler et al. 2019) under an entropic risk; github.com/pfnet-research/pfhedge"
DOSE = "dose and response (Hill 1910), exponent and half-dose per compound"
MATERN = "Gaussian process of Matern kernel 3/2 (Rasmussen & Williams 2006, eq. 4.17) over inducing points"
ENTROPY = "matrix-based Renyi entropy (Giraldo et al. 2015, eq. 8) of a batch's features"


def cured(out, t, died):
    stays, rate = torch.sigmoid(out[:, 0]), F.softplus(out[:, 1]) + 1e-3
    alive = torch.exp(-rate * t)
    density = (1 - stays) * rate * alive
    return -(died * torch.log(density) + (1 - died) * torch.log(stays + (1 - stays) * alive)).mean()  # <- here


def cured_logs(out, t, died):
    stays, goes, rate = F.logsigmoid(out[:, 0]), F.logsigmoid(-out[:, 0]), F.softplus(out[:, 1]) + 1e-3
    of_dead = goes + torch.log(rate) - rate * t
    return -(died * of_dead + (1 - died) * torch.logaddexp(stays, goes - rate * t)).mean()


class Variance(nn.Module):
    """Speed, level and noise of the variance by softplus; rows of given normal draws."""

    least = None

    def __init__(self) -> None:
        super().__init__()
        self.raw, self.start = nn.Parameter(torch.tensor([1.0, 0.0, -1.5])), nn.Parameter(torch.tensor(0.5))

    def forward(self, draws, dt=0.1):
        speed, level, noise = F.softplus(self.raw).unbind(0)
        v, x = F.softplus(self.start).expand(len(draws)), torch.zeros(len(draws))
        for step in draws.unbind(1):
            dw, dz = step.unbind(1)
            root = torch.sqrt(v if self.least is None else v.clamp(min=self.least))  # <- here
            x = x - 0.5 * v * dt + root * math.sqrt(dt) * dz
            v = v + speed * (level - v) * dt + noise * root * math.sqrt(dt) * dw
        return x


class VarianceHeld(Variance):
    least = 1e-4


def moments(x, y):
    return (x.mean() - y.mean()) ** 2 + (x.var() - y.var()) ** 2


class Hedge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(1, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, price):
        held = self.net(price[:, :-1, None])[..., 0]
        return (held * price.diff(dim=1)).sum(1)


def entropic(gain, claim, a=1.0):
    return torch.log(torch.mean(torch.exp(-a * (gain - claim)))) / a  # <- here


def entropic_logs(gain, claim, a=1.0):
    return (torch.logsumexp(-a * (gain - claim), 0) - math.log(len(gain))) / a


def response(n, half, dose, effect):
    power = dose ** F.softplus(n)  # <- here
    return ((power / (power + F.softplus(half) ** F.softplus(n)) - effect) ** 2).mean()  # <- here


def response_logs(n, half, dose, effect):
    share = torch.sigmoid(F.softplus(n) * (torch.log(dose) - torch.log(F.softplus(half) + 1e-3)))
    return ((share - effect) ** 2).mean()


class Inducing(nn.Module):
    """Mean of a sparse process: kernel with the inducing points times weights."""

    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.points, self.weights = nn.Parameter(torch.randn(4, 2)), nn.Parameter(torch.randn(4))
        self.raw = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        square = ((x[:, None] - self.points) ** 2).sum(2)
        d = math.sqrt(3) * torch.sqrt(square + self.least) / (F.softplus(self.raw) + 0.1)  # <- here
        return ((1 + d) * torch.exp(-d)) @ self.weights


class InducingHeld(Inducing):
    least = 1e-8


def squared(pred, y):
    return ((pred - y) ** 2).mean()


class Spectrum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))

    def eigenvalues(self, x):
        z = self.net(x)
        kernel = torch.exp(-(torch.cdist(z, z, compute_mode="donot_use_mm_for_euclid_dist") ** 2))
        return torch.linalg.eigvalsh(kernel / len(x))


def information(model, batch, alpha=1.5):
    shares = model.eigenvalues(batch[0])
    return torch.log2((shares**alpha).sum()) / (1 - alpha)  # <- here


def information_held(model, batch, alpha=1.5):
    shares = model.eigenvalues(batch[0]).clamp(min=1e-6)
    return torch.log2((shares**alpha).sum()) / (1 - alpha)


def prices(g):
    return 1 + 0.1 * torch.randn(12, 6, generator=g).cumsum(1)


def claims(g):
    return 0.1 * torch.rand(12, generator=g)


def _twice(state):
    state["inputs"][1::2] = state["inputs"][::2]


def _met(state):
    state["points"][0] = state["inputs"][0]


def _steep(state):
    state["raw"].copy_(torch.tensor([0.5, -6.0, 2.0]))


PATIENTS = given(out=normal(8, 2), t=positive(8, around=2.0), died=bits(8), target="t died")
DRAWS = normal(8, 5, 2, scale=0.5), normal(8, scale=0.3)
CLAIM = modelled(Hedge, prices, claims)
DOSES = given(n=normal(8), half=normal(8), dose=positive(8), effect=unit(8), target="dose effect")
GRID = normal(8, 2), normal(8)
BATCH = modelled(Spectrum, normal(8, 5, scale=2.0), bits(8))


CASES = (
    bug(cured, PATIENTS, "log", CURED, fill(t=200.0)),
    sound(cured_logs, PATIENTS, CURED, fill(t=200.0)),
    bug(moments, modelled(Variance, *DRAWS), "sqrt", PATHS, _steep, verdict="limit defect", where=(Variance.forward,)),
    sound(moments, modelled(VarianceHeld, *DRAWS), PATHS, _steep),
    bug(entropic, CLAIM, "log exp", HEDGED, scale({"net.2.weight": 2e3})),
    sound(entropic_logs, CLAIM, HEDGED, scale({"net.2.weight": 2e3})),
    bug(response, DOSES, "div pow", DOSE, fill(n=150.0)),
    sound(response_logs, DOSES, DOSE, fill(n=20.0)),
    bug(squared, modelled(Inducing, *GRID), "sqrt", MATERN, _met, phase="backward", where=(Inducing.forward,)),
    sound(squared, modelled(InducingHeld, *GRID), MATERN, _met),
    bug(information, BATCH, "pow", ENTROPY, _twice),
    sound(information_held, BATCH, ENTROPY),
)  # fmt: skip
