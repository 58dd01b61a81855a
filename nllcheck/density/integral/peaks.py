"""Peaks of densities in several coordinates: where they are, how high, and the Gaussian that touches them there."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from nllcheck.density.integral.climb import LogDensity, climb, widths_at

Density = Callable[[torch.Tensor], torch.Tensor]  # (Q, M, d) -> (Q, M) log density
STEPS = 12
_TRIED = (1.0, 0.5, 0.2, 0.05, 2.0, 0.0)


@dataclass(frozen=True)
class Peaks:
    """One peak of each of M densities: place (M, d), log height (M,), and the Cholesky factor of its covariance."""

    place: torch.Tensor
    height: torch.Tensor
    spread: torch.Tensor  # (M, d, d), lower triangular

    def log_mass(self) -> torch.Tensor:
        """(M,) log of the integral of the touching Gaussian."""
        width = self.place.shape[-1]
        return self.height + log_volume(self.spread) + 0.5 * width * math.log(2 * math.pi)


def log_volume(spread: torch.Tensor) -> torch.Tensor:
    """(M,) log determinant of lower triangular (M, d, d)."""
    return torch.log(spread.diagonal(dim1=-2, dim2=-1).abs()).sum(-1)


def finite(value: torch.Tensor) -> torch.Tensor:
    """NaN and +inf as no density at all."""
    return torch.where(torch.isnan(value) | (value == math.inf), -math.inf, value)


def peak(log_density: Density, start: torch.Tensor, low: float, high: float) -> Peaks:
    """Climb from `start` (M, d): each coordinate once for its scale, then Newton steps, halved until they climb."""
    place, widths = _by_coordinate(log_density, start, low, high)
    for _ in range(STEPS):
        slope, curve = _derivatives(log_density, place, widths)
        step = _newton(slope, curve, widths)
        tried = torch.tensor(_TRIED, dtype=place.dtype)[:, None, None]
        x = (place + tried * step).clamp(low, high)
        value = finite(log_density(x))
        best = value.argmax(0)
        place = x.gather(0, best[None, :, None].expand(1, *place.shape))[0]
        if bool((step.abs() < 1e-3 * widths).all()):
            break
    _, curve = _derivatives(log_density, place, widths)
    return Peaks(place, finite(log_density(place[None]))[0], _spread(curve, widths))


def touching(log_density: Density, place: torch.Tensor) -> Peaks:
    """The Gaussian that touches the density at `place` (M, d) itself, which may be a peak beside far higher ones."""
    unit = torch.ones_like(place[:, 0])
    widths = torch.stack(
        [widths_at(_along(log_density, place, k), place[None, :, k], unit)[0] for k in range(place.shape[1])], -1
    )
    _, curve = _derivatives(log_density, place, widths)
    return Peaks(place, finite(log_density(place[None]))[0], _spread(curve, widths))


def _along(log_density: Density, place: torch.Tensor, k: int) -> LogDensity:
    """The density on the line through `place` on which coordinate `k` moves."""

    def along(x: torch.Tensor) -> torch.Tensor:
        full = place.expand(len(x), *place.shape).clone()
        full[..., k] = x
        return log_density(full)

    return along


def _by_coordinate(
    log_density: Density, start: torch.Tensor, low: float, high: float
) -> tuple[torch.Tensor, torch.Tensor]:
    place, widths = start.clone(), torch.ones_like(start)
    unit = torch.ones_like(start[:, 0])
    for k in range(start.shape[1]):
        (top, _), width = climb(_along(log_density, place, k), place[None, :, k], unit, low, high, rounds=3)
        place[:, k], widths[:, k] = top[0], width[0]
    return place, widths


def _derivatives(log_density: Density, place: torch.Tensor, widths: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Slope (M, d) and curvature (M, d, d) by differences, in units of `widths`."""
    d = place.shape[-1]
    eye = 0.2 * torch.eye(d, dtype=place.dtype)
    pairs = [(i, j) for i in range(d) for j in range(i)]
    moves = [torch.zeros(d, dtype=place.dtype), *eye, *-eye]
    moves += [a * eye[i] + b * eye[j] for i, j in pairs for a, b in ((1, 1), (1, -1), (-1, 1), (-1, -1))]
    value = finite(log_density(place + torch.stack(moves)[:, None] * widths))
    middle, up, down = value[0], value[1 : 1 + d], value[1 + d : 1 + 2 * d]
    curve = torch.diag_embed(((up - 2 * middle + down) / 0.04).T)
    for n, (i, j) in enumerate(pairs):
        a, b, c, e = value[1 + 2 * d + 4 * n : 5 + 2 * d + 4 * n]
        curve[:, i, j] = curve[:, j, i] = (a - b - c + e) / 0.16
    return ((up - down) / 0.4).T, curve


def _newton(slope: torch.Tensor, curve: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    spread = _spread(curve, torch.ones_like(widths))
    step = torch.einsum("mij,mkj,mk->mi", spread, spread, slope.nan_to_num(0.0, 0.0, 0.0))
    return step.clamp(-50, 50) * widths


def _spread(curve: torch.Tensor, widths: torch.Tensor) -> torch.Tensor:
    """Cholesky factor of the inverse of -curve, made positive where the density bends the other way."""
    usable = torch.isfinite(curve).all(-1).all(-1)
    eye = torch.eye(curve.shape[-1], dtype=curve.dtype)
    values, vectors = torch.linalg.eigh(torch.where(usable[:, None, None], -curve, eye))
    variance = 1 / values.abs().clamp(1e-6, 1e12)
    covariance = torch.einsum("mij,mj,mkj->mik", vectors, variance, vectors)
    covariance = widths[:, :, None] * covariance * widths[:, None, :]
    size = covariance.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    factor, bad = torch.linalg.cholesky_ex(covariance + 1e-14 * size * eye)
    return torch.where((bad == 0)[:, None, None], factor, torch.diag_embed(widths))
