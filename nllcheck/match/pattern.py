"""Text -> `Pattern` and back."""

from __future__ import annotations

import ast
import math
from dataclasses import dataclass
from functools import lru_cache

from nllcheck import ops
from nllcheck.errors import did_you_mean
from nllcheck.expr import fail, read

EITHER = "|"
_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow", ast.BitOr: EITHER}
_SIGNS = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", EITHER: "|"}
_CONSTANTS = {"pi": math.pi, "e": math.e}


@dataclass(frozen=True, slots=True)
class Pattern:
    """A node of a parsed pattern: an op (or `|`) with arguments, a name, or a number."""

    op: str = ""
    args: tuple[Pattern, ...] = ()
    name: str = ""
    number: float | None = None


@lru_cache(maxsize=1024)
def parse(text: str) -> Pattern:
    """Read a pattern. Raises TextError with the column for anything that is none."""
    tree = read(text)
    pattern = _pattern(tree, text)
    if not needs(pattern):
        fail(text, tree, "a pattern needs an op: a name or a number alone is everywhere", "write log(x), or x / y")
    return pattern


def _pattern(node: ast.expr, text: str) -> Pattern:
    match node:
        case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
            if name not in ops.BY_NAME:
                fail(text, node, f"unknown op '{name}'", did_you_mean(name, set(ops.BY_NAME)))
            return Pattern(name, tuple(_pattern(a, text) for a in args))
        case ast.BinOp() if type(node.op) in _BINARY:
            return Pattern(_BINARY[type(node.op)], (_pattern(node.left, text), _pattern(node.right, text)))
        case ast.UnaryOp(op=ast.USub()):
            inner = _pattern(node.operand, text)
            return Pattern(number=-inner.number) if inner.number is not None else Pattern("neg", (inner,))
        case ast.Constant(value=value) if type(value) in (int, float) and abs(value) < 1e300:
            return Pattern(number=float(value))
        case ast.Name(id=name):
            return Pattern(number=_CONSTANTS[name]) if name in _CONSTANTS else Pattern(name=_capture(node, text))
    fail(
        text, node, f"'{type(node).__name__}' is not part of a pattern", "known: op(...), + - * / **, |, names, numbers"
    )


def _capture(node: ast.Name, text: str) -> str:
    if node.id != node.id.lower() or node.id.startswith("__") or not node.id.isascii():
        fail(text, node, f"captures are plain lower-case names, not '{node.id}'")
    return node.id


def captures_of(pattern: Pattern) -> set[str]:
    """The names that every match of this pattern holds: of either-or, those that both sides have."""
    own = {pattern.name} - {"", "_"}
    inner = [captures_of(a) for a in pattern.args]
    if not inner:
        return own
    return set.intersection(*inner) if pattern.op == EITHER else set.union(own, *inner)


@lru_cache(maxsize=4096)
def needs(pattern: Pattern) -> frozenset[str]:
    """Ops without which a graph cannot hold the pattern."""
    inner = [needs(a) for a in pattern.args]
    if pattern.op == EITHER:
        return frozenset.intersection(*inner)
    return frozenset({pattern.op} if pattern.op else ()).union(*inner)


def show(pattern: Pattern) -> str:
    """Text that `parse` reads back as the same pattern."""
    if pattern.number is not None:
        return f"({pattern.number!r})" if pattern.number < 0 else repr(pattern.number)
    if pattern.name:
        return pattern.name
    args = [show(a) for a in pattern.args]
    if pattern.op in _SIGNS and len(args) == 2:
        return f"({args[0]} {_SIGNS[pattern.op]} {args[1]})"
    return f"{pattern.op}({', '.join(args)})"
