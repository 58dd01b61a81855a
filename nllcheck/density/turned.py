"""A forgotten minus: the loss is the log-likelihood itself.

Minimised, it makes the data ever less likely. It is told by measurement: exp(loss) integrates (or sums) to 1 over the
target at every setting, or to one known constant.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch

from nllcheck.density.allowance import SpentError, UndecidedError
from nllcheck.density.constancy import constancy
from nllcheck.density.integral.total import among, totals
from nllcheck.density.samples.sample import Samples
from nllcheck.density.samples.terms import Term
from nllcheck.density.support import Support
from nllcheck.density.verdict import ENOUGH, WIDEST, Measured


@dataclass(frozen=True)
class Turned:
    """What integrates over what, to which constant and at how many settings; `terms`: where that was not seen of the
    whole loss, those that were read."""

    support: Support
    constant: str
    settings: int
    terms: tuple[Term, ...] = ()


def turned(found: Measured) -> Turned | None:
    """None where exp of the loss, or of its terms of one part of the target, is no density of that."""
    whole = _read(found, found.samples, found.support)
    if whole is not None:
        return whole
    for columns in found.support.columns:
        part = _read(found, among(found.samples, columns), columns.support)
        if part is not None:
            own = tuple(t for t in columns.terms if found.samples.tail.reads_target(t))
            return replace(part, terms=own)
    return None


# Where y may be -y, a normaliser of the wrong sign is a likelihood of what lies opposite, and no minus is missing.
SYMMETRIC = ("sphere", "angle")


def _read(found: Measured, samples: Samples, support: Support) -> Turned | None:
    if support.name in SYMMETRIC:
        return None
    try:
        made = totals(replace(samples, is_turned=True), found.theta, support)
    except SpentError:
        raise
    except UndecidedError:
        return None
    decided = (made.error < WIDEST) & ~made.diverges & torch.isfinite(made.log_z) & samples.counted
    if float(decided.double().mean()) <= ENOUGH:
        return None
    fixed = tuple(-value for _, value in samples.fixed)
    free = -samples.free_terms(found.theta.tensors)
    reading = constancy(made.log_z, made.error.clamp(max=WIDEST), free, fixed, decided, bool(samples.penalties))
    if not (reading.is_constant and reading.constant):
        return None
    left = not all(reading.kept) or bool(samples.penalties)
    own = tuple(t for t in samples.tail.terms if samples.tail.reads_target(t))
    return Turned(support, reading.constant, int(decided.sum()), own if left else ())
