"""Rows that hold several things at once, as a pen's position and whether it touches the paper (Graves 2013, eq. 26).

Where the loss takes a row apart and no term of it reads two of the parts together, exp(-loss) is a product, and so is
its integral: each part has a support of its own.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch

from nllcheck.axes.pieces import taken
from nllcheck.capture import LossGraph
from nllcheck.density.allowance import SpentError, UndecidedError
from nllcheck.density.constancy import constancy
from nllcheck.density.integral.total import among
from nllcheck.density.row_values import is_bits
from nllcheck.density.samples.sample import Samples
from nllcheck.density.samples.terms import Term
from nllcheck.density.support import ROWS, Columns, Support, support_of
from nllcheck.density.theta import Theta
from nllcheck.density.together import is_of_several
from nllcheck.density.verdict import WIDEST, Measured, measured, verdict_of
from nllcheck.types import Node

LIKELIHOODS = ("proper", "constant", "target-factor")
BITS = Support("binary", "the targets are 0 and 1")
_NUMBERS = ("real", "positive", "unit", "count")  # of which one may be taken for another
_Part = tuple[tuple[int, ...], Node]


def mixed(graph: LossGraph, samples: Samples) -> Support | None:
    """The supports of a row's columns, where these are several things; None where the row is one: columns of numbers
    that have one support, too, are integrated over together, unless they were several targets."""
    parts = _parts(graph, samples)
    groups = _groups(samples, parts)
    if len(groups) < 2:
        return None
    columns = tuple(_columns(graph, among, terms) for among, terms in groups)
    known = tuple(one for one in columns if one is not None)
    is_one = {one.support.name for one in known} <= {known[0].support.name} & {*_NUMBERS} if known else True
    if len(known) < len(columns) or (is_one and not is_of_several(graph, samples.moved[samples.which])):
        return None
    return Support("mixed", "; ".join(f"{_shown(one.places)}: {one.support.name}" for one in known), columns=known)


def measured_mixed(samples: Samples, theta: Theta, support: Support, base_measure: str | None) -> Measured | None:
    """Z over such rows; if it varies, with each support that was only inferred changed for another in turn, should one
    of them make the loss a density.

    None where a bit is none of its own: what says whether a time is one of an event or of censoring weighs the
    logarithm of a hazard, which sums to nothing.
    """
    found = measured(samples, theta, support, base_measure)
    if verdict_of(found).name in LIKELIHOODS:
        return found
    bits = (among(samples, one) for one in support.columns if one.support.name == "binary")
    if not all(_is_likelihood(measured(own, theta, BITS, None)) for own in bits):
        return None
    for other in _others(samples, support):
        try:
            again = measured(samples, theta, other, base_measure)
        except SpentError:
            raise
        except UndecidedError:
            continue
        if verdict_of(again).name == "proper":
            return again
    return found


def _is_likelihood(found: Measured) -> bool:
    """Without the free terms that are the other parts', too, which may fall without end."""
    if not found.contested:
        return verdict_of(found).name in LIKELIHOODS
    fixed = tuple(value for _, value in found.samples.fixed)
    error = found.integrals.error.clamp(max=WIDEST)
    return constancy(found.integrals.log_z, error, found.free, fixed, found.decided).constant == "1"


def _others(samples: Samples, support: Support) -> Iterable[Support]:
    rows = samples.target.double()
    for k, one in enumerate(support.columns):
        own = rows[..., list(one.places)]
        fits = {"real": True, "positive": bool((own >= 0).all()), "unit": bool(((own > 0) & (own < 1)).all())}
        for name in (n for n, possible in fits.items() if possible and one.support.name in _NUMBERS):
            if name != one.support.name:
                new = Columns(one.places, Support(name, "the loss is normalised there"), one.terms)
                columns = (*support.columns[:k], new, *support.columns[k + 1 :])
                why = "; ".join(f"{_shown(c.places)}: {c.support.name}" for c in columns)
                yield Support("mixed", why, columns=columns)


def _parts(graph: LossGraph, samples: Samples) -> list[_Part]:
    """The pieces that the loss takes of a row, and their nodes; none unless they make up the row, each column once."""
    if len(samples.event) != 1 or samples.event[0] < 2:
        return []
    found = [(tuple(range(a, b)), node) for a, b, _, node in taken(graph.graph, samples.moved[samples.which])]
    places = sorted(k for columns, _ in found for k in columns)
    return found if places == list(range(samples.event[0])) else []


def _groups(samples: Samples, parts: list[_Part]) -> list[tuple[list[_Part], frozenset[Term]]]:
    """Parts that a term reads together, and the terms that read them."""
    groups: list[tuple[list[_Part], frozenset[Term]]] = []
    for part in parts:
        terms = _readers(samples, part[0])
        joined = [g for g in groups if g[1] & terms]
        merged = [p for g in joined for p in g[0]]
        groups = [g for g in groups if g not in joined]
        groups.append(([*merged, part], terms.union(*(g[1] for g in joined))))
    read = {t for _, terms in groups for t in terms}
    own = {t for t in samples.tail.terms if samples.tail.reads_target(t)}
    return groups if read == own and all(terms for _, terms in groups) else []


def _readers(samples: Samples, places: tuple[int, ...]) -> frozenset[Term]:
    """The terms that change when these columns of every row do."""
    at = samples.which
    rows = samples.base[at].reshape(samples.count, -1)
    moved = rows.clone()
    for k in places:
        other = rows[:, k].roll(1)
        moved[:, k] = other if not torch.equal(other, rows[:, k]) else 1 - rows[:, k]
    here = tuple(b[None] for b in samples.base)
    there = (*here[:at], moved.reshape(here[at].shape), *here[at + 1 :])
    read = (t for t in samples.tail.terms if samples.tail.reads_target(t))
    return frozenset(t for t in read if not _same(samples.nats_at(here, (t,)), samples.nats_at(there, (t,))))


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    return bool(((one == other) | (one.isnan() & other.isnan())).all())


def _columns(graph: LossGraph, parts: list[_Part], terms: frozenset[Term]) -> Columns | None:
    """With the support that all of the parts have, each by itself; None if that is not known or not one."""
    found = [_support(graph, part) for part in parts]
    names = {one.name for one in found if one}
    whole = len(parts) == 1 or not names & {*ROWS, "class"}
    if any(one is None for one in found) or len(names) != 1 or not whole:
        return None
    return Columns(tuple(k for places, _ in parts for k in places), found[0], terms)  # type: ignore[arg-type]


def _support(graph: LossGraph, part: _Part) -> Support | None:
    """Of one column only numbers; a column of bits may lie across rows that hold one each."""
    places, node = part
    value = graph.values[node.index]
    if len(places) == 1 and isinstance(value, torch.Tensor) and is_bits(value):
        return BITS
    found = support_of(graph, node.index, None)
    return None if found and len(places) == 1 and found.name in ROWS else found


def _shown(places: tuple[int, ...]) -> str:
    return f"column{'s' if len(places) > 1 else ''} {', '.join(map(str, places))}"
