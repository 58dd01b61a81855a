"""Distances, overlaps, statistics of a batch and attention by hand, ported programs: each with its repaired twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bug,
    classes,
    fill,
    given,
    modelled,
    normal,
    positive,
    put,
    same,
    sound,
    unit,
)

SIAMESE = "contrastive loss: Hadsell et al. 2006, Siamese network ports"
METRIC = "embeddings divided by their length by hand"
ANGLE = "angle between embeddings: additive angular margin ports"
HYPERBOLIC = "distance in the Poincare ball: Nickel and Kiela 2017, by hand"
BATCHNORM = "batch normalisation by hand: first convolutional network tutorials"
COLUMN = "columns divided by their standard deviation inside the model"
PROTOTYPE = "distances by the expanded square: prototypical networks, k-means layers"
RMSE = "root of the mean squared error: regression tutorials"
GAMMA = "gamma correction of an image that a network draws"
SINKHORN = "optimal transport by scaling: Cuturi 2013, by hand"
PEARSON = "correlation of two columns as a loss"
MSLE = "logarithmic error: house price competitions"


class Siamese(nn.Module):
    def __init__(self):
        super().__init__()
        self.l1, self.l2 = nn.Linear(6, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.l2(torch.relu(self.l1(x)))


class HandNorm(nn.Module):
    eps = 0.0

    def __init__(self):
        super().__init__()
        self.l1, self.l2 = nn.Linear(6, 5, bias=False), nn.Linear(5, 3)
        self.gamma, self.beta = nn.Parameter(torch.ones(5)), nn.Parameter(torch.zeros(5))

    def forward(self, x):
        z = torch.relu(self.l1(x))
        mean, var = z.mean(0), ((z - z.mean(0)) ** 2).mean(0)
        return self.l2(self.gamma * (z - mean) / torch.sqrt(var + self.eps) + self.beta)  # <- here


class HandNormFixed(HandNorm):
    eps = 1e-3


def contrastive(model, batch):
    (one, y), other = batch[0].split((6, 1), 1), batch[1]
    d = torch.sqrt(torch.sum((model(one) - model(other)) ** 2, 1))  # <- here
    y = (y[:, 0] > 0).float()
    return torch.mean(y * d**2 + (1 - y) * torch.clamp(1.0 - d, min=0.0) ** 2)


def contrastive_fixed(model, batch):
    (one, y), other = batch[0].split((6, 1), 1), batch[1]
    squared = torch.sum((model(one) - model(other)) ** 2, 1)
    y = (y[:, 0] > 0).float()
    return torch.mean(y * squared + (1 - y) * torch.clamp(1.0 - torch.sqrt(squared + 1e-6), min=0.0) ** 2)


def unit_length(emb, y):
    emb = emb / torch.sqrt(torch.sum(emb**2, dim=1, keepdim=True))  # <- here
    return torch.mean(torch.sum((emb - y) ** 2, 1))


def unit_length_fixed(emb, y):
    emb = emb * torch.rsqrt(torch.clamp(torch.sum(emb**2, dim=1, keepdim=True), min=1e-6))
    return torch.mean(torch.sum((emb - y) ** 2, 1))


def angular(emb, weight, y):
    cosine = F.normalize(emb, dim=1) @ F.normalize(weight, dim=1).T
    theta = torch.acos(cosine)  # <- here
    return F.cross_entropy(-8.0 * theta, y)


def angular_fixed(emb, weight, y):
    cosine = F.normalize(emb, dim=1) @ F.normalize(weight, dim=1).T
    return F.cross_entropy(-8.0 * torch.acos(cosine.clamp(-1 + 1e-4, 1 - 1e-4)), y)


def poincare(u, v):
    u, v = 0.9 * torch.tanh(u) / 2, 0.9 * torch.tanh(v) / 2
    gap = torch.sum((u - v) ** 2, 1)
    x = 1 + 2 * gap / ((1 - torch.sum(u**2, 1)) * (1 - torch.sum(v**2, 1)))
    return torch.mean(torch.log(x + torch.sqrt(x**2 - 1)))  # <- here


def poincare_fixed(u, v):
    u, v = 0.9 * torch.tanh(u) / 2, 0.9 * torch.tanh(v) / 2
    gap = torch.sum((u - v) ** 2, 1)
    x = 1 + 2 * gap / ((1 - torch.sum(u**2, 1)) * (1 - torch.sum(v**2, 1)))
    return torch.mean(torch.acosh(torch.clamp(x, min=1 + 1e-5)))


def hand_norm_loss(out, y):
    return F.cross_entropy(out, y)


def scaled_columns(model, batch):
    x, y = batch
    h = model(x)
    h = (h - h.mean(0)) / h.std(0)  # <- here
    return F.mse_loss(h, y)


def scaled_columns_fixed(model, batch):
    x, y = batch
    h = model(x)
    return F.mse_loss((h - h.mean(0)) / (h.std(0) + 1e-3), y)


def prototype_distances(emb, proto, y):
    squared = torch.sum(emb**2, 1, keepdim=True) + torch.sum(proto**2, 1) - 2 * emb @ proto.T
    return F.cross_entropy(-torch.sqrt(squared), y)  # <- here


def prototype_distances_fixed(emb, proto, y):
    squared = torch.sum((emb[:, None] - proto) ** 2, -1)
    return F.cross_entropy(-torch.sqrt(squared + 1e-6), y)


def root_mean_square(out, y):
    return torch.sqrt(torch.mean((out - y) ** 2))  # <- here


def root_mean_square_fixed(out, y):
    return torch.sqrt(torch.mean((out - y) ** 2) + 1e-8)


def gamma_corrected(raw, y):
    return F.l1_loss(torch.pow(raw, 1.0 / 2.2), y)  # <- here


def gamma_corrected_fixed(raw, y):
    return F.l1_loss(torch.pow(torch.sigmoid(raw) + 1e-3, 1.0 / 2.2), y)


def transport(x, y):
    cost = torch.sum((x[:, None] - y) ** 2, -1)
    kernel, v = torch.exp(-cost / 0.5), torch.ones(len(y)) / len(y)
    for _ in range(5):
        u = 1.0 / len(x) / (kernel @ v)  # <- here
        v = 1.0 / len(y) / (kernel.T @ u)  # <- here
    return torch.sum(u[:, None] * kernel * v * cost)


def transport_in_logs(x, y):
    cost = torch.sum((x[:, None] - y) ** 2, -1)
    f, g = torch.zeros(len(x)), torch.zeros(len(y))
    for _ in range(5):
        f = -torch.logsumexp(g - cost / 0.5, 1)
        g = -torch.logsumexp(f[:, None] - cost / 0.5, 0)
    return torch.sum(torch.exp(f[:, None] + g - cost / 0.5) * cost) / len(y)


def one_minus_pearson(out, y):
    a, b = out - out.mean(), y - y.mean()
    return 1 - torch.sum(a * b) / (torch.sqrt(torch.sum(a**2)) * torch.sqrt(torch.sum(b**2)))  # <- here


def one_minus_pearson_fixed(out, y):
    a, b = out - out.mean(), y - y.mean()
    return 1 - torch.sum(a * b) / torch.sqrt(torch.sum(a**2) * torch.sum(b**2) + 1e-6)


def log_error(model, batch):
    x, y = batch
    out = model(x)
    return torch.mean((torch.log(out + 1) - torch.log(y + 1)) ** 2)  # <- here


def log_error_fixed(model, batch):
    x, y = batch
    return torch.mean((torch.log1p(F.softplus(model(x))) - torch.log1p(y)) ** 2)


SIAM = modelled(Siamese, normal(8, 7), normal(8, 6))
EMB = given("y", emb=normal(6, 4), y=normal(6, 4))
FACES = given("y", emb=normal(6, 4), weight=normal(3, 4), y=classes(6, 3))
BALL = given(u=normal(6, 3), v=normal(6, 3))
COLUMNS = modelled(Siamese, normal(8, 6), normal(8, 3))
PROTO = given("y", emb=normal(6, 4), proto=normal(3, 4), y=classes(6, 3))
PAIR = given("y", out=normal(12), y=normal(12))
PICTURE = given("y", raw=positive(4, 9), y=unit(4, 9))
CLOUDS = given(x=normal(5, 2, scale=0.5), y=normal(6, 2, scale=0.5))
PRICES = modelled(Siamese, normal(8, 6, scale=0.3), unit(8, 3))
EDGE = "limit defect"


def _twins(state):
    state["inputs"][:, :6] = state["targets"]


def _collapsed(state):
    state["l1.weight"].zero_()


def _constant(state):
    state["l2.weight"].zero_()


CASES = (
    bug(contrastive, SIAM, "sqrt", SIAMESE, _twins, phase="backward", verdict=EDGE),
    sound(contrastive_fixed, SIAM, SIAMESE, _twins),
    bug(unit_length, EMB, "div", METRIC, fill(emb=0.0), verdict=EDGE),
    sound(unit_length_fixed, EMB, METRIC, fill(emb=0.0)),
    bug(angular, FACES, "acos", ANGLE, fill(emb=1.0, weight=1.0), verdict="limit defect"),
    sound(angular_fixed, FACES, ANGLE),
    bug(poincare, BALL, "sqrt", HYPERBOLIC, same("u", "v"), phase="backward", verdict=EDGE),
    sound(poincare_fixed, BALL, HYPERBOLIC, same("u", "v")),
    bug(
        hand_norm_loss,
        modelled(HandNorm, normal(8, 6), classes(8, 3)),
        "div sqrt",
        BATCHNORM,
        _collapsed,
        verdict=EDGE,
        where=(HandNorm.forward,),
    ),
    sound(hand_norm_loss, modelled(HandNormFixed, normal(8, 6), classes(8, 3)), BATCHNORM, _collapsed),
    bug(scaled_columns, COLUMNS, "div", COLUMN, _constant, verdict=EDGE),
    sound(scaled_columns_fixed, COLUMNS, COLUMN),
    bug(prototype_distances, PROTO, "sqrt", PROTOTYPE, fill(emb=0.5, proto=0.5), verdict=EDGE),
    sound(prototype_distances_fixed, PROTO, PROTOTYPE, fill(emb=0.5, proto=0.5)),
    bug(root_mean_square, PAIR, "sqrt", RMSE, same("out", "y"), phase="backward", verdict=EDGE),
    sound(root_mean_square_fixed, PAIR, RMSE, same("out", "y")),
    bug(gamma_corrected, PICTURE, "pow", GAMMA, put(raw=-1.0), verdict="limit"),
    sound(gamma_corrected_fixed, PICTURE, GAMMA, put(raw=-1.0)),
    bug(transport, CLOUDS, "div", SINKHORN, put(x=30.0)),
    sound(transport_in_logs, CLOUDS, SINKHORN, put(x=3.0)),
    bug(one_minus_pearson, PAIR, "div", PEARSON, fill(out=0.5), verdict=EDGE),
    sound(one_minus_pearson_fixed, PAIR, PEARSON),
    bug(log_error, PRICES, "log", MSLE, fill({"l2.bias": -3.0}), verdict="limit"),
    sound(log_error_fixed, PRICES, MSLE, fill({"l2.bias": -3.0})),
)
