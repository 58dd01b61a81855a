"""What reports call a value: by the user's own name wherever there is one."""

from __future__ import annotations

from nllcheck.graphs import in_library_layer, refs
from nllcheck.ops import is_transparent
from nllcheck.types import Graph, Node


def label_of(graph: Graph, node: int) -> str:
    """The name reports use for a node: the user's own, else the expression on its line, else its layer's, else op and
    line."""
    plain = graph.nodes[node]
    if plain.name:
        return plain.name
    site = plain.site
    if site and site.span and site.span[1] - site.span[0] <= 30 and "site-packages" not in site.path:
        return site.source[slice(*site.span)]
    is_layer = plain.zone == "model" or in_library_layer(plain)
    return (is_layer and _layer_output(graph, plain)) or _by_line(graph, plain)


def _by_line(graph: Graph, node: Node) -> str:
    """ "matmul_on_line_24", the second of them "matmul_on_line_24_2"; by its index what stands on no line."""
    if node.site is None:
        return f"{node.op}_{node.index}"
    place = (node.op, node.site.path, node.site.line)
    twins = [n.index for n in graph.nodes if n.site and (n.op, n.site.path, n.site.line) == place]
    return f"{node.op}_on_line_{node.site.line}{_which(twins.index(node.index))}"


def _which(k: int) -> str:
    return f"_{k + 1}" if k else ""


def _layer_output(graph: Graph, node: Node) -> str:
    """ "head.output" for what comes from "head.weight", "head.output_2" where the layer is asked again; else nothing,
    as for a weight that serves another op, too."""
    for leaf in (shown(graph, ref) for ref in refs(node)):
        layer, _, kind = (leaf.name or "").rpartition(".")
        readers = _readers(graph, leaf)
        if leaf.op == "input" and layer and kind == "weight" and {n.op for n in readers} == {node.op}:
            return f"{layer}.output{_which(readers.index(node))}"
    return ""


def _readers(graph: Graph, leaf: Node) -> list[Node]:
    return [n for n in graph.nodes if not is_transparent(n.op) and leaf in (shown(graph, r) for r in refs(n))]


def shown(graph: Graph, index: int) -> Node:
    """The node behind views."""
    node = graph.nodes[index]
    while is_transparent(node.op) and refs(node):
        node = graph.nodes[refs(node)[0]]
    return node
