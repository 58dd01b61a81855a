"""A graph as far as some of its nodes need it: what else the loss computes is neither run nor kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx


def until(module: fx.GraphModule, wanted: Sequence[fx.Node]) -> fx.GraphModule:
    """The module with the same placeholders that returns the values of `wanted`, as a tuple."""
    part, made = fx.Graph(), dict[fx.Node, Any]()
    part.graph_copy(module.graph, made)
    part.output(tuple(made[n] for n in wanted))
    part.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
    return fx.GraphModule(module, part)


def live_elements(wanted: Sequence[fx.Node], moving: frozenset[fx.Node], values: Mapping[fx.Node, Any]) -> int:
    """The most elements of `moving` nodes that are held at a time on the way to `wanted`; a value goes when the last
    op that reads it has run. `values`: every node's value at one setting."""
    held_for = needed(wanted) & moving
    nodes = [n for n in next(iter(wanted)).graph.nodes if n in held_for] if wanted else []
    last = {source: n for n in nodes for source in n.all_input_nodes}
    held = most = 0
    for n in nodes:
        held += _numel(values.get(n))
        most = max(most, held)
        held -= sum(_numel(values.get(s)) for s in n.all_input_nodes if s in held_for and last[s] is n)
    return max(1, most)


def needed(wanted: Sequence[fx.Node]) -> set[fx.Node]:
    """`wanted` and all that they are computed from."""
    found, stack = set(wanted), list(wanted)
    while stack:
        new = set(stack.pop().all_input_nodes) - found
        found |= new
        stack += new
    return found


def _numel(value: Any) -> int:
    return value.numel() if isinstance(value, torch.Tensor) else 1
