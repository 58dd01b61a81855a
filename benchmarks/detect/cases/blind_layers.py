"""Fourth set: layers and statistics written by hand as in programs of the TensorFlow 1 days, each with its repair."""

from __future__ import annotations

import math

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
    same,
    scale,
    sound,
    unit,
)
from benchmarks.detect.cases.blind_classifiers import HALF, LIMIT, LOUD, REPAIR, small
from benchmarks.detect.cases.categorical import GRIST

DEBAR = "Zhang et al., ESEC/FSE 2020 (DEBAR)"


def entropy(output, target):
    return F.cross_entropy(output, target)


class Middle(nn.Module):
    """A layer, what a subclass does with it, a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 3)

    def inner(self, h):
        raise NotImplementedError

    def forward(self, x):
        return self.last(self.inner(self.first(x)))


class Whitened(Middle):
    def inner(self, h):
        mean, var = h.mean(0), ((h - h.mean(0)) ** 2).mean(0)
        return (h - mean) / torch.sqrt(var)  # <- here


class WhitenedBounded(Middle):
    def inner(self, h):
        mean, var = h.mean(0), ((h - h.mean(0)) ** 2).mean(0)
        return (h - mean) * torch.rsqrt(var + 1e-3)


class RowNorm(Middle):
    """The eps comes after the root: its slope at a constant row is what fails."""

    def inner(self, h):
        mean = h.mean(1, keepdim=True)
        return (h - mean) / (torch.sqrt(((h - mean) ** 2).mean(1, keepdim=True)) + 1e-6)  # <- here


class RowNormBounded(Middle):
    def inner(self, h):
        mean = h.mean(1, keepdim=True)
        return (h - mean) / torch.sqrt(((h - mean) ** 2).mean(1, keepdim=True) + 1e-6)


class PowerMean(Middle):
    def inner(self, h):
        energy = (h**2).view(-1, 2, 3).mean(1).pow(0.5)  # <- here
        return torch.cat([energy, h[:, :3]], 1)


class PowerMeanBounded(Middle):
    def inner(self, h):
        energy = (h**2).view(-1, 2, 3).mean(1).clamp(min=1e-6).pow(0.5)
        return torch.cat([energy, h[:, :3]], 1)


class Centres(nn.Module):
    """Soft assignment to cluster centres by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.centres = nn.Linear(5, 4), nn.Parameter(torch.randn(3, 4))

    def distance(self, x):
        return ((self.embed(x)[:, None] - self.centres) ** 2).sum(2)

    def forward(self, x):
        d = self.distance(x)
        near = torch.exp(-d)
        return d, near / near.sum(1, keepdim=True)  # <- here


class CentresBounded(Centres):
    def forward(self, x):
        d = self.distance(x)
        return d, torch.softmax(-d, 1)


def within(d, share, target):
    return (d * share).sum(1).mean()


class Map(nn.Module):
    """A self-organising map whose neighbourhood has a learned width."""

    def __init__(self) -> None:
        super().__init__()
        self.units, self.width = nn.Parameter(torch.randn(7, 5)), nn.Parameter(torch.ones(1))

    def bell(self, gap):
        return torch.exp(-(gap**2) / (2 * self.width**2))  # <- here

    def forward(self, x):
        d = ((x[:, None] - self.units) ** 2).sum(2)
        gap = (torch.arange(7.0)[None] - d.argmin(1, keepdim=True)).abs()
        return (self.bell(gap) * d).sum(1)


class MapBounded(Map):
    def bell(self, gap):
        return torch.exp(-(gap**2) / (2 * (self.width**2 + 0.01)))


def quantisation(output, target):
    return output.mean()


class Bells(nn.Module):
    """Radial basis functions with a width each."""

    def __init__(self) -> None:
        super().__init__()
        self.centres, self.width = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.ones(6))
        self.last = nn.Linear(6, 3)

    def basis(self, x):
        d2 = ((x[:, None] - self.centres) ** 2).sum(2)
        return torch.exp(-d2 * torch.reciprocal(2 * self.width**2))  # <- here

    def forward(self, x):
        return self.last(self.basis(x))


class BellsBounded(Bells):
    def basis(self, x):
        d2 = ((x[:, None] - self.centres) ** 2).sum(2)
        return torch.exp(-d2 * F.softplus(self.width))


class Bent(Middle):
    def inner(self, h):
        return torch.where(h > 0, h, torch.exp(h) - 1)  # <- here


class BentBounded(Middle):
    def inner(self, h):
        return torch.where(h > 0, h, torch.exp(torch.minimum(h, torch.zeros_like(h))) - 1)


class Misty(Middle):
    def inner(self, h):
        return h * torch.tanh(torch.log(1.0 + torch.exp(h)))  # <- here


class MistyBounded(Middle):
    def inner(self, h):
        return h * torch.tanh(F.softplus(h))


class Signed(Middle):
    def inner(self, h):
        return torch.sign(h) * torch.sqrt(torch.abs(h))  # <- here


class SignedBounded(Middle):
    def inner(self, h):
        return torch.sign(h) * (torch.sqrt(torch.abs(h) + 1e-2) - 0.1)


class Levels(Middle):
    def inner(self, h):
        return (4 + h) ** 0.5  # <- here


class LevelsBounded(Middle):
    def inner(self, h):
        return (4 + h).clamp(min=1e-6) ** 0.5


class Loudness(nn.Module):
    """Log magnitudes of a short filter bank's pairs (real, imaginary)."""

    def __init__(self) -> None:
        super().__init__()
        self.bank, self.last = nn.Linear(5, 12, bias=False), nn.Linear(6, 3)

    def level(self, re, im):
        return torch.log(torch.sqrt(re**2 + im**2))  # <- here

    def forward(self, x):
        return self.last(self.level(*self.bank(x).chunk(2, 1)))


class LoudnessBounded(Loudness):
    def level(self, re, im):
        return 0.5 * torch.log(re**2 + im**2 + 1e-7)


class LoudnessHalf(Loudness):
    def level(self, re, im):
        return torch.log(torch.sqrt(re**2 + im**2) + 1e-7)  # <- here


class Scaled(nn.Module):
    """Logits divided by a learned temperature."""

    def __init__(self) -> None:
        super().__init__()
        self.net, self.heat = nn.Linear(5, 3), nn.Parameter(torch.ones(1))

    def forward(self, x):
        return self.net(x) * (1.0 / self.heat)  # <- here


class ScaledBounded(Scaled):
    def forward(self, x):
        return self.net(x) * torch.exp(-self.heat.clamp(-4, 4))


class Heads(nn.Module):
    """Two tasks with a learned deviation each."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(5, 1), nn.Linear(5, 1)
        self.sigma = nn.Parameter(torch.ones(2))

    def forward(self, x):
        return self.one(x), self.two(x), self.sigma


def tasks(one, two, sigma, target):
    cost = torch.stack([((one - target) ** 2).mean(), (two - target).abs().mean()])
    return (cost / (2 * sigma**2) + torch.log(sigma)).sum()  # <- here


def tasks_repaired(one, two, sigma, target):
    cost = torch.stack([((one - target) ** 2).mean(), (two - target).abs().mean()])
    s = sigma.clamp(-8, 8)
    return (0.5 * torch.exp(-s) * cost + 0.5 * s).sum()


def log_cosh(output, target):
    return torch.log(torch.cosh(output - target)).mean()  # <- here


def log_cosh_repaired(output, target):
    e = output - target
    return (e + F.softplus(-2 * e) - math.log(2.0)).mean()


def gompertz(output, target):
    a, b = output.chunk(2, 1)
    return (torch.exp(a) * (torch.exp(b * target) - 1) / b - a - b * target).mean()  # <- here


def gompertz_repaired(output, target):
    a, b = output.clamp(-8, 8).chunk(2, 1)
    small_b = b.abs() < 1e-4
    safe = torch.where(small_b, torch.ones_like(b), b)
    growth = torch.where(small_b, target + 0.5 * b * target**2, torch.expm1(safe * target) / safe)
    return (torch.exp(a) * growth - a - b * target).mean()


def twice(output, target):
    late = torch.exp(torch.exp(output))  # <- here
    return (torch.log(1 + late) - target * output).mean()  # <- here


def twice_repaired(output, target):
    return (F.softplus(torch.exp(output.clamp(max=10))) - target * output).mean()


def angle(guess, truth):
    a, b = F.normalize(guess, dim=1, eps=1e-6), F.normalize(truth, dim=1, eps=1e-6)
    return torch.acos((a * b).sum(1)).mean()  # <- here


def angle_repaired(guess, truth):
    a, b = F.normalize(guess, dim=1, eps=1e-6), F.normalize(truth, dim=1, eps=1e-6)
    return torch.acos((a * b).sum(1).clamp(-1 + 1e-6, 1 - 1e-6)).mean()


def angle_half(guess, truth):
    a, b = F.normalize(guess, dim=1, eps=1e-6), F.normalize(truth, dim=1, eps=1e-6)
    return torch.acos((a * b).sum(1).clamp(-1 + 1e-8, 1 - 1e-8)).mean()  # <- here


def haversine(guess, truth):
    lat, lon = (guess - truth).chunk(2, 1)
    a = torch.sin(lat / 2) ** 2 + torch.cos(guess[:, :1]) * torch.cos(truth[:, :1]) * torch.sin(lon / 2) ** 2
    return (2 * torch.asin(torch.sqrt(a))).mean()  # <- here


def haversine_repaired(guess, truth):
    lat, lon = (guess - truth).chunk(2, 1)
    a = torch.sin(lat / 2) ** 2 + torch.cos(guess[:, :1]) * torch.cos(truth[:, :1]) * torch.sin(lon / 2) ** 2
    a = a.clamp(1e-9, 1 - 1e-6)
    return (2 * torch.atan2(torch.sqrt(a), torch.sqrt(1 - a))).mean()


def queue(output, target):
    load = torch.sigmoid(output)
    return ((load / (1 - load) - target) ** 2).mean()  # <- here


def queue_repaired(output, target):
    load = torch.sigmoid(output).clamp(max=0.999)
    return ((load / (1 - load) - target) ** 2).mean()


def variance_of_units(output, target):
    return ((output - target) ** 2).mean() - 0.1 * torch.log(output.var(0)).mean()  # <- here


def variance_of_units_repaired(output, target):
    return ((output - target) ** 2).mean() - 0.1 * torch.log(output.var(0) + 1e-4).mean()


def pearson(output, target):
    a, b = output - output.mean(0), target - target.mean(0)
    return 1 - ((a * b).mean(0) / (a.std(0) * b.std(0))).mean()  # <- here


def pearson_repaired(output, target):
    a, b = output - output.mean(0), target - target.mean(0)
    return 1 - ((a * b).sum(0) / torch.sqrt((a**2).sum(0) * (b**2).sum(0) + 1e-6)).mean()


def determination(output, target):
    return ((output - target) ** 2).sum(0).div(((target - target.mean(0)) ** 2).sum(0)).mean()  # <- here


def determination_repaired(output, target):
    return ((output - target) ** 2).sum(0).div(((target - target.mean(0)) ** 2).sum(0) + 1e-6).mean()


def relative(output, target):
    return ((output - target).abs() / target).mean()  # <- here


def relative_repaired(output, target):
    return ((output - target).abs() / torch.clamp(target.abs(), min=1e-3)).mean()


def spread_ratio(output, target):
    ratio = output.std(0) / target.std(0)  # <- here
    return ((ratio - 1) ** 2).mean() + torch.sqrt(((output - target) ** 2).mean())  # <- here


def spread_ratio_repaired(output, target):
    ratio = torch.sqrt(output.var(0) + 1e-6) / torch.sqrt(target.var(0) + 1e-6)
    return ((ratio - 1) ** 2).mean() + torch.sqrt(((output - target) ** 2).mean() + 1e-8)


def attention(q, k, v, y):
    e = torch.exp(q @ k.transpose(1, 2))  # <- here
    return (((e / e.sum(2, keepdim=True)) @ v - y) ** 2).mean()  # <- here


def attention_repaired(q, k, v, y):
    z = q @ k.transpose(1, 2)
    e = torch.exp(z - z.amax(2, keepdim=True).detach())
    return (((e / e.sum(2, keepdim=True)) @ v - y) ** 2).mean()


def padded_mean(output, target):
    x, mask = target.unbind(2)
    per_row = ((output - x) ** 2 * mask).sum(1) / mask.sum(1)  # <- here
    return per_row.mean()


def padded_mean_repaired(output, target):
    x, mask = target.unbind(2)
    per_row = ((output - x) ** 2 * mask).sum(1) / mask.sum(1).clamp(min=1)
    return per_row.mean()


def masked(*shape: int):
    """Values and a mask of which every row has some."""

    def draw(g):
        mask = (torch.rand(shape, generator=g) > 0.3).float()
        mask[:, 0] = 1.0
        return torch.stack([torch.randn(shape, generator=g), mask], 2)

    return draw


def nothing_left(state):
    state["targets"][0, :, 1] = 0.0


X, Y = normal(32, 5), classes(32, 3)
FLAT, BIG = fill({"first.weight": 0.0, "first.bias": 0.5}), scale({"first.weight": 500.0})
SILENT = fill({"bank.weight": 0.0})
CONSTANT = scale({"2.weight": 0.0})


def both(bad, good, op, extreme, origin=DEBAR, targets=Y, loss=entropy, **more):
    """A program whose layer is at fault, and its repair."""
    return (
        bug(loss, modelled(bad, X, targets), op, origin, extreme, where=(bad,), **more),
        sound(loss, modelled(good, X, targets), origin + ": the repair", extreme),
    )


CASES = (
    *both(Whitened, WhitenedBounded, "div sqrt", FLAT, GRIST + ": batch normalisation", verdict=LIMIT),
    *both(RowNorm, RowNormBounded, "sqrt", FLAT, HALF + ": layer normalisation", verdict=LIMIT, phase="backward"),
    *both(PowerMean, PowerMeanBounded, "pow sqrt", fill({"first.weight": 0.0, "first.bias": 0.0}), verdict=LIMIT,
          phase="backward"),
    *both(Centres, CentresBounded, "div", scale({"embed.weight": 50.0}), GRIST + ": soft k-means", loss=within),
    *both(Map, MapBounded, "div", fill(width=0.0), GRIST + ": self-organising map", loss=quantisation, verdict=LIMIT),
    *both(Bells, BellsBounded, "div reciprocal", fill(width=0.0), GRIST + ": radial basis functions", verdict=LIMIT),
    *both(Bent, BentBounded, "exp where", BIG, phase="backward"),
    *both(Misty, MistyBounded, "exp log", BIG, phase="backward forward"),
    *both(Signed, SignedBounded, "sqrt", fill({"first.weight": 0.0, "first.bias": 0.0}), verdict=LIMIT,
          phase="backward"),
    *both(Levels, LevelsBounded, "pow sqrt", fill({"first.weight": 0.0, "first.bias": -6.0}), verdict=LIMIT),
    *both(Loudness, LoudnessBounded, "log sqrt", SILENT, GRIST + ": log spectrum", verdict=LIMIT),
    bug(entropy, modelled(LoudnessHalf, X, Y), "sqrt", HALF + ": log spectrum", SILENT, verdict=LIMIT,
        phase="backward", where=(LoudnessHalf,)),
    *both(Scaled, ScaledBounded, "div reciprocal", fill(heat=0.0), GRIST + ": a learned temperature", verdict=LIMIT),
    bug(tasks, modelled(Heads, X, normal(32, 1)), "div log", "Kendall et al., arXiv:1705.07115; " + GRIST,
        fill(sigma=0.0), verdict=LIMIT),
    sound(tasks_repaired, modelled(Heads, X, normal(32, 1)), REPAIR, fill(sigma=0.0)),
    bug(log_cosh, modelled(small(2, 5), X, normal(32, 2)), "cosh", GRIST + ": log cosh", LOUD),
    sound(log_cosh_repaired, modelled(small(2, 5), X, normal(32, 2)), REPAIR, scale({"2.weight": 50.0})),
    bug(gompertz, modelled(small(2, 5), X, positive(32, 1)), "div", DEBAR + ": (exp(bt) - 1) / b",
        fill({"2.weight": 0.0, "2.bias": 0.0}), verdict=LIMIT),
    sound(gompertz_repaired, modelled(small(2, 5), X, positive(32, 1)), REPAIR,
          fill({"2.weight": 0.0, "2.bias": 0.0})),
    bug(twice, modelled(small(1, 5), X, unit(32, 1)), "exp log", DEBAR + ": exp of exp",
        fill({"2.weight": 0.0, "2.bias": 5.0})),
    sound(twice_repaired, modelled(small(1, 5), X, unit(32, 1)), REPAIR, fill({"2.weight": 0.0, "2.bias": 5.0})),
    bug(angle, given("truth", guess=normal(16, 3), truth=normal(16, 3)), "acos", DEBAR + ": acos at 1",
        same("guess", "truth"), verdict=LIMIT),
    sound(angle_repaired, given("truth", guess=normal(16, 3), truth=normal(16, 3)), REPAIR),
    bug(angle_half, given("truth", guess=normal(16, 3), truth=normal(16, 3)), "acos", HALF + ": 1 - 1e-8 is 1",
        same("guess", "truth"), verdict=LIMIT),
    bug(haversine, given("truth", guess=normal(16, 2), truth=normal(16, 2)), "sqrt", DEBAR + ": haversine",
        same("guess", "truth"), verdict=LIMIT, phase="backward"),
    sound(haversine_repaired, given("truth", guess=normal(16, 2), truth=normal(16, 2)), REPAIR),
    bug(queue, modelled(small(1, 5), X, positive(32, 1)), "div", DEBAR + ": 1 / (1 - x)",
        fill({"2.weight": 0.0, "2.bias": 20.0})),
    sound(queue_repaired, modelled(small(1, 5), X, positive(32, 1)), REPAIR,
          fill({"2.weight": 0.0, "2.bias": 20.0})),
    bug(variance_of_units, modelled(small(3, 5), X, normal(32, 3)), "log", DEBAR + ": log of a variance", CONSTANT,
        verdict=LIMIT),
    sound(variance_of_units_repaired, modelled(small(3, 5), X, normal(32, 3)), REPAIR, CONSTANT),
    bug(pearson, modelled(small(2, 5), X, normal(32, 2)), "div std", DEBAR + ": a correlation", CONSTANT,
        verdict=LIMIT),
    sound(pearson_repaired, modelled(small(2, 5), X, normal(32, 2)), REPAIR),
    bug(determination, modelled(small(2, 5), X, normal(32, 2)), "div", DEBAR + ": R2 of a constant target",
        fill(targets=1.0), verdict=LIMIT),
    sound(determination_repaired, modelled(small(2, 5), X, normal(32, 2)), REPAIR),
    bug(relative, modelled(small(1, 5), X, positive(32, 1)), "div", DEBAR + ": a target of 0", fill(targets=0.0),
        verdict=LIMIT),
    sound(relative_repaired, modelled(small(1, 5), X, positive(32, 1)), REPAIR),
    bug(spread_ratio, modelled(small(2, 5), X, normal(32, 2)), "std div sqrt", DEBAR + ": a ratio of deviations",
        fill(targets=1.0), verdict=LIMIT),
    sound(spread_ratio_repaired, modelled(small(2, 5), X, normal(32, 2)), REPAIR, CONSTANT),
    bug(attention, given("y", q=normal(16, 4, 5), k=normal(16, 6, 5), v=normal(16, 6, 3), y=normal(16, 4, 3)),
        "exp div", GRIST + ": attention by hand", scale(q=60.0)),
    sound(attention_repaired, given("y", q=normal(16, 4, 5), k=normal(16, 6, 5), v=normal(16, 6, 3),
          y=normal(16, 4, 3)), REPAIR, scale(q=60.0)),
    bug(padded_mean, modelled(small(7, 5), X, masked(32, 7)), "div", GRIST + ": a mean under a mask", nothing_left,
        verdict=LIMIT),
    sound(padded_mean_repaired, modelled(small(7, 5), X, masked(32, 7)), REPAIR, nothing_left),
)  # fmt: skip
