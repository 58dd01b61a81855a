"""LossGraph -> Density: is exp(-loss) a density of the target? Answered by integrating it.

per-sample terms -> support -> parameters to try -> Z(theta) -> verdict -> words
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from nllcheck.axes import default_axes, depends_on, label_of
from nllcheck.capture import LossGraph
from nllcheck.density.bend import harmless
from nllcheck.density.claims import claims_likelihood
from nllcheck.density.curves import curves
from nllcheck.density.cut import samples_of
from nllcheck.density.divergence import divergences, origin_of
from nllcheck.density.factors import check_name
from nllcheck.density.sample import UndecidedError
from nllcheck.density.support import ROWS, SUPPORTS, Support, is_on_sphere, support_of
from nllcheck.density.terms import Term
from nllcheck.density.theta import thetas
from nllcheck.density.verdict import Measured, measured, verdict_of
from nllcheck.density.words import sentence
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.graphs import refs
from nllcheck.types import Axis, Density

__all__ = ["check_options", "density"]


def check_options(support: str | None, base_measure: str | None) -> None:
    """Raise NllcheckError for a support or a base measure that does not exist."""
    if support is not None and support not in SUPPORTS:
        hint = did_you_mean(support, SUPPORTS) or f"known: {', '.join(SUPPORTS)}"
        raise NllcheckError(f"unknown support '{support}'", where="support", hint=hint)
    check_name(base_measure)


def density(
    graph: LossGraph,
    axes: Sequence[Axis],
    loss_name: str,
    *,
    support: str | None = None,
    base_measure: str | None = None,
    nll: bool = False,
) -> Density:
    """The answer. Never raises for a loss that it cannot decide: that is the answer 'undecided', with the cause.

    `support` and `base_measure` state what is otherwise inferred; `nll`: the user says that this is a likelihood.
    """
    claims = nll or claims_likelihood(graph.graph, loss_name)
    answer = _answered(graph, axes, support, base_measure, claims)
    beside = frozenset(answer.nodes) if answer.name in ("proper", "constant", "target-factor") else None
    return replace(answer, divergences=divergences(graph, beside)) if graph.graph.targets else answer


def _answered(
    graph: LossGraph, axes: Sequence[Axis], support: str | None, base_measure: str | None, claims: bool
) -> Density:
    try:
        found = _measured(graph, axes, support, base_measure)
    except UndecidedError as error:
        name = "not-samples" if "no sum over samples" in str(error) else "undecided"
        head = "No function of one sample" if name == "not-samples" else "Not decided"
        return Density(name, f"{head}: {error}.", claims=claims, nodes=error.nodes)  # type: ignore[arg-type]
    except (RuntimeError, TypeError, ValueError, IndexError) as error:  # the user's ops at values they never saw
        cause = str(error).strip().splitlines()[0][:120] if str(error).strip() else type(error).__name__
        return Density("undecided", f"Not decided: the loss cannot be run at other targets ({cause}).", claims=claims)
    return _told(graph, found, claims)


def _measured(graph: LossGraph, axes: Sequence[Axis], asked: str | None, base_measure: str | None) -> Measured:
    if not graph.graph.targets:
        raise UndecidedError("the loss has no target; name it with target=... for a bare function")
    samples = samples_of(graph, by_rows=asked in ROWS)
    target = samples.moved[samples.which]
    support = support_of(graph, target, asked)
    if support is None:
        raise UndecidedError("the target's support could not be inferred; state it with --support")
    if support.name in ROWS and not samples.event:
        samples = samples_of(graph, by_rows=True)
    moving = [a for a in axes if a.is_boundary] or default_axes(graph)[0]
    found = measured(samples, thetas(samples, moving), support, base_measure)
    if asked is not None:
        return found
    found = _narrowed(found, base_measure)
    if is_on_sphere(graph.values[target]):
        found = _on_sphere(graph, found, moving, base_measure)
    if found.support.name == "count" and verdict_of(found).name == "varies" and not _is_counted(graph, target):
        raise UndecidedError("whole numbers may be counts or measurements; state the support with --support")
    return found


def _on_sphere(graph: LossGraph, found: Measured, moving: Sequence[Axis], base_measure: str | None) -> Measured:
    """Rows of length 1 may be any vectors: they live on the sphere if only there the loss integrates to something."""
    name = verdict_of(found).name
    if name in ("proper", "constant", "target-factor"):
        return found
    samples = samples_of(graph, by_rows=True)
    support = Support("sphere", "rows of length 1, over which the loss can be integrated")
    other = measured(samples, thetas(samples, moving), support, base_measure)
    return other if name == "diverges" or verdict_of(other).name in ("proper", "constant") else found


def _is_counted(graph: LossGraph, target: int) -> bool:
    """Integers, or numbers of which the loss takes the factorial."""
    reading = depends_on(graph.graph, {target})
    factorials = any(n.op == "lgamma" and set(refs(n)) & reading for n in graph.graph.nodes)
    return factorials or not graph.values[target].is_floating_point()


def _narrowed(found: Measured, base_measure: str | None) -> Measured:
    """Positive targets compared with a mean may live on the half line (a truncated density) and not on all reals: they
    do if that alone makes Z = 1 with every term of the loss."""
    if verdict_of(found).name == "varies":
        return _elsewhere(found, base_measure)
    whole = found.reading.constant == "1" and all(found.reading.kept)
    if found.support.name != "real" or whole or not bool((found.samples.target > 0).all()):
        return found
    support = Support("positive", "positive targets, over which the loss is normalised")
    other = measured(found.samples, found.theta, support, base_measure)
    fits = other.reading.constant == "1" and all(other.reading.kept) and other.factor is None
    return other if fits else found


def _elsewhere(found: Measured, base_measure: str | None) -> Measured:
    """The support was only inferred: one on which the loss is a proper density is the better guess."""
    target = found.samples.target.double()
    if found.support.name == "simplex":
        soft = Support("one-hot", "rows that sum to 1, as shares of classes", target.shape[-1])
        other = measured(found.samples, found.theta, soft, base_measure)
        return other if verdict_of(other).name == "proper" else found
    fits = {
        "unit": bool(((target > 0) & (target < 1)).all()),
        "positive": bool((target >= 0).all()),
        "count": bool(((target == target.round()) & (target >= 0)).all()),
        "real": True,
    }
    if found.support.name not in fits or found.samples.event:
        return found
    for name in (n for n, possible in fits.items() if possible and n != found.support.name):
        try:
            other = measured(found.samples, found.theta, Support(name, "the loss is normalised there"), base_measure)
        except UndecidedError:
            continue
        if verdict_of(other).name == "proper":
            return other
    return found


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
        curves=curves(found),
    )
    if answer.name == "undecided":
        if _is_undefined(found):
            return replace(answer, text="Not decided: the loss is NaN or infinite at the observed targets.")
        cause = (
            f"the error bar of Z stays too wide at {answer.undecided} of {answer.samples + answer.undecided} settings"
        )
        return replace(answer, text=f"Not decided: {cause}.")
    return replace(answer, text=sentence(answer, float("nan")))


def _left_out(found: Measured) -> list[Term]:
    """Terms without target that are no part of the density: penalties, and free terms that were not kept."""
    kept = found.reading.kept
    return [*found.samples.penalties, *(t for t, k in zip(found.samples.free, kept, strict=True) if not k)]


def _nodes(terms: Sequence[Term]) -> tuple[int, ...]:
    origins = [origin_of(t) for t in terms]
    return tuple(dict.fromkeys(o for o in origins if o is not None))


def _words(graph: LossGraph, term: Term) -> str:
    origin = (term.node.meta.get("custom") or {}).get("origin")
    node = graph.graph.nodes[origin] if origin is not None else None
    if node is None:
        return str(_leaf_name(graph, term) or term.node.name)
    return f"'{node.site.source}' (line {node.site.line})" if node.site else label_of(graph.graph, node.index)


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
