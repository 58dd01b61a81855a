"""Draws in a loop: what is computed again and again, each time with a draw of its own, computed once with one draw.

One draw stands for another where all that reads the other is the same op of the same values then, and where the loss
is the same when they change places. So it is in a loop over draws, and not in a ladder of latent variables.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.capture.plain import mark_of, op_of
from nllcheck.density.chain import drawn_in
from nllcheck.density.draws.cuts import loss_with, same
from nllcheck.density.draws.rebuilt import Rebuilt, rebuilt

MEETS = ("add", "stack", "cat")  # ops in which several draws come together, to be averaged


def without_repeats(graph: LossGraph) -> Rebuilt | None:
    """The program with one draw in place of all those that are used alike; None if no two are."""
    stands = _stand_ins(graph)
    return _merged(graph, stands) if stands and _is_symmetric(graph, stands) else None


def _stand_ins(graph: LossGraph) -> dict[fx.Node, fx.Node]:
    """Which draw may stand for which: of one kind and shape, all for the first, as far as their readers are alike."""
    first: dict[Any, fx.Node] = {}
    stands: dict[fx.Node, fx.Node] = {}
    for k in sorted(drawn_in(graph)):
        node = graph.fx_nodes[k]
        if node.op == "call_function":
            one = first.setdefault((str(node.target), tuple(graph.values[k].shape)), node)
            stands |= {node: one} if one is not node else {}
    while stands:
        firsts = _firsts(graph, stands)
        alike = {k: one for k, one in stands.items() if all(firsts[u] is not u for u in k.users)}
        if len(alike) == len(stands):
            break
        stands = alike
    return stands


def _is_symmetric(graph: LossGraph, stands: dict[fx.Node, fx.Node]) -> bool:
    """Is the loss the same with each draw in the place of the next?"""
    values = dict(zip(graph.fx_nodes, graph.values, strict=True))
    drawn = [*dict.fromkeys(stands.values()), *stands]
    groups = ([k for k in drawn if stands.get(k, k) is one] for one in dict.fromkeys(stands.values()))
    turned = {k.name: values[other] for g in groups for k, other in zip(g, [*g[1:], g[0]], strict=True)}
    return same(loss_with(graph, {}), loss_with(graph, turned))


def _firsts(graph: LossGraph, stands: dict[fx.Node, fx.Node]) -> dict[fx.Node, fx.Node]:
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
    firsts = _firsts(graph, stands)
    if any(_meets(node, firsts) for node in graph.fx_nodes):
        return None
    new, copies = fx.Graph(), dict[fx.Node, fx.Node]()
    for node in graph.module.graph.nodes:
        if firsts[node] is node:
            copies[node] = new.node_copy(node, lambda n: copies[firsts[n]])
    values = dict(zip(graph.fx_nodes, graph.values, strict=True))
    kept: dict[fx.Node, Tensor] = {copies[one]: values[one] for one in stands.values()}
    return rebuilt(graph, new, {copy: node for node, copy in copies.items()}, kept)


def _meets(node: fx.Node, firsts: dict[fx.Node, fx.Node]) -> bool:
    """Do two draws come together otherwise than in a sum, as in the distance between them?"""
    if node.op != "call_function" or mark_of(node) is None or op_of(node) in MEETS:
        return False
    before = set(node.all_input_nodes)
    return len({firsts[n] for n in before}) < len(before)
