"""A traced graph without what nothing uses, its views and assignments in forms that vmap and autograd take."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.reads import ASKED

aten = torch.ops.aten

# What views become, so that a node can be run at another batch shape or stride (vmap moves strides).
_RESHAPES = {
    aten.view.default: aten.reshape.default,
    aten._unsafe_view.default: aten.reshape.default,
    aten._reshape_alias.default: aten.reshape.default,
    aten._conj.default: aten._conj_physical.default,  # marks on a tensor, which its parts take for views
    aten._neg_view.default: aten.neg.default,
}


def tidy(module: fx.GraphModule) -> fx.GraphModule:
    """Drop what nothing uses (saved-tensor detaches), and let views survive a change of strides.

    Functionalisation makes a view anew at every use; the copies are folded into the first, whose line and
    name are the user's.
    """
    seen: dict[Any, fx.Node] = {}
    for node in list(module.graph.nodes):
        _as_expansion(node)
        _with_its_end(node)
        _without_statistics(node)
        _written_past(node)
        node.target = _RESHAPES.get(node.target, node.target)
        if node.op == "call_function" and ops.is_transparent(ops.rule_name(str(node.target))):
            first = seen.setdefault((node.target, str(node.args), str(node.kwargs), _grad_mode(node)), node)
            if first is not node:
                node.replace_all_uses_with(first)
    module.graph.eliminate_dead_code(is_impure_node=is_kept)
    module.recompile()
    return module


def _as_expansion(node: fx.Node) -> None:
    """`copy(into, source)` and `fill(into, source)`, which assignments become, have no derivative as they stand:
    their value is the source in the shape of what it is written into. An assignment through a boolean mask has a
    shape of its own at every point: it is a `where`."""
    if node.target is aten.index_put.default:
        _as_where(node)
        return
    if node.target not in (aten.copy.default, aten.fill.Tensor) or not isinstance(node.args[1], fx.Node):
        return
    into, source = (a.meta.get("val") for a in node.args[:2])  # type: ignore[union-attr]
    if into is None or source is None or into.dtype != source.dtype:
        return
    node.target, node.args = aten.expand.default, (node.args[1], list(into.shape))


def _with_its_end(node: fx.Node) -> None:
    """`x[..., ::2] += 1` ends at the largest integer, which no batching rule takes: it ends where the tensor does."""
    if node.target is not aten.slice_scatter.default or len(node.args) < 5 or not isinstance(node.args[4], int):
        return
    into: Any = node.args[0].meta.get("val")  # type: ignore[union-attr]
    if into is not None:
        size = into.shape[node.args[2]]  # type: ignore[index]
        node.args = (*node.args[:4], min(node.args[4], size), *node.args[5:])


def _without_statistics(node: fx.Node) -> None:
    """In training a batch's own mean and variance normalise it: the running ones are only written to, which no batching
    rule takes."""
    if node.target in (aten.native_batch_norm.default, aten.cudnn_batch_norm.default) and node.args[5] is True:
        node.args = (*node.args[:3], None, None, *node.args[5:])


def _written_past(node: fx.Node) -> None:
    """`x.detach().clamp_(...)` changes `x`, and its gradient passes: whoever reads `x` is not cut off."""
    mark = (node.meta.get("custom") or {}).get("mark")
    if node.target is aten.detach.default and mark is not None and mark.grad_enabled and mark.inplace:
        node.replace_all_uses_with(node.all_input_nodes[0])


def _as_where(node: fx.Node) -> None:
    into, places, source = node.args[:3]
    mask = places[0] if isinstance(places, (list, tuple)) and len(places) == 1 else None
    if not all(isinstance(n, fx.Node) for n in (into, mask, source)) or (len(node.args) > 3 and node.args[3]):
        return
    values: list[Any] = [n.meta.get("val") for n in (into, mask, source)]  # type: ignore[union-attr]
    if any(v is None for v in values) or values[1].dtype != torch.bool:
        return
    if values[1].shape == values[0].shape and values[2].numel() == 1 and values[2].dtype == values[0].dtype:
        node.target, node.args = aten.where.self, (mask, source, into)


def _grad_mode(node: fx.Node) -> bool:
    mark = (node.meta.get("custom") or {}).get("mark")
    return mark is None or mark.grad_enabled


def is_kept(node: fx.Node) -> bool:
    """Is it there for more than its value: does Python read it, or does it say which way the code goes?"""
    noted = node.op in ("placeholder", "output") or node.target in (aten._local_scalar_dense.default, ASKED)
    return noted or bool((node.meta.get("custom") or {}).get("way"))
