"""Divergences of normal distributions, told from the values of a term at many mu and sigma.

KL(N(mu, sigma^2) || N(m, s^2)) = log(s / sigma) + (sigma^2 + (mu - m)^2) / (2 s^2) - 1/2 is linear in log sigma,
sigma^2, mu^2 and mu. Turned round, KL(N(m, s^2) || N(mu, sigma^2)) = log(sigma / s) + (s^2 + (mu - m)^2) / (2 sigma^2)
- 1/2 is so in log sigma and in 1, mu^2 and mu, each over sigma^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

EXACT = 1e-3  # of the term's range: what a fit may leave, an epsilon beside sigma included
PLAIN = 1e-6  # the same where the fit says that something is wrong
SAME = 1e-2
MOST_OF = 0.9  # of the elements must have the same prior for it to be told


@dataclass(frozen=True)
class Fit:
    """Coefficients, the median over elements: of -log sigma, sigma^2, mu^2, mu, sigma and 1; and (n, 6) of each."""

    entropy: float
    square: float
    mean_square: float
    mean: float
    scale: float
    constant: float
    left: float  # the largest residual, of the term's range
    each: torch.Tensor

    @property
    def prior(self) -> tuple[float, float] | None:
        """Mean and standard deviation of the prior; None where it is another from element to element."""
        return _shared(*_priors(self.each))

    def divergence(self, mean: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
        """The closed form at (S, n) mu and sigma: from the prior, or, of all elements, from those of each."""
        each = self.each if self.prior is None else self.each.median(0, keepdim=True).values
        middle, square = _priors(each)
        away = (scale**2 + (mean - middle) ** 2) / (2 * square)
        return each[:, 0] * (0.5 * torch.log(square) - torch.log(scale) + away - 0.5)


def _priors(each: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and variance of the prior of each element, from (n, 6) coefficients."""
    entropy, _, square, linear = each.T[:4]
    return -linear / (2 * square), entropy / (2 * square)


def _shared(middles: torch.Tensor, squares: torch.Tensor) -> tuple[float, float] | None:
    """Mean and standard deviation that most of the elements have."""
    middle, square = float(middles.median()), float(squares.median())
    same = ((middles - middle).abs() < SAME * abs(square) ** 0.5) & ((squares - square).abs() < 2 * SAME * abs(square))
    return (middle, abs(square) ** 0.5) if float(same.double().mean()) > MOST_OF else None


@dataclass(frozen=True)
class Turned:
    """The divergence of the prior from the posterior: its weight, and the prior as `Fit` has it."""

    weight: float
    prior: tuple[float, float] | None


def fitted(mean: torch.Tensor, scale: torch.Tensor, value: torch.Tensor) -> Fit:
    """The fit of (S, n) values at (S, n) mu and sigma."""
    columns = [-torch.log(scale), scale**2, mean**2, mean, scale, torch.ones_like(mean)]
    each, left = _solved(columns, value)
    entropy, square, mean_square, slope, linear, one = each.median(0).values.tolist()
    return Fit(entropy, square, mean_square, slope, linear, one, left, each)


def turned(mean: torch.Tensor, scale: torch.Tensor, value: torch.Tensor) -> Turned | None:
    """The fit of the divergence taken the other way round; None where it is not that."""
    precision = scale**-2
    columns = [torch.log(scale), precision, mean**2 * precision, mean * precision, torch.ones_like(mean)]
    each, left = _solved(columns, value)
    log, _, square, *_ = each.median(0).values.tolist()
    if left > PLAIN or log <= 0 or abs(square - log / 2) > SAME * log:
        return None
    middles = -each[:, 3] / each[:, 0]
    squares = 2 * each[:, 1] / each[:, 0] - middles**2
    return Turned(log, _shared(middles, squares)) if float(squares.median()) > 0 else None


@dataclass(frozen=True)
class Mistaken:
    """A divergence's terms, with another function of sigma where sigma^2 belongs: its name, both weights, the cause."""

    square: str
    weight: float
    mean_square: float
    cause: str


def mistaken(mean: torch.Tensor, scale: torch.Tensor, value: torch.Tensor) -> Mistaken | None:
    """Whether a variance is squared as if it were the standard deviation, or the logarithm that sigma is the exp of."""
    log = torch.log(scale)
    readings = (
        ("sigma^4", [scale**4, log], "what is squared there is a variance already"),
        ("(log sigma)^2", [log**2, log, torch.log(log.abs())], "the exp of log sigma is missing there"),
    )
    for square, columns, cause in readings:
        each, left = _solved([mean**2, *columns, mean, torch.ones_like(mean)], value)
        mean_square, weight, *logs = each.median(0).values.tolist()[: len(columns) + 1]
        if left < PLAIN and weight > 0 > min(logs) and abs(weight - mean_square) < SAME * weight:
            return Mistaken(square, weight, mean_square, cause)
    return None


def _solved(columns: list[torch.Tensor], value: torch.Tensor) -> tuple[torch.Tensor, float]:
    """Least squares of (S, n) values, every element of mu on its own: a prior may differ from element to element. The
    (n, C) coefficients, and the median over elements of the largest residual as a share of the term's range.

    Raises ValueError for values that are not finite, of which the library complains on standard error.
    """
    base = torch.stack(columns, -1).movedim(1, 0)
    if not bool(torch.isfinite(base).all() & torch.isfinite(value).all()):
        raise ValueError("the terms are not finite at other parameters")
    size = base.abs().amax(1, keepdim=True)
    found = torch.linalg.lstsq(base / size, value.T[..., None]).solution
    left = (value.T - (base / size @ found)[..., 0]).abs().amax(1)
    span = (value.amax(0) - value.amin(0)).clamp(min=1e-300)
    return found[..., 0] / size[:, 0], float((left / span).median())


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
    if fit.left < PLAIN and abs(fit.scale) < SAME * size and _has_a_sign_turned(fit):
        return "none"
    if _has_a_penalty(fit):
        return None
    reads = abs(fit.square) > SAME * size or abs(fit.scale) > SAME * size
    return "none" if fit.left < PLAIN and not pair and all(signs) and reads else None


def _has_a_penalty(fit: Fit) -> bool:
    """Is it a divergence from N(0, 1) and more of mu^2, as of a penalty or of another draw's mean? Twice as much is
    taken for the formula's 1/2 that was forgotten there."""
    alike = abs(fit.square - fit.entropy / 2) < SAME * abs(fit.entropy) and abs(fit.scale) < SAME * abs(fit.entropy)
    more = fit.mean_square - fit.square
    return alike and more > SAME * abs(fit.entropy) and abs(more - fit.square) > SAME * abs(fit.entropy)


def _has_a_sign_turned(fit: Fit) -> bool:
    """Are the weights those of a divergence from N(0, 1), but for their signs? The constant -1/2 of one, or a prior
    that grows outwards, tells that no other term was meant."""
    weight = abs(fit.entropy) / 2
    alike = all(abs(abs(v) - weight) < SAME * weight for v in (fit.square, fit.mean_square))
    grows = fit.entropy > 0 > max(fit.square, fit.mean_square)
    is_meant = grows or abs(abs(fit.constant) - weight) < SAME * weight
    return alike and is_meant and len({v > 0 for v in (fit.entropy, fit.square, fit.mean_square)}) == 2
