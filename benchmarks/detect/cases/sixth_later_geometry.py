"""Rotations, kernels, transports and alignments, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, given, modelled, normal, scale, sound

ROTATION = "points turned by a rotation vector (Rodrigues' formula), as pose networks end"
CURVED = "exponential map of the Poincare ball at its origin (Ganea et al. 2018, lemma 2)"
STORM = "standard deviation as the mean of squares less the square of the mean"
NEAREST = "nearest class mean in a feature space by exp of minus distances (Snell et al. 2017)"
TRANSPORT = "entropic transport (Cuturi 2013, algorithm 1) between two clouds of features"
ALIGNED = "soft dynamic time warping (Cuturi & Blondel 2017, eq. 1), the soft minimum by hand"


class Body(nn.Module):
    outputs = 3

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 10), nn.Linear(10, self.outputs)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))


def turned(output, points, floor=0.0):
    angle = torch.sqrt((output**2).sum(1, keepdim=True) + floor)  # <- here
    axis = output / angle  # <- here
    start = torch.tensor([1.0, 0.0, 0.0]).to(output).expand_as(output)
    across = torch.linalg.cross(axis, start)
    along = axis * (axis * start).sum(1, keepdim=True)
    place = start * torch.cos(angle) + across * torch.sin(angle) + along * (1 - torch.cos(angle))
    return ((place - points) ** 2).sum(1).mean()


def turned_with_floor(output, points):
    return turned(output, points, 1e-8)


def curved(output, target):
    length = output.norm(dim=1, keepdim=True)
    place = torch.tanh(length) * output / length  # <- here
    return ((place - 0.3 * torch.tanh(target)) ** 2).sum(1).mean()


def curved_held(output, target):
    length = output.norm(dim=1, keepdim=True).clamp(min=1e-7)
    place = torch.tanh(length) * output / length
    return ((place - 0.3 * torch.tanh(target)) ** 2).sum(1).mean()


def storm(model, batch):
    h = model(batch[0])
    deviation = torch.sqrt((h**2).mean(0) - h.mean(0) ** 2)  # <- here
    return (h**2).mean() + ((deviation - 1) ** 2).mean()


def storm_centred(model, batch):
    h = model(batch[0])
    deviation = torch.sqrt(((h - h.mean(0)) ** 2).mean(0) + 1e-8)
    return (h**2).mean() + ((deviation - 1) ** 2).mean()


def nearest(output, label):
    own = F.one_hot(label, 3).to(output)
    means = own.T @ output / own.sum(0)[:, None].clamp(min=1)
    weight = torch.exp(-((output[:, None] - means) ** 2).sum(2))
    return -torch.log((weight * own).sum(1) / weight.sum(1)).mean()  # <- here


def nearest_logs(output, label):
    own = F.one_hot(label, 3).to(output)
    means = own.T @ output / own.sum(0)[:, None].clamp(min=1)
    return F.cross_entropy(-((output[:, None] - means) ** 2).sum(2), label)


def transport(a, b, eps=0.5):
    cost = ((a[:, None] - b) ** 2).sum(2)
    kernel, u = torch.exp(-cost / eps), torch.ones(len(a)).to(a)
    for _ in range(4):
        v = 1 / len(b) / (kernel.T @ u)  # <- here
        u = 1 / len(a) / (kernel @ v)  # <- here
    return (u[:, None] * kernel * v * cost).sum()


def transport_logs(a, b, eps=0.5):
    cost = ((a[:, None] - b) ** 2).sum(2)
    f, g = torch.zeros(len(a)).to(a), torch.zeros(len(b)).to(a)
    for _ in range(4):
        g = -eps * torch.logsumexp((f[:, None] - cost) / eps, 0)
        f = -eps * torch.logsumexp((g - cost) / eps, 1)
    return (torch.softmax(((f[:, None] + g - cost) / eps).flatten(), 0) * cost.flatten()).sum()


def by_hand(a, b, c, gamma):
    return -gamma * torch.log(torch.exp(-a / gamma) + torch.exp(-b / gamma) + torch.exp(-c / gamma))  # <- here


def by_library(a, b, c, gamma):
    return -gamma * torch.logsumexp(torch.stack([a, b, c]) / -gamma, 0)


def warped(series, other, soft=by_hand, gamma=0.5):
    cost = (series[:, None] - other) ** 2
    n = len(series)
    row = torch.cumsum(cost[0], 0)
    for i in range(1, n):
        now = [row[0] + cost[i, 0]]
        for j in range(1, n):
            now.append(cost[i, j] + soft(row[j], row[j - 1], now[-1], gamma))
        row = torch.stack(now)
    return row[-1] / n


def warped_softly(series, other):
    return warped(series, other, by_library)


POSE = modelled(Body, normal(8, 5), normal(8, 3))
CROWD = modelled(Body, normal(12, 5), lambda g: torch.arange(12) % 3)
CLOUDS = given(a=normal(5, 2), b=normal(5, 2), target="b")
SERIES = given(series=normal(3), other=normal(3), target="other")
NONE = fill({"two.weight": 0.0, "two.bias": 0.0})

CASES = (
    bug(turned, POSE, "div sqrt", ROTATION, NONE),
    sound(turned_with_floor, POSE, ROTATION, NONE),
    bug(curved, POSE, "div", CURVED, NONE),
    sound(curved_held, POSE, CURVED, NONE),
    bug(storm, POSE, "sqrt", STORM, fill({"two.weight": 0.0, "two.bias": 0.3})),
    sound(storm_centred, POSE, STORM, fill({"two.weight": 0.0, "two.bias": 0.3})),
    bug(nearest, CROWD, "div log", NEAREST, scale({"two.weight": 300.0})),
    sound(nearest_logs, CROWD, NEAREST, scale({"two.weight": 10.0})),
    bug(transport, CLOUDS, "div", TRANSPORT, scale(a=30.0)),
    sound(transport_logs, CLOUDS, TRANSPORT, scale(a=30.0)),
    bug(warped, SERIES, "log", ALIGNED, scale(series=30.0), where=(by_hand,)),
    sound(warped_softly, SERIES, ALIGNED, scale(series=30.0)),
)
