"""Patterns over the captured graph, written as a person writes the expression: `log(softmax(x))`, `1 - r ** 2`.

In a pattern calls are ops by rule name, operators are add, sub, mul, div, pow and neg, lower-case names capture
values (the same name twice means the same value), names that start with `c_` capture numbers only, `_` is
anything, and `pi` and `e` are numbers. Arguments that a pattern leaves out match anything. Views and selections
are looked through. Sums and products match in either order.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from nllcheck import ops
from nllcheck.errors import NllcheckError
from nllcheck.types import Graph, Node, Ref

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
_CONSTANTS = {"pi": math.pi, "e": math.e}
_MOST_STEPS = 200_000  # of one `find`: patterns are small, but a rule file is not to be trusted with the clock


@dataclass(frozen=True, slots=True)
class Pattern:
    """A node of a parsed pattern: an op with arguments, a name, or a number."""

    op: str = ""
    args: tuple[Pattern, ...] = ()
    name: str = ""
    number: float | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Where a pattern lies in a graph. `nodes` are the ops that the pattern spells, captures left out."""

    root: int
    nodes: frozenset[int]
    captures: dict[str, Ref | float] = field(hash=False)


@functools.lru_cache(maxsize=1024)
def parse(text: str) -> Pattern:
    """Read a pattern. Raises NllcheckError with the column for anything that is none."""
    if len(text) > 500:
        raise NllcheckError("the pattern is longer than 500 characters")
    try:
        return _pattern(ast.parse(text, mode="eval").body, text)
    except SyntaxError as error:
        raise NllcheckError(f"cannot read the pattern '{text}': {error.msg} at column {error.offset}") from None


def _pattern(node: ast.expr, text: str) -> Pattern:
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return Pattern(_known(node.func.id, node, text), tuple(_pattern(a, text) for a in node.args))
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        return Pattern(_BINARY[type(node.op)], (_pattern(node.left, text), _pattern(node.right, text)))
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        inner = _pattern(node.operand, text)
        return Pattern(number=-inner.number) if inner.number is not None else Pattern("neg", (inner,))
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return Pattern(number=float(node.value))
    if isinstance(node, ast.Name):
        return Pattern(number=_CONSTANTS[node.id]) if node.id in _CONSTANTS else Pattern(name=_lower(node, text))
    raise NllcheckError(f"'{text}' is no pattern: unexpected {type(node).__name__} at column {node.col_offset + 1}")


def _known(name: str, node: ast.expr, text: str) -> str:
    if name not in ops.BY_NAME:
        from nllcheck.errors import did_you_mean

        hint = did_you_mean(name, set(ops.BY_NAME))
        raise NllcheckError(f"unknown op '{name}' in '{text}' at column {node.col_offset + 1}", hint=hint)
    return name


def _lower(node: ast.Name, text: str) -> str:
    if node.id != node.id.lower() or node.id.startswith("__"):
        raise NllcheckError(f"captures are lower-case names: '{node.id}' in '{text}' at column {node.col_offset + 1}")
    return node.id


def captures_of(pattern: Pattern) -> set[str]:
    """The names that a match of this pattern will hold."""
    own = {pattern.name} - {"", "_"}
    return own.union(*(captures_of(a) for a in pattern.args)) if pattern.args else own


def find(pattern: Pattern, graph: Graph) -> tuple[Match, ...]:
    """All places where the pattern lies, by ascending root; one match a root."""
    search = _Search(graph)
    roots = (n.index for n in graph.nodes if pattern.op == n.op)
    return tuple(m for root in roots if (m := search.at(pattern, root)))


def find_at(pattern: Pattern, graph: Graph, root: int) -> Match | None:
    """The match whose outermost op is `root`, if there is one."""
    return _Search(graph).at(pattern, root)


@dataclass(frozen=True, slots=True)
class _State:
    nodes: frozenset[int] = frozenset()
    captures: tuple[tuple[str, Ref | float], ...] = ()

    def captured(self, name: str) -> Ref | float | None:
        return next((v for k, v in self.captures if k == name), None)


class _Search:
    """Backtracking over argument orders; generators yield every way to go on."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.steps = 0

    def at(self, pattern: Pattern, root: int) -> Match | None:
        state = next(self._op(pattern, self.graph.nodes[root], _State()), None)
        return Match(root, state.nodes, dict(state.captures)) if state else None

    def _any(self, pattern: Pattern, value: object, state: _State) -> Iterator[_State]:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            return
        if pattern.name:
            yield from self._name(pattern.name, value, state)
            return
        if pattern.number is not None:
            number = self._number(value)
            tolerance = 1e-12 if pattern.number.is_integer() else 1e-6  # 1 + 1e-10 is not 1: that is a finding
            if number is not None and math.isclose(number, pattern.number, rel_tol=tolerance):
                yield state
            return
        source = self._source(value)
        if isinstance(source, Ref):
            yield from self._op(pattern, self.graph.nodes[source.index], state)

    def _name(self, name: str, value: object, state: _State) -> Iterator[_State]:
        if name == "_":
            yield state
            return
        number = self._number(value)
        found = number if number is not None else self._source(value)
        if not isinstance(found, (Ref, float)) or (name.startswith("c_") and number is None):
            return
        old = state.captured(name)
        if old is None:
            yield _State(state.nodes, (*state.captures, (name, found)))
        elif old == found:
            yield state

    def _op(self, pattern: Pattern, node: Node, state: _State) -> Iterator[_State]:
        if node.op != pattern.op or len(pattern.args) > len(node.args):
            return
        here = _State(state.nodes | {node.index}, state.captures)
        orders = [pattern.args]
        if ops.row(node.op).commutative and len(pattern.args) == 2:
            orders.append(pattern.args[::-1])
        for args in orders:
            yield from self._all(args, node.args, here)

    def _all(self, patterns: tuple[Pattern, ...], values: tuple[object, ...], state: _State) -> Iterator[_State]:
        if not patterns:
            yield state
            return
        for after in self._any(patterns[0], values[0], state):
            yield from self._all(patterns[1:], values[1:], after)

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
        if isinstance(source, (int, float)) and not isinstance(source, bool):
            return float(source)
        if isinstance(source, Ref):
            node = self.graph.nodes[source.index]
            if node.op == "constant" and node.args and isinstance(node.args[0], (int, float)):
                return float(node.args[0])
        return None
