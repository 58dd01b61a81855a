"""Places that the program computes, kept within the tensors that they stand for.

At a place that a tensor does not have the code raises, as it does where a count of numbers is one of NaN, or where a
bin is looked up for what lies outside of all; of many points at once one such point would end all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import fx

from nllcheck import ops

aten = torch.ops.aten

_ALONG = ("gather", "scatter", "scatter_add", "index_select", "index_add", "index_copy")


def keep_in_bounds(node: fx.Node, shape: tuple[int, ...], computed: Mapping[fx.Node, int], with_ways: bool) -> None:
    """The node reads the nearest place there is, where its places are `computed`, by an op of that plain index.

    `shape`: of what it reads from, or writes into. `with_ways`: beside a node that is NaN where this is another place.
    """
    for place, low, high in _places(node, shape):
        if place not in computed:
            continue
        with node.graph.inserting_before(node):
            inside = node.graph.call_function(aten.clamp.default, (place, low, high))
            inside.meta = {"custom": {"mark": node.meta["custom"]["mark"]}}
            if with_ways:
                other = node.graph.call_function(aten.ne.Tensor, (inside, place))
                nan_where(node.graph, other, computed[place])
        node.replace_input_with(place, inside)


def _places(node: fx.Node, shape: tuple[int, ...]) -> Iterable[tuple[fx.Node, int, int]]:
    """The tensors of places among a node's arguments, each with the first and the last that there is."""
    name, args = ops.packet(str(node.target)), node.args
    found: list[tuple[Any, int, int]] = []
    if name in _ALONG and shape:
        found = [(args[2], 0, shape[args[1]] - 1)]  # type: ignore[index]
    elif name == "embedding":
        found = [(args[1], 0, shape[0] - 1)]
    elif name in ("index", "index_put"):
        many: Any = args[1]
        found = [] if any(map(_is_mask, many)) else [(p, -shape[k], shape[k] - 1) for k, p in enumerate(many)]
    return [(place, low, high) for place, low, high in found if isinstance(place, fx.Node)]


def _is_mask(place: Any) -> bool:
    """Does it stand for as many dimensions as it has?"""
    value = place.meta.get("val") if isinstance(place, fx.Node) else None
    return isinstance(value, torch.Tensor) and value.dtype == torch.bool


def nan_where(part: fx.Graph, other: fx.Node, origin: int) -> None:
    """A node that says where the code goes another way than it did on the batch, if it goes on at all."""
    number = part.call_function(aten._to_copy.default, (other,), {"dtype": torch.float32})
    way = part.call_function(aten.masked_fill.Scalar, (number, other, math.nan))
    for node in (other, number, way):
        node.meta.setdefault("custom", {"origin": origin, "phase": "forward", "way": True})
