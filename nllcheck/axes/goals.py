"""Axes that lead to special places: a row of zeros, a constant row, two rows or two tensors that coincide.

There sit the poles that no single value shows: the root of a squared distance, a norm that is divided by, the
deviation of a constant. Exact coincidences are rare, so they are few, cheap, and weigh less than a sweep.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from nllcheck.axes.boundary import Boundary
from nllcheck.ops import packet
from nllcheck.types import Axis, Graph, Node, Ref

MOST = 12  # ways in one check
MOST_LATE = 4  # ways of targets


def goal_axes(graph: Graph, edges: Boundary, plain: list[Axis]) -> list[Axis]:
    """The ways of every node that has an axis already (`plain` are those axes).

    Values that are positive, or lie between bounds, only go to a tensor that does, too: a row of zeros is none.
    """
    found: list[Axis] = []
    late: list[Axis] = []
    first = {a.node: a for a in reversed(plain) if a.mode == "set" and a.is_boundary}
    names = {n: name_of(a) for n, a in first.items()}
    for node, axis in first.items():
        if axis.role == "target":
            late += row_goals(axis, graph.nodes[node])[:2] if axis.domain == (-math.inf, math.inf) else []
            continue
        others = [n for n in edges.all if n in names and n != node]
        if axis.domain == (-math.inf, math.inf):
            found += row_goals(axis, graph.nodes[node]) + _labelled(axis, graph, names, first)
            found += _dead_columns(axis, graph, node)
        else:
            others = [n for n in others if _is_within(first[n], axis)]
        others = [n for n in others if graph.nodes[n].shape or first[n].observed != (0.0, 0.0)]  # that is 0 by itself
        found += _pairs(way_to(axis), graph, node, names, others)
    return found[:MOST] + late[:MOST_LATE]


def _is_within(inner: Axis, outer: Axis) -> bool:
    """Can the one take every value of the other? A mask is not what anything is compared with."""
    low, high = inner.domain
    return outer.domain[0] <= low and high <= outer.domain[1] and inner.observed != (0.0, 1.0)


def is_way_on(axis: Axis, graph: Graph) -> bool:
    """Is there such a way on some rows of the batch? A table that has as many rows as the whole batch is no batch."""
    return axis.goal != "equal" or are_comparable(graph, axis.node, axis.other)


def name_of(axis: Axis) -> str:
    """What reports call the whole tensor that an axis moves."""
    return axis.selector.split("[...", 1)[0].removesuffix("*scale")


def way_to(axis: Axis, **changes: Any) -> Axis:
    """A way from where the axis' tensor stands: its points are shares of it."""
    return replace(axis, channel=None, mode="toward", observed=(0.0, 1.0), domain=(0.0, 1.0), **changes)


def row_goals(axis: Axis, node: Node) -> list[Axis]:
    """The ways that change rows of one tensor alone: to zero, to a constant, to each other."""
    whole, name = way_to(axis), name_of(axis)
    rows, width = math.prod(node.shape[:-1]), (node.shape or (1,))[-1]
    if len(node.shape) < 2 or width < 2:
        return []
    ways = [
        replace(whole, goal="zero row", label=f"the first row of {name} is 0", selector=f"{name}[0]->0"),
        replace(whole, goal="constant row", label=f"the first row of {name} is constant", selector=f"{name}[0]->mean"),
    ]
    if rows >= 2:
        label = f"the first two rows of {name} are equal"
        ways.append(replace(whole, goal="equal rows", label=label, selector=f"{name}[0]->{name}[1]"))
    return ways


def _dead_columns(axis: Axis, graph: Graph, node: int) -> list[Axis]:
    """Features that are 0 in every row, as dead units are. With one their covariance is singular; with two it has two
    equal eigenvalues, between which no direction is special."""
    name, shape, used = name_of(axis), graph.nodes[node].shape, {n.op for n in graph.nodes}
    found = []
    if len(shape) >= 2 and shape[-1] >= 3 and used & {"eigh", "svd"}:
        label = f"the first two columns of {name} are 0"
        found.append(way_to(axis, goal="zero columns", label=label, selector=f"{name}[..., :2]->0"))
    if len(shape) == 2 and shape[0] > shape[1] > 1 and used & {"logdet", "det", "cholesky", "linalg_inv_ex", "solve"}:
        label = f"the first column of {name} is 0"
        found.append(way_to(axis, goal="zero column", label=label, selector=f"{name}[..., 0]->0"))
    return found


def _labelled(axis: Axis, graph: Graph, names: dict[int, str], first: dict[int, Axis]) -> list[Axis]:
    """Raw scores to where every one is sure and right, as training drives them: each tensor of labels of their shape,
    or that beside dimensions of size 1.

    No single score shows an overlap of exactly 1, or a focus on what is left when nothing is.
    """
    bare = _bare(graph.nodes[axis.node].shape)
    same = [n for n in names if n in graph.targets and _bare(graph.nodes[n].shape) == bare]
    labels = [n for n in same if first[n].observed == (0.0, 1.0)]
    name = names[axis.node]
    return [
        replace(way_to(axis), goal="as labelled", other=n, label=f"{name} is sure and right of all {names[n]}",
                selector=f"{name}->{names[n]}*inf")
        for n in labels
    ]  # fmt: skip


def _bare(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)


def _pairs(whole: Axis, graph: Graph, node: int, names: dict[int, str], others: list[int]) -> list[Axis]:
    """To each tensor of the same shape, as a whole and in its first row, and to the first row of each that has rows of
    the same width (a code book, the centres of clusters); every pair once."""
    name, shape = names[node], graph.nodes[node].shape
    found = []
    for other in others:
        same = are_comparable(graph, node, other)
        if (other < node and other not in graph.targets) or not (same or _are_rows(shape, graph.nodes[other].shape)):
            continue
        to, its = replace(whole, other=other), names[other]
        if same:
            found.append(replace(to, goal="equal", label=f"{name} equals {its}", selector=f"{name}->{its}"))
        if len(shape) >= 2 and (graph.nodes[other].shape == shape or not same):
            label = f"the first rows of {name} and {its} are equal"
            found.append(replace(to, goal="equal row", label=label, selector=f"{name}[0]->{its}[0]"))
    return found


_RESHAPES = ("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "alias", "clone", "_to_copy")


def are_comparable(graph: Graph, one: int, other: int) -> bool:
    """Are two tensors of one shape, or does the loss give one of them the other's, its elements in the same order?"""
    shapes = graph.nodes[one].shape, graph.nodes[other].shape
    return shapes[0] == shapes[1] or shapes[1] in _shapes(graph, one) or shapes[0] in _shapes(graph, other)


def _shapes(graph: Graph, node: int) -> set[tuple[int, ...]]:
    """Every shape that the loss gives a tensor."""
    same = {node}
    for n in graph.nodes:
        if packet(n.aten) in _RESHAPES and n.args and isinstance(n.args[0], Ref) and n.args[0].index in same:
            same.add(n.index)
    return {graph.nodes[n].shape for n in same}


def _are_rows(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) == 2 and one[1] == other[1] > 1
