"""Losses that look as if they failed and do not: each has its guard, its bounded input or its arithmetic."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, classes, counts, fill, given, modelled, normal, scale, simplex, sound, unit

STUDENT = "deep embedded clustering (Xie et al. 2016, eq. 1-3), Student weights and their sharpened target"
GUMBEL = "Gumbel softmax by hand: the noise has its epsilons"
HARMONIC = "cosine schedule of angles by atan2 of a unit vector with a floor"
HINGE = "quantile regression, the pinball by maxima"
MARGIN = "large-margin cosine softmax: exp of at most thirty"
KAPPA = "quadratic weighted kappa as a loss, a floor below its quotient"
ENERGY = "energy distance of two samples, roots with a floor"
TWEEDIE = "Tweedie deviance with rates by exp of a clamped score"
POLYA = "multinomial with a Dirichlet prior: log-gammas of counts plus a softplus"
MOMENTS = "moment matching of rectified features: variances with a floor, compared by logarithms"
SIGNAL = "scale-invariant signal-to-distortion ratio with the usual epsilons"
WING = "wing loss (Feng et al. 2018): log of one plus a magnitude"
CHARBONNIER = "Charbonnier penalty and total variation of a decoded image"
TEMPERED = "temperature scaling of a frozen classifier by softplus of a parameter"
STEPS = "RMSprop-like step inside a loss, the root over a mean square with a floor"
SOFTARG = "coordinates by a soft argmax over heatmaps (Luvizon et al. 2017), normalised by hand after the maximum"


class Cluster(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3))
        self.centres = nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        square = ((self.net(x)[:, None] - self.centres) ** 2).sum(2)
        q = 1.0 / (1.0 + square)
        return q / q.sum(1, keepdim=True)


def clustered(model, batch):
    q = model(batch[0])
    weight = (q**2 / q.sum(0)).detach()
    p = weight / weight.sum(1, keepdim=True)
    return (p * torch.log(p / q)).sum(1).mean()


def gumbel(logits, u, choice):
    noise = -torch.log(-torch.log(u + 1e-20) + 1e-20)
    soft = torch.softmax((logits + noise) / 0.7, -1)
    return ((soft - choice) ** 2).sum(-1).mean()


def wind(output, angle):
    unit_vector = output / torch.sqrt((output**2).sum(1, keepdim=True) + 1e-6)
    return (1 - unit_vector[:, 0] * torch.cos(angle) - unit_vector[:, 1] * torch.sin(angle)).mean()


def pinball(output, y):
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    error = y[:, None] - output
    return torch.max((quantiles - 1) * error, quantiles * error).sum(1).mean()


class Margin(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 4))
        self.centres = nn.Parameter(torch.randn(3, 4))

    def forward(self, x):
        return F.normalize(self.net(x), dim=1) @ F.normalize(self.centres, dim=1).T


def margin_cost(cosine, target, s=30.0, m=0.35):
    own = cosine.gather(1, target[:, None])[:, 0]
    others = torch.exp(s * cosine).sum(1) - torch.exp(s * own)
    top = torch.exp(s * (own - m))
    return -torch.log(top / (top + others)).mean()


def kappa(output, grade):
    p, own = torch.softmax(output, 1), F.one_hot(grade, 4).to(output)
    rank = torch.arange(4).to(output)
    weight = (rank[:, None] - rank) ** 2 / 9
    seen = (own.T @ p * weight).sum()
    chance = (own.sum(0)[:, None] * p.sum(0) * weight).sum() / len(p)
    return torch.log(seen / (chance + 1e-6) + 1e-6)


def spread(a, b):
    return torch.sqrt(((a[:, None] - b) ** 2).sum(2) + 1e-8).mean()


def energy(fake, real):
    return 2 * spread(fake, real) - spread(fake, fake) - spread(real, real)


def tweedie(output, y, power=1.5):
    rate = torch.exp(output.squeeze(-1).clamp(-12.0, 12.0))
    return (rate ** (2 - power) / (2 - power) - y * rate ** (1 - power) / (1 - power)).mean()


def polya(output, n):
    alpha = F.softplus(output) + 0.05
    total, size = alpha.sum(1), n.sum(1)
    each = torch.lgamma(n + alpha) - torch.lgamma(alpha) - torch.lgamma(n + 1)
    return -(torch.lgamma(total) - torch.lgamma(total + size) + torch.lgamma(size + 1) + each.sum(1)).mean()


class Features(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 6), nn.ReLU())

    def forward(self, x):
        return self.net(x)


def moments(model, batch):
    a, b = model(batch[0]), model(batch[1])
    scale_a, scale_b = a.var(0, unbiased=False) + 1e-3, b.var(0, unbiased=False) + 1e-3
    return ((a.mean(0) - b.mean(0)) ** 2).sum() + (torch.log(scale_a / scale_b) ** 2).sum()


def distortion(estimate, source, eps=1e-8):
    estimate, source = estimate - estimate.mean(1, True), source - source.mean(1, True)
    along = ((estimate * source).sum(1, True) + eps) / ((source**2).sum(1, True) + eps) * source
    ratio = ((along**2).sum(1) + eps) / (((estimate - along) ** 2).sum(1) + eps)
    return -10 * torch.log10(ratio).mean()


def wing(output, y, width=2.0, bend=0.5):
    gap = torch.abs(output - y)
    joint = width - width * math.log(1 + width / bend)
    return torch.where(gap < width, width * torch.log(1 + gap / bend), gap - joint).mean()


def charbonnier(output, image):
    image = image.view_as(output)
    across, down = output[..., 1:] - output[..., :-1], output[..., 1:, :] - output[..., :-1, :]
    variation = torch.sqrt(across[:, :-1] ** 2 + down[..., :-1] ** 2 + 1e-6)
    return torch.sqrt((output - image) ** 2 + 1e-6).mean() + 0.1 * variation.mean()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor(0.5))

    def forward(self, scores):
        return scores / (F.softplus(self.raw) + 0.05)


def tempered(output, target):
    return -torch.log_softmax(output, 1).gather(1, target[:, None]).mean()


class Linear(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.rate = nn.Parameter(0.3 * torch.randn(5)), nn.Parameter(torch.tensor(-2.0))


def stepped(model, batch):
    x, y = batch
    g = 2 * x.T @ (x @ model.w - y) / len(y)
    w = model.w - torch.sigmoid(model.rate) * g * torch.rsqrt(0.1 * g**2 + 1e-4)
    return ((x @ w - y) ** 2).mean()


def soft_argmax(heat, place):
    flat = heat.flatten(1)
    weight = torch.exp(flat - flat.max(1, keepdim=True).values)
    p = (weight / weight.sum(1, keepdim=True)).view_as(heat)
    grid = torch.arange(5.0) / 4
    x, y = (p.sum(1) * grid).sum(1), (p.sum(2) * grid).sum(1)
    return (torch.stack([x, y], 1) - place).abs().sum(1).mean()


GROUPS = modelled(Cluster, normal(10, 6), bits(10))
NOISY = given(logits=normal(6, 4), u=unit(6, 4), choice=simplex(6, 4), target="u choice")

CASES = (
    sound(clustered, GROUPS, STUDENT, scale({"net.2.weight": 30.0})),
    sound(gumbel, NOISY, GUMBEL, scale(logits=30.0)),
    sound(wind, given(output=normal(8, 2), angle=normal(8), target="angle"), HARMONIC, fill(output=0.0)),
    sound(pinball, given(output=normal(8, 3), y=normal(8), target="y"), HINGE, fill(output=0.5)),
    sound(margin_cost, modelled(Margin, normal(8, 6), classes(8, 3)), MARGIN),
    sound(kappa, given(output=normal(12, 4), grade=classes(12, 4), target="grade"), KAPPA, scale(output=5.0)),
    sound(energy, given(fake=normal(6, 3), real=normal(6, 3), target="real"), ENERGY),
    sound(tweedie, given(output=normal(10, 1), y=counts(10), target="y"), TWEEDIE, fill(output=-40.0)),
    sound(polya, given(output=normal(6, 4), n=counts(6, 4), target="n"), POLYA),
    sound(moments, modelled(Features, normal(10, 6), normal(10, 6)), MOMENTS, fill({"net.2.bias": -9.0})),
    sound(distortion, given(estimate=normal(4, 16), source=normal(4, 16), target="source"), SIGNAL),
    sound(wing, given(output=normal(8), y=normal(8), target="y"), WING),
    sound(charbonnier, given(output=normal(3, 5, 5), image=unit(3, 25), target="image"), CHARBONNIER, fill(output=0.0)),
    sound(tempered, modelled(Scaled, normal(8, 4), classes(8, 4)), TEMPERED, fill(raw=-20.0)),
    sound(stepped, modelled(Linear, normal(12, 5), normal(12)), STEPS, fill(w=0.0)),
    sound(soft_argmax, given(heat=normal(5, 5, 5), place=unit(5, 2), target="place"), SOFTARG, scale(heat=100.0)),
)
