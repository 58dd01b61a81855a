"""LossGraph -> Samples: the loss cut into samples, where one sample's part of it reads that sample's target alone."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import torch
from torch import fx

from nllcheck.axes.boundary import boundary
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import Allowance, UndecidedError
from nllcheck.density.samples.chosen import data_of, picked_by, picked_from, read_targets, seen_of
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.samples.shares import shares_of
from nllcheck.density.samples.step import last_step, models_every_step, shares_of_steps
from nllcheck.density.samples.tail import tail_of
from nllcheck.density.samples.terms import Term
from nllcheck.density.samples.unreduced import unreduced
from nllcheck.sweep.joint import cut, out_of_place

MOST_WIDE = 16  # numbers of one target that are integrated over
MATRIX = 2  # dimensions of the largest target
MOST_ALONE = 3  # numbers of a target without a batch dimension that are taken for one sample's row


def samples_of(
    graph: LossGraph, by_rows: bool = False, moved: tuple[int, ...] | None = None, allowance: Allowance | None = None
) -> Samples:
    """Cut the loss into samples; `by_rows`: a target is a whole row, whatever the loss does with it.

    `moved`: nodes to cut at beside the target, in place of the boundary between model and loss. `allowance`: what
    evaluating it may take. Raises UndecidedError with the reason where that is impossible.
    """
    target = _target(graph)
    moved = _edges(graph) if moved is None else moved
    if not all(isinstance(graph.values[n], torch.Tensor) for n in moved):
        raise UndecidedError("what would move is several results of one op")
    module = unreduced(out_of_place(cut(graph, (*moved, target))))
    base = tuple(_wide(graph.values[n]).detach() for n in (*moved, target))
    values = _run(module, base)
    tail = tail_of(module, f"moved_{target}", values)
    dependent = [t for t in tail.terms if tail.reads_target(t)]
    if not dependent:
        raise UndecidedError("the loss does not depend on the target through anything that can be moved")
    if not by_rows and not _has_parts(module, base, dependent):
        is_padded = not bool(seen_of(graph, target).all())
        stepped = _by_step(module, f"moved_{target}", (*moved, target), base, is_padded)
        if stepped is not None:
            return replace(stepped, allowance=allowance or Allowance())
    shape, event = _layout(module, base, dependent, 1 if by_rows else 0)
    shares, counted = shares_of(values, module, tail, shape)
    made = Samples(module, tail, (*moved, target), base, len(moved), shape, event, shares, values, counted)
    return replace(made, allowance=allowance or Allowance())


def _has_parts(module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term]) -> bool:
    """Is the loss a sum over numbers, or of a sequence (N, T, D) over its steps?"""
    shape = tuple(base[-1].shape)
    cuts = (0, 1) if len(shape) > 2 else (0,)
    return any(_is_local(module, base, dependent, shape[: len(shape) - k], shape[len(shape) - k :]) for k in cuts)


def _by_step(
    module: fx.GraphModule, name: str, moved: tuple[int, ...], base: tuple[torch.Tensor, ...], is_padded: bool
) -> Samples | None:
    """The samples of a sequence that is read step by step: its last steps; None where it is not.

    `is_padded`: what ends earlier has no last step, and cannot be integrated over as a row either.
    """
    whole, made = base[-1], last_step(module, name, base[-1])
    if made is None:
        return None
    base = (*base[:-1], base[-1][:, -1:])
    values = _run(made, base)
    tail = tail_of(made, name, values)
    dependent = [t for t in tail.terms if tail.reads_target(t)]
    modelled = bool(dependent) and models_every_step(tail, values, whole)
    if not dependent or (modelled and not is_padded and whole[0].numel() <= MOST_WIDE):
        return None  # rows that are integrated over as a whole
    other = base[-1].roll(1, 0)
    after = _run(made, (*base[:-1], torch.where(other == base[-1], _nudged(base[-1]), other)))
    found = shares_of_steps(made, tail, values, after, len(other))
    if found is None:
        return None
    shape, event = _layout(made, base, dependent, 0)
    return Samples(made, tail, moved, base, len(moved) - 1, shape, event, found[0], values, found[1], True)


def _edges(graph: LossGraph) -> tuple[int, ...]:
    edges = boundary(graph.graph)
    moving = (*edges.outputs, *edges.weights, *edges.inputs)
    return tuple(n for n in moving if "float" in graph.graph.nodes[n].dtype)


def _target(graph: LossGraph) -> int:
    """The one target that the loss reads."""
    if not graph.graph.targets:
        raise UndecidedError("the loss has no target; name it with target=... (a bare function) or give a batch")
    read = read_targets(graph)
    if not read:
        raise UndecidedError("the loss does not read its target")
    data = read[0] if len(read) == 1 else data_of(graph)
    if data is None:
        raise UndecidedError(f"the loss reads {len(read)} targets, the test takes one beside masks and lengths")
    return picked_by(graph, data) if len(read) == 1 else picked_from(graph, data)


def _wide(value: torch.Tensor) -> torch.Tensor:
    return value.to(WIDE) if value.is_floating_point() else value


def _run(module: fx.GraphModule, base: tuple[torch.Tensor, ...]) -> dict[fx.Node, Any]:
    runner = Runner(module, WIDE)
    try:
        with torch.no_grad(), plain_kernels():
            runner.run(*base)
    except RuntimeError as error:
        raise UndecidedError(f"the loss does not run in float64 ({str(error).splitlines()[0][:100]})") from error
    return dict(runner.env)


def _layout(
    module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term], fewest: int
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """(samples' shape, event shape): numbers if each element of every term reads one element, else rows or matrices."""
    shape = tuple(base[-1].shape)
    most = min(len(shape) - 1, MATRIX) if len(shape) > 1 else int(0 < base[-1].numel() <= MOST_ALONE)
    for event in range(fewest, 1 + most):
        lead, own = shape[: len(shape) - event], shape[len(shape) - event :]
        if _is_local(module, base, dependent, lead, own):
            _check_matrices(base[-1], event)
            return lead, own
    if len(shape) > MATRIX and _is_local(module, base, dependent, shape[:1], shape[1:]):
        raise UndecidedError(f"each sample's target is {'x'.join(map(str, shape[1:]))} numbers that are read together")
    origin = (dependent[0].node.meta.get("custom") or {}).get("origin")
    text = "the loss is no sum over samples, but mixes the targets of several of them"
    raise UndecidedError(text, () if origin is None else (origin,))


def _check_matrices(target: torch.Tensor, event: int) -> None:
    """Raise UndecidedError for matrices whose entries depend on one another."""
    if event < MATRIX:
        return
    if target.shape[-1] == target.shape[-2] and torch.equal(target, target.mT):
        raise UndecidedError("the targets are symmetric matrices, over which the test cannot integrate")
    if bool((target == target[:1]).all(0).any()) and len(target) > 1:
        raise UndecidedError("the targets are matrices of which some entries are always the same")


def _is_local(
    module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term],
    shape: tuple[int, ...], event: tuple[int, ...],
) -> bool:  # fmt: skip
    """Does each sample's part of every term read that sample's target alone? Tried on two samples far apart."""
    count = math.prod(shape)
    before = _run(module, base)
    if any(before[t.node].numel() % count for t in dependent):
        return False
    rows = base[-1].reshape(count, *event)
    return all(_stays(module, base, dependent, before, rows, k) for k in {0, count // 2, count - 1})


def _stays(
    module: fx.GraphModule, base: tuple[torch.Tensor, ...], dependent: list[Term],
    before: dict[fx.Node, Any], rows: torch.Tensor, k: int,
) -> bool:  # fmt: skip
    count = len(rows)
    others = (rows != rows[k]).reshape(count, -1).any(1).nonzero()
    moved = rows.clone()
    moved[k] = rows[int(others[0])] if len(others) else _nudged(rows[k])
    after = _run(module, (*base[:-1], moved.reshape(base[-1].shape)))
    for term in dependent:
        old, new = (v[term.node].reshape(count, -1) for v in (before, after))
        same = ((old == new) | (old.isnan() & new.isnan())).all(-1)
        same[k] = True
        if not bool(same.all()):
            return False
    return True


def _nudged(row: torch.Tensor) -> torch.Tensor:
    """Another target for batches whose targets are all alike."""
    if row.dim() and not torch.equal(row, row.flip(-1)):
        return row.flip(-1)
    return row * 0.875 if row.is_floating_point() else 1 - row.clamp(0, 1)
