"""Walks over the plain graph: what a node reads, and what it is computed from."""

from __future__ import annotations

from nllcheck.types import Graph, Node, Ref


def refs(node: Node) -> tuple[int, ...]:
    """Indices of the nodes that `node` reads, in argument order."""
    found: list[int] = []
    stack = list(reversed([*node.args, *(v for _, v in node.kwargs)]))
    while stack:
        arg = stack.pop()
        if isinstance(arg, Ref):
            found.append(arg.index)
        elif isinstance(arg, tuple):
            stack.extend(reversed(arg))
    return tuple(found)


def ancestors(graph: Graph, *nodes: int) -> set[int]:
    """Indices of all nodes that `nodes` are computed from, themselves included."""
    found, stack = set(nodes), list(nodes)
    while stack:
        new = set(refs(graph.nodes[stack.pop()])) - found
        found |= new
        stack += new
    return found


def in_library_layer(node: Node) -> bool:
    """Did a module of torch's own make it, called by the line that it stands on?"""
    return any(name.endswith(".forward") for name in node.inside)


def selects(graph: Graph, node: Node) -> bool:
    """Does it hold the rows that a mask selects, and a copy of one of them in every other place?"""
    read = refs(node)
    return node.op == "where" and len(read) == 3 and read[1] in ancestors(graph, read[2])
