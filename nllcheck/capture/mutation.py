"""What still writes into tensors after functionalisation, turned into ops that give new ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx


def out_of_place(module: fx.GraphModule) -> fx.GraphModule:
    """`zeros.scatter_(...)` becomes `new = zeros.scatter(...)`, and whoever reads `zeros` afterwards reads `new`.

    Functionalisation leaves little of that: the sums inside a recurrent cell, and derivative formulas, which write
    only into tensors they have just made.
    """
    order = {n: float(i) for i, n in enumerate(module.graph.nodes)}
    for node in list(module.graph.nodes):
        plain = _functional(node.target) if node.op == "call_function" else None
        if plain is None:
            continue
        node.target, written = plain, node.args[0]
        note = node.meta.get("custom") or {}
        if "mark" in note:  # under `no_grad` the gradient passes through what is written, in C++ code as in Python's
            node.meta["custom"] = {**note, "mark": replace(note["mark"], inplace=True)}
        _hand_over(written, node, order)
        _into_views(module.graph, node, written, order)
    return module


def _hand_over(old: fx.Node, new: fx.Node, order: dict[fx.Node, float]) -> None:
    """Whoever reads `old` after `new` has been made reads `new`."""
    for user in list(old.users):
        if order[user] > order[new]:
            user.replace_input_with(old, new)


def _into_views(graph: fx.Graph, new: fx.Node, view: fx.Node, order: dict[fx.Node, float]) -> None:
    """What is written into a part is written into the whole, as a real Fourier transform's gradient is into zeros."""
    while view.target in _PARTS:
        whole = view.args[0]
        assert isinstance(whole, fx.Node)
        with graph.inserting_after(new):
            whole_new = graph.call_function(_PARTS[view.target], (whole, new, *view.args[1:]), dict(view.kwargs))
        shape: dict[str, Any] = {key: whole.meta[key] for key in ("val", "tensor_meta") if key in whole.meta}
        whole_new.meta, order[whole_new] = {**new.meta, **shape}, order[new] + 1e-3
        _hand_over(whole, whole_new, order)
        new, view = whole_new, whole


_PARTS: dict[Any, Any] = {
    torch.ops.aten.slice.Tensor: torch.ops.aten.slice_scatter.default,
    torch.ops.aten.select.int: torch.ops.aten.select_scatter.default,
    torch.ops.aten.diagonal.default: torch.ops.aten.diagonal_scatter.default,
}


def _functional(target: Any) -> Any:
    """The out-of-place overload of an in-place ATen op; None for anything else."""
    schema = getattr(target, "_schema", None)
    name = schema.name.split("::")[1] if schema is not None else ""
    if not name.endswith("_") or name.startswith("__"):
        return None
    packet = getattr(torch.ops.aten, name.rstrip("_"), None)
    wanted = _types(target)  # not the overload's name: `pow_.Scalar` is `pow.Tensor_Scalar`
    plain = [getattr(packet, o) for o in packet.overloads()] if packet is not None else []
    return next((p for p in plain if _types(p) == wanted), None)


def _types(overload: Any) -> list[str]:
    return [str(a.type) for a in overload._schema.arguments]
