"""Patterns over the captured graph, written as a person writes the expression: `log(softmax(x))`, `1 - r ** 2`.

In a pattern calls are ops by rule name, operators are add, sub, mul, div, pow and neg, lower-case names capture
values (the same name twice means the same value), names that start with `c_` capture numbers only, `_` is
anything, `a | b` is either, and `pi`, `e` and `inf` are numbers. Arguments that a pattern leaves out match anything.
Views and selections are looked through. Sums and products match in any order and nesting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from nllcheck import ops
from nllcheck.match.pattern import BINARY, Pattern, captures_of, is_constant, options, parse
from nllcheck.types import Graph, Node, Ref

__all__ = ["Match", "Pattern", "captures_of", "find", "find_at", "parse"]

MOST_STEPS = 200_000  # of one `find`: patterns are small, but a rule file is not to be trusted with the clock


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern lies in a graph. `nodes` are the ops that the pattern spells, captures left out."""

    root: int
    nodes: frozenset[int]
    captures: dict[str, Ref | float] = field(hash=False)  # a Ref is the value as the op takes it, views included


def find(pattern: Pattern, graph: Graph) -> tuple[Match, ...]:
    """All places where the pattern lies, by ascending root; one match a root."""
    search, roots = _Search(graph), {option.op for option in options(pattern)}
    roots |= {"mul"} if "pow" in roots else set()
    return tuple(m for n in graph.nodes if n.op in roots and (m := search.at(pattern, n.index)))


def find_at(pattern: Pattern, graph: Graph, root: int) -> Match | None:
    """The match whose outermost op is `root`, if there is one."""
    return _Search(graph).at(pattern, root)


_Values = tuple[object, ...]
_State = tuple[frozenset[int], dict[str, Ref | float]]  # the ops and the captures so far


class _Search:
    """Backtracking over alternatives and orders; generators yield every way to go on."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps = 0

    def at(self, pattern: Pattern, root: int) -> Match | None:
        ways = (s for option in options(pattern) for s in self._op(option, self.graph.nodes[root], (frozenset(), {})))
        state = next(ways, None)
        return Match(root, *state) if state else None

    def _fits(self, pattern: Pattern, value: object, state: _State) -> Iterator[_State]:
        self.steps += 1
        if self.steps > MOST_STEPS:
            return
        if pattern.op == "|":
            for option in pattern.args:
                yield from self._fits(option, value, state)
        elif pattern.op:
            for node in self._behind(value):
                yield from self._op(pattern, node, state)
        elif pattern.name:
            yield from self._named(pattern, value, state)
        elif self._is_number(value, pattern.number):
            yield state

    def _named(self, pattern: Pattern, value: object, state: _State) -> Iterator[_State]:
        number = self._number(value)
        found = value if number is None else number
        if pattern.name == "_":
            yield state
        elif not isinstance(found, (Ref, float)) or (number is None and is_constant(pattern)):
            return
        elif pattern.name not in state[1]:
            yield state[0], {**state[1], pattern.name: found}
        elif self._same(found, state[1][pattern.name]):
            yield state

    def _op(self, pattern: Pattern, node: Node, state: _State) -> Iterator[_State]:
        args = self._arguments(pattern.op, node)
        if args is None:
            return
        wanted, nodes = pattern.args, state[0] | {node.index}
        if pattern.op in ("add", "mul") and len(wanted) > 1:
            for terms, inner in self._sums(node, len(wanted) + 2 * any(map(is_constant, wanted))):
                for chosen in self._foldings(node.op, terms, len(wanted)):
                    yield from self._assigned(wanted, chosen, (nodes | inner, state[1]), True)
            return
        args += (None,) * (len(wanted) - len(args))
        for swapped in (False, True)[: 1 + (ops.row(pattern.op).commutative and len(wanted) > 1)]:
            yield from self._assigned(wanted, (args[1], args[0]) if swapped else args, (nodes, state[1]), False)

    def _arguments(self, op: str, node: Node) -> _Values | None:
        """The arguments, if the node is the op as a pattern means it: without a scale or a rounding of its own."""
        args, packet = node.args, ops.packet(node.aten)
        if op == "pow" and node.op == "mul" and len(args) > 1 and self._same(args[0], args[1]):
            return args[0], 2.0  # two views of one value; capture respells only x * x
        options = [v for k, v in node.kwargs if k in ("alpha", "rounding_mode")]
        options += args[2:] if op in ("add", "sub") else ()
        if node.op != op or len(args) < 1 + (op in BINARY.values()) or any(v not in (None, 1) for v in options):
            return None
        return (args[0], None, *args[1:]) if packet == "clamp_max" else args

    def _assigned(self, wanted: tuple[Pattern, ...], values: _Values, state: _State, free: bool) -> Iterator[_State]:
        """Every way to give each pattern a value of its own: any if free, else the one in its place."""
        if not wanted:
            yield state
            return
        for i, value in enumerate(values if free else values[:1]):
            for after in self._fits(wanted[0], value, state):
                yield from self._assigned(wanted[1:], values[:i] + values[i + 1 :], after, free)

    def _sums(self, node: Node, most: int) -> Iterator[tuple[_Values, frozenset[int]]]:
        """Ways to read nested sums as one of up to `most` terms, with the inner sums' nodes; whole terms first."""
        for left, inner_left in self._leaves(node, 0, most - 1):
            for right, inner_right in self._leaves(node, 1, most - len(left)):
                yield left + right, inner_left | inner_right

    def _leaves(self, node: Node, side: int, most: int) -> Iterator[tuple[_Values, frozenset[int]]]:
        yield (node.args[side],), frozenset()
        for inner in self._behind(node.args[side]) if most > 1 else ():
            for terms, nodes in self._sums(inner, most) if self._arguments(node.op, inner) else ():
                yield terms, nodes | {inner.index}

    def _foldings(self, op: str, terms: _Values, wanted: int) -> Iterator[_Values]:
        """The terms, if they are as many as wanted; else with their numbers made one, if that helps."""
        numbers = [n for t in terms if (n := self._number(t)) is not None]
        if len(terms) == wanted:
            yield terms
        elif len(terms) - len(numbers) + 1 == wanted:
            folded = sum(numbers) if op == "add" else math.prod(numbers)
            yield (*(t for t in terms if self._number(t) is None), folded)

    def _behind(self, value: object) -> Iterator[Node]:
        """The value's node, and those that it shows a view or a selection of."""
        while isinstance(value, Ref):
            node = self.graph.nodes[value.index]
            yield node
            value = node.args[0] if ops.is_transparent(node.op) and node.args else None

    def _number(self, value: object) -> float | None:
        for node in self._behind(value):
            value = node.args[0] if node.op == "constant" and node.args else None
        return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None

    def _is_number(self, value: object, wanted: float | None) -> bool:
        number = self._number(value)
        if number is None or wanted is None:
            return False
        tolerance = 1e-12 if wanted.is_integer() else 1e-6  # 1 + 1e-10 is not 1: that is a finding
        return math.isclose(number, wanted, rel_tol=tolerance)

    def _same(self, one: object, other: object) -> bool:
        """One number, or one value: views of it, or a selection of it beside the whole, but not two columns."""
        if not isinstance(one, Ref) or not isinstance(other, Ref):
            return self._is_number(one, self._number(other))
        (*chain, base), (*other_chain, other_base) = self._behind(one), self._behind(other)
        steps = zip(_selections(chain), _selections(other_chain), strict=False)
        return base is other_base and all(a == b for a, b in steps)


def _selections(chain: list[Node]) -> list[object]:
    """What the chain selects of its last node, in the order done; `[:]`, which torch adds to `x[:, 0]`, left out."""
    picks = [(n.aten, n.args[1:], n.kwargs) for n in reversed(chain) if ops.row(n.op).kind == "select"]
    return [p for p in picks if not (ops.packet(p[0]) == "slice" and p[1][1:] in ((), (0,), (0, 2**63 - 1)))]
