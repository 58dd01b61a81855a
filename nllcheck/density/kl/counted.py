"""How often each log-determinant of a chain counts in terms that should be log q(z): linear fits, row by row.

All is taken at S = 3 G settings in three groups: parameters and draws, the same parameters with other draws, the same
draws with other parameters. U rows are told one by one, and most must agree.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nllcheck.density.kl.laws import FELT, MOVED, Fit, agree, fitted, mostly
from nllcheck.density.kl.normals import EXACT, PLAIN, SAME

ALIKE = 1e-9  # of a column's range
APART = 1e-4  # of the largest: the smallest singular value of columns that can be told apart
NEAR = 1e-4  # of the range: what a fit of all steps may leave, an epsilon inside a logarithm included
MOST_PENALTIES = 5


@dataclass(frozen=True)
class Columns:
    """What log q is made of: `base` (S, U), the density of the noise and all that is made of it alone, and (S, U) each
    of `steps`, by their place in the chain: minus the log-determinants that parameters have a part in."""

    base: list[Tensor]
    steps: dict[int, Tensor]


def columns_of(log_n: Tensor, log_dets: Tensor) -> Columns:
    """From (S, U) log n(eps) and (S, U, J) what each step adds to the log-determinant."""
    varying = {k: -c for k, c in enumerate(log_dets.unbind(-1)) if _varies(c)}
    alone = [k for k, c in varying.items() if _is_same(c, 0, 2)]
    base = [c for c in (log_n, *(varying[k] for k in alone)) if _varies(c)]
    return Columns(base, {k: c for k, c in varying.items() if k not in alone})


def _groups(value: Tensor) -> tuple[Tensor, ...]:
    return value.nan_to_num(0.0, 0.0, 0.0).chunk(3)


def _varies(value: Tensor) -> bool:
    known = value.nan_to_num(0.0, 0.0, 0.0)
    return bool((known - known[:1]).abs().max() > ALIKE * (1 + float(known.abs().max())))


def _is_same(value: Tensor, one: int, other: int) -> bool:
    """Has it the same values in two of the three groups?"""
    groups = _groups(value)
    return bool((groups[one] - groups[other]).abs().max() <= ALIKE * (1 + float(value.nan_to_num().abs().max())))


def weight_of(columns: Columns, value: Tensor) -> float | None:
    """The weight with which (S, U) `value` is log q, below 0 if its sign is turned; None if it is not log q."""
    if not columns.steps:
        return None
    total = torch.stack(list(columns.steps.values())).sum(0)
    fit = fitted([total, *columns.base, torch.ones_like(total)], value)
    weight = fit.found[:, 0]
    felt = fit.weighs[:, 0] > 10 * PLAIN
    if mostly(felt & (fit.left < EXACT) & (weight > 0)) and agree(weight):
        return float(weight.median())
    return None if columns.base and not _is_turned(columns, total, value) else _reversed(fit, felt)


def _reversed(fit: Fit, felt: Tensor) -> float | None:
    weight = fit.found[:, 0]
    return float(weight.median()) if mostly(felt & (fit.left < PLAIN) & (weight < 0)) and agree(weight) else None


def _is_turned(columns: Columns, total: Tensor, value: Tensor) -> bool:
    """Has the density of the noise the same weight as the steps?"""
    base = torch.stack(columns.base).sum(0)
    found = fitted([total, base, torch.ones_like(total)], value).found
    return mostly((found[:, 0] - found[:, 1]).abs() < SAME * found[:, 0].abs())


def times_of(columns: Columns, value: Tensor) -> tuple[float, dict[int, float]] | None:
    """The weight of log q, and how often each step counts in it, where at least one counts as it should.

    None where `value` is more than these, or where the steps cannot be told apart.
    """
    base = [torch.stack(columns.base).sum(0)] if columns.base else []
    made = [*base, *columns.steps.values(), torch.ones_like(value)]
    if not columns.steps or not _is_apart(made[:-1]):
        return None
    fit = fitted(made, value)
    found = fit.found[:, : len(made) - 1]
    if not mostly(fit.left < NEAR) or not all(_is_one(c) for c in found.T):
        return None
    middle = found.median(0).values.tolist()
    weight = _weight(middle, bool(base))
    return None if weight is None else (weight, dict(zip(columns.steps, (c / weight for c in middle[len(base) :]),
                                                         strict=True)))  # fmt: skip


def only_of(column: Tensor, terms: dict[int, Tensor]) -> int | None:
    """Which of the terms (S, U) is a multiple of the column, up to a constant; None if none is."""
    made = [column, torch.ones_like(column)]
    return next((k for k, value in terms.items() if mostly(fitted(made, value).left < PLAIN)), None)


def _weight(found: list[float], has_base: bool) -> float | None:
    """What most of the numbers are, the first among equals; without a density of the noise at least two must agree."""
    likely = [(sum(abs(c - other) < SAME * c for other in found), c) for c in found if c > SAME]
    count, weight = max(likely, key=lambda one: one[0], default=(0, 0.0))
    return weight if count >= 2 or (count and has_base and found[0] == weight) else None


def _is_one(found: Tensor) -> bool:
    """Do most of the rows have the same number?"""
    middle = found.median()
    return mostly((found - middle).abs() < SAME * max(1e-3, float(middle.abs())))


def _is_apart(columns: Sequence[Tensor]) -> bool:
    """Can the columns be told apart in most rows?"""
    each = torch.stack(list(columns), -1).nan_to_num(0.0, 0.0, 0.0).movedim(1, 0)
    each = each - each.mean(1, keepdim=True)
    sizes = torch.linalg.svdvals(each / each.norm(dim=1, keepdim=True).clamp(min=1e-300))
    return mostly(sizes[:, -1] > APART * sizes[:, 0])


def off_by(columns: Columns, value: Tensor, terms: Sequence[Tensor]) -> tuple[float, float] | None:
    """The weight, and by how many nats `value` is off by a function of the parameters alone; None where it is not.

    A term of the parameters alone may be a penalty that stands beside: where log q is right without some of the `terms`
    (S, U) nothing is off.
    """
    if not columns.steps:
        return None
    total = torch.stack(list(columns.steps.values())).sum(0)
    made = [total, *columns.base]
    fit = fitted([a - b for a, b, _ in map(_groups, made)], _groups(value)[0] - _groups(value)[1])
    weight = fit.found[:, 0]
    if not mostly((fit.left < PLAIN) & (weight > 0) & (fit.weighs[:, 0] > FELT)) or not agree(weight):
        return None
    left = value - sum(c * w for c, w in zip(made, fit.found.T, strict=True))
    alone = [t for t in terms if _is_same(t, 0, 1)]
    if len(alone) > MOST_PENALTIES:
        return None
    some = itertools.chain.from_iterable(itertools.combinations(alone, n) for n in range(len(alone) + 1))
    off = min(range_of(left - sum(chosen, torch.zeros_like(left))) for chosen in some)
    middle = float(weight.median())
    return (middle, off / middle) if off > MOVED * middle else None


def range_of(value: Tensor) -> float:
    """By how much (S, U) values move over the settings, the median over rows."""
    known = torch.isfinite(value)
    low = torch.where(known, value, torch.inf).amin(0)
    return float((torch.where(known, value, -torch.inf).amax(0) - low).median())
