"""The later round, sound ones: the same fields with the guards that careful code has."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    classes,
    counts,
    fill,
    given,
    modelled,
    normal,
    positive,
    put,
    scale,
    sound,
    unit,
)

GUARDED = "published code of the field, with its guards"


class HandSoftplus(nn.Module):
    def __init__(self):
        super().__init__()
        self.mu, self.rho = nn.Parameter(0.1 * torch.randn(2, 4)), nn.Parameter(torch.full((2, 4), -3.0))
        self.register_buffer("noise", torch.randn(2, 4))

    def sigma(self):
        return 1e-6 + F.softplus(self.rho)

    def forward(self, x):
        return x @ (self.mu + self.sigma() * self.noise).T


def bayes_closed_form(model, batch):
    x, y = batch
    sigma = model.sigma()
    kl = torch.sum(0.5 * (sigma**2 + model.mu**2 - 1) - torch.log(sigma))
    return F.mse_loss(model(x), y) + 0.01 * kl


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))

    def forward(self, x):
        return self.net(x)


def barlow(model, batch):
    a, b = (F.batch_norm(model(t), None, None, training=True) for t in batch)
    c = a.T @ b / len(a)
    return torch.sum((torch.diagonal(c) - 1) ** 2) + 0.005 * (torch.sum(c**2) - torch.sum(torch.diagonal(c) ** 2))


def soft_minimum(x, y):
    cost = (x[:, None] - y) ** 2
    above = [torch.full((), 0.0)] + [torch.full((), 1e3)] * 4
    for row in cost:
        line = [torch.full((), 1e3)]
        for j in range(4):
            line.append(row[j] - 0.1 * torch.logsumexp(-torch.stack([above[j], above[j + 1], line[j]]) / 0.1, 0))
        above = line
    return above[-1]


def weighted_counts(scores, count):
    weight = torch.clamp(count / 10.0, max=1.0) ** 0.75
    return torch.sum(weight * (scores - torch.log1p(count)) ** 2)


def depth_with_floor(raw, depth):
    d = raw - torch.log(depth)
    return torch.sqrt(torch.var(d, unbiased=False) + 0.15 * torch.mean(d) ** 2 + 1e-6)


def correlation_of_patches(moved, fixed):
    i, j = (t.reshape(-1, 1, 8, 8) for t in (moved, fixed))
    box = moved.new_ones(1, 1, 3, 3) / 9
    mi, mj = F.conv2d(i, box), F.conv2d(j, box)
    vi, vj = (F.conv2d(t**2, box) - m**2 for t, m in ((i, mi), (j, mj)))
    cross = F.conv2d(i * j, box) - mi * mj
    return 1 - torch.mean(cross**2 / (torch.relu(vi) * torch.relu(vj) + 1e-3))


def chordal(raw, y):
    a, b = F.normalize(raw, dim=1), F.normalize(y, dim=1)
    return torch.mean(1 - torch.sum(a * b, 1) ** 2)


def log_spectrum(wave, y):
    parts = torch.view_as_real(torch.fft.rfft(wave))
    power = parts[..., 0] ** 2 + parts[..., 1] ** 2
    return F.l1_loss(0.5 * torch.log(power + 1e-5), y)


def some_instance(logits, y):
    none = torch.sum(F.logsigmoid(-logits), dim=1)
    some = torch.log(-torch.expm1(none.clamp(max=-1e-4)))
    return -torch.mean(y * some + (1 - y) * none)


class Proxies(nn.Module):
    def __init__(self):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))

    def forward(self, emb, y):
        squared = torch.sum((F.normalize(emb, dim=1)[:, None] - F.normalize(self.proxies, dim=1)) ** 2, -1)
        return F.cross_entropy(-squared, y)


def sticks_in_logs(raw, y):
    before = torch.cumsum(F.logsigmoid(-raw), dim=1) - F.logsigmoid(-raw)
    return -torch.mean((F.logsigmoid(raw) + before).gather(1, y[:, None]))


def thinned_rate(raw, event):
    rate = F.softplus(raw) + 1e-5
    return -torch.mean(event * torch.log(rate) - rate)


def floor_of_guesses(ability, difficulty, y):
    p = (0.2 + 0.8 * torch.sigmoid(1.7 * (ability - difficulty))).clamp(1e-5, 1 - 1e-5)
    return F.binary_cross_entropy(p, y)


def multi_kernel(x, y):
    squared = torch.cdist(torch.cat([x, y]), torch.cat([x, y])) ** 2
    k = sum(torch.exp(-squared / (2.0 * width)) for width in (0.5, 1.0, 2.0)) / 3
    n = len(x)
    return torch.mean(k[:n, :n]) + torch.mean(k[n:, n:]) - 2 * torch.mean(k[:n, n:])


def price_with_floor(raw, spot, y):
    sigma = 0.05 + F.softplus(raw)
    d1 = torch.log(spot.clamp(min=1e-3)) / sigma + 0.5 * sigma
    cdf = torch.special.ndtr
    return F.mse_loss(spot * cdf(d1) - cdf(d1 - sigma), y)


def matthews_floored(logits, y):
    p = torch.sigmoid(logits)
    tp, tn = torch.sum(p * y), torch.sum((1 - p) * (1 - y))
    fp, fn = torch.sum(p * (1 - y)), torch.sum((1 - p) * y)
    bottom = torch.sqrt((tp + fp + 1) * (tp + fn + 1) * (tn + fp + 1) * (tn + fn + 1))
    return 1 - (tp * tn - fp * fn) / bottom


def angle_by_atan2(raw, angle):
    return torch.mean(1 - torch.cos(math.pi * torch.tanh(raw) - angle))


CASES = (
    sound(bayes_closed_form, modelled(HandSoftplus, normal(6, 4), normal(6, 2)), GUARDED, fill(rho=-120.0)),
    sound(barlow, modelled(Encoder, normal(8, 5), normal(8, 5)), GUARDED),
    sound(soft_minimum, given("y", x=normal(3), y=normal(4)), GUARDED, put(x=10.0)),
    sound(weighted_counts, given("count", scores=normal(6, 6), count=counts(6, 6)), GUARDED),
    sound(depth_with_floor, given("depth", raw=normal(12), depth=positive(12)), GUARDED, fill(raw=0.0, depth=1.0)),
    sound(correlation_of_patches, given("fixed", moved=normal(2, 64), fixed=normal(2, 64)), GUARDED, fill(moved=0.0)),
    sound(chordal, given("y", raw=normal(5, 4), y=normal(5, 4)), GUARDED, scale(raw=1e3)),
    sound(log_spectrum, given("y", wave=normal(3, 16), y=normal(3, 9)), GUARDED, fill(wave=0.0)),
    sound(some_instance, given("y", logits=normal(4, 6), y=bits(4)), GUARDED, scale(logits=30.0)),
    sound(Proxies(), given("y", emb=normal(6, 3), y=classes(6, 4)), GUARDED, put(emb=20.0)),
    sound(sticks_in_logs, given("y", raw=normal(6, 5), y=classes(6, 5)), GUARDED, fill(raw=80.0)),
    sound(thinned_rate, given("event", raw=normal(10), event=counts(10)), GUARDED, fill(raw=-80.0)),
    sound(floor_of_guesses, given("y", ability=normal(10), difficulty=normal(10), y=bits(10)), GUARDED),
    sound(multi_kernel, given(x=normal(5, 2), y=normal(5, 2)), GUARDED),
    sound(price_with_floor, given("y", raw=normal(8), spot=positive(8), y=unit(8)), GUARDED, put(raw=-80.0)),
    sound(matthews_floored, given("y", logits=normal(4, 6), y=bits(4, 6)), GUARDED, fill(y=0.0)),
    sound(angle_by_atan2, given("angle", raw=normal(8), angle=normal(8)), GUARDED, put(raw=50.0)),
)
