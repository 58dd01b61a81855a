"""The expression language of a rule's `when:`, and the reader that patterns share with it.

`when: "event.kind == 'nan' and max(abs(r)) > 0.99"` is Python syntax, read by `ast` and walked by this file: nothing
is ever handed to Python to run. A capture stands for the `Range` of the values that it took. A comparison of a range
holds if it holds for all of its values, and any comparison with nan fails, `!=` included.
"""

from __future__ import annotations

import ast
import math
import operator
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import SimpleNamespace
from typing import NoReturn

from nllcheck.errors import NllcheckError, did_you_mean

LONGEST = 1000  # characters
DEEPEST = 40  # nested operations


@dataclass(frozen=True, slots=True)
class Range:
    """The values from `low` to `high`, both ends included; nan at an end means that they are not known."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; make one with `compile`."""

    text: str
    names: frozenset[str]  # what `evaluate` may look up, functions left out: {"event", "r"}
    attributes: frozenset[str]  # {"event.kind"}
    tree: ast.expr = field(repr=False, compare=False)

    def evaluate(self, names: Mapping[str, object]) -> object:
        """A number, string, bool, tuple or Range; NllcheckError, with the column, for values that do not fit."""
        return _value(self.tree, (self.text, names))


@lru_cache(maxsize=1024)
def compile(text: str) -> Expression:
    """Check `text` against the language; NllcheckError names the column of what does not belong to it."""
    tree = read(text)
    _check(text, tree)
    names = frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)) - FUNCTIONS.keys()
    attributes = frozenset(ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute))
    return Expression(text, names, attributes, tree)


def read(text: str) -> ast.expr:
    """The syntax tree of one expression (it may run over lines), within the bounds on length and depth."""
    if len(text) > LONGEST:
        fail(text[:LONGEST], LONGEST, f"the expression is longer than {LONGEST} characters")
    try:
        tree = ast.parse(_one_line(text), mode="eval").body
    except SyntaxError as error:
        fail(text, max((error.offset or 1) - 1, 0), f"cannot read the expression: {error.msg}")
    except (ValueError, MemoryError, RecursionError) as error:
        fail(text, 0, f"cannot read the expression: {error or 'nested too deeply'}")
    _bound(text, tree, DEEPEST)
    return tree


def fail(text: str, at: ast.expr | int, message: str, hint: str = "") -> NoReturn:
    """Raise NllcheckError that points at a node (or a 0-based place) of `text`; columns count characters, from 1."""
    flat = _one_line(text)
    column = at if isinstance(at, int) else len(flat.encode()[: at.col_offset].decode(errors="ignore"))
    raise NllcheckError(message, where=f"column {column + 1} of `{flat}`", hint=hint)


def _one_line(text: str) -> str:
    return re.sub(r"\s", " ", text).strip()


def _bound(text: str, node: ast.expr, left: int) -> None:
    if not left:
        fail(text, node, f"nested more than {DEEPEST} deep")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _bound(text, child, left - 1)


# What belongs to the language.

_OPERATORS = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.USub, ast.UAdd, ast.Not, ast.And, ast.Or, ast.In, ast.NotIn)
_COMPARISONS = (ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq)
_SIMPLE = (ast.BoolOp, ast.BinOp, ast.UnaryOp, ast.Compare, ast.Tuple, ast.List)


def _check(text: str, node: ast.expr) -> None:
    complaint = _complaint(node)
    if complaint:
        fail(text, node, complaint, "known: and or not, in, < <= == != >= >, + - * /, " + ", ".join(FUNCTIONS))
    for child in node.args if isinstance(node, ast.Call) else ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _check(text, child)


def _complaint(node: ast.expr) -> str:
    """Why the node itself is refused; empty if it is fine."""
    match node:
        case ast.Constant(value=value):
            return "" if type(value) in (bool, int, float, str, type(None)) else "only numbers and strings are values"
        case ast.Name(id=name):
            return f"'{name}' is a function" if name in FUNCTIONS else _hidden(name)
        case ast.Attribute(value=ast.Name() | ast.Attribute(), attr=name):
            return _hidden(name)
        case ast.Call(func=ast.Name(id=name)) if name in FUNCTIONS:
            plain = not node.keywords and not any(isinstance(a, ast.Starred) for a in node.args)
            fits = plain and (len(node.args) == 1 or (node.args and name in ("min", "max")))
            return "" if fits else f"'{name}' takes one plain argument (min and max take several)"
        case ast.Call():
            return f"unknown function '{ast.unparse(node.func)}'"
    parts = [c for c in ast.iter_child_nodes(node) if not isinstance(c, (ast.expr, ast.expr_context))]
    odd = [c for c in parts if not isinstance(c, _OPERATORS + _COMPARISONS)]
    if isinstance(node, _SIMPLE) and not odd:
        return ""
    return f"'{type((odd or [node])[0]).__name__}' is not part of the language"


def _hidden(name: str) -> str:
    return f"'{name}': names do not start with '_'" if name.startswith("_") else ""


# What it means. A scope is the text, for errors, and the names.

_Scope = tuple[str, Mapping[str, object]]


def _value(node: ast.expr, scope: _Scope) -> object:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return _looked_up(node, node.id, scope[1], scope)
        case ast.Attribute():
            space = _value(node.value, scope)
            return _looked_up(node, node.attr, vars(space) if isinstance(space, SimpleNamespace) else space, scope)
        case ast.Tuple() | ast.List():
            return tuple(_value(item, scope) for item in node.elts)
        case ast.BoolOp():
            return (all if isinstance(node.op, ast.And) else any)(_truth(v, scope) for v in node.values)
        case ast.UnaryOp(op=ast.Not()):
            return not _truth(node.operand, scope)
        case ast.Compare():
            return _compared(node, scope)
        case ast.Call():
            return _called(node, scope)
    return _number(_arithmetic(node, scope))


def _looked_up(node: ast.expr, name: str, names: object, scope: _Scope) -> object:
    """A value by name; objects of other kinds are refused, so that no code of theirs can run."""
    if not isinstance(names, Mapping) or name not in names:
        known = {str(k) for k in names} if isinstance(names, Mapping) else set()
        fail(scope[0], node, f"unknown name '{name}'", did_you_mean(name, known))
    value = names[name]
    if value is None or isinstance(value, (int, float, str, tuple, list, frozenset, Range, SimpleNamespace, Mapping)):
        return value
    fail(scope[0], node, f"'{name}' is a '{type(value).__name__}', which the language cannot hold")


def _truth(node: ast.expr, scope: _Scope) -> bool:
    value = _value(node, scope)
    if isinstance(value, (Range, SimpleNamespace, Mapping)):
        fail(scope[0], node, "is neither true nor false", "compare it: max(x) > 0")
    return bool(value)


def _arithmetic(node: ast.expr, scope: _Scope) -> Range:
    """Interval arithmetic; a number is the range of itself, and division is that of IEEE."""
    if isinstance(node, ast.UnaryOp):
        one = _range(_value(node.operand, scope), node, scope)
        return Range(-one.high, -one.low) if isinstance(node.op, ast.USub) else one
    assert isinstance(node, ast.BinOp)
    a, b = (_range(_value(side, scope), side, scope) for side in (node.left, node.right))
    if isinstance(node.op, ast.Div) and b.low <= 0 <= b.high and b.low < b.high and a.low <= a.high:
        return Range(-math.inf, math.inf)
    corners = [_ARITHMETIC[type(node.op)](x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(_extreme(min, corners), _extreme(max, corners))


def _called(node: ast.Call, scope: _Scope) -> object:
    assert isinstance(node.func, ast.Name)
    values = [_value(a, scope) for a in node.args]
    sized = isinstance(values[0], _SIZED)
    if node.func.id == "len" and sized:
        return len(values[0])  # type: ignore[arg-type]
    items = values[0] if len(values) == 1 and sized else values
    if node.func.id == "len" or not items:
        fail(scope[0], node, f"'{node.func.id}' cannot take this value")
    return _number(FUNCTIONS[node.func.id]([_range(v, node, scope) for v in items]))  # type: ignore[attr-defined]


def _compared(node: ast.Compare, scope: _Scope) -> bool:
    left = _value(node.left, scope)
    for op, right_node in zip(node.ops, node.comparators, strict=True):
        right = _value(right_node, scope)
        if not _holds(op, left, right, right_node, scope):
            return False
        left = right
    return True


def _holds(op: ast.cmpop, left: object, right: object, node: ast.expr, scope: _Scope) -> bool:
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, (tuple, list, frozenset) if not isinstance(left, str) else _SIZED):
            fail(scope[0], node, "'in' needs a tuple on its right, or strings on both sides")
        return (left in right) == isinstance(op, ast.In)  # type: ignore[operator]
    both = _as_range(left), _as_range(right)
    if both[0] and both[1]:
        return _ORDER[type(op)](*both)
    if isinstance(op, (ast.Eq, ast.NotEq)):
        return (left == right) == isinstance(op, ast.Eq)
    if left is None or right is None:  # a number that does not exist, as nan
        return False
    fail(scope[0], node, f"cannot order '{type(left).__name__}' and '{type(right).__name__}'")


def _range(value: object, node: ast.expr, scope: _Scope) -> Range:
    return _as_range(value) or fail(scope[0], node, f"needs numbers, not '{type(value).__name__}'")


def _as_range(value: object) -> Range | None:
    if isinstance(value, (int, float)):
        value = float(value) if not abs(value) > sys.float_info.max else math.inf if value > 0 else -math.inf
        return Range(value, value)
    return value if isinstance(value, Range) else None


def _number(value: object) -> object:
    """A range of one value, or of none that is known, as a number."""
    return value.low if isinstance(value, Range) and (value.low == value.high or value.low != value.low) else value


def _extreme(of: Callable[[list[float]], float], values: list[float]) -> float:
    return math.nan if any(map(math.isnan, values)) else of(values)


def _absolute(values: list[Range]) -> Range:
    low, high = sorted((abs(values[0].low), abs(values[0].high)))
    return Range(0.0 if values[0].low < 0 < values[0].high else low, high)


def _divided(a: float, b: float) -> float:
    return a / b if b else math.nan if a == 0 or a != a else math.copysign(math.inf, a) * math.copysign(1.0, b)


_SIZED = (str, tuple, list, frozenset)
_ARITHMETIC: dict[type, Callable[[float, float], float]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: _divided
}  # fmt: skip
_ORDER: dict[type, Callable[[Range, Range], bool]] = {
    ast.Lt: lambda a, b: a.high < b.low,
    ast.LtE: lambda a, b: a.high <= b.low,
    ast.Gt: lambda a, b: a.low > b.high,
    ast.GtE: lambda a, b: a.low >= b.high,
    ast.Eq: lambda a, b: a.low == a.high == b.low == b.high,
    ast.NotEq: lambda a, b: a.high < b.low or a.low > b.high,
}
FUNCTIONS: dict[str, Callable[[list[Range]], object]] = {
    "abs": _absolute,
    "isnan": lambda ranges: any(math.isnan(r.low) or math.isnan(r.high) for r in ranges),
    "len": lambda ranges: len(ranges),
    "max": lambda ranges: _extreme(max, [r.high for r in ranges]),
    "min": lambda ranges: _extreme(min, [r.low for r in ranges]),
}
