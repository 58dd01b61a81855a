"""Families of posteriors: what the divergence of each from a fixed prior is made of.

KL(q || p) = E_q[log q] - E_q[log p]. Where log p is a sum of known functions of z, so is the second part a sum of their
means under q, which have closed forms: the divergence is linear in `whole`, the first column of which is E_q[log q].
Its pieces, each with a coefficient of its own, are `pieces`: what is a sum of these and not of `whole` has a mistake.

Parameters are (S, U, ...): S settings of U posteriors each; so are the columns, (S, U) each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor, digamma, lgamma

Params: TypeAlias = tuple[Tensor, ...]
SAME = 1e-2


@dataclass(frozen=True)
class Family:
    """A row: `is_prior` (U,) and `prior` read the coefficients (U, C - 2) of `whole` beside the first and the constant,
    divided by the weight. `marks`: the places in `pieces` of those that no other loss has, at least one of each
    group: with a wrong sum of them a term is still meant as a divergence. `likely`: log q(z) of a location-scale family
    as (log f of the standardised z, -log |scale|).
    """

    shown: str  # "the Laplace posterior"
    whole: Callable[..., list[Tensor]]
    pieces: Callable[..., list[Tensor]]
    marks: Callable[[int], tuple[tuple[int, ...], ...]]
    is_prior: Callable[[Tensor], Tensor]
    prior: Callable[[Tensor], str]
    likely: Callable[..., tuple[Tensor, Tensor]] | None = None
    turned: Callable[..., list[Tensor]] | None = None  # the prior's divergence from it: log |scale|, ..., mu' P mu, 1
    is_improper: Callable[[Tensor], Tensor] = lambda found: torch.zeros(len(found), dtype=torch.bool)  # no prior at all
    constant: Callable[[Tensor], Tensor] | None = None  # (U,) the last coefficient of a divergence from that prior


def _pairs(width: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(width) for j in range(i + 1)]


def _normal_parts(mean: Tensor, root: Tensor) -> tuple[Tensor, list[Tensor], list[Tensor], list[Tensor]]:
    width = mean.shape[-1]
    spread = root @ root.mT
    own = [spread[..., i, j] for i, j in _pairs(width)]
    square = [mean[..., i] * mean[..., j] for i, j in _pairs(width)]
    return -torch.linalg.slogdet(root)[1], own, square, list(mean.unbind(-1))


def _normal(mean: Tensor, root: Tensor) -> list[Tensor]:
    """E z z' and E z of N(mu, L L'): `mean` (S, U, k), `root` (S, U, k, k)."""
    entropy, own, square, linear = _normal_parts(mean, root)
    return [entropy, *(a + b for a, b in zip(own, square, strict=True)), *linear, torch.ones_like(entropy)]


def _normal_pieces(mean: Tensor, root: Tensor) -> list[Tensor]:
    entropy, own, square, linear = _normal_parts(mean, root)
    return [entropy, *own, *square, *linear, root.diagonal(dim1=-2, dim2=-1).sum(-1), torch.ones_like(entropy)]


def _normal_marks(width: int) -> tuple[tuple[int, ...], ...]:
    pairs = _pairs(width)
    own = tuple(1 + k for k, (i, j) in enumerate(pairs) if i == j)
    trace = 1 + 2 * len(pairs) + width
    return (*((place, trace) for place in own), *((place + len(pairs),) for place in own))


def _normal_turned(mean: Tensor, root: Tensor) -> list[Tensor]:
    log, _, _, _ = _normal_parts(mean, root)
    precision = torch.linalg.inv(root @ root.mT)
    own = [precision[..., i, j] for i, j in _pairs(mean.shape[-1])]
    slope = (precision @ mean[..., None])[..., 0]
    return [-log, *own, *slope.unbind(-1), (slope * mean).sum(-1), torch.ones_like(log)]


def _precision(found: Tensor) -> Tensor:
    """(U, k, k) the prior's inverse covariance."""
    width = round((math.sqrt(9 + 8 * found.shape[-1]) - 3) / 2)
    made = torch.zeros(len(found), width, width, dtype=found.dtype)
    for k, (i, j) in enumerate(_pairs(width)):
        made[:, i, j] += found[:, k]
        made[:, j, i] += found[:, k]
    return made


def _is_normal(found: Tensor) -> Tensor:
    return torch.linalg.eigvalsh(_precision(found)).amin(-1) > 0


def _normal_prior(found: Tensor) -> str:
    precision = _precision(found).median(0).values
    width = len(precision)
    middle = torch.linalg.solve(precision, -found[:, -width:].median(0).values)
    if bool((precision - torch.eye(width, dtype=found.dtype)).abs().max() > SAME):
        return "a normal prior"
    return "N(0, I)" if bool(middle.abs().max() < SAME) else "a normal prior with covariance I"


def _normal_likely(z: Tensor, mean: Tensor, root: Tensor) -> tuple[Tensor, Tensor]:
    away = torch.linalg.solve(root, (z - mean)[..., None])[..., 0]
    return -0.5 * (away**2).sum(-1), -torch.linalg.slogdet(root)[1]


def _laplace(mean: Tensor, scale: Tensor) -> list[Tensor]:
    """E |z|, E z^2 and E z of Laplace(mu, b); of one number each, `mean` and `scale` (S, U, 1)."""
    m, b = mean[..., 0], scale[..., 0]
    return [-torch.log(b), m.abs() + b * torch.exp(-m.abs() / b), m**2 + 2 * b**2, m, torch.ones_like(m)]


def _laplace_pieces(mean: Tensor, scale: Tensor) -> list[Tensor]:
    m, b = mean[..., 0], scale[..., 0]
    return [-torch.log(b), m.abs(), b * torch.exp(-m.abs() / b), b, m**2, b**2, m, torch.ones_like(m)]


def _laplace_prior(found: Tensor) -> str:
    size, square = found[:, 0].median(), found[:, 1].median()
    if abs(float(square)) < SAME * float(size):
        return f"Laplace(0, {float(1 / size):.3g})"
    middle, spread = float(-(found[:, 2] / (2 * found[:, 1])).median()), float((0.5 / square).sqrt())
    return f"N({middle if abs(middle) > SAME else 0:.3g}, {spread:.3g}^2)" if abs(float(size)) < SAME else "a prior"


def _laplace_likely(z: Tensor, mean: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    return -((z - mean).abs() / scale).sum(-1), -torch.log(scale.abs()).sum(-1)


def _gamma(shape: Tensor, rate: Tensor) -> list[Tensor]:
    """E log z and E z of Gamma(a, b); (S, U, 1) each."""
    a, b = shape[..., 0], rate[..., 0]
    entropy = torch.log(b) - a - lgamma(a) + (a - 1) * digamma(a)
    return [entropy, torch.log(b) - digamma(a), a / b, torch.ones_like(a)]


def _gamma_pieces(shape: Tensor, rate: Tensor) -> list[Tensor]:
    a, b = shape[..., 0], rate[..., 0]
    logs = [lgamma(a), a * digamma(a), digamma(a), torch.log(b), a * torch.log(b)]
    return [*logs, a, a / b, b, 1 / b, torch.ones_like(a)]


def _gamma_prior(found: Tensor) -> str:
    return f"Gamma({1 + float(found[:, 0].median()):.3g}, {float(found[:, 1].median()):.3g})"


def _dirichlet(shares: Tensor) -> list[Tensor]:
    """E log z of Dir(alpha), `shares` (S, U, K)."""
    total = shares.sum(-1)
    means = digamma(shares) - digamma(total)[..., None]
    entropy = lgamma(total) - lgamma(shares).sum(-1) + ((shares - 1) * means).sum(-1)
    return [entropy, *(-means).unbind(-1), torch.ones_like(total)]


def _dirichlet_pieces(shares: Tensor) -> list[Tensor]:
    total = shares.sum(-1)
    sums = [lgamma(total), total * digamma(total), digamma(total)]
    each = torch.cat([lgamma(shares), shares * digamma(shares), digamma(shares), shares], -1)
    return [*sums, *each.unbind(-1), torch.ones_like(total)]


def _dirichlet_prior(found: Tensor) -> str:
    each = 1 + found.median(0).values
    if bool((found - found.mean()).abs().max() < SAME):
        return f"Dir({float(each[0]):.3g})"
    return f"Dir({', '.join(f'{float(v):.3g}' for v in each)})" if len(each) <= 4 else "a Dirichlet prior"


def _categorical(logs: Tensor) -> list[Tensor]:
    """E [z = k] of all classes but the last, of (S, U, K) logarithms of the shares."""
    shares = logs.exp()
    return [(shares * logs).sum(-1), *shares[..., :-1].unbind(-1), torch.ones_like(logs[..., 0])]


def _categorical_pieces(logs: Tensor) -> list[Tensor]:
    shares = logs.exp()
    return [*(shares * logs).unbind(-1), *shares[..., :-1].unbind(-1), *logs.unbind(-1), torch.ones_like(logs[..., 0])]


def _classes(found: Tensor) -> Tensor:
    """(U, K) logarithms of the prior's shares, from what each weighs more than the last."""
    return torch.cat([-found, torch.zeros_like(found[:, :1])], -1).log_softmax(-1)


def _categorical_prior(found: Tensor) -> str:
    shares = _classes(found).exp().median(0).values
    if bool((shares * len(shares) - 1).abs().max() < SAME):
        return f"equal shares of {len(shares)} classes"
    return f"shares {', '.join(f'{float(v):.3g}' for v in shares)}" if len(shares) <= 4 else "fixed shares"


FAMILIES = {
    "normal": Family(
        "the normal posterior", _normal, _normal_pieces, _normal_marks, _is_normal, _normal_prior, _normal_likely,
        _normal_turned
    ),
    "Laplace": Family(
        "the Laplace posterior", _laplace, _laplace_pieces, lambda _: ((1, 2, 3, 5), (1, 4)),
        lambda c: ((c[:, 0] > -SAME) & (c[:, 1] > -SAME) & (c[:, :2].amax(-1) > SAME)), _laplace_prior, _laplace_likely
    ),
    "gamma": Family(
        "the gamma distribution", _gamma, _gamma_pieces, lambda _: ((0,), (1, 2)),
        lambda c: (c[:, 0] > -1 + SAME) & (c[:, 1] > SAME), _gamma_prior,
        is_improper=lambda c: c[:, 0] <= -1 + SAME
    ),
    "Dirichlet": Family(
        "the Dirichlet distribution", _dirichlet, _dirichlet_pieces,
        lambda width: (tuple(range(3, 3 + width)), tuple(range(3 + width, 3 + 3 * width))),
        lambda c: (c > -1 + SAME).all(-1), _dirichlet_prior,
        is_improper=lambda c: (c <= -1 + SAME).any(-1)
    ),
    "categorical": Family(
        "the discrete posterior", _categorical, _categorical_pieces, lambda width: (tuple(range(width)),),
        lambda c: torch.ones(len(c), dtype=torch.bool), _categorical_prior,
        constant=lambda c: -_classes(c)[:, -1]
    ),
}  # fmt: skip
