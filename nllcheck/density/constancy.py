"""Is Z the same everywhere? With which of the loss' terms, and what constant is it?"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch

TOLERANCE = 1e-3  # of log Z: below a thousandth no fit is bent
NAMED = 2e-3  # of log Z: how near to a constant other than 1 it must be to be called by its name
FEW = 0.02  # share of settings that may stand out before Z is said to vary
HUGE = 60.0  # of log Z: no likelihood is off by so much; the formula overflows where the density ends
MOST_TERMS = 8
MOST_FIXED = 8

CONSTANTS = {
    "1": 0.0, "sqrt(2 pi)": 0.5 * math.log(2 * math.pi), "2 pi": math.log(2 * math.pi), "pi": math.log(math.pi),
    "sqrt(pi)": 0.5 * math.log(math.pi), "2": math.log(2), "1/2": -math.log(2), "sqrt(2)": 0.5 * math.log(2),
    "1/sqrt(2)": -0.5 * math.log(2), "e": 1.0, "1/e": -1.0, "1/sqrt(2 pi)": -0.5 * math.log(2 * math.pi),
    "1/(2 pi)": -math.log(2 * math.pi), "1/pi": -math.log(math.pi), "4": math.log(4), "1/4": -math.log(4),
    "sqrt(e)": 0.5, "4 pi": math.log(4 * math.pi), "(2 pi)^(3/2)": 1.5 * math.log(2 * math.pi),
}  # fmt: skip


@dataclass(frozen=True)
class Constancy:
    """How log Z behaves over the decided settings."""

    is_constant: bool
    log_z: torch.Tensor  # (P, N) with the terms that are kept
    level: float  # its median
    kept: tuple[bool, ...]  # of the free terms
    kept_fixed: tuple[bool, ...]  # of the plain numbers
    constant: str  # the constant's name, "" if it is none of the table
    outliers: int = 0


def name_of(level: float, tolerance: float) -> str:
    """The constant whose logarithm `level` is; '' if none."""
    gap, name = min((abs(level - value), name) for name, value in CONSTANTS.items())
    wide = tolerance if name == "1" else min(tolerance, NAMED)  # a blurred number is soon near some constant
    return name if gap <= max(wide, TOLERANCE) else ""


def constancy(
    log_z: torch.Tensor, error: torch.Tensor, free: torch.Tensor, fixed: tuple[torch.Tensor, ...],
    decided: torch.Tensor, has_penalties: bool = False,
) -> Constancy:  # fmt: skip
    """The best reading: Z = 1 before a known constant before any constant, with as few terms left out as possible.

    `log_z`, `error`, `decided` (P, N); `free` (P, N, J) the terms without target; `fixed` (N,) what no model changes.
    A loss is read with all of its terms first; only if that gives no Z = 1 is a term without target taken for a
    penalty (a KL term, a weight decay). `has_penalties`: some of the loss is none of a sample's in the first place.
    Plain numbers go with what is left out: of a KL's 0.5 * (... - 1) the last.
    """
    everything = as_written(log_z, error, free, fixed, decided)
    if everything.constant == "1" or free.shape[-1] > MOST_TERMS:
        return everything
    found = [everything]
    for kept in itertools.product((True, False), repeat=free.shape[-1]):
        whole = _read(log_z, error, free, fixed, decided, kept, (True,) * len(fixed))
        if whole.is_constant and (has_penalties or not all(kept)):
            found.append(whole)
            choices = itertools.product((True, False), repeat=len(fixed)) if len(fixed) <= MOST_FIXED else ()
            found += [_read(log_z, error, free, fixed, decided, kept, some) for some in choices]
    return min(found, key=_rank)


def as_written(
    log_z: torch.Tensor, error: torch.Tensor, free: torch.Tensor, fixed: tuple[torch.Tensor, ...], decided: torch.Tensor
) -> Constancy:
    """The reading with every term."""
    return _read(log_z, error, free, fixed, decided, (True,) * free.shape[-1], (True,) * len(fixed))


def _rank(reading: Constancy) -> tuple[bool, bool, bool, int, int]:
    left, left_fixed = reading.kept.count(False), reading.kept_fixed.count(False)
    return not reading.is_constant, reading.constant != "1", not reading.constant, left, left_fixed


def _read(
    log_z: torch.Tensor, error: torch.Tensor, free: torch.Tensor, fixed: tuple[torch.Tensor, ...],
    decided: torch.Tensor, kept: tuple[bool, ...],
    kept_fixed: tuple[bool, ...],
) -> Constancy:  # fmt: skip
    choice = torch.tensor(kept, dtype=free.dtype)
    total = log_z - (free * choice).sum(-1) - sum(f for f, k in zip(fixed, kept_fixed, strict=True) if k)
    usable = decided & torch.isfinite(total)
    if not bool(usable.any()):
        return Constancy(False, total, math.nan, kept, kept_fixed, "")
    level = float(total[usable].median())
    tolerance = TOLERANCE + 2 * error + 1e-9 * (log_z.abs() + free.abs().sum(-1))
    off = usable & ((total - level).abs() > tolerance)
    outliers = int(off.sum())
    is_constant = abs(level) < HUGE and outliers <= FEW * int(usable.sum()) and outliers < max(2, int(usable.sum()))
    blur = 2 * float(error[usable].median())  # one set of points serves all settings: errors do not average out
    name = name_of(level, blur) if is_constant else ""
    return Constancy(is_constant, total, level, kept, kept_fixed, name, outliers)
