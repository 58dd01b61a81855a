"""Densities and losses with a trained shape, at which some of them divide by zero, and as they read without that."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, modelled, normal, positive, sound

TRANSFORMED = "Gaussian after a Box-Cox transform with a trained exponent (Box & Cox 1964)"
ROBUST = "general robust loss (Barron 2019, eq. 1) with a trained shape"
TAILS = "Student's density with its degrees of freedom by exp"


class Net(nn.Module):
    outputs = 1

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, self.outputs))

    def forward(self, x):
        return self.net(x).squeeze(-1)


class Pair(Net):
    outputs = 2


class Power(Net):
    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Parameter(torch.tensor(0.5))


def transformed(model, batch):
    x, y = batch
    z = (y**model.shape - 1) / model.shape  # <- here
    return (0.5 * (z - model(x)) ** 2 - (model.shape - 1) * torch.log(y)).mean()


def transformed_softly(model, batch):
    x, y = batch
    shape = F.softplus(model.shape) + 0.05
    z = torch.expm1(shape * torch.log(y)) / shape
    return (0.5 * (z - model(x)) ** 2 - (shape - 1) * torch.log(y)).mean()


def robust(model, batch):
    x, y = batch
    alpha, square = model.shape, (model(x) - y) ** 2
    apart = torch.abs(alpha - 2)
    return (apart / alpha * ((square / apart + 1) ** (alpha / 2) - 1)).mean()  # <- here


def robust_within(model, batch):
    x, y = batch
    alpha, square = 0.1 + 1.8 * torch.sigmoid(model.shape), (model(x) - y) ** 2
    apart = torch.abs(alpha - 2)
    return (apart / alpha * ((square / apart + 1) ** (alpha / 2) - 1)).mean()


def tails(output, y):
    nu = torch.exp(output[:, 1])
    ways = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2)  # <- here
    near = (nu + 1) / 2 * torch.log(1 + (y - output[:, 0]) ** 2 / nu)  # <- here
    return (near - ways + 0.5 * torch.log(math.pi * nu)).mean()


def tails_held(output, y):
    nu = 1.0 + 50.0 * torch.sigmoid(output[:, 1])
    ways = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2)
    near = (nu + 1) / 2 * torch.log1p((y - output[:, 0]) ** 2 / nu)
    return (near - ways + 0.5 * torch.log(math.pi * nu)).mean()


SIZES = modelled(Power, normal(10, 4), positive(10))
SCATTER = modelled(Pair, normal(10, 4), normal(10))

CASES = (
    bug(transformed, SIZES, "div", TRANSFORMED, fill(shape=0.0)),
    sound(transformed_softly, SIZES, TRANSFORMED, fill(shape=0.0)),
    bug(robust, SIZES, "div", ROBUST, fill(shape=2.0)),
    sound(robust_within, SIZES, ROBUST, fill(shape=2.0)),
    bug(tails, SCATTER, "sub lgamma exp log add", TAILS, kind="nan inf precision", verdict="defect silent"),
    sound(tails_held, SCATTER, TAILS),
)
