"""Patterns over the captured graph, written as a person writes the expression: `log(softmax(x))`, `1 - r ** 2`.

In a pattern calls are ops by rule name, operators are add, sub, mul, div, pow and neg, `a | b` is either of two,
lower-case names capture values (the same name twice means the same value), names that start with `c_` capture numbers
only, `_` is anything, and `pi` and `e` are numbers. Arguments that a pattern leaves out match anything. Views and
selections are looked through, so `log(softmax(x))` also finds the logarithm of one column of a softmax. Sums and
products match in either order.
"""

from __future__ import annotations

from collections.abc import Iterator

from nllcheck.match.pattern import Pattern, captures_of, needs, parse, show
from nllcheck.match.search import Match, Search
from nllcheck.types import Graph

__all__ = ["Match", "Pattern", "captures_of", "find", "find_at", "parse", "show"]


def find(pattern: Pattern, graph: Graph) -> tuple[Match, ...]:
    """All places where the pattern lies, by ascending root; one match a root."""
    if not needs(pattern) <= {n.op for n in graph.nodes}:
        return ()
    return tuple(_found(pattern, graph))


def find_at(pattern: Pattern, graph: Graph, root: int) -> Match | None:
    """The match whose outermost op is `root`, if there is one."""
    return Search(graph).at(pattern, root)


def _found(pattern: Pattern, graph: Graph) -> Iterator[Match]:
    search = Search(graph)
    for node in graph.nodes:
        match = search.at(pattern, node.index)
        if match:
            yield match
