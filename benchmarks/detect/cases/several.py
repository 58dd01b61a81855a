"""Targets that hold several things, forgotten logarithms, and codes that are drawn in a relaxed form."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import Spec, bug, classes, given, modelled, normal, sound

STROKES = "handwriting: mixtures of bivariate Gaussians and an end-of-stroke bit (Graves 2013, arXiv:1308.0850, eq. 26)"
MIXTURE = "mixture density network (Bishop 1994, eq. 25)"
HEADS = "a class and a box by one network, each with its own likelihood (Kendall et al. 2018, arXiv:1705.07115, eq. 7)"
CODES = "categorical variational autoencoder (Jang et al. 2017, arXiv:1611.01144, section 3)"
BITS = "binary concrete units (Maddison et al. 2017, arXiv:1611.00712, appendix B)"
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}
K, CLASSES = 3, 5


def points(*lead: int) -> Spec:
    def made(g: torch.Generator) -> torch.Tensor:
        place, pen = torch.randn(*lead, 2, generator=g), torch.rand(*lead, 1, generator=g) < 0.3
        return torch.cat([place, pen.float()], -1)

    return made


class Pen(nn.Module):
    """Reads the pen step by step; scales within [0.02, 50], correlations within (-0.95, 0.95)."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(3, 12, batch_first=True), nn.Linear(12, 1 + 6 * K)

    def forward(self, strokes):
        hidden, _ = self.cell(strokes)
        return self.head(hidden)


def parts(output, target):
    """Log-densities of the components, their logarithmic weights, and the score of the pen."""
    weight, mx, my, lx, ly, lean = output[..., 1:].chunk(6, -1)
    lx, ly, rho = 4 * torch.tanh(lx / 4), 4 * torch.tanh(ly / 4), 0.95 * torch.tanh(lean)
    zx, zy = (target[..., :1] - mx) * torch.exp(-lx), (target[..., 1:2] - my) * torch.exp(-ly)
    away = (zx**2 - 2 * rho * zx * zy + zy**2) / (2 * (1 - rho**2))
    return -away - math.log(2 * math.pi) - lx - ly, torch.log(1 - rho**2), F.log_softmax(weight, -1), output[..., 0]


def handwriting(output, target):
    density, lean, weight, pen = parts(output, target)
    stroke = -torch.logsumexp(weight + density - 0.5 * lean, -1)
    return (stroke + F.binary_cross_entropy_with_logits(pen, target[..., 2], reduction="none")).mean()


def handwriting_without_half(output, target):
    density, lean, weight, pen = parts(output, target)
    stroke = -torch.logsumexp(weight + density - lean, -1)  # <- here
    total = stroke + F.binary_cross_entropy_with_logits(pen, target[..., 2], reduction="none")  # <- here
    return total.mean()  # <- here


def handwriting_without_log(output, target):
    density, lean, weight, pen = parts(output, target)
    stroke = torch.exp(weight + density - 0.5 * lean).sum(-1)  # <- here
    return (F.binary_cross_entropy_with_logits(pen, target[..., 2], reduction="none") - stroke).mean()  # <- here


def mixture_nll_without_log(output, y):
    weight, mean, raw = output.chunk(3, -1)
    sigma = 0.1 + F.softplus(raw)
    density = torch.exp(-0.5 * ((y - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    return -(torch.softmax(weight, -1) * density).sum(-1).mean()  # <- here


def mixture_nll_by_logsumexp(output, y):
    weight, mean, raw = output.chunk(3, -1)
    sigma = 0.1 + F.softplus(raw)
    density = -0.5 * ((y - mean) / sigma) ** 2 - torch.log(sigma) - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(F.log_softmax(weight, -1) + density, -1).mean()  # <- here


def mixture_nll_without_minus(output, y):
    return -mixture_nll_by_logsumexp(output, y)  # <- here


def two_heads_nll(out, kind, box):
    sigma = 0.1 + F.softplus(out[:, 6:8])
    normal_ = 0.5 * ((box - out[:, 4:6]) / sigma) ** 2 + torch.log(sigma) + 0.5 * math.log(2 * math.pi)
    return F.cross_entropy(out[:, :4], kind) + normal_.sum(-1).mean()


def two_heads_nll_of_one_sign(out, kind, box):
    sigma = 0.1 + F.softplus(out[:, 6:8])
    place = torch.distributions.Normal(out[:, 4:6], sigma).log_prob(box)  # <- here
    return F.cross_entropy(out[:, :4], kind) + place.sum(-1).mean()  # <- here


def two_heads_nll_without_log_sigma(out, kind, box):
    sigma = 0.1 + F.softplus(out[:, 6:8])
    normal_ = 0.5 * ((box - out[:, 4:6]) / sigma) ** 2 + 0.5 * math.log(2 * math.pi)  # <- here
    return F.cross_entropy(out[:, :4], kind) + normal_.sum(-1).mean()  # <- here


class Coder(nn.Module):
    """Three codes of five classes."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 3 * CLASSES), nn.Linear(3 * CLASSES, 6)

    def forward(self, x):
        scores = self.encoder(x).view(len(x), 3, CLASSES)
        return self.decoder(F.gumbel_softmax(scores, tau=0.8).flatten(1)), scores


def coded(output, x, sign):
    mean, scores = output
    log_q = F.log_softmax(scores, -1)
    divergence = (log_q.exp() * (log_q + math.log(CLASSES))).sum((1, 2))
    return (0.5 * (x - mean) ** 2).sum(1).mean() + sign * divergence.mean()  # <- here


def coded_elbo(output, x):
    return coded(output, x, 1.0)


def coded_elbo_of_wrong_sign(output, x):
    return coded(output, x, -1.0)  # <- here


class Concrete(nn.Module):
    """Four bits."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 4), nn.Linear(4, 6)

    def forward(self, x):
        scores = self.encoder(x)
        u = torch.rand_like(scores).clamp(1e-6, 1 - 1e-6)
        return self.decoder(torch.sigmoid((scores + torch.log(u) - torch.log1p(-u)) / 0.6)), scores


def bitwise_elbo(output, x):
    mean, scores = output
    p = torch.sigmoid(scores)
    divergence = p * F.logsigmoid(scores) + (1 - p) * F.logsigmoid(-scores) + math.log(2)
    return (0.5 * (x - mean) ** 2).sum(1).mean() + divergence.sum(1).mean()


def bitwise_elbo_of_ones_alone(output, x):
    mean, scores = output
    divergence = torch.sigmoid(scores) * F.logsigmoid(scores) + math.log(2)  # <- here
    return (0.5 * (x - mean) ** 2).sum(1).mean() + divergence.sum(1).mean()  # <- here


WRITING = modelled(Pen, points(6, 8), points(6, 8))
MANY = given(output=normal(20, 3 * K), y=normal(20, 1), target="y")
BOXES = given(out=normal(20, 8), kind=classes(20, 4), box=normal(20, 2), target="kind box")
CODED, CONCRETE = modelled(Coder, normal(12, 6), normal(12, 6)), modelled(Concrete, normal(12, 6), normal(12, 6))

CASES = (
    bug(handwriting_without_half, WRITING, "mean add logsumexp sub", STROKES, **WRONG),
    bug(handwriting_without_log, WRITING, "sum exp mean sub", STROKES, **WRONG),
    sound(handwriting, WRITING, STROKES),
    bug(mixture_nll_without_log, MANY, "mean neg sum mul", MIXTURE, **WRONG),
    sound(mixture_nll_by_logsumexp, MANY, MIXTURE),
    bug(mixture_nll_without_minus, MANY, "mean neg logsumexp", MIXTURE, where=(mixture_nll_by_logsumexp,), **WRONG),
    bug(two_heads_nll_without_log_sigma, BOXES, "add sum mean mul", HEADS, **WRONG),
    sound(two_heads_nll, BOXES, HEADS),
    bug(two_heads_nll_of_one_sign, BOXES, "add sum mean mul sub neg div", HEADS, **WRONG),
    bug(coded_elbo_of_wrong_sign, CODED, "mul add sub mean sum neg", CODES, where=(coded,), **WRONG),
    sound(coded_elbo, CODED, CODES),
    bug(bitwise_elbo_of_ones_alone, CONCRETE, "add sum mean mul", BITS, **WRONG),
    sound(bitwise_elbo, CONCRETE, BITS),
)
