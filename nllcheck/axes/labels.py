"""What reports call a value: by the user's own name wherever there is one."""

from __future__ import annotations

from nllcheck.graphs import refs
from nllcheck.ops import is_transparent
from nllcheck.types import Graph, Node


def label_of(graph: Graph, node: int) -> str:
    """The name reports use for a node: the user's own, else the expression on its line, else its layer's, else op and
    index."""
    plain = graph.nodes[node]
    if plain.name:
        return plain.name
    site = plain.site
    if site and site.span and site.span[1] - site.span[0] <= 30 and "site-packages" not in site.path:
        return site.source[slice(*site.span)]
    if plain.zone == "model":
        return _layer_output(graph, plain) or f"raw_output_{node}"
    return f"{plain.op}_{node}"


def _layer_output(graph: Graph, node: Node) -> str:
    """ "head.output" for what comes from "head.weight", if that serves no other op; else nothing."""
    for leaf in (shown(graph, ref) for ref in refs(node)):
        layer, _, kind = (leaf.name or "").rpartition(".")
        readers = [n for n in graph.nodes if not is_transparent(n.op) and leaf in (shown(graph, r) for r in refs(n))]
        if leaf.op == "input" and layer and kind == "weight" and len(readers) == 1:
            return f"{layer}.output"
    return ""


def shown(graph: Graph, index: int) -> Node:
    """The node behind views."""
    node = graph.nodes[index]
    while is_transparent(node.op) and refs(node):
        node = graph.nodes[refs(node)[0]]
    return node
