"""Of well-known programs, cut to small sizes: what they do that small losses do not. See benchmarks/programs."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, given, modelled, normal, sound

PIXELS = "PixelCNN++ (Salimans et al. 2017, eq. 2): the channels of a pixel share a component"
NORMED = "ProdLDA (Srivastava and Sutton 2017): layers with a bias before a batch norm"
WEIGHED = "importance weighted autoencoder (Burda et al. 2016, eq. 8), images repeated for every draw"
FLOW = "a normalising flow trained on labelled data (Dinh et al. 2017, eq. 3), the labels unread"
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}


def pixel_nll(mu, raw, y):
    each = -0.5 * (y[:, None] - mu) ** 2 - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(each.sum(2) + F.log_softmax(raw, 1), 1).sum()


def pixel_nll_logged(mu, raw, y):
    each = 0.5 * (y[:, None] - mu) ** 2 + 0.5 * math.log(2 * math.pi)
    best = -torch.logsumexp(F.log_softmax(raw, 1) - each.sum(2), 1)
    return torch.log(best.sum())  # <- here


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.norm, self.out = nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 3)


def topic_fit(model, batch):
    x, y = batch
    return F.mse_loss(model.out(F.softplus(model.norm(model.layer(x)))), y)


class Weighed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Linear(6, 4), nn.Linear(2, 6)


def weighed_elbo(model, batch, draws=3):
    x, _ = batch
    mean, raw = model.first(x).tanh().chunk(2, -1)
    noise = torch.randn(draws, *mean.shape)
    z = mean + torch.exp(raw) * noise
    out = model.out(z)
    given = -F.binary_cross_entropy_with_logits(out, x.expand_as(out), reduction="none").sum(-1)
    weight = given + (0.5 * noise**2 + raw - 0.5 * z**2).sum(-1)
    return -(torch.logsumexp(weight, 0) - math.log(draws)).mean()


class Scaled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift, self.raw = nn.Parameter(0.1 * torch.randn(2)), nn.Parameter(0.1 * torch.randn(2))

    def forward(self, x):
        return (x - self.shift) * torch.exp(-self.raw), -self.raw.sum()


def flow_nll(model, batch):
    z, volume = model(batch[0])
    return (0.5 * z**2 + 0.5 * math.log(2 * math.pi)).sum(1).mean() - volume


def flow_nll_of_wrong_sign(model, batch):
    z, volume = model(batch[0])
    return (0.5 * z**2 + 0.5 * math.log(2 * math.pi)).sum(1).mean() + volume  # <- here


IMAGES = given(mu=normal(4, 2, 3, 4, 4), raw=normal(4, 2, 4, 4), y=normal(4, 3, 4, 4), target="y")
LABELLED = modelled(Scaled, normal(16, 2), bits(16))

CASES = (
    sound(pixel_nll, IMAGES, PIXELS),
    bug(pixel_nll_logged, IMAGES, "log", PIXELS, **WRONG),
    sound(topic_fit, modelled(Normed, normal(16, 6), normal(16, 3)), NORMED),
    sound(weighed_elbo, modelled(Weighed, bits(8, 6), bits(8)), WEIGHED),
    sound(flow_nll, LABELLED, FLOW),
    bug(flow_nll_of_wrong_sign, LABELLED, "sub add neg sum mean", FLOW, **WRONG),
)
