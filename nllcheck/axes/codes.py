"""Values that choose: floats that a loss makes whole numbers of, such as the action in `batch[:, 0].long()`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nllcheck.axes.pieces import pieces_of
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent
from nllcheck.types import Axis, Graph


def within_codes(graph: Graph, axes: Iterable[Axis]) -> list[Axis]:
    """Axes of codes stay between the batch's own, of which there is an entry for each; nothing scales them."""
    kept = []
    for axis in axes:
        if not _is_code(graph, axis):
            kept.append(axis)
        elif axis.mode == "set":
            kept.append(replace(axis, domain=axis.observed))
    return kept


def _is_code(graph: Graph, axis: Axis) -> bool:
    """Is any of what the axis moves cast to whole numbers, as it is?"""
    if axis.role not in ("target", "input") or axis.mode not in ("set", "scale"):
        return False
    shown = {axis.node}
    for node in graph.nodes[axis.node + 1 :]:
        if is_transparent(node.op) and refs(node) and refs(node)[0] in shown and _reads(graph, node.index, axis):
            shown.add(node.index)
    return any("int" in graph.nodes[k].dtype for k in shown)


def _reads(graph: Graph, user: int, axis: Axis) -> bool:
    """Does a node take anything of the axis' channels? What is no piece of the last dimension takes of all."""
    node = graph.nodes[user]
    taken = pieces_of(graph, node, axis.node) if refs(node)[0] == axis.node else ()
    low, high = axis.channel or (0, graph.nodes[axis.node].shape[-1] if graph.nodes[axis.node].shape else 1)
    return not taken or any(start < high and low < stop for start, stop, _ in taken)
