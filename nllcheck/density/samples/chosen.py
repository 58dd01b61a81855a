"""Which of several targets is the data, where the others only choose among its numbers: masks, lengths, weights.

A target chooses if the loss does not read the data where it is 0 (or beyond its number, of lengths) and reads it
elsewhere. An indicator of events does not: what is censored still counts, with another density.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.errors import raise_own
from nllcheck.graphs import ancestors, refs
from nllcheck.sweep.joint import cut
from nllcheck.types import Graph

WIDE = torch.float64
NOTHING: Mapping[int, Tensor] = {}
MOST = 4  # targets that are tried with one another


def data_of(graph: LossGraph) -> int | None:
    """The one target that all others that the loss reads choose from: its plain index; None if there is none."""
    read = read_targets(graph)
    if len(read) > MOST:
        return None
    found = [k for k in read if all(_seen(graph, k, other) is not None for other in read if other != k)]
    return found[0] if len(found) == 1 else None


def read_targets(graph: LossGraph) -> list[int]:
    """The targets that the loss reads."""
    reads = ancestors(graph.graph, graph.graph.loss)
    return [n for n in graph.graph.targets if n in reads and graph.values[n].numel() > 0]


def without_padding(graph: LossGraph) -> LossGraph:
    """The same with a number that is read in place of each that is not: padding says nothing of a support."""
    read = read_targets(graph)
    data = data_of(graph) if len(read) > 1 else None
    seen = None if data is None else seen_of(graph, data)
    if data is None or seen is None or not bool(seen.any()) or bool(seen.all()):
        return graph
    value, values = graph.values[data], list(graph.values)
    values[data] = torch.where(seen, value, value[seen].reshape(-1)[0])
    return replace(graph, values=tuple(values))


def picked_from(graph: LossGraph, data: int) -> int:
    """The numbers of the data that a target picks, as `y[mask]` does, if the loss reads these alone; else the data."""
    reads = ancestors(graph.graph, graph.graph.loss)
    readers = [n for n in graph.graph.nodes if n.index in reads and data in refs(n)]
    if len(readers) != 1 or readers[0].op != "index" or refs(readers[0])[0] != data:
        return data
    sources = {k for r in refs(readers[0])[1:] for k in ancestors(graph.graph, r) if graph.graph.nodes[k].op == "input"}
    return readers[0].index if sources and sources <= set(graph.graph.targets) - {data} else data


def picked_by(graph: LossGraph, choice: int) -> int:
    """The data that a target picks where it does nothing else, as the numbers of known nodes pick their labels beside
    what the model says of them; if the loss reads no more of these data. Else the target."""
    plain, reads = graph.graph, ancestors(graph.graph, graph.graph.loss)
    readers = [n for n in plain.nodes if n.index in reads and choice in refs(n)]
    if len(readers) < 2 or any(n.op != "index" or refs(n)[0] == choice for n in readers):
        return choice
    trained = depends_on(plain, {n.index for n in plain.nodes if n.op == "input" and n.name in plain.weights})
    data = [n.index for n in readers if n.index not in trained and _is_read_once(plain, refs(n)[0], reads)]
    return data[0] if len(data) == 1 else choice


def _is_read_once(graph: Graph, index: int, reads: set[int]) -> bool:
    return sum(n.index in reads and index in refs(n) for n in graph.nodes) == 1


def seen_of(graph: LossGraph, data: int) -> Tensor:
    """Which of the data's numbers the loss reads, in their shape."""
    others = [k for k in read_targets(graph) if k != data and data in graph.graph.targets]
    found = (_seen(graph, data, other) for other in others)
    start = torch.ones(graph.values[data].shape, dtype=torch.bool)
    return functools.reduce(torch.logical_and, (f for f in found if f is not None), start)


def _seen(graph: LossGraph, data: int, other: int) -> Tensor | None:
    """Where `other` lets the loss read the data, in the data's shape; None if it does not choose."""
    value, given = graph.values[data], graph.values[other]
    made = _by_length(given, value.shape) if _may_be_lengths(given, value) else _by_zeros(given, value.shape)
    if made is None:
        return None
    choice, seen = made
    try:
        if not _chooses(graph, data, other, choice, seen) or _counts_unseen(graph, data, other, choice, seen):
            return None
    except RuntimeError as error:  # code whose shapes depend on what stands here, as those of unique values do
        raise_own(error)
        return None
    return seen if choice is given else torch.ones(value.shape, dtype=torch.bool)


def _chooses(graph: LossGraph, data: int, other: int, choice: Tensor, seen: Tensor) -> bool:
    """Does the loss read what is seen of the data, and nothing else of them?"""
    value = graph.values[data]
    moved = _moved(value)
    before = _losses(graph, data, other, choice, value)
    same = _losses(graph, data, other, choice, torch.where(seen, value, moved))
    changed = _losses(graph, data, other, choice, torch.where(seen, moved, value))
    return bool(torch.isfinite(before)) and torch.equal(before, same) and not torch.equal(before, changed)


def _counts_unseen(graph: LossGraph, data: int, other: int, choice: Tensor, seen: Tensor) -> bool:
    """Does the loss change with what the model gives where nothing is seen? Then these rows count by another density,
    as what is censored or not selected does, and the choice is data itself."""
    given = graph.graph.outputs or tuple(
        n.index for n in graph.graph.nodes if n.op == "input" and n.index not in graph.graph.targets
    )
    fits = {k: where for k in given if (where := _seen_of(graph.values[k], seen)) is not None}
    own = {k: graph.values[k] for k in fits}
    moved = {k: torch.where(where, own[k], 0.75 * own[k] + 0.1) for k, where in fits.items()}
    before, after = (_losses(graph, data, other, choice, graph.values[data], values) for values in (own, moved))
    return not torch.equal(before, after)


def _seen_of(given: Tensor, seen: Tensor) -> Tensor | None:
    """Which numbers of a float tensor belong to what is seen: element by element, else row by row."""
    if not given.is_floating_point() or not given.dim() or given.shape[0] != seen.shape[0]:
        return None
    whole = given.shape[: seen.dim()] == seen.shape
    own = seen if whole else seen.reshape(len(seen), -1).any(1)
    return own.reshape(*own.shape, *(1 for _ in given.shape[own.dim() :])).expand(given.shape)


def _may_be_lengths(choice: Tensor, value: Tensor) -> bool:
    whole = not choice.is_floating_point() and choice.dtype != torch.bool
    by_row = whole and choice.shape == value.shape[:1] and value.dim() > 1
    return by_row and 1 < int(choice.max()) <= value.shape[1]


def _by_length(choice: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor]:
    """Lengths, and what lies before them along the second dimension; one is made shorter if all are full."""
    shorter = torch.where(torch.arange(len(choice)) == 0, 1, choice)
    lengths = choice if bool((choice < shape[1]).any()) else shorter
    seen = torch.arange(shape[1]) < lengths[:, None]
    return lengths, seen.reshape(*seen.shape, *(1 for _ in shape[2:])).expand(shape)


def _by_zeros(choice: Tensor, shape: torch.Size) -> tuple[Tensor, Tensor] | None:
    """Masks and weights, and where they are not 0; every other one is made 0 if none is."""
    lead = choice.shape[: len(shape)]
    fits = 0 < choice.dim() <= len(shape) and all(a in (b, 1) for a, b in zip(lead, shape, strict=False))
    if not fits or bool((choice < 0).any()):
        return None
    every = (torch.arange(choice.numel()) % 2).reshape(choice.shape).to(choice.dtype)
    made = choice if bool((choice == 0).any() and (choice != 0).any()) else choice * every
    seen = (made != 0).reshape(*made.shape, *(1 for _ in shape[made.dim() :])).expand(shape)
    return made, seen


def _moved(value: Tensor) -> Tensor:
    """Other numbers of the same kind: each row's neighbour's, or where these are equal, other ones."""
    other = value.reshape(-1).roll(1).reshape(value.shape)
    changed = ~value if value.dtype == torch.bool else value * 0.75 if value.is_floating_point() else value
    return torch.where(other == value, changed, other)


def _losses(
    graph: LossGraph, data: int, other: int, choice: Tensor, value: Tensor, given: Mapping[int, Tensor] = NOTHING
) -> Tensor:
    """The loss with the data, the other target and what else is `given` by its plain node."""
    module = cut(graph, (data, other, *given))
    tensors = (value, choice, *given.values())
    with torch.no_grad(), plain_kernels():
        return Runner(module, WIDE).run(*(v.to(WIDE) if v.is_floating_point() else v for v in tensors))  # type: ignore[no-any-return]
