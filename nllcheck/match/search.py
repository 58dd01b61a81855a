"""The search of one graph for patterns: backtracking over argument orders, pruned by what cannot match at all."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from nllcheck import ops
from nllcheck.match.pattern import EITHER, Pattern
from nllcheck.types import Graph, Node, Ref

MOST_STEPS = 200_000  # of one search: only the same name many times over can cost more, and then it finds less


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern lies in a graph. `nodes` are the ops that the pattern spells, captures left out."""

    root: int
    nodes: frozenset[int]
    captures: dict[str, Ref | float] = field(hash=False)


@dataclass(frozen=True, slots=True)
class _State:
    nodes: frozenset[int] = frozenset()
    captures: tuple[tuple[str, Ref | float], ...] = ()

    def captured(self, name: str) -> Ref | float | None:
        return next((v for k, v in self.captures if k == name), None)


class Search:
    """Generators yield every way to go on; what fits by shape alone is remembered by (pattern, node)."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps = 0
        self.shapes: dict[tuple[int, int], bool] = {}  # by identity: a pattern outlives the search for it

    def at(self, pattern: Pattern, root: int) -> Match | None:
        """The match whose outermost op is `root`."""
        state = next(self._node(pattern, self.graph.nodes[root], _State()), None)
        return Match(root, state.nodes, dict(state.captures)) if state else None

    def _node(self, pattern: Pattern, node: Node, state: _State) -> Iterator[_State]:
        """Ways to lay an op pattern on `node` itself."""
        if pattern.op == EITHER:
            for side in pattern.args:
                yield from self._node(side, node, state)
        elif pattern.op and self._fits(pattern, node):
            here = _State(state.nodes | {node.index}, state.captures)
            for args in _orders(pattern):
                yield from self._all(args, node.args, here)

    def _all(self, patterns: tuple[Pattern, ...], values: tuple[object, ...], state: _State) -> Iterator[_State]:
        if not patterns:
            yield state
            return
        for after in self._value(patterns[0], values[0], state):
            yield from self._all(patterns[1:], values[1:], after)

    def _value(self, pattern: Pattern, value: object, state: _State) -> Iterator[_State]:
        """Ways to lay a pattern on an argument."""
        self.steps += 1
        if self.steps > MOST_STEPS:
            return
        if pattern.op == EITHER:
            for side in pattern.args:
                yield from self._value(side, value, state)
        elif pattern.name:
            yield from self._name(pattern.name, value, state)
        elif pattern.number is not None:
            yield from (state,) * self._is_number(pattern.number, value)
        elif isinstance(source := self._source(value), Ref):
            yield from self._node(pattern, self.graph.nodes[source.index], state)

    def _name(self, name: str, value: object, state: _State) -> Iterator[_State]:
        found = self._captured(name, value)
        old = state.captured(name)
        if name == "_" or (old is not None and old == found):
            yield state
        elif old is None and found is not None:
            yield _State(state.nodes, (*state.captures, (name, found)))

    def _captured(self, name: str, value: object) -> Ref | float | None:
        number = self._number(value)
        source = self._source(value)
        if number is not None or name.startswith("c_"):
            return number
        return source if isinstance(source, Ref) else None

    def _fits(self, pattern: Pattern, node: Node) -> bool:
        """Could the pattern lie here if every capture were free?"""
        key = id(pattern), node.index
        if key not in self.shapes:
            self.shapes[key] = _is_op(pattern, node) and any(
                all(self._could(p, v) for p, v in zip(args, node.args, strict=False)) for args in _orders(pattern)
            )
        return self.shapes[key]

    def _could(self, pattern: Pattern, value: object) -> bool:
        if pattern.op == EITHER:
            return any(self._could(side, value) for side in pattern.args)
        if pattern.name:
            return pattern.name == "_" or self._captured(pattern.name, value) is not None
        if pattern.number is not None:
            return self._is_number(pattern.number, value)
        source = self._source(value)
        return isinstance(source, Ref) and self._fits(pattern, self.graph.nodes[source.index])

    def _is_number(self, wanted: float, value: object) -> bool:
        number = self._number(value)
        tolerance = 1e-12 if wanted.is_integer() else 1e-6  # 1 + 1e-10 is not 1: that is a finding
        return number is not None and math.isclose(number, wanted, rel_tol=tolerance)

    def _source(self, value: object) -> object:
        """The value behind views and selections."""
        while isinstance(value, Ref):
            node = self.graph.nodes[value.index]
            if not (ops.is_transparent(node.op) and node.args and isinstance(node.args[0], Ref)):
                break
            value = node.args[0]
        return value

    def _number(self, value: object) -> float | None:
        source = self._source(value)
        if isinstance(source, Ref):
            node = self.graph.nodes[source.index]
            source = node.args[0] if node.op == "constant" and node.args else None
        return float(source) if isinstance(source, (int, float)) and not isinstance(source, bool) else None


def _orders(pattern: Pattern) -> tuple[tuple[Pattern, ...], ...]:
    swaps = ops.row(pattern.op).commutative and len(pattern.args) == 2
    return (pattern.args, pattern.args[::-1]) if swaps else (pattern.args,)


def _is_op(pattern: Pattern, node: Node) -> bool:
    """Is `node` the op that the pattern spells? `torch.add(x, y, alpha=2)` is no plain sum."""
    weighted = any(key == "alpha" and value != 1 for key, value in node.kwargs)
    return node.op == pattern.op and len(pattern.args) <= len(node.args) and not weighted
