"""Measured -> Density: the answer in words, with the nodes that it speaks of; or why there is none."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from nllcheck.axes import label_of
from nllcheck.capture import LossGraph
from nllcheck.density.allowance import UndecidedError, allowance_of
from nllcheck.density.bend import harmless
from nllcheck.density.curves import curves
from nllcheck.density.fit import measured_on
from nllcheck.density.kl.implied import origin_of
from nllcheck.density.parts import Part, likelihood_within
from nllcheck.density.samples.terms import Term
from nllcheck.density.turned import turned
from nllcheck.density.unlogged import unlogged
from nllcheck.density.verdict import Measured, verdict_of
from nllcheck.density.weighed import AVERAGED, WEIGHED, averages_classes, weighs_draws
from nllcheck.density.words import in_loss, sentence, without_log, without_minus
from nllcheck.errors import raise_own
from nllcheck.types import Axis, Density


def not_run(error: Exception, claims: bool) -> Density:
    """What is said where the user's ops raise at values that they never saw. Raises an error of our own again."""
    raise_own(error)
    cause = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
    return Density("undecided", f"Not decided: the loss cannot be run at other targets ({cause}).", claims=claims)


def answered(
    graph: LossGraph, axes: Sequence[Axis], support: str | None, base_measure: str | None, claims: bool, memory: int,
    moved: tuple[int, ...] | None,
) -> Density:  # fmt: skip
    """One program asked once: `measured_on` in words, or why it cannot be. `moved`: as in `samples_of`."""
    try:
        found = measured_on(graph, axes, support, base_measure, allowance_of(claims, memory), moved)
    except UndecidedError as error:
        name = "not-samples" if "no sum over samples" in str(error) else "undecided"
        head = "No function of one sample" if name == "not-samples" else "Not decided"
        where = f": {_line(graph, error.nodes[-1])}" if name == "not-samples" and error.nodes else ""
        return Density(name, f"{head}: {error}{where}.", claims=claims, nodes=error.nodes)  # type: ignore[arg-type]
    except (RuntimeError, TypeError, ValueError, IndexError) as error:  # the user's ops at values they never saw
        return not_run(error, claims)
    answer = _told(graph, found, claims)
    if answer.name == "varies" and weighs_draws(graph, found.samples.tail):
        return Density("undecided", f"Not decided: {WEIGHED}.", claims=claims)
    if answer.name == "varies" and averages_classes(graph):
        return Density("undecided", f"Not decided: {AVERAGED}.", claims=claims)
    within = likelihood_within(found) if claims and answer.name == "varies" else None
    is_asked = within is None and claims and answer.name in ("varies", "diverges", "undecided")
    if is_asked and (bare := unlogged(found)) is not None:
        places = () if bare.is_all else tuple(dict.fromkeys(_words(graph, t) for t in bare.terms))
        return replace(answer, name="unlogged", text=without_log(bare, places), nodes=_nodes(bare.terms))
    if is_asked and (away := turned(found)) is not None:
        places = tuple(dict.fromkeys(_words(graph, t) for t in away.terms))
        return replace(answer, name="log-likelihood", text=without_minus(away, places), nodes=_nodes(away.terms))
    return _within(graph, within) if within else answer


def _within(graph: LossGraph, part: Part) -> Density:
    """The answer for a likelihood with a weight or with other terms of the target beside it."""
    beside = tuple(dict.fromkeys(_words(graph, t) for t in part.beside))
    answer = replace(_told(graph, part.likelihood, True), weight=part.weight, beside=beside)
    return replace(answer, text=sentence(answer, float("nan")))


def _told(graph: LossGraph, found: Measured, claims: bool) -> Density:
    answer = verdict_of(found)
    left = _left_out(found)
    answer = replace(
        answer,
        peak=_peak(found),
        epsilon=harmless(found) if answer.name == "varies" else math.nan,
        claims=claims,
        left_out=tuple(dict.fromkeys(_words(graph, t) for t in left)),
        nodes=_nodes(left),
    )
    answer = _drawn(answer, found)
    if answer.name == "undecided":
        if _is_undefined(found):
            return replace(answer, text="Not decided: the loss is NaN or infinite at the observed targets.")
        return replace(answer, text=f"Not decided: {_cause(graph, found, answer)}.")
    return replace(answer, text=sentence(answer, float("nan")))


def _cause(graph: LossGraph, found: Measured, answer: Density) -> str:
    """Why nothing was decided although Z was measured."""
    if found.contested:
        names = list(dict.fromkeys(_words(graph, t) for t in found.contested))
        more = f" and {len(names) - 2} more" if len(names) > 2 else ""
        falls, them = ("falls", "it") if len(names) == 1 else ("fall", "them")
        without = f"{'; '.join(names[:2])}{more}, which {falls} without end, as no penalty does"
        return f"Z is constant only without {without}; with {them} Z changes"
    tried = answer.samples + answer.undecided
    if not tried:
        return "the target cancels out of the loss"
    return f"the error bar of Z stays too wide at {answer.undecided} of {tried} settings"


def _drawn(answer: Density, found: Measured) -> Density:
    """With Z as curves. A picture comes on top: what stops it is told under `skipped`, and the verdict stands."""
    try:
        return replace(answer, curves=curves(found))
    except Exception as error:
        raise_own(error)
        return replace(answer, undrawn=f"{type(error).__name__}: {str(error)[:120]}")


def _left_out(found: Measured) -> list[Term]:
    """Terms without target that are no part of the density: penalties, and free terms that were not kept."""
    kept = found.reading.kept
    return [*found.samples.penalties, *(t for t, k in zip(found.samples.free, kept, strict=True) if not k)]


def _nodes(terms: Sequence[Term]) -> tuple[int, ...]:
    origins = [origin_of(t) for t in terms]
    return tuple(dict.fromkeys(o for o in origins if o is not None))


def _words(graph: LossGraph, term: Term) -> str:
    origin = (term.node.meta.get("custom") or {}).get("origin")
    return (
        str(_leaf_name(graph, term) or term.node.name) if origin is None else _line(graph, in_loss(graph.graph, origin))
    )


def _line(graph: LossGraph, index: int) -> str:
    site = graph.graph.nodes[index].site
    return f"'{site.source}' (line {site.line})" if site and site.source else label_of(graph.graph, index)


def _leaf_name(graph: LossGraph, term: Term) -> str:
    """The name of a placeholder of the cut."""
    name = term.node.name
    return label_of(graph.graph, int(name.removeprefix("moved_"))) if name.startswith("moved_") else ""


def _is_undefined(found: Measured) -> bool:
    """Has the loss no finite value at most observed targets?"""
    samples = found.samples
    loss = samples.losses(samples.target[None, None], tuple(b[None] for b in samples.base))
    return bool(torch.isfinite(loss).double().mean() < 0.5)


def _peak(found: Measured) -> float:
    """The largest density at an observed target, with the terms that belong to it."""
    samples, reading = found.samples, found.reading
    tensors = tuple(b[None] for b in samples.base)
    loss = samples.losses(samples.target[None, None], tensors)[0, 0]
    loss = loss + (samples.free_terms(tensors)[0] * torch.tensor(reading.kept, dtype=loss.dtype)).sum(-1)
    loss = loss + sum(v for (_, v), k in zip(samples.fixed, reading.kept_fixed, strict=True) if k)
    return float(torch.exp(-loss).nan_to_num(0.0, 0.0, 0.0).max())
