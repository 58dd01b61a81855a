"""Losses that look dangerous at first reading, and hold."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, classes, counts, fill, given, modelled, normal, positive, put, simplex, sound

BY_HAND = "log-sum-exp by hand with its largest term in front"
STABLE = "logistic loss written stably, as a framework's source has it"
CORE = "square root of squares plus one (Charbonnier et al. 1994)"
BOTH = "a choice with safe operands on both sides"
EMPTY = "sentinels of a sensor left out of a mean"
WEIGHED = "relative entropy of given shares, zeros allowed"
GATED = "an exponential behind a bounded gate"
PADDED = "padding at minus infinity before a softmax"
NORMAL = "divergence of two normals from log variances"
HUBER = "log cosh, written stably"
CLASSIC = "batch normalisation by hand before a softmax"
ANGLE = "angles compared by sine and cosine"
ADAM = "normalised step of a learned optimiser, epsilon beside the root"
FROZEN = "attention of a learned temperature, held above 0.01"
RATE = "a rate with exp, counts without their factorials"
TRAP = "survival with the log of a complementary exponential"


def lse_loss(out, y):
    top = out.amax(1, keepdim=True)
    total = torch.log(torch.exp(out - top).sum(1)) + top[:, 0]
    return (total - out.gather(1, y[:, None])[:, 0]).mean()


def logistic_loss(out, y):
    z = out[:, 0]
    return (torch.relu(z) - z * y + torch.log(1 + torch.exp(-z.abs()))).mean()


def charbonnier(out, y):
    return (torch.sqrt((out[:, 0] - y) ** 2 + 1.0) - 1.0).mean()


def chosen(out, y):
    z = out[:, 0]
    big = z > 20
    soft = torch.where(big, z, torch.log1p(torch.exp(torch.where(big, torch.zeros_like(z), z))))
    return (soft - z * y).mean()


def readings(out, y):
    known = y > -900
    gap = torch.where(known, out[:, 0] - y, torch.zeros_like(y))
    return (gap**2).sum() / known.float().sum().clamp(min=1.0)


def shares(out, p):
    log_q = out - torch.logsumexp(out, 1, keepdim=True)
    return (torch.xlogy(p, p) - p * log_q).sum(1).mean()


def gated(out, y):
    log_var = 6 * torch.tanh(out[:, 1])
    return (0.5 * torch.exp(-log_var) * (y - out[:, 0]) ** 2 + 0.5 * log_var).mean()


def padded(score, keep, y):
    s = score.masked_fill(keep == 0, float("-inf"))
    weight = torch.softmax(s, 1)
    return ((weight * score).sum(1) - y).square().mean()


class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 10), nn.ReLU())
        self.mu, self.log_var = nn.Linear(10, 3), nn.Linear(10, 3)

    def forward(self, x):
        h = self.body(x)
        return self.mu(h), self.log_var(h).clamp(-10, 10)


def two_normals(mu, log_var, y):
    gap = (mu - y) ** 2
    return 0.5 * (torch.exp(log_var) + gap - 1 - log_var).sum(1).mean()


def log_cosh(out, y):
    gap = out[:, 0] - y
    return (gap + F.softplus(-2.0 * gap) - math.log(2.0)).mean()


class Batched(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 4)
        self.gamma, self.beta = nn.Parameter(torch.ones(8)), nn.Parameter(torch.zeros(8))

    def forward(self, x):
        h = torch.relu(self.one(x))
        mean, var = h.mean(0), ((h - h.mean(0)) ** 2).mean(0)
        return torch.log_softmax(self.two(self.gamma * (h - mean) * torch.rsqrt(var + 1e-5) + self.beta), 1)


def batched(log_p, y):
    return -log_p[torch.arange(len(y)), y].mean()


def angles(out, y):
    unit = F.normalize(out, dim=1, eps=1e-6)
    return ((unit[:, 0] - torch.cos(y)) ** 2 + (unit[:, 1] - torch.sin(y)) ** 2).mean()


def learned_step(w, moment, second, y):
    step = moment / (torch.sqrt(second) + 1e-8)
    return ((w - 0.01 * step.detach() - y) ** 2).mean()


class Tempered(nn.Module):
    def __init__(self):
        super().__init__()
        self.key, self.value = nn.Linear(4, 6), nn.Linear(4, 2)
        self.raw = nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        k = self.key(x)
        a = torch.softmax(k @ k.transpose(1, 2) / self.raw.clamp(min=0.01), -1)
        return (a @ self.value(x)).mean(1)


def tempered(out, y):
    return F.cross_entropy(out, y)


def rates(out, y):
    log_rate = out[:, 0].clamp(max=20.0)
    return (torch.exp(log_rate) - y * log_rate).mean()


def events(out, t, event):
    log_rate = out[:, 0].clamp(-15, 15)
    dead = torch.log(-torch.expm1(-torch.exp(log_rate) * t))
    return -(event * dead - (1 - event) * torch.exp(log_rate) * t).mean()


def deep(outputs):
    return lambda: nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, outputs))


def sensor(g):
    y = torch.randn(12, generator=g)
    y[::4] = -999.0
    return y


def kept(g):
    mask = torch.ones(8, 6)
    mask[2, 3:] = 0
    mask[5, 1:] = 0
    return mask


X = normal(12, 5)
ONE = modelled(deep(1), X, normal(12))
LABEL = modelled(deep(1), X, bits(12))
PAD = given(score=normal(8, 6), keep=kept, y=normal(8), target="keep y")
STEP = given(w=normal(6), moment=normal(6), second=positive(6), y=normal(6), target="moment second y")
TIMES = given(out=normal(10, 1), t=positive(10), event=bits(10), target="t event")
CASES = (
    sound(lse_loss, modelled(deep(5), X, classes(12, 5)), BY_HAND, put({"4.bias": 300.0})),
    sound(logistic_loss, LABEL, STABLE, fill({"4.bias": 300.0})),
    sound(charbonnier, ONE, CORE),
    sound(chosen, LABEL, BOTH, fill({"4.bias": 300.0})),
    sound(readings, modelled(deep(1), X, sensor), EMPTY, fill(targets=-999.0)),
    sound(shares, modelled(deep(4), X, simplex(12, 4)), WEIGHED, put(targets=0.0)),
    sound(gated, modelled(deep(2), X, normal(12)), GATED, fill({"4.bias": 90.0})),
    sound(padded, PAD, PADDED),
    sound(two_normals, modelled(Two, X, normal(12, 3)), NORMAL),
    sound(log_cosh, ONE, HUBER, fill({"4.bias": 300.0})),
    sound(batched, modelled(Batched, X, classes(12, 4)), CLASSIC, fill({"one.bias": -90.0})),
    sound(angles, given(out=normal(10, 2), y=normal(10), target="y"), ANGLE),
    sound(learned_step, STEP, ADAM),
    sound(tempered, modelled(Tempered, normal(8, 3, 4), classes(8, 2)), FROZEN),
    sound(rates, modelled(deep(1), X, counts(12)), RATE),
    sound(events, TIMES, TRAP),
)
