"""What terms are to a divergence, told from their values at many parameters of a posterior.

Two laws, each a linear fit by posterior (`families` has the columns): the terms are a weight times KL(q || p), which is
linear in E_q[log q] and in the means that log p is made of; or, with the sample z held fixed, they are log q(z) -
log p(z), linear in log q, and what is left reads z alone. What is made of the same pieces and follows neither was
meant as a divergence and is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nllcheck.density.kl.families import SAME, Family, Params
from nllcheck.density.kl.normals import EXACT, PLAIN

MOST_UNITS = 64  # posteriors of a batch that are fitted
MOST_OF = 0.9  # share of the posteriors that must agree
FELT = 1e-3  # of the terms' range
MOVED = 0.1  # nats by which E log q must change between the settings, for the terms to be said not to follow it


@dataclass(frozen=True)
class Answer:
    """`weight`: what the divergence is multiplied with; `prior` in words; `wrong`: what is wrong with it; `is_shifted`:
    a constant is left out or added."""

    name: Literal["kl", "reversed", "turned", "none"]
    weight: float = 1.0
    prior: str = ""
    wrong: str = ""
    is_shifted: bool = False


@dataclass(frozen=True)
class Fit:
    """Least squares by posterior: `found` (U, C) and `left` (U,), the largest residual as a share of the range;
    `weighs` (U, C): what each column moves, as a share of the range."""

    found: Tensor
    left: Tensor
    weighs: Tensor
    moves: Tensor


def by_closed_form(family: Family, params: Params, value: Tensor) -> Answer | None:
    """By the closed forms of `family`: `value` (S, U) at (S, U, ...) parameters. None where nothing can be said."""
    whole = fitted(family.whole(*params), value)
    weight = whole.found[:, 0]
    rest = whole.found[:, 1:-1] / weight[:, None]
    sound, felt = family.is_prior(rest.nan_to_num(0.0)), whole.weighs[:, 0] > PLAIN
    shifted = _shifted(family, rest, whole.found[:, -1] / weight)
    if mostly((whole.left < EXACT) & (weight > 0) & felt & sound):
        return Answer("kl", float(weight.median()), family.prior(rest), is_shifted=not mostly(~shifted))
    if mostly((whole.left < PLAIN) & (weight < 0) & felt & sound & ~shifted):
        return Answer("reversed", float(-weight.median()), family.prior(rest))
    if family.turned is not None and _is_turned(fitted(family.turned(*params), value)):
        return Answer("turned")
    if mostly((whole.left < PLAIN) & (weight > 0) & felt & family.is_improper(rest)):
        return Answer("none", wrong="what it is measured from is no distribution: a parameter of it is not above 0")
    if mostly((whole.left < PLAIN) & ~felt & (whole.moves > MOVED) & _has_entropy_left(family, whole)):
        return Answer("none", wrong="the logarithm of the scale is missing, and with it what keeps the posterior wide")
    pieces = fitted(family.pieces(*params), value)
    marked = torch.stack([(pieces.weighs[:, list(group)] > FELT).any(-1) for group in family.marks(_width(params))])
    logs = pieces.found[:, 0] > 0 if family.likely is not None else torch.ones_like(sound)
    if mostly((pieces.left < PLAIN) & (whole.left > FELT) & (whole.moves > MOVED) & marked.all(0) & logs):
        return Answer("none", wrong="it is made of the same pieces, with other coefficients than a divergence has")
    return None


def _shifted(family: Family, rest: Tensor, constant: Tensor) -> Tensor:
    """(U,) is there another constant than a divergence has? An entropy that a loss pays for is no reversed one."""
    if family.constant is None:
        return torch.zeros(len(rest), dtype=torch.bool)
    return (constant - family.constant(rest)).abs() > SAME


def _has_entropy_left(family: Family, fit: Fit) -> Tensor:
    """(U,) is the constant that of a normal divergence, -1/2 for each 1/2 of a square? Only one was meant has it."""
    width = fit.found.shape[1] - 2
    if family.turned is None:  # not the normal family
        return torch.zeros(len(fit.found), dtype=torch.bool)
    size = round(((9 + 8 * width) ** 0.5 - 3) / 2)
    own = [i * (i + 1) // 2 + i for i in range(size)]
    squares = fit.found[:, [1 + k for k in own]].sum(-1)
    return (squares > 0) & ((fit.found[:, -1] + squares).abs() < SAME * squares)


def _is_turned(fit: Fit) -> bool:
    log, square = fit.found[:, 0], fit.found[:, -2]
    return mostly(
        (fit.left < PLAIN) & (log > 0) & (fit.weighs[:, 0] > 10 * PLAIN) & ((2 * square - log).abs() < SAME * log)
    )


def by_ratio(near: Fit, far: Fit) -> Answer | None:
    weight, share = near.found[:, 0], near.found[:, 1]
    left, rise = torch.maximum(near.left, far.left), far.found[:, 2] - near.found[:, 2]
    felt = (near.weighs[:, 0] > 10 * left) & ((far.found[:, 0] - weight).abs() < SAME * weight.abs())
    if mostly((left < EXACT) & felt & (rise / weight > FELT)) and agree(weight):  # -log p rises outwards
        middle = float(weight.median())
        return Answer("kl" if middle > 0 else "reversed", abs(middle))
    lacks = (
        (left < PLAIN)
        & (near.moves > MOVED)
        & (near.weighs[:, 0] < 10 * PLAIN)
        & (near.weighs[:, 1] > FELT)
        & (share > 0)
    )
    if mostly(lacks & (rise > FELT)):
        return Answer(
            "none", wrong="log q(z) lacks the logarithm of the scale, and with it what keeps the posterior wide"
        )
    return None


def fitted(columns: list[Tensor], value: Tensor) -> Fit:
    """The fit of (S, U) values at (S, U) columns, every posterior on its own, without settings that have no value."""
    base, value = torch.stack(columns, -1).movedim(1, 0)[:MOST_UNITS], value.T[:MOST_UNITS]
    known = torch.isfinite(base).all(-1) & torch.isfinite(value)
    base = torch.where(known[..., None], base, 0.0)
    value = torch.where(known, value, 0.0)
    size = base.abs().amax(1).clamp(min=1e-300)
    found = torch.linalg.lstsq(base / size[:, None], value[..., None], driver="gelsd").solution[..., 0]
    left = (value - (base / size[:, None] * found[:, None]).sum(-1)).abs().amax(-1)
    span, moves = _range(value, known), _range(base[..., 0], known)
    enough = known.sum(-1) >= 2 * len(columns)
    left = torch.where(enough & (span > FELT), left / span, torch.inf)
    return Fit(found / size, left, (found.abs() / span[:, None]).nan_to_num(0.0), moves)


def _range(value: Tensor, known: Tensor) -> Tensor:
    """(U, S) -> (U,) over the settings that are known."""
    return torch.where(known, value, -torch.inf).amax(-1) - torch.where(known, value, torch.inf).amin(-1)


def mostly(mask: Tensor) -> bool:
    return bool(mask.double().mean() >= MOST_OF)


def agree(weight: Tensor) -> bool:
    """A term that each sample weighs in its own way is a score or an advantage, no divergence."""
    middle = weight.median()
    return mostly((weight - middle).abs() < SAME * middle.abs())


def _width(params: Params) -> int:
    return params[0].shape[-1]
