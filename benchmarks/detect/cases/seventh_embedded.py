"""Skills, tables, cones and boxes: programs of these fields with a defect, and repaired."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, given, modelled, normal, scale, sound

TIED = "paired comparisons with ties (Davidson 1970), skills as logarithms"
SKILL = "TrueSkill's update (Herbrich et al. 2007, eq. 8), v = pdf / cdf; github.com/sublee/trueskill"
EXCITED = "soft Q-learning of a tabular policy: softmax of values over a temperature that is trained"
CONES = "hyperbolic entailment cones (Ganea et al. 2018, eq. 26-28); github.com/dalab/hyperbolic_cones"
OVERLAPS = "Gumbel boxes (Dasgupta et al. 2020, eq. 11): volumes by a softplus; github.com/iesl/box-embeddings"


def tied(skill, nu, result):
    a, b = torch.exp(skill[:, 0]), torch.exp(skill[:, 1])  # <- here
    draw = torch.exp(nu) * torch.sqrt(a * b)
    p = torch.stack([a, draw, b], 1) / (a + b + draw)[:, None]  # <- here
    return -torch.log(p.gather(1, result[:, None])).mean()  # <- here


def tied_logs(skill, nu, result):
    score = torch.stack([skill[:, 0], nu + skill.mean(1), skill[:, 1]], 1)
    return F.cross_entropy(score, result)


def updated(gap, spread, truth, softly=False):
    t = gap / (F.softplus(spread) + 0.5)
    if softly:
        t = t.clamp(min=-20.0)
        v = torch.exp(-0.5 * t**2 - 0.9189385 - torch.special.log_ndtr(t))
    else:
        v = torch.exp(-0.5 * t**2) / 2.5066283 / torch.special.ndtr(t)  # <- here
    return ((gap + v - truth) ** 2).mean()


def updated_logs(gap, spread, truth):
    return updated(gap, spread, truth, True)


class Table(nn.Module):
    """Values of three actions and a temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.tau = nn.Embedding(5, 3), nn.Parameter(torch.tensor(0.7))

    def cool(self):
        return self.tau

    def forward(self, state):
        return torch.log_softmax(self.q(state) / self.cool(), 1)  # <- here


class TableAbove(Table):
    def cool(self):
        return F.softplus(self.tau) + 0.05


def imitate(log_pi, action):
    return F.nll_loss(log_pi, action)


class Cones(nn.Module):
    """Points of the ball, most of them well within it."""

    inside = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Embedding(7, 3)
        nn.init.uniform_(self.points.weight, 0.15, 0.45)

    def forward(self, pair, k=0.1):
        x, y = self.points(pair).unbind(1)
        nx, ny, xy = (x**2).sum(1), (y**2).sum(1), (x * y).sum(1)
        top = xy * (1 + nx) - nx * (1 + ny)
        bottom = torch.sqrt(nx * ((x - y) ** 2).sum(1) * (1 + nx * ny - 2 * xy) + self.inside)
        angle = torch.acos((1 - self.inside) * top / bottom)  # <- here
        aperture = torch.asin((k * (1 - nx) / torch.sqrt(nx + self.inside)).clamp(-0.999, 0.999))
        return torch.relu(angle - aperture)


class ConesHeld(Cones):
    inside = 1e-3


def entailed(energy, is_true, margin=0.3):
    return (is_true * energy + (1 - is_true) * torch.relu(margin - energy)).mean()


class Boxes(nn.Module):
    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.low, self.side = nn.Embedding(6, 3), nn.Embedding(6, 3)

    def log_volume(self, side):
        return torch.log(F.softplus(side - 0.58) + self.least).sum(1)  # <- here

    def forward(self, pair):
        low, side = self.low(pair), F.softplus(self.side(pair))
        inner = torch.logsumexp(-(low + side), 1).neg() - torch.logsumexp(low, 1)
        return (self.log_volume(inner) - self.log_volume(side[:, 1])).clamp(max=-1e-4)


class BoxesFloored(Boxes):
    least = 1e-10


def contained(log_p, is_true):
    return -(is_true * log_p + (1 - is_true) * torch.log(-torch.expm1(log_p))).mean()


PAIRS = lambda count: lambda g: torch.stack([torch.randperm(count, generator=g)[:2] for _ in range(8)])  # noqa: E731
GAMES = given(skill=normal(8, 2), nu=normal(), result=classes(8, 3), target="result")
MATCHES = given(gap=normal(8), spread=normal(8), truth=normal(8), target="truth")


def _in_line(state):
    state["points.weight"][:] = torch.linspace(0.1, 0.4, 7)[:, None]


def _late(state):
    state["low.weight"][:3] = 100.0


CASES = (
    bug(tied, GAMES, "exp div log sqrt", TIED, scale(skill=100.0)),
    sound(tied_logs, GAMES, TIED, scale(skill=100.0)),
    bug(updated, MATCHES, "div", SKILL, fill(gap=-30.0)),
    sound(updated_logs, MATCHES, SKILL, fill(gap=-10.0)),
    bug(imitate, modelled(Table, classes(8, 5), classes(8, 3)), "div", EXCITED, fill(tau=0.0), verdict="limit",
        where=(Table.forward,)),
    sound(imitate, modelled(TableAbove, classes(8, 5), classes(8, 3)), EXCITED, fill(tau=-50.0)),
    bug(entailed, modelled(Cones, PAIRS(7), bits(8)), "acos", CONES, _in_line, where=(Cones.forward,),
        verdict="defect limit"),
    sound(entailed, modelled(ConesHeld, PAIRS(7), bits(8)), CONES),
    bug(contained, modelled(Boxes, PAIRS(6), bits(8)), "log", OVERLAPS, _late, where=(Boxes.log_volume,)),
    sound(contained, modelled(BoxesFloored, PAIRS(6), bits(8)), OVERLAPS),
)  # fmt: skip
