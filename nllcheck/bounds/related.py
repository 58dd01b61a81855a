"""Arguments that are not independent: a tensor minus its own maximum, and the sum of the exponentials of that."""

from __future__ import annotations

from nllcheck.bounds.interval import Interval, meet
from nllcheck.types import Graph, Node, Ref

_HANDED_ON = ("aten.detach.default", "aten.alias.default", "aten.clone.default")
Dims = frozenset[int]


def narrowed(graph: Graph, node: Node, value: Interval) -> Interval:
    """`value` met with what the op's arguments have to do with each other.

    `x - x.max(dim)` is never above 0 and exactly 0 somewhere in each row, so the exponentials of a row of it sum to
    1 at least (rounding keeps both: each sum is of numbers that are not negative).
    """
    if node.op == "sub" and _below_own_maximum(graph, node) is not None:
        return meet(value, (float("-inf"), 0.0))
    if node.op == "sum" and _holds_a_one(graph, node):
        return meet(value, (1.0, float("inf")))
    return value


def _below_own_maximum(graph: Graph, node: Node) -> Dims | None:
    """The dimensions over which `node` subtracts the maximum of what it subtracts from; None if it does not."""
    if len(node.args) != 2 or node.kwargs or not all(isinstance(a, Ref) for a in node.args):
        return None
    x, taken = graph.nodes[node.args[0].index], graph.nodes[node.args[1].index]
    opened: int | None = None
    while taken.aten in (*_HANDED_ON, "aten.unsqueeze.default") or "getitem" in taken.aten:
        if "unsqueeze" in taken.aten:
            opened = int(taken.args[1]) % len(taken.shape)
        taken = graph.nodes[taken.args[0].index]
    if taken.op != "max" or taken.args[0] != Ref(x.index):
        return None
    return _reduced(taken, len(x.shape), opened)


def _reduced(maximum: Node, rank: int, opened: int | None) -> Dims | None:
    """The dimensions of a maximum that broadcasts back over what it was taken of."""
    every = frozenset(range(rank))
    if len(maximum.args) == 1:
        return every
    given = maximum.args[1]
    dims = frozenset(int(d) % max(rank, 1) for d in (given if isinstance(given, tuple) else (given,))) or every
    kept = len(maximum.args) > 2 and maximum.args[2] is True
    if kept and opened is None:
        return dims
    return dims if not kept and dims == {opened} else None


def _holds_a_one(graph: Graph, node: Node) -> bool:
    inner = graph.nodes[node.args[0].index] if isinstance(node.args[0], Ref) else node
    if inner.aten != "aten.exp.default":
        return False
    difference = graph.nodes[inner.args[0].index]
    dims = _below_own_maximum(graph, difference) if difference.op == "sub" else None
    return dims is not None and dims <= _summed(node, len(inner.shape))


def _summed(node: Node, rank: int) -> Dims:
    given = node.args[1] if len(node.args) > 1 else None
    every = frozenset(range(rank))
    return frozenset(int(d) % max(rank, 1) for d in given) or every if isinstance(given, tuple) else every
