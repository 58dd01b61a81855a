"""Losses that reduce inside one op, as elements and a reduction: `nll_loss`, `mse_loss`, `binary_cross_entropy`."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from nllcheck import ops

aten = torch.ops.aten
PADDING = -100  # torch's own `ignore_index`, which is no class


def unreduced(module: fx.GraphModule) -> fx.GraphModule:
    """Losses that reduce inside one op (`nll_loss`, `mse_loss`, `binary_cross_entropy`) as elements, then reduced.

    A mean weighted by class becomes a plain one: only the elements are looked at. A class that is ignored is scored
    like the others: it is left out of the data, not out of the distribution.
    """
    for node in list(module.graph.nodes):
        if ops.packet(str(node.target)).startswith("nll_loss") and len(node.args) > 4:
            node.args = (*node.args[:4], PADDING, *node.args[5:])
        place = _reduction(node)
        mode = _argument(node, place) if place is not None else 0
        if mode not in (1, 2):
            continue
        _set_argument(node, place, 0)  # type: ignore[arg-type]
        heads = [u for u in node.users if ops.packet(str(u.target)) == "getitem" and u.args[1] == 0]
        for head in heads or [node]:
            with module.graph.inserting_after(head):
                whole = module.graph.call_function((aten.mean if mode == 1 else aten.sum).default, (head,))
            head.replace_all_uses_with(whole, delete_user_cb=lambda user, whole=whole: user is not whole)
        if ops.packet(str(node.target)) == "mse_loss":
            _as_square(module, node)
    module.recompile()
    return module


def _as_square(module: fx.GraphModule, node: fx.Node) -> None:
    """The elements of a squared error written out: vmap inside vmap cannot batch one of two arguments of the op."""
    with module.graph.inserting_after(node):
        away = module.graph.call_function(aten.sub.Tensor, node.args[:2])
    with module.graph.inserting_after(away):
        square = module.graph.call_function(aten.pow.Tensor_Scalar, (away, 2))
    away.meta, square.meta = dict(node.meta), dict(node.meta)
    node.replace_all_uses_with(square)
    module.graph.erase_node(node)


def _reduction(node: fx.Node) -> int | None:
    schema = getattr(node.target, "_schema", None)
    names = [a.name for a in schema.arguments] if schema is not None and node.op == "call_function" else []
    return names.index("reduction") if "reduction" in names else None


def _argument(node: fx.Node, place: int) -> Any:
    return node.args[place] if place < len(node.args) else node.kwargs.get("reduction", 1)


def _set_argument(node: fx.Node, place: int, value: int) -> None:
    if place < len(node.args):
        node.args = (*node.args[:place], value, *node.args[place + 1 :])
    else:
        node.kwargs = {**node.kwargs, "reduction": value}
