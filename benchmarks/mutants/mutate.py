"""A function's source changed by one symbol, in every way that people get a likelihood wrong."""

from __future__ import annotations

import ast
import copy
import inspect
import textwrap
from collections.abc import Callable, Iterator
from typing import Any

_SIGNS = {ast.Add: ast.Sub, ast.Sub: ast.Add}
_FACTORS = {ast.Mult: ast.Div, ast.Div: ast.Mult}


def mutants(fn: Callable[..., Any]) -> Iterator[tuple[str, Callable[..., Any]]]:
    """(what was changed, in words; the changed function) for every single change of `fn`'s formula."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    seen = {ast.unparse(tree)}
    for k, node in enumerate(ast.walk(tree)):
        for new in _changes(node) if isinstance(node, ast.expr) else ():
            changed = copy.deepcopy(tree)
            _put(changed, k, new)
            if (text := ast.unparse(changed)) not in seen:
                seen.add(text)
                yield f"{ast.unparse(node)}  ->  {ast.unparse(new)}", _made(text, fn)


def _changes(node: ast.expr) -> Iterator[ast.expr]:
    match node:
        case ast.BinOp(left, ast.Add() | ast.Sub() as op, right):
            yield ast.BinOp(left, _SIGNS[type(op)](), right)
            yield left
            yield right
        case ast.BinOp(left, ast.Mult() | ast.Div() as op, right):
            yield ast.BinOp(left, _FACTORS[type(op)](), right)
            yield left
            if isinstance(op, ast.Mult):
                yield right
        case ast.BinOp(left, ast.Pow(), _):
            yield left
        case ast.UnaryOp(ast.USub(), inner):
            yield inner
        case ast.Call(ast.Attribute(_, "log" | "log1p" | "exp" | "lgamma" | "abs" | "log_ndtr" | "i0"), [inner], []):
            yield inner
        case ast.Call(ast.Name("softplus" | "logsigmoid"), [inner], []):
            yield inner


def _put(tree: ast.Module, k: int, new: ast.expr) -> None:
    """Put `new` in place of the k-th node of the walk."""
    old = list(ast.walk(tree))[k]

    class Put(ast.NodeTransformer):
        def generic_visit(self, node: ast.AST) -> ast.AST:
            return new if node is old else super().generic_visit(node)

        visit = generic_visit  # type: ignore[assignment]

    Put().visit(tree)
    ast.fix_missing_locations(tree)


def _made(text: str, fn: Callable[..., Any]) -> Callable[..., Any]:
    scope = dict(fn.__globals__)
    exec(compile(text, f"<a mutant of {fn.__name__}>", "exec", dont_inherit=True), scope)
    made: Callable[..., Any] = scope[fn.__name__]
    return made
