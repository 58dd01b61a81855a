"""A likelihood among the terms of a loss: with a weight, or beside a penalty or a second likelihood of the same target.

`0.5 * cross_entropy(a, y)`, `cross_entropy(a, y) + 0.4 * cross_entropy(b, y)` and `nll + 0.01 * error * evidence` are
no densities of y as they stand, and nothing is wrong with them: each holds one.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from nllcheck.density.samples.sample import Samples
from nllcheck.density.samples.terms import Term
from nllcheck.density.verdict import Measured, measured_once, verdict_of

MOST = 4  # terms with the target that are set aside in turn; beyond, it is left at the loss as a whole


@dataclass(frozen=True)
class Part:
    """The loss is `weight * likelihood + beside`."""

    likelihood: Measured
    weight: float
    beside: tuple[Term, ...]  # terms that read the target and are no part of the likelihood


def likelihood_within(found: Measured) -> Part | None:
    """The first reading in which exp(-likelihood) integrates to exactly 1, or None.

    A weight is tried only if it is written in the formula: twice a likelihood may be a forgotten half. What is set
    aside must have been meant so: with a weight of its own, never below 0, or a second likelihood. Else it is half of a
    density whose other half has a mistake: -log(b) + b*y of a gamma, beside (1 - a)*log(y), is proper by itself.
    """
    for terms, weight in _ways(found.samples):
        part = _measured(found, terms, weight)
        if verdict_of(part).name == "proper":
            beside = tuple(t for t in _with_target(found.samples) if t not in terms)
            if all(_is_penalty(found, t) for t in beside) or _is_likelihood(found, beside):
                return Part(part, weight, beside)
    return None


def _is_penalty(found: Measured, term: Term) -> bool:
    if term.factor <= 0:
        return False
    return term.factor != 1 or bool((found.samples.nats_at(found.theta.tensors, (term,)) >= 0).all())


def _measured(found: Measured, terms: tuple[Term, ...], weight: float) -> Measured:
    samples = _only(found.samples, terms, weight)
    return measured_once(samples, found.theta, found.support, samples.free_terms(found.theta.tensors))


def _is_likelihood(found: Measured, terms: tuple[Term, ...]) -> bool:
    weights = dict.fromkeys((1.0, *(abs(t.factor) for t in terms)))
    return any(verdict_of(_measured(found, terms, w)).name == "proper" for w in weights if w > 0)


def _ways(samples: Samples) -> Iterator[tuple[tuple[Term, ...], float]]:
    """Terms with the target and a weight: first all of them, then one alone, then all but one."""
    terms = _with_target(samples)
    sizes = dict.fromkeys((len(terms), 1, len(terms) - 1)) if len(terms) <= MOST else {len(terms): None}
    for size in sizes:
        for chosen in itertools.combinations(terms, size):
            weights = dict.fromkeys((1.0, *(abs(t.factor) for t in chosen)))
            yield from ((chosen, w) for w in weights if chosen and w > 0 and (size < len(terms) or w != 1))


def _with_target(samples: Samples) -> tuple[Term, ...]:
    return tuple(t for t in samples.tail.terms if samples.tail.reads_target(t))


def _only(samples: Samples, terms: tuple[Term, ...], weight: float) -> Samples:
    """The samples' loss without the other terms of the target, divided by the weight."""
    kept = tuple(t for t in samples.tail.terms if t in terms or not samples.tail.reads_target(t))
    shares = {t: share / weight for t, share in samples.shares.items()}
    return replace(samples, tail=replace(samples.tail, terms=kept), shares=shares)
