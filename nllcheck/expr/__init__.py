"""The expression language of a rule's `when:`, and the reader that patterns share with it.

`when: "event.kind == 'nan' and max(abs(r)) > 0.99"` is Python syntax, read by `ast` and walked by this package: nothing
is ever handed to Python to run. A capture stands for the `Range` of the values that it took. A comparison of a range
holds if it holds for all of its values, and any comparison with nan fails, `!=` included.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from nllcheck.expr.reader import DEEPEST, LONGEST, TextError, fail, read
from nllcheck.expr.value import FUNCTIONS, Range, evaluated

__all__ = ["DEEPEST", "FUNCTIONS", "LONGEST", "Expression", "Range", "TextError", "compile", "fail", "read"]


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; make one with `compile`."""

    text: str
    names: frozenset[str]  # what `evaluate` may look up, functions left out: {"event", "r"}
    attributes: frozenset[str]  # {"event.kind"}
    tree: ast.expr = field(repr=False, compare=False)

    def evaluate(self, names: Mapping[str, object]) -> object:
        """A number, string, bool, tuple or Range; NllcheckError, with the column, for values that do not fit."""
        return evaluated(self.tree, (self.text, names))


@lru_cache(maxsize=1024)
def compile(text: str) -> Expression:
    """Check `text` against the language; NllcheckError names the column of what does not belong to it."""
    tree = read(text)
    _check(text, tree)
    names = frozenset(n.id for n in ast.walk(tree) if isinstance(n, ast.Name)) - FUNCTIONS.keys()
    attributes = frozenset(ast.unparse(n) for n in ast.walk(tree) if isinstance(n, ast.Attribute))
    return Expression(text, names, attributes, tree)


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
