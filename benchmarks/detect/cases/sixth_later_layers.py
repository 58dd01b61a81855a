"""Layers and statistics by hand inside a loss, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, modelled, normal, scale, sound

SPECTRAL = "spectral normalisation (Miyato et al. 2018) by one step of the power iteration"
READERS = "bag of words: the mean of the words that are no padding"
BARLOW = "cross-correlation of two views' standardised features (Zbontar et al. 2021)"
SPECTRUM = "distance of log magnitudes of two signals' spectra"
ROUTED = "squash of capsules (Sabour et al. 2017, eq. 1) and their margin loss"
GATED = "load balance of a mixture of experts: coefficient of variation of the gates' sums"


class Spectral(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 8), nn.Linear(8, 1)

    def score(self, x, floor):
        w, u = self.one.weight, torch.ones(8).to(x) / 8**0.5
        v = w.T @ u
        v = v / (v.norm() + floor)  # <- here
        sigma = u @ (w @ v)
        return self.two(torch.relu(F.linear(x, w / (sigma + floor), self.one.bias)))[:, 0]  # <- here


def spectral(model, batch):
    return F.softplus(-(2 * batch[1] - 1) * model.score(batch[0], 0.0)).mean()


def spectral_held(model, batch):
    return F.softplus(-(2 * batch[1] - 1) * model.score(batch[0], 1e-6)).mean()


class Reader(nn.Module):
    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.out = nn.Embedding(15, 6, padding_idx=0), nn.Linear(6, 3)

    def forward(self, words):
        mask = (words != 0).float()[..., None].to(self.out.weight)
        total = (self.embed(words) * mask).sum(1)
        return self.out(total / mask.sum(1).clamp(min=self.least))  # <- here


class ReaderHeld(Reader):
    least = 1.0


def read(output, target):
    return F.cross_entropy(output, target)


class Rectified(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(6, 10), nn.Linear(10, 4)

    def forward(self, x):
        return torch.relu(self.two(torch.tanh(self.one(x))))


def barlow(model, batch, floor=0.0):
    a, b = model(batch[0]), model(batch[1])
    a, b = (a - a.mean(0)) / (a.std(0) + floor), (b - b.mean(0)) / (b.std(0) + floor)  # <- here
    c = a.T @ b / len(a)
    return ((torch.diagonal(c) - 1) ** 2).sum() + 5e-3 * ((c - torch.diag(torch.diagonal(c))) ** 2).sum()


def barlow_held(model, batch):
    return barlow(model, batch, 1e-3)


class Signal(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(16, 12), nn.Linear(12, 16)

    def forward(self, x):
        return self.two(torch.tanh(self.one(x)))


def spectrum(output, signal):
    a, b = torch.fft.rfft(output).abs(), torch.fft.rfft(signal).abs()
    return (torch.log(a) - torch.log(b)).abs().mean()  # <- here


def spectrum_held(output, signal):
    a, b = torch.fft.rfft(output).abs(), torch.fft.rfft(signal).abs()
    return (torch.log(a + 1e-4) - torch.log(b + 1e-4)).abs().mean()


class Capsules(nn.Module):
    floor = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.body, self.caps = nn.Linear(6, 10), nn.Linear(10, 12)

    def forward(self, x):
        s = self.caps(torch.relu(self.body(x))).view(-1, 3, 4)
        square = (s**2).sum(-1, keepdim=True)
        v = square / (1 + square) * s / torch.sqrt(square + self.floor)  # <- here
        return torch.sqrt((v**2).sum(-1) + self.floor)  # <- here


class CapsulesHeld(Capsules):
    floor = 1e-7


def margins(length, target):
    own = F.one_hot(target, 3).to(length)
    present, absent = F.relu(0.9 - length) ** 2, F.relu(length - 0.1) ** 2
    return (own * present + 0.5 * (1 - own) * absent).sum(1).mean()


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(5, 3)
        self.experts = nn.Linear(5, 3)

    def shares(self, x):
        return torch.relu(self.gate(x))


def balanced(model, batch, floor=0.0):
    x, y = batch
    gate = model.shares(x)
    load = gate.sum(0)
    uneven = load.var() / (load.mean() ** 2 + floor)  # <- here
    return ((gate * model.experts(x)).sum(1) - y).pow(2).mean() + 0.1 * uneven


def balanced_held(model, batch):
    return balanced(model, batch, 1e-6)


def sentences(g):
    words = torch.randint(1, 15, (6, 5), generator=g)
    words[1, 3:], words[4, 2:] = 0, 0
    return words


CRITIC = modelled(Spectral, normal(8, 5), bits(8))
VIEWS = modelled(Rectified, normal(10, 6), normal(10, 6))
SOUNDS = modelled(Signal, normal(5, 16), normal(5, 16))
FORKED = modelled(Experts, normal(10, 5), normal(10))


def _padded(state):
    state["inputs"][0] = 0


def _dead(state):
    state["two.weight"][1], state["two.bias"][1] = 0.0, -1.0


CASES = (
    bug(spectral, CRITIC, "div", SPECTRAL, fill({"one.weight": 0.0}), verdict="limit defect", where=(Spectral.score,)),
    sound(spectral_held, CRITIC, SPECTRAL),
    bug(
        read,
        modelled(Reader, sentences, classes(6, 3)),
        "div",
        READERS,
        _padded,
        verdict="limit",
        where=(Reader.forward,),
    ),
    sound(read, modelled(ReaderHeld, sentences, classes(6, 3)), READERS, _padded),
    bug(barlow, VIEWS, "div std", BARLOW, _dead, verdict="limit defect"),
    sound(barlow_held, VIEWS, BARLOW, _dead),
    bug(spectrum, SOUNDS, "log abs", SPECTRUM, fill({"two.weight": 0.0, "two.bias": 0.0}), verdict="limit"),
    sound(spectrum_held, SOUNDS, SPECTRUM, fill({"two.weight": 0.0, "two.bias": 0.0})),
    bug(
        margins,
        modelled(Capsules, normal(8, 6), classes(8, 3)),
        "div sqrt",
        ROUTED,
        fill({"caps.weight": 0.0, "caps.bias": 0.0}),
        where=(Capsules.forward,),
    ),
    sound(
        margins,
        modelled(CapsulesHeld, normal(8, 6), classes(8, 3)),
        ROUTED,
        fill({"caps.weight": 0.0, "caps.bias": 0.0}),
    ),
    bug(balanced, FORKED, "div", GATED, fill({"gate.weight": 0.0, "gate.bias": -1.0}), verdict="limit"),
    sound(balanced_held, FORKED, GATED, scale({"gate.weight": 1e-2})),
)
