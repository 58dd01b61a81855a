"""Which support: the loss measured where its targets live.

The batch and the graph show most supports. What they leave open is told by the loss itself: of the supports that fit
the targets, the one on which it is a density.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from nllcheck.axes import default_axes, depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.allowance import Allowance, SpentError, UndecidedError
from nllcheck.density.chain import drawn_in
from nllcheck.density.ends import ends
from nllcheck.density.latent import latents
from nllcheck.density.mixed import measured_mixed, mixed
from nllcheck.density.point_mass import point_mass
from nllcheck.density.samples.cut import MOST_WIDE, samples_of
from nllcheck.density.samples.terms import without_ones
from nllcheck.density.support import ROWS, Support, as_rows, is_linear_in, is_on_sphere, support_of
from nllcheck.density.theta import thetas
from nllcheck.density.verdict import Measured, measured, verdict_of
from nllcheck.graphs import refs
from nllcheck.types import Axis


def measured_on(
    graph: LossGraph, axes: Sequence[Axis], asked: str | None, base_measure: str | None, allowance: Allowance,
    moved: tuple[int, ...] | None = None,
) -> Measured:  # fmt: skip
    """Z over the support that was asked for, else over the one that the batch shows or on which the loss is normalised.

    `allowance`: what it may take; `moved`: as in `samples_of`. Raises UndecidedError where there is none.
    """
    if not graph.graph.targets:
        undivided = "the loss has no target that is known; a batch (inputs, targets) says which tensor it is"
        bare = "the loss has no target; name it with target=..."
        raise UndecidedError(undivided if graph.program.model is not None else bare)
    samples = samples_of(graph, by_rows=asked in ROWS, allowance=allowance, moved=moved)
    target = samples.moved[samples.which]
    support = support_of(graph, target, asked)
    if support is None:
        raise UndecidedError("the target's support could not be inferred; state it with --support")
    if support.name in ROWS and not samples.event:
        samples = samples_of(graph, by_rows=True, allowance=allowance, moved=moved)
    if asked is None and samples.event:
        support = as_rows(support, graph.values[target])
    drawn = drawn_in(graph)  # and no parameter
    moving = [a for a in axes if a.is_boundary and a.node not in drawn] or default_axes(graph)[0]
    rows = mixed(graph, samples) if asked is None else None
    if rows and (several := measured_mixed(samples, thetas(samples, moving), rows, base_measure)) is not None:
        return several
    found = measured(samples, thetas(samples, moving), support, base_measure)
    if found.contested and (drawn or latents(graph)):
        found = replace(found, is_endless=False)  # a divergence with the wrong sign may be what falls
    if asked is not None:
        return found
    if not _is_whole(found) and (share := point_mass(graph, found)):
        apart = f"{100 * share:.0f} % of the targets are one number, and the loss compares targets with a number"
        raise UndecidedError(f"{apart}: a point mass beside a density is not measured; or state --support")
    found = _narrowed(found, base_measure)
    if not _is_whole(found) and (between := ends(graph, found)) is not None:
        return between
    if found.support.name == "one-hot" and verdict_of(found).name == "varies":
        found = _as_bits(graph, found, moving, base_measure)
    if _shares_a_row(found) and verdict_of(found).name == "varies":
        found = _over_rows(graph, found, moving, base_measure)
    if is_on_sphere(graph.values[target]):
        found = _on_sphere(graph, found, moving, base_measure)
    if found.support.name == "count" and verdict_of(found).name == "varies" and not _is_none_anywhere(graph, found):
        raise UndecidedError("whole numbers may be counts or measurements; state the support with --support")
    return found


SHARP = 1e-3  # an error bar of log Z that a smooth density has, and one that is cut off within the chart has not


def _is_whole(found: Measured) -> bool:
    """Is Z = 1 with every term of the loss?"""
    return found.reading.constant == "1" and not found.contested and all(found.reading.kept)


def _shares_a_row(found: Measured) -> bool:
    """Is a term of the model's one number for a whole row of targets, or all of them, as log(s1 * s2) of two scales?"""
    shape = found.samples.shape
    rows = [without_ones(tuple(found.samples.shares[t].shape)) for t in found.samples.free]
    return len(shape) > 1 and shape[-1] <= MOST_WIDE and (shape[:-1] in rows or () in rows)


def _over_rows(graph: LossGraph, found: Measured, moving: Sequence[Axis], base_measure: str | None) -> Measured:
    """What belongs to a row cannot be divided among its numbers: then a sample is the row."""
    moved = found.samples.moved[: found.samples.which]
    samples = samples_of(graph, by_rows=True, allowance=found.samples.allowance, moved=moved)
    try:
        other = measured(samples, thetas(samples, moving), found.support, base_measure)
    except SpentError:
        raise
    except UndecidedError:
        return found
    return found if verdict_of(other).name == "undecided" else other


def _on_sphere(graph: LossGraph, found: Measured, moving: Sequence[Axis], base_measure: str | None) -> Measured:
    """Rows of length 1 may be any vectors: they live on the sphere if only there the loss integrates to something."""
    name = verdict_of(found).name
    if name in ("proper", "constant", "target-factor"):
        return found
    moved = found.samples.moved[: found.samples.which]
    samples = samples_of(graph, by_rows=True, allowance=found.samples.allowance, moved=moved)
    support = Support("sphere", "rows of length 1, over which the loss can be integrated")
    other = measured(samples, thetas(samples, moving), support, base_measure)
    return other if name == "diverges" or verdict_of(other).name in ("proper", "constant") else found


def _as_bits(graph: LossGraph, found: Measured, moving: Sequence[Axis], base_measure: str | None) -> Measured:
    """Rows with a single 1 may be bits that happen to exclude each other: they are if each bit's loss is normalised,
    and if no probabilities are made that sum to 1 over the row."""
    if _has_shares(graph, found.samples.moved[found.samples.which]):
        return found
    moved = found.samples.moved[: found.samples.which]
    samples = samples_of(graph, allowance=found.samples.allowance, moved=moved)
    support = Support("binary", "the targets are 0 and 1, and the loss is normalised bit by bit")
    try:
        other = measured(samples, thetas(samples, moving), support, base_measure)
    except SpentError:
        raise
    except UndecidedError:
        return found
    return other if verdict_of(other).name == "proper" else found


def _has_shares(graph: LossGraph, target: int) -> bool:
    """Does the model or the loss make shares in rows like the target's, as a softmax does, by hand or not?"""
    data, shape = depends_on(graph.graph, {target}), graph.values[target].shape
    made = (v for k, v in enumerate(graph.values) if k not in data and isinstance(v, torch.Tensor) and v.shape == shape)
    return any(_are_shares(v.double()) for v in made)


def _are_shares(value: torch.Tensor) -> bool:
    shares = value if bool((value >= 0).all()) else value.exp()
    mixed = bool(((shares > 0) & (shares < 1)).any())
    return mixed and bool(((shares.sum(-1) - 1).abs() < 1e-4).all())


def _is_none_anywhere(graph: LossGraph, found: Measured) -> bool:
    """Is the loss no likelihood of counts, nor of measurements? Whole numbers may be either.

    Of measurements that is only known where the loss is linear in its target: else they may begin anywhere.
    """
    target = found.samples.moved[found.samples.which]
    if _is_counted(graph, target):
        return True
    return is_linear_in(graph, target) and all(
        _fails_on(found, Support(name, "whole numbers may be measured")) for name in ("positive", "real")
    )


def _fails_on(found: Measured, support: Support) -> bool:
    try:
        return verdict_of(measured(found.samples, found.theta, support, None)).name in ("varies", "diverges")
    except SpentError:
        raise
    except UndecidedError:
        return False


def _is_counted(graph: LossGraph, target: int) -> bool:
    """Integers, or numbers of which the loss takes the factorial."""
    reading = depends_on(graph.graph, {target})
    factorials = any(n.op == "lgamma" and set(refs(n)) & reading for n in graph.graph.nodes)
    return factorials or not graph.values[target].is_floating_point()


def _narrowed(found: Measured, base_measure: str | None) -> Measured:
    """Positive targets compared with a mean may live on the half line (a truncated density) and not on all reals: they
    do if that alone makes Z = 1, or constant, with every term of the loss."""
    if found.support.name == "positive" and bool((found.samples.target < 1).all()):
        if found.samples.event:
            return _in_cube(found, base_measure)
        if _ends_at_one(found):
            support = Support("unit", "targets between 0 and 1, and the loss has no value above 1")
            return measured(found.samples, found.theta, support, base_measure)
    if verdict_of(found).name == "varies":
        return _elsewhere(found, base_measure)
    left_out = bool(found.contested) or not all(found.reading.kept)
    if found.support.name != "real" or _is_whole(found) or not bool((found.samples.target > 0).all()):
        return found
    support = Support("positive", "positive targets, over which the loss is normalised")
    other = measured(found.samples, found.theta, support, base_measure)
    reading = other.reading
    fits = reading.is_constant and all(reading.kept) and other.factor is None
    return other if fits and (left_out or reading.constant == "1") else found


def _ends_at_one(found: Measured) -> bool:
    samples = found.samples
    beyond = torch.tensor([1.001, 1.5, 4.0, 30.0], dtype=samples.rows.dtype)
    loss = samples.losses(beyond[:, None, None].expand(-1, 1, samples.count), tuple(b[None] for b in samples.base))
    return not bool(torch.isfinite(loss).any())


def _in_cube(found: Measured, base_measure: str | None) -> Measured:
    """Rows of numbers in (0, 1), as of a copula, live there if that makes Z = 1 and all positive numbers do not."""
    if _is_whole(found) and float(found.integrals.error[found.decided].median()) < SHARP:
        return found
    inside = measured(found.samples, found.theta, Support("unit", "rows between 0 and 1"), base_measure)
    return inside if verdict_of(inside).name == "proper" else found


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
        except SpentError:
            raise
        except UndecidedError:
            continue
        if verdict_of(other).name == "proper":
            return other
    return found
