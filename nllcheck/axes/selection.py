"""Values that steer a selection (`loss[mask].mean()`, `torch.unique(time)`): moving them would change shapes."""

from __future__ import annotations

from nllcheck.axes.boundary import boundary
from nllcheck.graphs import ancestors, refs
from nllcheck.types import Graph, Node, Ref


def steering(graph: Graph) -> frozenset[int]:
    """Targets and inputs of the boundary on which a shape depends: they stay as the batch has them.

    A raw output that steers is not among them: holding it fixed would leave nothing to check.
    """
    edges = boundary(graph)
    masks = [i for node in graph.nodes if node.op in ("index", "masked_select") for i in _masks(graph, node)]
    counted = [i for node in graph.nodes if node.op in _COUNTING for i in refs(node)]
    return frozenset(ancestors(graph, *masks, *counted) & {*edges.targets, *edges.inputs})


_COUNTING = ("nonzero", "_unique2", "unique_dim", "unique_consecutive")  # as many results as the values make


def _masks(graph: Graph, node: Node) -> list[int]:
    """Indices of the boolean tensors that the node selects with."""
    flat = [part for arg in node.args[1:] for part in (arg if isinstance(arg, tuple) else (arg,))]
    return [p.index for p in flat if isinstance(p, Ref) and graph.nodes[p.index].dtype == "bool"]
