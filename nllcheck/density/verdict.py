"""Z(theta) -> the answer: a likelihood, one up to a constant or a factor of the target, none, or undecided."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from nllcheck.density.constancy import FEW, Constancy, as_written, constancy
from nllcheck.density.factors import Factor, factors_for
from nllcheck.density.integral.line import Integrals
from nllcheck.density.integral.total import totals
from nllcheck.density.penalty import falls_on, without
from nllcheck.density.samples.sample import Samples
from nllcheck.density.samples.terms import Term
from nllcheck.density.support import Support
from nllcheck.density.theta import Theta
from nllcheck.types import Density, DensityName

WIDEST = 0.06  # an error bar on log Z above this decides nothing
ENOUGH = 0.5  # share of settings that must be decided, of the batch itself and of all


@dataclass(frozen=True)
class Measured:
    """Everything that was measured on the way to a verdict."""

    samples: Samples
    theta: Theta
    support: Support
    integrals: Integrals
    decided: torch.Tensor  # (P, N)
    free: torch.Tensor  # (P, N, J)
    reading: Constancy
    factor: Factor | None = None
    is_endless: bool = False  # the whole loss falls without end along with `contested`
    contested: tuple[Term, ...] = ()  # without these alone Z is constant, and they fall without end as no penalty does


def measured(samples: Samples, theta: Theta, support: Support, base_measure: str | None) -> Measured:
    """Z as the loss stands; if that is not constant, with each known factor of the target in turn."""
    free = samples.free_terms(theta.tensors)
    plain = measured_once(samples, theta, support, free, None)
    if base_measure is None and (plain.reading.is_constant or _is_wide(plain) or _is_bent_little(plain)):
        return plain
    for factor in factors_for(support.names, base_measure):
        found = measured_once(samples, theta, support, free, factor)
        if base_measure is not None or (found.reading.is_constant and _share(found.decided) >= ENOUGH):
            return found
    return plain


def _is_bent_little(found: Measured) -> bool:
    """Z varies by so little that no whole factor can be missing."""
    here = found.reading.log_z[0][found.decided[0]]
    return found.support.name == "simplex" and here.numel() > 0 and float(here.abs().median()) < 1.0


def _is_wide(found: Measured) -> bool:
    """Undecided because of the error bars, and not because something diverges."""
    return _share(found.decided | found.integrals.diverges) < ENOUGH


def measured_once(
    samples: Samples, theta: Theta, support: Support, free: torch.Tensor, factor: Factor | None = None
) -> Measured:
    """Z with one factor of the target, or with none. `free` (P, N, J) are the terms without target."""
    found = totals(samples, theta, support, factor)
    decided = (found.error < WIDEST) & ~found.diverges & torch.isfinite(found.log_z) & samples.counted
    error, fixed = found.error.clamp(max=WIDEST), tuple(value for _, value in samples.fixed)

    def read(fixed: tuple[torch.Tensor, ...]) -> Constancy:
        return constancy(found.log_z, error, free, fixed, decided, has_penalties=bool(samples.penalties))

    reading = read(fixed)
    if not reading.is_constant and any(bool((f != f[0]).any()) for f in fixed):  # a term of other data alone
        fixed = tuple(f[samples.counted][0].expand_as(f) for f in fixed)
        reading = read(fixed)
    left = without(samples, reading.kept)
    made = Measured(samples, theta, support, found, decided, free, reading, factor)
    if not (reading.is_constant and left and falls_on(samples, theta, left)):
        return made
    return replace(
        made,
        reading=as_written(found.log_z, error, free, fixed, decided),
        contested=left,
        is_endless=falls_on(samples, theta, None),
    )


def _share(mask: torch.Tensor) -> float:
    return float(mask.double().mean())


def verdict_of(found: Measured) -> Density:
    """The name of the answer and its numbers; `text` is left to the words."""
    reading, decided = found.reading, found.decided & torch.isfinite(found.reading.log_z)
    base = Density(_name(found), "", found.support.name, found.support.why, found.samples.by_step)
    counted = int(found.samples.counted.sum()) * len(found.theta.axis)
    values = reading.log_z[decided]
    if values.numel() == 0:
        return replace(base, undecided=counted)
    here = reading.log_z[0][decided[0]]
    level = torch.tensor(reading.level)
    low, high = (_exp(level), _exp(level)) if reading.is_constant else (_exp(values.min()), _exp(values.max()))
    axis, pull = _steepest(found, decided)
    return replace(
        base,
        samples=int(decided.sum()),
        undecided=counted - int(decided.sum()),
        low=low,
        high=high,
        batch_low=_exp(here.min()) if here.numel() else math.nan,
        batch_high=_exp(here.max()) if here.numel() else math.nan,
        error=float(found.integrals.error[decided].median()),
        constant=reading.constant,
        factor=found.factor.name if found.factor else "",
        axis=axis if base.name == "varies" else "",
        pull=pull if base.name == "varies" else math.nan,
    )


def _exp(value: torch.Tensor) -> float:
    return float(torch.exp(value))


def _name(found: Measured) -> DensityName:
    decided, diverges = found.decided, found.integrals.diverges & found.samples.counted
    if _share(diverges[:1]) > ENOUGH or _share(diverges) > ENOUGH:
        return "diverges"
    own = decided[:, found.samples.counted]  # what a mask leaves out was never asked about
    if own.numel() == 0 or _share(own[:1]) < ENOUGH or _share(own) < ENOUGH:
        return "undecided"
    if found.contested and not found.is_endless:
        return "undecided"
    if not found.reading.is_constant:
        return "varies" if found.reading.outliers > FEW * int(decided.sum()) else "undecided"
    if found.factor is not None:
        return "target-factor"
    return "proper" if found.reading.constant == "1" else "constant"


def _steepest(found: Measured, decided: torch.Tensor) -> tuple[str, float]:
    """The axis along which log Z moves most, and d log Z per unit of it: what the score's expectation is not 0 by.

    With p = exp(-loss) / Z, E_p[d loss / d theta] = -d log Z / d theta.
    """
    theta, log_z = found.theta, found.reading.log_z
    best = (1e-3, "", math.nan)
    for k, axis in enumerate(theta.axes):
        moved = (theta.axis == k) & decided & decided[:1]
        if not bool(moved.any()):
            continue
        change, step = (log_z - log_z[:1])[moved], (theta.value - start(found, k))[moved]
        if float(change.abs().mean()) > best[0]:
            best = (float(change.abs().mean()), axis.label, float((change * step).sum() / (step * step).sum()))
    return best[1], best[2]


def start(found: Measured, k: int) -> torch.Tensor:
    """(1, N) where the axis stands on the batch."""
    axis, samples = found.theta.axes[k], found.samples
    base = samples.base[samples.moved.index(axis.node)]
    by_sample = base.numel() % samples.count == 0 and samples.count > 1
    rows = base.reshape(samples.count if by_sample else 1, -1)
    return rows[:, min((axis.channel or (0, 1))[0], rows.shape[1] - 1)].expand(samples.count)[None]
