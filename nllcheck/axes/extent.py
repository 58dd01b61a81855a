"""Bounds on what a node of the graph can be, whatever the parameters and the data are."""

from __future__ import annotations

import math

from nllcheck import ops
from nllcheck.axes.cosines import is_cosine
from nllcheck.graphs import refs
from nllcheck.ops import packet
from nllcheck.types import Graph, Node, Ref


def variable_refs(graph: Graph, node: Node) -> tuple[int, ...]:
    """What an op reads that makes a difference to its values."""
    return () if ops.row(node.op).kind in ("create", "random") else refs(node)


def value_bounds(graph: Graph, index: int) -> tuple[float, float]:
    """Bounds on a node's rounded values that hold whatever flows in, ends included; wide where unknown.

    Only what needs no thought: squashing ops, cosines, and products, sums, views and joins of bounded values. An LSTM's
    output (a gate times a tanh) is found to lie in [-1, 1], a product of squares and exponentials above 0.
    """
    return _value_bounds(graph, index, {})


_WIDE = (-math.inf, math.inf)
_NEAR_ENOUGH = 40  # ops that are looked back
_FILLED = {"ones": (1.0, 1.0), "ones_like": (1.0, 1.0), "zeros": (0.0, 0.0), "zeros_like": (0.0, 0.0)}


def _value_bounds(
    graph: Graph, index: int, known: dict[int, tuple[float, float]], depth: int = _NEAR_ENOUGH
) -> tuple[float, float]:
    node = graph.nodes[index]
    row = ops.row(node.op)
    if row.bounds is not None or depth == 0:
        return row.bounds or (-math.inf, math.inf)
    if packet(node.aten) in _FILLED:
        return _FILLED[packet(node.aten)]
    if is_cosine(graph, node):
        return -1.0, 1.0
    if index not in known:
        parts = [_value_bounds(graph, r, known, depth - 1) for r in variable_refs(graph, node)]
        known[index] = _combined(node, row, parts)
    return known[index]


def _combined(node: Node, row: ops.Op, parts: list[tuple[float, float]]) -> tuple[float, float]:
    if node.op in ("view", "select", "gather", "index", "cat") and parts:
        return min(p[0] for p in parts), max(p[1] for p in parts)
    if node.op in ("add", "sub") and not node.kwargs and (both := _of_both(node, parts)):
        (a, b), (c, d) = both
        return (a + c, b + d) if node.op == "add" else (a - d, b - c)
    if node.op == "mul" and len(parts) == 2 and all(math.isfinite(c) for p in parts for c in p):
        corners = [a * b for a in parts[0] for b in parts[1]]
        return min(corners), max(corners)
    square = node.op == "pow" and isinstance(node.args[1], int) and node.args[1] % 2 == 0
    positive = square or (_keeps_sign(node, row) and parts and all(low >= 0 for low, _ in parts))
    return (0.0 if positive else -math.inf), math.inf


def _of_both(node: Node, parts: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The bounds of the two operands, plain numbers among them, if all are finite."""
    rest = iter(parts)
    plain = [a for a in node.args if isinstance(a, (Ref, int, float))]
    both = [next(rest, _WIDE) if isinstance(a, Ref) else (float(a), float(a)) for a in plain]
    return both if len(both) == 2 and all(math.isfinite(end) for one in both for end in one) else []


def _keeps_sign(node: Node, row: ops.Op) -> bool:
    """Are sums and products of nothing negative not negative either?"""
    if row.name in ("add", "mul", "div"):
        return not node.kwargs and all(
            isinstance(a, Ref) or (isinstance(a, (int, float)) and a >= 0) for a in node.args
        )
    return row.kind == "linear" or row.name in ("sum", "mean", "cumsum", "prod")
