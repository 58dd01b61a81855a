"""Graphs from expression text, as capture would make them: `graph_of("p = softmax(x, -1); log(p)")`."""

from __future__ import annotations

import ast
import operator

from nllcheck import ops
from nllcheck.types import Arg, Graph, Node, Ref

_BINARY = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}


def graph_of(text: str) -> Graph:
    """A graph whose loss is the last expression.

    A name that nothing assigned is an input, a call an op (by rule name, or by ATen packet), `constant(2.0)` a fixed
    value, `add(x, y, alpha=2)` has keywords. Equal text twice makes two nodes, as in torch; arithmetic between
    numbers is Python's; `x * x` is `x ** 2`, as capture spells it.
    """
    return _Builder().built(ast.parse(text))


class _Builder:
    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.names: dict[str, Arg] = {}

    def built(self, tree: ast.Module) -> Graph:
        last: Arg = None
        for statement in tree.body:
            assert isinstance(statement, (ast.Assign, ast.Expr))
            last = self._arg(statement.value)
            if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
                self.names[statement.targets[0].id] = last
        assert isinstance(last, Ref)
        return Graph(tuple(self.nodes), last.index)

    def _arg(self, node: ast.expr) -> Arg:
        match node:
            case ast.Name(id=name):
                if name not in self.names:
                    self.names[name] = self._node("input", (), name=name)
                return self.names[name]
            case ast.Tuple() | ast.List():
                return tuple(self._arg(item) for item in node.elts)
            case ast.BinOp():
                return self._op(_BINARY[type(node.op)], self._arg(node.left), self._arg(node.right))
            case ast.UnaryOp():
                value = self._arg(node.operand)
                return self._op("neg", value) if isinstance(value, Ref) else -value  # type: ignore[operator]
            case ast.Call(func=ast.Name(id=name)):
                args = [self._arg(a) for a in node.args]
                return self._op(name, *args, **{str(k.arg): self._arg(k.value) for k in node.keywords})
        return ast.literal_eval(node)

    def _op(self, name: str, *args: Arg, **kwargs: Arg) -> Arg:
        if name in _BINARY.values() and not any(isinstance(a, Ref) for a in args):
            return getattr(operator, {"div": "truediv"}.get(name, name))(*args)
        if name == "mul" and len(args) == 2 and args[0] == args[1]:
            return self._node("pow", (args[0], 2), "aten.mul.Tensor")
        op = name if name in (*ops.BY_NAME, "constant") else ops.rule_name(f"aten.{name}.default")
        return self._node(op, args, f"aten.{name}.default", tuple(sorted(kwargs.items())))

    def _node(self, op: str, args: tuple[Arg, ...], aten: str = "", kwargs: tuple = (), name: str | None = None) -> Ref:
        self.nodes.append(Node(len(self.nodes), op, args, aten, name=name, kwargs=kwargs))
        return Ref(len(self.nodes) - 1)
