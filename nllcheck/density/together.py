"""Several targets as one: a loss with a term for each, as a place beside a class, is a density of all of them.

The program is taken with one more leaf, a row that holds them side by side, and every target is read from there: so
what is known of rows that hold several things (`mixed`) serves.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.program import Leaf
from nllcheck.density.draws.rebuilt import Rebuilt, rebuilt, with_leaf
from nllcheck.density.samples.chosen import data_of, read_targets
from nllcheck.density.samples.cut import MOST_WIDE

ROW = "targets"
LARGEST = 2**24  # whole numbers up to here are floats, too


def with_targets_together(graph: LossGraph) -> Rebuilt | None:
    """None where the loss reads one target, where one is the data that the others choose from, or where they have no
    samples in common."""
    read = read_targets(graph)
    if len(read) < 2 or data_of(graph) is not None:
        return None
    values = [graph.values[k] for k in read]
    lead = min((v.shape for v in values), key=len)
    widths = [math.prod(v.shape[len(lead) :]) for v in values]
    fits = all(v.shape[: len(lead)] == lead for v in values) and math.prod(lead) > 1 and sum(widths) <= MOST_WIDE
    whole = all(v.is_floating_point() or not v.numel() or int(v.max()) < LARGEST for v in values)
    if not lead or not fits or not whole:
        return None
    kind = next((v.dtype for v in values if v.is_floating_point()), torch.float32)
    row = torch.cat([v.reshape(*lead, -1).to(kind) for v in values], -1)
    return _rebuilt(graph, read, row, widths)


def is_of_several(graph: LossGraph, target: int) -> bool:
    """Is this target such a row?"""
    return target == len(graph.program.leaves) - 1 and graph.program.leaves[target].name == ROW


def _rebuilt(graph: LossGraph, read: list[int], row: Tensor, widths: list[int]) -> Rebuilt:
    """With the row as the last leaf, and its columns in the place of the targets `read`."""
    new, copies, made = fx.Graph(), dict[fx.Node, fx.Node](), dict[fx.Node, fx.Node]()
    nodes, swapped = graph.fx_nodes, dict[fx.Node, fx.Node]()
    leaf, first = None, nodes[read[0]]
    for place, old in enumerate(graph.module.graph.nodes):
        if place == len(graph.program.leaves):
            leaf = new.placeholder(ROW)
            starts = [sum(widths[:k]) for k in range(len(widths))]
            for k, start, width in zip(read, starts, widths, strict=True):
                parts = _taken(new, leaf, graph.values[k], start, width)
                swapped[nodes[k]], made = parts[-1], made | dict.fromkeys(parts, nodes[k])
        copies[old] = new.node_copy(old, lambda n: swapped.get(n, copies[n]))
    assert leaf is not None  # there is a loss behind the leaves
    given = with_leaf(graph, Leaf(ROW, "target", row))
    made |= {new: old for old, new in copies.items()} | {leaf: first}
    return rebuilt(given, new, made, {leaf: row}, targets=(len(graph.program.leaves),))


def _taken(new: fx.Graph, leaf: fx.Node, value: Tensor, start: int, width: int) -> list[fx.Node]:
    """A target's columns, in its shape and dtype: the ops in their order."""
    ops: Any = torch.ops.aten
    found = [new.call_function(ops.slice.Tensor, (leaf, -1, start, start + width))]
    found.append(new.call_function(ops.reshape.default, (found[-1], list(value.shape))))
    if not value.is_floating_point():
        found.append(new.call_function(ops._to_copy.default, (found[-1],), {"dtype": value.dtype}))
    return found
