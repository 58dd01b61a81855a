"""Overlaps, pooling, images and rewards, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, given, modelled, normal, positive, sound

TVERSKY = "focal Tversky loss (Abraham & Khan 2019) with a power below one"
POOLING = "generalised mean pooling (Radenovic et al. 2018) of rectified maps"
COSH = "logarithm of the hyperbolic cosine of an error, by hand"
RETURNS = "advantages divided by their own deviation over the episode"
CONTRAST = "structure term of multi-scale similarity (Wang et al. 2003) to its power"


def tversky(output, mask, gamma=0.75):
    p = torch.sigmoid(output).flatten(1)
    y = mask.flatten(1)
    hit, extra, lost = (p * y).sum(1), (p * (1 - y)).sum(1), ((1 - p) * y).sum(1)
    index = (hit + 1) / (hit + 0.3 * extra + 0.7 * lost + 1)
    return torch.pow(1 - index, gamma).mean()  # <- here


def tversky_floored(output, mask, gamma=0.75):
    p = torch.sigmoid(output).flatten(1)
    y = mask.flatten(1)
    hit, extra, lost = (p * y).sum(1), (p * (1 - y)).sum(1), ((1 - p) * y).sum(1)
    index = (hit + 1) / (hit + 0.3 * extra + 0.7 * lost + 1)
    return torch.pow((1 - index).clamp(min=1e-6), gamma).mean()


class Pooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out, self.p = nn.Conv2d(1, 4, 3), nn.Linear(4, 3), nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        maps = torch.relu(self.conv(x))
        return self.out(maps.pow(self.p).mean((2, 3)).pow(1 / self.p))  # <- here


class PoolingHeld(Pooling):
    def forward(self, x):
        maps, p = torch.relu(self.conv(x)) + 1e-3, self.p.clamp(1.0, 6.0)
        return self.out(maps.pow(p).mean((2, 3)).pow(1 / p))


def pooled(output, target):
    return F.cross_entropy(output, target)


def log_cosh(output, y):
    return torch.log(torch.cosh(output - y)).mean()  # <- here


def log_cosh_softplus(output, y):
    gap = torch.abs(output - y)
    return (gap + torch.log1p(torch.exp(-2 * gap)) - 0.6931471805599453).mean()


def returns(output, action, reward):
    gain = (reward - reward.mean()) / reward.std()  # <- here
    return -(torch.log_softmax(output, 1).gather(1, action)[:, 0] * gain).mean()


def returns_held(output, action, reward):
    gain = (reward - reward.mean()) / (reward.std() + 1e-8)
    return -(torch.log_softmax(output, 1).gather(1, action)[:, 0] * gain).mean()


def contrast(output, image, power=0.3):
    a, b = output - output.mean(1, True), image - image.mean(1, True)
    structure = (2 * (a * b).mean(1) + 9e-4) / ((a**2).mean(1) + (b**2).mean(1) + 9e-4)
    return 1 - (structure**power).mean()  # <- here


def contrast_rectified(output, image, power=0.3):
    a, b = output - output.mean(1, True), image - image.mean(1, True)
    structure = (2 * (a * b).mean(1) + 9e-4) / ((a**2).mean(1) + (b**2).mean(1) + 9e-4)
    return 1 - (structure.clamp(min=1e-4) ** power).mean()


def like(g):
    """Images near what `given` draws for the output: their structure is alike."""
    return torch.linspace(-2, 2, 24).sin().view(4, 6) + 0.1 * torch.randn(4, 6, generator=g)


MASK = given(output=normal(4, 5, 5), mask=bits(4, 5, 5), target="mask")
PHOTOS = modelled(Pooling, normal(6, 1, 6, 6), classes(6, 3))
HELD = modelled(PoolingHeld, normal(6, 1, 6, 6), classes(6, 3))
LINE = given(output=normal(10), y=normal(10), target="y")
GAME = given(
    output=normal(8, 3),
    action=lambda g: torch.randint(3, (8, 1), generator=g),
    reward=positive(8),
    target="action reward",
)
FACES = given(output=like, image=like, target="image")


def _exact(state):
    state["output"].copy_(400 * state["mask"] - 200)


def _dark(state):
    state["conv.weight"][1], state["conv.bias"][1] = 0.0, -1.0


def _opposite(state):
    state["output"].copy_(-state["image"])


CASES = (
    bug(tversky, MASK, "pow", TVERSKY, _exact, phase="backward", verdict="defect limit"),
    sound(tversky_floored, MASK, TVERSKY, _exact),
    bug(pooled, PHOTOS, "pow", POOLING, _dark, phase="backward", where=(Pooling.forward,), verdict="defect limit"),
    sound(pooled, HELD, POOLING, _dark),
    bug(log_cosh, LINE, "cosh", COSH, fill(output=100.0)),
    sound(log_cosh_softplus, LINE, COSH, fill(output=100.0)),
    bug(returns, GAME, "div", RETURNS, fill(reward=1.0), verdict="limit"),
    sound(returns_held, GAME, RETURNS, fill(reward=1.0)),
    bug(contrast, FACES, "pow", CONTRAST, _opposite, verdict="limit"),
    sound(contrast_rectified, FACES, CONTRAST, _opposite),
)
