"""Draws in a loop: what is computed again and again, each time with a draw of its own, computed once with one draw.

One draw stands for another where all that reads the other is the same op of the same values then. So it is in a loop
over draws, and not in a ladder of latent variables, where each is drawn with another scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.capture.plain import mark_of, op_of
from nllcheck.density.chain import drawn_in
from nllcheck.density.rebuilt import Rebuilt, rebuilt

MEETS = ("add", "stack", "cat")  # ops in which several draws come together, to be averaged


def without_repeats(graph: LossGraph) -> Rebuilt | None:
    """The program with one draw in place of all those that are used alike; None if no two are."""
    for stands in _stand_ins(graph):
        made = _merged(graph, stands)
        if made is not None:
            return made
    return None


def _stand_ins(graph: LossGraph) -> Iterator[dict[fx.Node, fx.Node]]:
    """Which draw may stand for which: of one kind and shape, all for the first, as far as their readers are alike."""
    first: dict[Any, fx.Node] = {}
    stands: dict[fx.Node, fx.Node] = {}
    for k in sorted(drawn_in(graph)):
        node = graph.fx_nodes[k]
        if node.op == "call_function":
            one = first.setdefault((str(node.target), tuple(graph.values[k].shape)), node)
            stands |= {node: one} if one is not node else {}
    while stands:
        same = _same(graph, stands)
        alike = {k: one for k, one in stands.items() if all(same[u] is not u for u in k.users)}
        if len(alike) == len(stands):
            yield stands
            return
        stands = alike


def _same(graph: LossGraph, stands: dict[fx.Node, fx.Node]) -> dict[fx.Node, fx.Node]:
    """The first node that computes the same as each, with the draws that stand for others in their place."""
    same: dict[fx.Node, fx.Node] = {}
    known: dict[str, fx.Node] = {}
    for node in graph.module.graph.nodes:
        args = fx.node.map_arg((node.args, node.kwargs), lambda n: same[n])
        key = f"{node.target} {args}"
        is_plain = node.op == "call_function" and not is_fixed(node)
        same[node] = known.setdefault(key, node) if is_plain else stands.get(node, node)
    return same


def _merged(graph: LossGraph, stands: dict[fx.Node, fx.Node]) -> Rebuilt | None:
    same = _same(graph, stands)
    if any(_meets(node, same) for node in graph.fx_nodes):
        return None
    new, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in graph.module.graph.nodes:
        if same[node] is node:
            copies[node] = new.node_copy(node, lambda n: copies[same[n]])
    values = dict(zip(graph.fx_nodes, graph.values, strict=True))
    kept: dict[fx.Node, Tensor] = {copies[one]: values[one] for one in stands.values()}
    return rebuilt(graph, new, {copy: node for node, copy in copies.items()}, kept)


def _meets(node: fx.Node, same: dict[fx.Node, fx.Node]) -> bool:
    """Do two draws come together otherwise than in a sum, as in the distance between them?"""
    if node.op != "call_function" or mark_of(node) is None or op_of(node) in MEETS:
        return False
    before = set(node.all_input_nodes)
    return len({same[n] for n in before}) < len(before)
