"""Integrals over several coordinates by importance sampling with control variates.

Points come from a defensive mixture: at every peak found, and where a pilot run saw the mass, a Gaussian, a Student t
with 4 degrees of freedom and a Cauchy, by randomised Sobol points. Each component integrates to 1, which serves as a
control variate: of a density that is a sum of such components nothing is left to chance (Owen and Zhou 2000). The
error is the spread of independent randomisations; too small an effective sample size, or too heavy a tail of the
weights, decides nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from nllcheck.density.integral.chart import FAR
from nllcheck.density.integral.integrand import spread_evenly
from nllcheck.density.integral.line import Integrals
from nllcheck.density.integral.peaks import Density, Peaks, finite, log_volume
from nllcheck.density.samples.sample import WIDE

BLOCKS = 8  # independent randomisations
CERTAIN = 5.41  # Student's t with 7 degrees of freedom is within this in 99.9 % of all cases
FEWEST_EFFECTIVE = 0.01  # share of the points
LARGEST = 0.05  # share of the integral that one point may carry
HEAVIEST = 0.5  # tail index of the weights from which on their variance is infinite, and the spread no error bar
PILOTS = 2
MOST_POINTS = 8192
MOST_WORK = 2e6


@dataclass(frozen=True)
class _Run:
    """One block of Q points for M integrals."""

    places: torch.Tensor  # (Q, M, d)
    weights: torch.Tensor  # (Q, M) log of density over proposal
    shares: torch.Tensor  # (Q, M, K) component over proposal


@dataclass(frozen=True)
class _Sums:
    """What a block leaves behind, relative to exp(height): its means, and the sums of the controls' least squares."""

    height: torch.Tensor  # (M,)
    value: torch.Tensor  # (M,) mean of density over proposal
    base: torch.Tensor  # (M, K) means of the controls
    gram: torch.Tensor  # (M, K, K)
    product: torch.Tensor  # (M, K)


def drawn(at: Density, peaks: list[Peaks], low: float, high: float) -> Integrals:
    """Pilot runs, whose own moments become one more component, then the run that counts."""
    count, width = peaks[0].place.shape
    total = int(min(MOST_POINTS, max(512, MOST_WORK / (count * width))))
    parts = peaks
    for k in range(PILOTS):
        pilot = _block(at, parts, 512, low, high, 1000 + k)
        parts = [*peaks, _moments(pilot.weights, pilot.places, peaks)]
    blocks, weights, far = [], [], []
    for block in range(BLOCKS):  # one at a time: the controls of all of them take eight times the memory
        run = _block(at, parts, total // BLOCKS, low, high, block)
        blocks.append(_sums(run))
        weights.append(run.weights)
        far.append((run.places.abs() > FAR / 2).any(-1))
    log_z, error = _controlled(blocks, total // BLOCKS * BLOCKS)
    flat = torch.cat(weights)
    heavy = _tail_index(flat)
    error = error * (1 + 2 * heavy)  # of skewed weights the few that would raise the mean are missing in most blocks
    if high <= FAR:  # the chart ends there: what lies outside is less than what lies just inside
        error = error + (torch.softmax(flat, 0) * torch.cat(far)).sum(0)
    error = torch.where((heavy > HEAVIEST) | _is_poor(flat) | ~torch.isfinite(log_z), math.inf, error)
    return Integrals(log_z, error, torch.zeros(count, dtype=torch.bool))


def _is_poor(weights: torch.Tensor) -> torch.Tensor:
    """(Q, M) log weights -> (M,) does too little of the proposal meet the density?"""
    total = torch.logsumexp(weights, 0)
    share = torch.exp(2 * total - torch.logsumexp(2 * weights, 0)) / len(weights)
    largest = torch.exp(weights.amax(0) - total)
    return (share < FEWEST_EFFECTIVE) | (largest > LARGEST)


def _tail_index(weights: torch.Tensor) -> torch.Tensor:
    """(M,) how heavy the largest weights' tail is, by Hill's estimate (1975) over the topmost 3 sqrt(Q)."""
    top = weights.topk(int(min(len(weights) // 5, 3 * math.sqrt(len(weights)))), 0).values
    return (top[:-1] - top[-1:]).mean(0)


def _sums(run: _Run) -> _Sums:
    height = run.weights.amax(0)
    value = torch.exp(run.weights - torch.where(torch.isfinite(height), height, 0.0))
    base = torch.cat([torch.ones_like(run.shares[..., :1]), run.shares[..., 1:] - 1], -1)
    gram, product = torch.einsum("qmi,qmj->mij", base, base), torch.einsum("qmi,qm->mi", base, value)
    return _Sums(height, value.mean(0), base.mean(0), gram, product)


def _controlled(blocks: list[_Sums], points: int) -> tuple[torch.Tensor, torch.Tensor]:
    """(M,) log Z and its error: each block's mean, freed of what the controls explain by the other blocks' fit."""
    height, value, base, gram, product = (
        torch.stack([getattr(b, name) for b in blocks]) for name in ("height", "value", "base", "gram", "product")
    )
    top = height.amax(0)
    scale = torch.exp(height - top).nan_to_num(0.0)
    value, product = value * scale, product * scale[..., None]
    others = torch.linalg.pinv(gram.sum(0) - gram, rtol=1e-10, hermitian=True)
    fit = torch.einsum("bmij,bmj->bmi", others, product.sum(0) - product)
    means = fit[..., 0] + value - (base * fit).sum(-1)
    mean = means.mean(0)
    unseen = 1 / points  # what carries less may lie between all the points
    error = CERTAIN * means.std(0) / (mean * math.sqrt(BLOCKS)) + unseen
    return top + torch.log(mean), error.nan_to_num(math.inf)


def _moments(log_weights: torch.Tensor, x: torch.Tensor, peaks: list[Peaks]) -> Peaks:
    """The component that the weighted points themselves suggest; where they are too few, the first peak again."""
    weights = torch.softmax(log_weights, 0)
    place = torch.einsum("qm,qmi->mi", weights, x)
    away = x - place
    covariance = torch.einsum("qm,qmi,qmj->mij", weights, away, away)
    eye = torch.eye(x.shape[-1], dtype=WIDE)
    factor, bad = torch.linalg.cholesky_ex(covariance + 1e-12 * eye)
    usable = (bad == 0) & torch.isfinite(factor).all(-1).all(-1) & (1 / (weights**2).sum(0) > 4 * x.shape[-1])
    return Peaks(
        torch.where(usable[:, None], place, peaks[0].place),
        peaks[0].height,
        torch.where(usable[:, None, None], factor, peaks[0].spread),
    )


def _block(at: Density, parts: list[Peaks], points: int, low: float, high: float, seed: int) -> _Run:
    """Draw and weigh; the components share the points evenly."""
    width = parts[0].place.shape[-1]
    u = spread_evenly(width, points, seed)
    z = torch.stack([quantile(u) for quantile in _QUANTILES])
    turn = torch.arange(points)  # each component gets a stretch of the sequence: every other point would be one half
    stretch = turn * len(parts) * len(_QUANTILES) // points
    part, family = stretch // len(_QUANTILES), stretch % len(_QUANTILES)
    draws = z[family, turn].split(torch.bincount(part, minlength=len(parts)).tolist())
    x = torch.cat([p.place + torch.einsum("mij,qj->qmi", p.spread, own) for p, own in zip(parts, draws, strict=True)])
    each = torch.cat([_log_families(p, x) for p in parts])
    drawn_from = torch.bincount(stretch, minlength=len(each)).to(WIDE) / points
    proposal = torch.logsumexp(each + torch.log(drawn_from)[:, None, None], 0)
    inside = ((x >= low) & (x <= high)).all(-1)
    value = torch.where(inside, finite(at(x)), -math.inf)
    weight = torch.where(torch.isfinite(value), value - proposal, -math.inf)
    return _Run(x, weight, torch.exp(each - proposal).movedim(0, -1))


def _normal(u: torch.Tensor) -> torch.Tensor:
    return torch.special.ndtri(u)


def _student(u: torch.Tensor) -> torch.Tensor:
    """Quantiles of Student's t with 4 degrees of freedom, which have a closed form (Shaw 2006)."""
    a = (4 * u * (1 - u)).sqrt()
    return torch.sign(u - 0.5) * 2 * (torch.cos(torch.acos(a) / 3) / a - 1).clamp(min=0).sqrt()


def _cauchy(u: torch.Tensor) -> torch.Tensor:
    return torch.tan(math.pi * (u - 0.5))


_QUANTILES = (_normal, _student, _cauchy)


def _log_families(part: Peaks, x: torch.Tensor) -> torch.Tensor:
    """(3, Q, M) log densities at x of the three components around one peak, in the order of `_QUANTILES`."""
    eye = torch.eye(x.shape[-1], dtype=WIDE).expand_as(part.spread)
    inverse = torch.linalg.solve_triangular(part.spread, eye, upper=False)
    square = torch.einsum("mij,qmj->iqm", inverse, x - part.place).contiguous().square_()
    size = len(square)
    normal = -0.5 * square.sum(0) - 0.5 * math.log(2 * math.pi) * size
    # one log of a product: what overflows is so far away that the component has no share there
    student = math.log(0.375) * size - 2.5 * torch.log((1 + square / 4).prod(0))
    cauchy = -math.log(math.pi) * size - torch.log((1 + square).prod(0))
    return torch.stack([normal, student, cauchy]) - log_volume(part.spread)
