"""LossGraph and the ranges of what can move -> an interval for every node that its rounded values cannot leave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from nllcheck.axes import depends_on
from nllcheck.bounds.interval import REAL, Interval
from nllcheck.bounds.related import narrowed
from nllcheck.bounds.table import Reading, of_node
from nllcheck.capture import LossGraph
from nllcheck.types import Node

__all__ = ["REAL", "Interval", "bounds"]


def bounds(graph: LossGraph, ranges: Mapping[int, Interval]) -> dict[int, Interval]:
    """An interval a node (by index) that holds every element that is not NaN, ends included, in the node's dtype.

    `ranges` are the nodes that move and where; whatever depends on none of them is what the batch shows.
    """
    nodes = graph.graph.nodes
    moving = depends_on(graph.graph, set(ranges))
    sizes = {n.index: math.prod(n.shape) for n in nodes}
    known: dict[int, Interval] = {}
    for node in nodes:
        if node.index in ranges:
            known[node.index] = ranges[node.index]
        elif node.index not in moving:
            known[node.index] = seen(graph.values[node.index])
        else:
            known[node.index] = _of(graph, node, known, sizes)
    return known


def _of(graph: LossGraph, node: Node, known: dict[int, Interval], sizes: dict[int, int]) -> Interval:
    dtype = getattr(torch, node.dtype, None) if node.dtype else _dtype_of(graph.values[node.index])
    if dtype == torch.bool:
        return 0.0, 1.0
    if dtype is None or not dtype.is_floating_point or not sizes[node.index]:
        return REAL
    return narrowed(graph.graph, node, of_node(Reading(node, known, sizes, dtype)))


def _dtype_of(value: Any) -> torch.dtype | None:
    """Of an op with several results, that of the first."""
    first = value[0] if isinstance(value, (tuple, list)) and value else None
    return first.dtype if isinstance(first, torch.Tensor) else None


def seen(value: Any) -> Interval:
    """Smallest and largest element of a tensor (or of several) that is no NaN; everything where there is none."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    flat = [p.detach().double().reshape(-1) for p in parts if isinstance(p, torch.Tensor) and not p.is_complex()]
    whole = torch.cat(flat) if flat else torch.zeros(0)
    whole = whole[~torch.isnan(whole)]
    return (float(whole.min()), float(whole.max())) if whole.numel() else REAL
