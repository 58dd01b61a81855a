"""A forgotten logarithm: minus the loss is the density itself.

-log p(y) is a likelihood; of -p(y) neither exp(-loss) nor training says so at once. It is told by measurement: minus
the loss, or minus one of its terms, is never below 0 and integrates (or sums) to 1 over the target at every setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch

from nllcheck.density.allowance import SpentError, UndecidedError
from nllcheck.density.integral.total import among, totals
from nllcheck.density.samples.sample import Samples
from nllcheck.density.samples.terms import Term
from nllcheck.density.support import Support
from nllcheck.density.verdict import ENOUGH, WIDEST, Measured

MOST = 4  # terms that are tried one by one
MOST_OF = 0.95  # of the settings decided must be 1 within their error bar
ROUNDING = 1e-3


@dataclass(frozen=True)
class Unlogged:
    """Where that was seen: the terms that are meant, whether these are all that read the target, and at how many
    settings."""

    terms: tuple[Term, ...]
    is_all: bool
    support: Support
    settings: int


def unlogged(found: Measured) -> Unlogged | None:
    """None where no reading of the loss is a bare density."""
    for samples, support, terms in _readings(found):
        if _is_never_above_zero(samples) and (settings := _settings(found, samples, support)):
            return Unlogged(terms, len(terms) == len(_with_target(found.samples)), support, settings)
    return None


def _readings(found: Measured) -> Iterator[tuple[Samples, Support, tuple[Term, ...]]]:
    """The loss as a whole, or by the columns of a mixed row; then each of a few terms alone."""
    samples, own = found.samples, _with_target(found.samples)
    for columns in found.support.columns:
        part = among(samples, columns)
        yield part, columns.support, tuple(t for t in own if t in columns.terms)
    if found.support.columns:
        return
    yield samples, found.support, own
    for term in own if 1 < len(own) <= MOST else ():
        kept = tuple(t for t in samples.tail.terms if t == term or t not in own)
        yield replace(samples, tail=replace(samples.tail, terms=kept)), found.support, (term,)


def _with_target(samples: Samples) -> tuple[Term, ...]:
    return tuple(t for t in samples.tail.terms if samples.tail.reads_target(t))


def _is_never_above_zero(samples: Samples) -> bool:
    loss = samples.losses(samples.target[None, None], tuple(b[None] for b in samples.base))
    return bool((loss <= 0).all()) and bool((loss < 0).any())


def _settings(found: Measured, samples: Samples, support: Support) -> int:
    """At how many settings it integrates to 1; 0 where it does not everywhere."""
    try:
        made = totals(replace(samples, is_bare=True), found.theta, support)
    except SpentError:
        raise
    except UndecidedError:
        return 0
    decided = (made.error < WIDEST) & ~made.diverges & torch.isfinite(made.log_z) & samples.counted
    is_one = made.log_z.abs() <= made.error + ROUNDING
    enough = float(decided.double().mean()) > ENOUGH
    return int(decided.sum()) if enough and float(is_one[decided].double().mean()) > MOST_OF else 0
