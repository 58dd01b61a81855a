"""More small programs, each as it stood and as it was repaired: a language model, evidence, pixels, a cell."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fill, modelled, normal, onehot, scale, sound, unit

PERPLEXITY = "language model of a tutorial that minimises its perplexity"
EVIDENCE = "evidential classifier (Sensoy et al. 2018), type II likelihood"
FACTORS = "denoising autoencoder of pixels, Bernoulli cross-entropy of the decoder's sigmoid"
NORMED = "recurrent cell with its own layer normalisation"
LIMIT = {"verdict": "limit"}


def perplexity(out, y):
    nll = -torch.log_softmax(out, 1).gather(1, y[:, None]).mean()
    return torch.exp(nll)  # <- here


def bits_a_word(out, y):
    nll = -torch.log_softmax(out, 1).gather(1, y[:, None]).mean()
    return nll / torch.log(torch.tensor(2.0))


def evidence_loss(out, hot):
    alpha = torch.exp(out) + 1  # <- here
    total = alpha.sum(1, keepdim=True)
    return (hot * (torch.log(total) - torch.log(alpha))).sum(1).mean()  # <- here


def evidence_loss_of_softplus(out, hot):
    alpha = F.softplus(out) + 1
    total = alpha.sum(1, keepdim=True)
    return (hot * (torch.log(total) - torch.log(alpha))).sum(1).mean()


def pixels(p, x):
    eps = 1e-8
    return -(x * torch.log(p + eps) + (1 - x) * torch.log(1 + eps - p)).sum(1).mean()  # <- here


def pixels_with_an_epsilon_that_counts(p, x):
    eps = 1e-6
    return -(x * torch.log(p + eps) + (1 - x) * torch.log(1 - p + eps)).sum(1).mean()


def decoder():
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 6), nn.Sigmoid())


class Cell(nn.Module):
    def __init__(self):
        super().__init__()
        self.x2h, self.h2h, self.out = nn.Linear(3, 6), nn.Linear(6, 6), nn.Linear(6, 2)

    def normed(self, a):
        centred = a - a.mean(-1, keepdim=True)
        return centred / torch.sqrt((centred**2).mean(-1, keepdim=True))  # <- here

    def forward(self, x):
        h = x.new_zeros(len(x), 6)
        for t in range(x.shape[1]):
            h = torch.tanh(self.normed(self.x2h(x[:, t]) + self.h2h(h)))
        return self.out(h)


class SafeCell(Cell):
    def normed(self, a):
        centred = a - a.mean(-1, keepdim=True)
        return centred * torch.rsqrt((centred**2).mean(-1, keepdim=True) + 1e-5)


def cell_loss(out, y):
    return F.cross_entropy(out, y)


def scores(count):
    return lambda: nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, count))


FIVE = modelled(scores(5), normal(14, 5), classes(14, 5))
HOT = modelled(scores(4), normal(16, 5), onehot(16, 4))
DENOISED = modelled(decoder, unit(12, 6), unit(12, 6))
CELLS = [modelled(kind, normal(8, 3, 3), classes(8, 2)) for kind in (Cell, SafeCell)]
LEVEL = {"x2h.weight": 0.0, "x2h.bias": 0.0, "h2h.weight": 0.0, "h2h.bias": 0.0}
CASES = (
    bug(perplexity, FIVE, "exp", PERPLEXITY, scale({"2.weight": 1e5}), **LIMIT),
    sound(bits_a_word, FIVE, PERPLEXITY, scale({"2.weight": 1e2})),
    bug(evidence_loss, HOT, "exp", EVIDENCE, fill({"2.bias": 90.0})),
    sound(evidence_loss_of_softplus, HOT, EVIDENCE, fill({"2.bias": 90.0})),
    bug(pixels, DENOISED, "log", FACTORS, fill({"2.bias": 40.0})),
    sound(pixels_with_an_epsilon_that_counts, DENOISED, FACTORS),
    bug(cell_loss, CELLS[0], "div sqrt", NORMED, fill(LEVEL), where=(Cell,), verdict="limit defect"),
    sound(cell_loss, CELLS[1], NORMED),
)
