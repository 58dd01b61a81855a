"""Masks of a graph: what selects with one, what selects on the batch, and which two are computed alike."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.rowwise import Add

aten = torch.ops.aten


def depending(graph: fx.Graph, moves: Callable[[int], bool]) -> set[fx.Node]:
    """The nodes that are computed from placeholders that move."""
    starts = [n for n in graph.nodes if n.op == "placeholder"]
    found = {n for i, n in enumerate(starts) if moves(i)}
    for node in graph.nodes:
        if found.intersection(node.all_input_nodes):
            found.add(node)
    return found


def mask_of(node: fx.Node) -> fx.Node | None:
    """The boolean tensor with which the node selects from the first dimensions on, if it does."""
    if node.target is aten.nonzero.default:
        return node.args[0]  # type: ignore[return-value]
    if node.target is aten.masked_select.default:
        return node.args[1]  # type: ignore[return-value]
    if node.target not in (aten.index.Tensor, aten.index_put.default):
        return None
    places: Any = node.args[1]
    return places[0] if len(places) == 1 and dtype_of(places[0]) == torch.bool else None


def selected(
    module: fx.GraphModule, steered: set[fx.Node], tensors: Sequence[torch.Tensor]
) -> dict[fx.Node, tuple[torch.Tensor, int]]:
    """Of each selection by a mask that moves, the first row that the batch selects, (1, ...), and how many."""
    found = {}

    class Reader(fx.Interpreter):
        def run_node(self, n: fx.Node) -> Any:
            value = super().run_node(n)
            if n.op == "call_function" and mask_of(n) in steered and n.target is not aten.index_put.default:
                found[n] = (value[:1].detach().clone(), len(value))
            return value

    with torch.no_grad():
        Reader(module).run(*tensors)
    return found


def coordinates(places: tuple[int, ...], add: Add, on: dict[str, torch.device]) -> fx.Node:
    """Where each place of a mask is, (N, dimensions), on a device."""
    number: fx.Node = add(aten.arange.default, (math.prod(places),), on)
    after = [math.prod(places[i + 1 :]) for i in range(len(places))]
    along = [add(aten.div.Tensor_mode, (number, step), {"rounding_mode": "floor"}) for step in after]
    inside = [add(aten.remainder.Scalar, (k, size)) for k, size in zip(along, places, strict=True)]
    return add(aten.stack.default, (inside, -1))


class Alike:
    """Are two values computed by the same ops from the same nodes, with no draw among them?"""

    def __init__(self) -> None:
        self.known: dict[tuple[fx.Node, fx.Node], bool] = {}

    def __call__(self, a: Any, b: Any) -> bool:
        if a is b or not (isinstance(a, fx.Node) and isinstance(b, fx.Node)):
            return a is b or (not isinstance(a, fx.Node) and not isinstance(b, fx.Node) and a == b)
        if (a, b) not in self.known:
            drawn = ops.row(ops.rule_name(str(a.target))).kind == "random"
            same = a.op == "call_function" and a.target is b.target and not drawn and len(a.args) == len(b.args)
            self.known[a, b] = same and a.kwargs == b.kwargs and all(map(self, a.args, b.args))
        return self.known[a, b]


def dtype_of(node: Any) -> torch.dtype | None:
    value = node.meta.get("val") if isinstance(node, fx.Node) else None
    return value.dtype if isinstance(value, torch.Tensor) else None
