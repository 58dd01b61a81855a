"""Flows, topics, clusters and autoencoders as whole programs, each with its defect and as its authors repaired it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, fill, modelled, normal, scale, sound, unit

RADIAL = "radial flow (Rezende & Mohamed 2015, eq. 14 and appendix A)"
TOPICS = "embedded topic model (Dieng et al. 2020); github.com/adjidieng/ETM"
DEVIATION = "deviation over the minibatch as a feature of the discriminator (Karras et al. 2018, section 3)"
CLUSTERS = "soft assignment by Gaussian kernels and its sharpened target, after Xie et al. 2016"
IMAGES = "convolutional autoencoder of a notebook, binary cross-entropy by hand and clipped as Keras does"


class Radial(nn.Module):
    """Two radial steps to a standard normal; beta as it comes."""

    def __init__(self) -> None:
        super().__init__()
        self.centre, self.raw_alpha = nn.Parameter(torch.randn(2, 3)), nn.Parameter(torch.zeros(2))
        self.raw_beta = nn.Parameter(0.1 * torch.ones(2))

    def beta(self, alpha, k):
        return self.raw_beta[k]

    def forward(self, x):
        total = torch.zeros(len(x))
        for k in range(2):
            alpha = F.softplus(self.raw_alpha[k]) + 0.1
            beta, d = self.beta(alpha, k), x - self.centre[k]
            r = torch.linalg.vector_norm(d, dim=1)
            h = 1 / (alpha + r)
            total = total + 2 * torch.log(1 + beta * h) + torch.log(1 + beta * h - beta * h**2 * r)  # <- here
            x = x + beta * h[:, None] * d
        return x, total


class RadialHeld(Radial):
    def beta(self, alpha, k):
        return F.softplus(self.raw_beta[k]) - 0.95 * alpha


def flow_loss(model, batch):
    z, log_det = model(batch[0])
    return (0.5 * (z**2).sum(1) + 1.5 * math.log(2 * math.pi) - log_det).mean()


class Topics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta, self.rho = nn.Linear(9, 4), nn.Linear(5, 9, bias=False)
        self.alphas = nn.Linear(5, 4, bias=False)

    def forward(self, words):
        share = words / words.sum(1, keepdim=True)
        theta = F.softmax(self.theta(share), dim=-1)
        beta = F.softmax(self.alphas.weight @ self.rho.weight.T, dim=-1)
        return theta @ beta


def words_nll(preds, words):
    return -(torch.log(preds) * words).sum(1).mean()  # <- here


def words_nll_floored(preds, words):
    return -(torch.log(preds + 1e-6) * words).sum(1).mean()


class Pooled(nn.Module):
    """A discriminator that sees how much the features of a minibatch differ."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(4, 6), nn.Linear(7, 1)

    def spread(self, h):
        return torch.sqrt(h.var(0, unbiased=False)).mean()  # <- here

    def forward(self, x):
        h = F.leaky_relu(self.first(x), 0.2)
        return self.out(torch.cat([h, self.spread(h).expand(len(h), 1)], 1)).squeeze(1)


class PooledHeld(Pooled):
    def spread(self, h):
        return torch.sqrt(h.var(0, unbiased=False) + 1e-8).mean()


def fool_it(score, is_real):
    return F.softplus(torch.where(is_real > 0.5, -score, score)).mean()


class Kernels(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 3))
        self.centres = nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        near = torch.exp(-(torch.cdist(self.encode(x), self.centres) ** 2))
        return near / near.sum(1, keepdim=True)  # <- here


class KernelsShifted(Kernels):
    def forward(self, x):
        square = torch.cdist(self.encode(x), self.centres) ** 2
        near = torch.exp(square.amin(1, keepdim=True) - square)
        return near / near.sum(1, keepdim=True)


def sharpened(q, _):
    with torch.no_grad():
        p = q**2 / q.sum(0).clamp(min=1e-6)
        p = p / p.sum(1, keepdim=True)
    return (p * (torch.log(p + 1e-6) - torch.log(q + 1e-6))).sum(1).mean()


class Pictures(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.ConvTranspose2d(3, 1, 2, stride=2)

    def forward(self, x):
        return torch.sigmoid(self.up(F.relu(self.down(x))))


def pixels_bce(decoded, x):
    return -torch.mean(x * torch.log(decoded) + (1.0 - x) * torch.log(1.0 - decoded))  # <- here


def pixels_bce_clipped(decoded, x, eps=1e-6):
    decoded = torch.clip(decoded, eps, 1.0 - eps)
    return -torch.mean(x * torch.log(decoded) + (1.0 - x) * torch.log(1.0 - decoded))


def _counts(g):
    return torch.poisson(torch.full((6, 9), 2.0), generator=g) + 1


SHAPE = normal(8, 3), normal(8)
BOW = modelled(Topics, _counts, _counts)
SEEN = normal(6, 4), bits(6)
PICTURE = modelled(Pictures, unit(4, 1, 6, 6), unit(4, 1, 6, 6))
FAR = scale({"encode.2.weight": 100.0})


CASES = (
    bug(flow_loss, modelled(Radial, *SHAPE), "log", RADIAL, fill(raw_beta=-4.0), verdict="limit",
        where=(Radial.forward,)),
    sound(flow_loss, modelled(RadialHeld, *SHAPE), RADIAL, fill(raw_beta=-4.0)),
    bug(words_nll, BOW, "log", TOPICS, scale({"alphas.weight": 1e3})),
    sound(words_nll_floored, BOW, TOPICS),
    bug(fool_it, modelled(Pooled, *SEEN), "sqrt", DEVIATION, fill({"first.weight": 0.0}), phase="backward",
        where=(Pooled.spread,)),
    sound(fool_it, modelled(PooledHeld, *SEEN), DEVIATION, fill({"first.weight": 0.0})),
    bug(sharpened, modelled(Kernels, normal(8, 6), bits(8)), "div", CLUSTERS, FAR, where=(Kernels.forward,)),
    sound(sharpened, modelled(KernelsShifted, normal(8, 6), bits(8)), CLUSTERS),
    bug(pixels_bce, PICTURE, "log", IMAGES, scale({"up.weight": 1e3})),
    sound(pixels_bce_clipped, PICTURE, IMAGES),
)  # fmt: skip
