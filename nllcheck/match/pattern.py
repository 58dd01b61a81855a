"""Patterns as they are read: `log(softmax(x))` becomes ops with arguments, names and numbers."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from nllcheck import expr, ops
from nllcheck.errors import did_you_mean

MOST_TERMS = 8  # of one sum or product: every order of them is tried
BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
_NUMBERS = {"pi": math.pi, "e": math.e, "inf": math.inf}
_FOLDS: dict[tuple[str, int], Callable[..., float]] = {
    ("add", 2): operator.add, ("sub", 2): operator.sub, ("mul", 2): operator.mul, ("div", 2): operator.truediv,
    ("pow", 2): math.pow, ("neg", 1): operator.neg, ("sqrt", 1): math.sqrt, ("log", 1): math.log, ("exp", 1): math.exp,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Pattern:
    """A node of a parsed pattern: an op with arguments, a name, or a number; the op `|` has alternatives."""

    op: str = ""
    args: tuple[Pattern, ...] = ()  # of add and mul: the terms of the whole sum, in the order to try them
    name: str = ""
    number: float | None = None


@lru_cache(maxsize=1024)
def parse(text: str) -> Pattern:
    """Read a pattern. Raises NllcheckError with the column for anything that is none."""
    tree = expr.read(text)
    try:
        pattern = _pattern(tree, text)
    except (ArithmeticError, ValueError):
        expr.fail(text, tree, "a number of this pattern cannot be computed")
    if not all(option.op for option in options(pattern)):
        expr.fail(text, tree, "a pattern holds an op, as in 'log(x)'")
    return pattern


def captures_of(pattern: Pattern) -> set[str]:
    """The names that every match of this pattern will hold: of alternatives, those that all of them hold."""
    inner = [captures_of(a) for a in pattern.args]
    return set.intersection(*inner) if pattern.op == "|" else ({pattern.name} - {"", "_"}).union(*inner)


def options(pattern: Pattern) -> tuple[Pattern, ...]:
    return pattern.args if pattern.op == "|" else (pattern,)


def _pattern(node: ast.expr, text: str) -> Pattern:
    match node:
        case ast.Constant(value=float() | int() as value) if not isinstance(value, bool) and abs(value) < 1e308:
            return Pattern(number=float(value))
        case ast.Name(id=name) if name in _NUMBERS:
            return Pattern(number=_NUMBERS[name])
        case ast.Name(id=name) if name == name.lower() and not name.startswith("__"):
            return Pattern(name=name)
        case ast.BinOp(op=ast.BitOr()):
            return Pattern("|", tuple(o for side in (node.left, node.right) for o in options(_pattern(side, text))))
        case ast.UnaryOp(op=ast.USub()):
            return _made("neg", (node.operand,), node, text)
        case ast.BinOp() if type(node.op) in BINARY:
            return _made(BINARY[type(node.op)], (node.left, node.right), node, text)
        case ast.Call(func=ast.Name(id=name), keywords=[]) if name in ops.BY_NAME:
            return _made(name, tuple(node.args), node, text)
        case ast.Call(func=ast.Name(id=name), keywords=[]):
            expr.fail(text, node, f"unknown op '{name}'", did_you_mean(name, set(ops.BY_NAME)))
    hint = "ops by name, + - * / **, numbers, lower-case captures, c_ for constants, _ for anything, a | b"
    expr.fail(text, node, f"unexpected {type(node).__name__} in a pattern", hint)


def _made(op: str, arguments: tuple[ast.expr, ...], node: ast.expr, text: str) -> Pattern:
    """The op as the capture spells it: `x * x` is `x ** 2`, and `2 * pi` is a number."""
    args = tuple(_pattern(a, text) for a in arguments)
    numbers = [a.number for a in args if a.number is not None]
    if len(numbers) == len(args) and (op, len(args)) in _FOLDS:
        return Pattern(number=_FOLDS[op, len(args)](*numbers))
    if op == "mul" and len(args) == 2 and args[0] == args[1] and _is_one_value(args[0]):
        return Pattern("pow", (args[0], Pattern(number=2.0)))
    return Pattern(op, _terms(op, args, node, text) if op in ("add", "mul") else args)


def _terms(op: str, args: tuple[Pattern, ...], node: ast.expr, text: str) -> tuple[Pattern, ...]:
    """All terms of nested sums (or products): their numbers as one, ops, and last the captures, which fit more."""
    terms = [t for a in args for t in (a.args if a.op == op else (a,))]
    numbers = [t.number for t in terms if t.number is not None]
    if len(numbers) == 2:
        terms = [Pattern(number=_FOLDS[op, 2](*numbers)), *(t for t in terms if t.number is None)]
    if len(terms) > MOST_TERMS:
        expr.fail(text, node, f"more than {MOST_TERMS} terms")
    return tuple(sorted(terms, key=lambda t: (t.number is None, bool(t.name), not is_constant(t), t.name == "_")))


def _is_one_value(pattern: Pattern) -> bool:
    return pattern.name != "_" and pattern.op != "|" and all(map(_is_one_value, pattern.args))


def is_constant(pattern: Pattern) -> bool:
    return pattern.number is not None or pattern.name.startswith("c_")
