"""What a condition means: a tree and names -> a value. Every operand is evaluated, `and` and `or` included, so that
whether an expression raises depends on the kinds of its values and never on their size."""

from __future__ import annotations

import ast
import math
import operator
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import SimpleNamespace

from nllcheck.errors import did_you_mean
from nllcheck.expr.reader import fail


@dataclass(frozen=True, slots=True)
class Range:
    """The values from `low` to `high`, both ends included; nan at an end means that they are not known."""

    low: float
    high: float


Scope = tuple[str, Mapping[str, object]]  # the text, for errors, and the names


def evaluated(node: ast.expr, scope: Scope) -> object:
    match node:
        case ast.Constant():
            return node.value
        case ast.Name():
            return _looked_up(node, node.id, scope[1], scope)
        case ast.Attribute():
            space = evaluated(node.value, scope)
            return _looked_up(node, node.attr, vars(space) if isinstance(space, SimpleNamespace) else space, scope)
        case ast.Tuple() | ast.List():
            return tuple(evaluated(item, scope) for item in node.elts)
        case ast.BoolOp():
            truths = [_truth(v, scope) for v in node.values]
            return all(truths) if isinstance(node.op, ast.And) else any(truths)
        case ast.UnaryOp(op=ast.Not()):
            return not _truth(node.operand, scope)
        case ast.Compare():
            return _compared(node, scope)
        case ast.Call():
            return _called(node, scope)
    return _number(_arithmetic(node, scope))


def _looked_up(node: ast.expr, name: str, names: object, scope: Scope) -> object:
    """A value by name; objects of other kinds are refused, so that no code of theirs can run."""
    if not isinstance(names, Mapping) or name not in names:
        known = {str(k) for k in names} if isinstance(names, Mapping) else set()
        fail(scope[0], node, f"unknown name '{name}'", did_you_mean(name, known))
    value = names[name]
    if value is None or isinstance(value, (int, float, str, tuple, list, frozenset, Range, SimpleNamespace, Mapping)):
        return value
    fail(scope[0], node, f"'{name}' is a '{type(value).__name__}', which the language cannot hold")


def _truth(node: ast.expr, scope: Scope) -> bool:
    value = evaluated(node, scope)
    if isinstance(value, (Range, SimpleNamespace, Mapping)):
        fail(scope[0], node, "is neither true nor false", "compare it: max(x) > 0")
    return bool(value)


def _arithmetic(node: ast.expr, scope: Scope) -> Range:
    """Interval arithmetic; a number is the range of itself, and division is that of IEEE."""
    if isinstance(node, ast.UnaryOp):
        one = _range(evaluated(node.operand, scope), node, scope)
        return Range(-one.high, -one.low) if isinstance(node.op, ast.USub) else one
    assert isinstance(node, ast.BinOp)
    a, b = (_range(evaluated(side, scope), side, scope) for side in (node.left, node.right))
    if isinstance(node.op, ast.Div) and b.low <= 0 <= b.high and b.low < b.high and a.low <= a.high:
        return Range(-math.inf, math.inf)
    corners = [_ARITHMETIC[type(node.op)](x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Range(_extreme(min, corners), _extreme(max, corners))


def _called(node: ast.Call, scope: Scope) -> object:
    assert isinstance(node.func, ast.Name)
    values = [evaluated(a, scope) for a in node.args]
    sized = isinstance(values[0], _SIZED)
    if node.func.id == "len" and sized:
        return len(values[0])  # type: ignore[arg-type]
    items = values[0] if len(values) == 1 and sized else values
    if node.func.id == "len" or not items:
        fail(scope[0], node, f"'{node.func.id}' cannot take this value")
    return _number(FUNCTIONS[node.func.id]([_range(v, node, scope) for v in items]))  # type: ignore[attr-defined]


def _compared(node: ast.Compare, scope: Scope) -> bool:
    sides = [evaluated(side, scope) for side in (node.left, *node.comparators)]
    pairs = zip(node.ops, sides[:-1], sides[1:], node.comparators, strict=True)
    held = [_holds(op, left, right, place, scope) for op, left, right, place in pairs]
    return all(held)


def _holds(op: ast.cmpop, left: object, right: object, node: ast.expr, scope: Scope) -> bool:
    if isinstance(op, (ast.In, ast.NotIn)):
        if not isinstance(right, (tuple, list, frozenset) if not isinstance(left, str) else _SIZED):
            fail(scope[0], node, "'in' needs a tuple on its right, or strings on both sides")
        return (left in right) == isinstance(op, ast.In)  # type: ignore[operator]
    both = _as_range(left), _as_range(right)
    if both[0] and both[1]:
        return _ORDER[type(op)](both[0], both[1])
    if isinstance(op, (ast.Eq, ast.NotEq)):
        return (left == right) == isinstance(op, ast.Eq)
    if left is None or right is None:  # a number that does not exist, as nan
        return False
    fail(scope[0], node, f"cannot order '{type(left).__name__}' and '{type(right).__name__}'")


def _range(value: object, node: ast.expr, scope: Scope) -> Range:
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
