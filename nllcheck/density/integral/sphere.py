"""Integrals over unit vectors, with respect to the area of the sphere.

The sphere is cut smoothly into two caps around the highest point found and its antipode; each lies in a stereographic
chart of its own, in which the other cap's share fades at infinity. So a density with two opposite peaks (Watson,
Bingham) is not seen from one side only. Mardia and Jupp 2000, "Directional Statistics", chapter 9.
"""

from __future__ import annotations

import math

import torch

from nllcheck.density.integral.chart import CHARTS
from nllcheck.density.integral.integrand import LogFactor, log_density, spread_evenly
from nllcheck.density.integral.line import Integrals
from nllcheck.density.integral.peaks import Density, peak
from nllcheck.density.integral.space import check_work, over_peaks
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.theta import Theta

TRIED = 512  # points among which the highest is taken for the pole
NOTHING = 25.0  # nats below the other cap's integral: no error bar of this one matters
FAR = 1e30


def on_sphere(samples: Samples, theta: Theta, factor: LogFactor | None) -> Integrals:
    """(P, N) log Z over unit vectors of three and more coordinates (of two the angle serves)."""
    points, size = len(theta.axis), samples.event[-1]
    check_work(samples, points, size - 1)
    at = log_density(samples, theta, CHARTS["real"], factor)
    seen = samples.target.repeat(points, 1)
    pole = _highest(at, torch.cat([seen[None], _scattered(size)[:, None].expand(-1, *seen.shape)]))
    caps = [_cap(at, way * pole, seen) for way in (1.0, -1.0)]
    return _together(*caps).shaped(points, samples.count)


def _scattered(size: int) -> torch.Tensor:
    """(TRIED, D) directions, evenly."""
    return torch.nn.functional.normalize(torch.special.ndtri(spread_evenly(size, TRIED, 0)), dim=-1)


def _highest(at: Density, tried: torch.Tensor) -> torch.Tensor:
    """(Q, M, D) -> (M, D)."""
    best = at(tried).nan_to_num(-math.inf, -math.inf, -math.inf).argmax(0)
    return tried.gather(0, best[None, :, None].expand(1, *tried.shape[1:]))[0]


def _cap(at: Density, pole: torch.Tensor, seen: torch.Tensor) -> Integrals:
    """The integral over one side: of the density times a weight that is 1 at the pole and 0 at its antipode."""
    frame = _frame(pole)

    def inside(x: torch.Tensor) -> torch.Tensor:
        return at(torch.einsum("mij,qmj->qmi", frame, _lifted(x))) + _log_area(x) + _log_weight(x)

    tried = torch.cat([pole[None], seen[None], torch.einsum("mij,qj->qmi", frame, _scattered(pole.shape[-1]))])
    flat = _flattened(torch.einsum("mji,qmj->qmi", frame, tried))
    best = inside(flat).nan_to_num(-math.inf, -math.inf, -math.inf).argmax(0)
    start = flat.gather(0, best[None, :, None].expand(1, *flat.shape[1:]))[0]
    return over_peaks(inside, [peak(inside, start, -FAR, FAR)], -FAR, FAR)


def _frame(pole: torch.Tensor) -> torch.Tensor:
    """(M, D) -> (M, D, D) reflections that take the last unit vector to the pole (Householder 1958)."""
    eye = torch.eye(pole.shape[-1], dtype=WIDE)
    way = eye[-1] - pole
    square = (way * way).sum(-1)[:, None, None]
    return eye - 2 * way[:, :, None] * way[:, None, :] / square.clamp(min=1e-300) * (square > 1e-24)


def _lifted(x: torch.Tensor) -> torch.Tensor:
    """(..., d) of the plane -> (..., d + 1) on the sphere; 0 is the pole."""
    square = (x * x).sum(-1, keepdim=True)
    return torch.cat([2 * x, 1 - square], -1) / (1 + square)


def _flattened(y: torch.Tensor) -> torch.Tensor:
    return y[..., :-1] / (1 + y[..., -1:]).clamp(min=1e-9)


def _log_area(x: torch.Tensor) -> torch.Tensor:
    return x.shape[-1] * (math.log(2) - torch.log1p((x * x).sum(-1)))


def _log_weight(x: torch.Tensor) -> torch.Tensor:
    """log of s^2 (3 - 2 s) with s from 1 at the pole to 0 at its antipode: the two caps' weights add up to 1."""
    s = 1 / (1 + (x * x).sum(-1))
    return 2 * torch.log(s) + torch.log(3 - 2 * s)


def _together(one: Integrals, other: Integrals) -> Integrals:
    log_z = torch.logaddexp(one.log_z, other.log_z)
    parts = [torch.exp(c.log_z - log_z) for c in (one, other)]
    errors = [torch.where(p < math.exp(-NOTHING), 0.0, p * c.error) for p, c in zip(parts, (one, other), strict=True)]
    return Integrals(log_z, sum(errors, torch.zeros_like(log_z)), torch.zeros_like(one.diverges))
