"""Products of rows and columns of length 1: the scores of a cosine classifier, which no training takes beyond 1."""

from __future__ import annotations

from nllcheck.graphs import refs
from nllcheck.ops import is_transparent, packet
from nllcheck.types import Graph, Node, Ref

_GUARDS = ("view", "clamp", "add", "maximum")  # what stands between a length and the division by it


def is_cosine(graph: Graph, node: Node) -> bool:
    """Is the node such a product? Its values lie in [-1, 1]."""
    factors = [a.index for a in node.args[:2] if isinstance(a, Ref)]
    return node.op == "matmul" and len(factors) == 2 and all(
        _is_unit(graph, factor, dim) for factor, dim in zip(factors, (-1, -2), strict=True)
    )  # fmt: skip


def _is_unit(graph: Graph, index: int, dim: int) -> bool:
    """Is a tensor (or what it shows) divided by its own lengths along `dim`, -1 or -2?"""
    node = graph.nodes[index]
    while is_transparent(node.op) and refs(node):
        source = graph.nodes[refs(node)[0]]
        if _swaps(node, len(source.shape)):
            dim = -3 - dim
        elif node.shape != source.shape:
            return False
        node = source
    return node.op == "div" and len(node.args) == 2 and _along(graph, node) == dim


def _swaps(view: Node, dims: int) -> bool:
    """Does a view exchange the last two dimensions?"""
    name, last = packet(view.aten), (dims - 1, dims - 2)
    pair = {int(d) % dims for d in view.args[1:3] if isinstance(d, int)}
    if name == "permute":
        return view.args[1] == (*range(dims - 2), *last)
    return name == "t" or (name == "transpose" and pair == {*last})


def _along(graph: Graph, quotient: Node) -> int | None:
    """The dimension, counted from the last, of the Euclidean length of the numerator that is divided by."""
    over, under = (graph.nodes[a.index] if isinstance(a, Ref) else None for a in quotient.args)
    while under is not None and under.op in _GUARDS and refs(under):
        under = graph.nodes[refs(under)[0]]
    if over is None or under is None or under.op != "norm" or refs(under)[:1] != (over.index,) or len(under.args) < 3:
        return None
    dims = under.args[2]
    plain = under.args[1] in (2, 2.0, None) and isinstance(dims, tuple) and len(dims) == 1
    return int(dims[0]) % len(over.shape) - len(over.shape) if plain else None  # type: ignore[index, arg-type]
