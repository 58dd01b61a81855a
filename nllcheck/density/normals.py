"""Divergences of normal distributions, told from the values of a term at many mu and sigma.

KL(N(mu, sigma^2) || N(m, s^2)) = log(s / sigma) + (sigma^2 + (mu - m)^2) / (2 s^2) - 1/2 is linear in log sigma,
sigma^2, mu^2 and mu. Turned round, KL(N(m, s^2) || N(mu, sigma^2)) = log(sigma / s) + (s^2 + (mu - m)^2) / (2 sigma^2)
- 1/2 is so in log sigma and in 1, mu^2 and mu, each over sigma^2.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

EXACT = 1e-3  # of the term's range: what a fit may leave, an epsilon beside sigma included
PLAIN = 1e-6  # the same where the fit says that something is wrong
SAME = 1e-2


@dataclass(frozen=True)
class Fit:
    """Coefficients, the median over elements: of -log sigma, sigma^2, mu^2, mu, sigma and 1."""

    entropy: float
    square: float
    mean_square: float
    mean: float
    scale: float
    constant: float
    left: float  # the largest residual, of the term's range


@dataclass(frozen=True)
class Turned:
    """The divergence of the prior from the posterior: its weight, and the prior's mean and standard deviation."""

    weight: float
    middle: float
    spread: float


def fitted(mean: torch.Tensor, scale: torch.Tensor, value: torch.Tensor) -> Fit:
    """The fit of (S, n) values at (S, n) mu and sigma."""
    columns = [-torch.log(scale), scale**2, mean**2, mean, scale, torch.ones_like(mean)]
    (entropy, square, mean_square, slope, linear, one), left = _solved(columns, value)
    return Fit(entropy, square, mean_square, slope, linear, one, left)


def turned(mean: torch.Tensor, scale: torch.Tensor, value: torch.Tensor) -> Turned | None:
    """The fit of the divergence taken the other way round; None where it is not that."""
    precision = scale**-2
    columns = [torch.log(scale), precision, mean**2 * precision, mean * precision, torch.ones_like(mean)]
    (log, one, square, linear, _), left = _solved(columns, value)
    if left > PLAIN or log <= 0 or abs(square - log / 2) > SAME * log:
        return None
    middle = -linear / log
    variance = 2 * one / log - middle**2
    return Turned(log, middle, math.sqrt(variance)) if variance > 0 else None


def _solved(columns: list[torch.Tensor], value: torch.Tensor) -> tuple[list[float], float]:
    """Least squares, every element of mu on its own: a prior may differ from element to element. The median over
    elements of the coefficients, and of the largest residual as a share of the term's range. All (S, n)."""
    base = torch.stack(columns, -1).movedim(1, 0)
    size = base.abs().amax(1, keepdim=True)
    found = torch.linalg.lstsq(base / size, value.T[..., None]).solution
    left = (value.T - (base / size @ found)[..., 0]).abs().amax(1)
    span = (value.amax(0) - value.amin(0)).clamp(min=1e-300)
    return (found[..., 0] / size[:, 0]).median(0).values.tolist(), float((left / span).median())


def name_of(fit: Fit) -> Literal["kl", "reversed", "none"] | None:
    """'kl', 'reversed' (its sign is turned), 'none', or None where it is something else altogether."""
    size = max(abs(fit.entropy), abs(fit.square), abs(fit.mean_square))
    pair = abs(fit.square - fit.mean_square) < SAME * size and abs(fit.scale) < SAME * size
    signs = [v > SAME * size for v in (fit.entropy, fit.mean_square)]
    turned = [v < -SAME * size for v in (fit.entropy, fit.mean_square)]
    if fit.left < EXACT and pair and (all(signs) or all(turned)):
        return "kl" if all(signs) else "reversed"
    if fit.left < PLAIN and pair and abs(fit.entropy) < SAME * size and abs(fit.constant + fit.square) < SAME * size:
        return "none"  # no log sigma, and yet the constant -1/2 that only a divergence has
    reads = abs(fit.square) > SAME * size or abs(fit.scale) > SAME * size
    return "none" if fit.left < PLAIN and not pair and all(signs) and reads else None
