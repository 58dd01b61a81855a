"""The later round, other fields: alignment, depth, images, rotations, spectra, options, point processes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, counts, fill, given, modelled, normal, positive, put, scale, unit

SOFT_DTW = "soft minimum of three: Cuturi and Blondel 2017, naive"
MMD = "kernel two-sample loss with the median as bandwidth: Gretton et al. 2012"
DEPTH = "scale-invariant error in log depth: Eigen et al. 2014, its root"
PATCHES = "local cross-correlation: VoxelMorph ports, without epsilon"
ROTATION = "geodesic distance of rotations by the trace: pose estimation ports"
OPTION = "price of an option by a network with Black-Scholes inside"
MATTHEWS = "Matthews correlation as a loss: segmentation kernels"
SPECTRUM = "distance of magnitude spectra: vocoder tutorials"
SCALING = "images scaled to their own range inside the loss"
HAWKES = "Hawkes process with rates of a linear layer"
IRT = "item response with a guessing floor: Birnbaum 1968, by hand"


def soft_alignment(x, y):
    cost = (x[:, None] - y) ** 2
    above = [torch.full((), 0.0)] + [torch.full((), 1e3)] * 4
    for row in cost:
        line = [torch.full((), 1e3)]
        for j in range(4):
            three = torch.stack([above[j], above[j + 1], line[j]])
            line.append(row[j] - 0.1 * torch.log(torch.sum(torch.exp(-three / 0.1))))  # <- here
        above = line
    return above[-1]


def median_kernel(x, y):
    every = torch.cat([x, y])
    squared = torch.sum((every[:, None] - every) ** 2, -1)
    k = torch.exp(-squared / squared.detach().median())  # <- here
    n = len(x)
    return torch.mean(k[:n, :n]) + torch.mean(k[n:, n:]) - 2 * torch.mean(k[:n, n:])


def depth_error(raw, depth):
    d = torch.log(torch.exp(raw.clamp(-10, 10))) - torch.log(depth)
    return torch.sqrt(torch.mean(d**2) - 0.85 * torch.mean(d) ** 2)  # <- here


def local_correlation(moved, fixed):
    i, j = (t.reshape(-1, 1, 8, 8) for t in (moved, fixed))
    box = moved.new_ones(1, 1, 3, 3) / 9
    mi, mj = F.conv2d(i, box), F.conv2d(j, box)
    vi, vj = F.conv2d(i**2, box) - mi**2, F.conv2d(j**2, box) - mj**2
    return 1 - torch.mean((F.conv2d(i * j, box) - mi * mj) ** 2 / (vi * vj))  # <- here


def geodesic(raw, y):
    def rotation(r):
        a, b = F.normalize(r[:, :3], dim=1), r[:, 3:]
        b = F.normalize(b - torch.sum(a * b, 1, keepdim=True) * a, dim=1)
        return torch.stack([a, b, torch.linalg.cross(a, b)], 1)

    trace = torch.sum(rotation(raw) * rotation(y), (1, 2))
    return torch.mean(torch.acos((trace - 1) / 2))  # <- here


class Volatility(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 1))

    def forward(self, x):
        sigma = torch.relu(self.net(x)[:, 0] + 1.0)
        root = sigma * torch.sqrt(x[:, 1])
        d1 = torch.log(x[:, 0]) / root + 0.5 * root  # <- here
        normal_cdf = torch.distributions.Normal(0.0, 1.0).cdf
        return x[:, 0] * normal_cdf(d1) - normal_cdf(d1 - root)


def priced(out, y):
    return F.mse_loss(out, y)


def matthews(logits, y):
    p = torch.sigmoid(logits)
    tp, tn = torch.sum(p * y), torch.sum((1 - p) * (1 - y))
    fp, fn = torch.sum(p * (1 - y)), torch.sum((1 - p) * y)
    bottom = torch.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn))  # <- here
    return 1 - (tp * tn - fp * fn) / bottom  # <- here


def magnitude(wave, y):
    parts = torch.view_as_real(torch.fft.rfft(wave))
    size = torch.sqrt(parts[..., 0] ** 2 + parts[..., 1] ** 2)  # <- here
    return F.l1_loss(size, y)


def own_range(image, y):
    low, high = image.amin(1, keepdim=True), image.amax(1, keepdim=True)
    return F.mse_loss((image - low) / (high - low), y)  # <- here


class Intensity(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        nn.init.constant_(self.out.bias, 3.0)

    def forward(self, x):
        return self.out(x)[:, 0]


def hawkes(rate, event):
    return -torch.mean(event * torch.log(rate) - rate)  # <- here


def guessing(ability, difficulty, y):
    p = 0.2 + 0.8 * torch.sigmoid(1.7 * (ability - difficulty))
    return -torch.mean(y * torch.log(p) + (1 - y) * torch.log(1 - p))  # <- here


EDGE = "limit defect"
WAVE = given("y", wave=normal(3, 16), y=positive(3, 9))
LABELS = given("y", logits=normal(4, 6), y=bits(4, 6))


def _same_points(state):
    state["x"].fill_(0.3)
    state["y"].fill_(0.3)


def _expired(state):
    state["inputs"][0] = torch.tensor([1.0, 0.0])


def _identical(state):
    state["raw"][0] = state["y"][0] = torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0])


CASES = (
    bug(soft_alignment, given("y", x=normal(3), y=normal(4)), "log", SOFT_DTW, put(x=10.0)),
    bug(median_kernel, given(x=normal(5, 2), y=normal(5, 2)), "div", MMD, _same_points, verdict=EDGE),
    bug(
        depth_error,
        given("depth", raw=normal(12), depth=positive(12)),
        "sqrt",
        DEPTH,
        fill(raw=0.0, depth=1.0),
        verdict=EDGE,
    ),
    bug(
        local_correlation,
        given("fixed", moved=normal(2, 64), fixed=normal(2, 64)),
        "div",
        PATCHES,
        fill(moved=0.0),
        verdict=EDGE,
    ),
    bug(
        geodesic,
        given("y", raw=normal(5, 6), y=normal(5, 6)),
        "acos",
        ROTATION,
        _identical,
        verdict=EDGE,
    ),
    bug(
        priced,
        modelled(Volatility, unit(8, 2), unit(8)),
        "div",
        OPTION,
        _expired,
        verdict=EDGE,
        where=(Volatility.forward,),
    ),
    bug(matthews, LABELS, "div sqrt", MATTHEWS, fill(y=0.0), verdict=EDGE),
    bug(magnitude, WAVE, "sqrt", SPECTRUM, fill(wave=0.0), phase="backward", verdict=EDGE),
    bug(own_range, given("y", image=normal(3, 8), y=unit(3, 8)), "div", SCALING, fill(image=0.5), verdict=EDGE),
    bug(
        hawkes,
        modelled(Intensity, normal(10, 3), counts(10)),
        "log",
        HAWKES,
        scale({"out.bias": -3.0}),
        verdict="limit",
    ),
    bug(guessing, given("y", ability=normal(10), difficulty=normal(10), y=bits(10)), "log", IRT, scale(ability=60.0)),
)
