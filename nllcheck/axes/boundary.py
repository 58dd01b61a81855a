"""Where the model ends and the loss begins: the raw values that training can really put anywhere.

A model that ends in `exp(linear(x))` cannot produce a negative concentration, so sweeping its output would
raise false alarms; sweeping what the last linear layer returns cannot. The boundary is found by walking
back from the loss, through activations and views, to linear layers, parameters, inputs and targets.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from nllcheck import ops
from nllcheck.axes.extent import value_bounds, variable_refs
from nllcheck.axes.pieces import pieces
from nllcheck.graphs import ancestors, in_library_layer
from nllcheck.ops import packet
from nllcheck.types import Graph, Node, Ref

MOST_HEADS = 8  # an output fed by more linear layers than this (an unrolled recurrent cell) is cut at itself
_STOPS = ("linear", "norm", "linalg")


@dataclass(frozen=True, slots=True)
class Boundary:
    """The nodes that can move by themselves, by role, and what values they can have."""

    outputs: tuple[int, ...] = ()  # raw heads: a model output, or the linear layer before its activation
    weights: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    targets: tuple[int, ...] = ()
    domains: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def all(self) -> tuple[int, ...]:
        """Every node of the boundary, outputs first."""
        return (*self.outputs, *self.weights, *self.inputs, *self.targets)


def boundary(graph: Graph) -> Boundary:
    """Walk back from the loss. A model output that is a plain view of its raw head is moved itself.

    What the loss reads beside a model is data, wherever the batch has it: an autoencoder's input is also its target.
    A loss may call parts of its model (`model.encoder(x)`): their last layers are heads as well.
    """
    heads: list[int] = []
    for node in _walk(graph, graph.loss, through_model=False):
        heads += [node] if graph.nodes[node].zone == "loss" else _heads(graph, node)
    heads = list(dict.fromkeys(heads))
    leaves = [n for n in heads if graph.nodes[n].op == "input" and n not in graph.buffers]
    outputs = tuple(_taken_apart(graph, n) for n in heads if graph.nodes[n].op != "input")
    weights = tuple(n for n in leaves if n not in graph.targets and _is_weight(graph, n))
    given = tuple(n for n in leaves if n not in weights)
    targets = given if graph.weights else tuple(n for n in given if n in graph.targets)
    inputs = tuple(n for n in given if n not in targets)
    domains = {n: value_bounds(graph, n) for n in outputs}
    return Boundary(outputs, weights, inputs, targets, domains)


def called_layers(graph: Graph) -> set[int]:
    """Layers of the model that the loss calls by itself. Of one that it calls again the weights move: its outputs do
    not do so one by one."""
    calls: dict[int, list[Node]] = {}
    for node in graph.nodes:
        for ref in variable_refs(graph, node) if ops.row(node.op).kind == "linear" else ():
            weight = _source(graph, ref)
            if _is_weight(graph, weight):
                calls.setdefault(weight, []).append(node)
    once = (nodes[0] for nodes in calls.values() if len(nodes) == 1)
    return {n.index for n in once if n.zone == "loss" and in_library_layer(n)}


def _taken_apart(graph: Graph, head: int) -> int:
    """Of a raw head (N, T * C) that is only read as (N, T, C), and of that pieces are taken, the view: its channels."""
    view = head
    while not pieces(graph, view):
        readers = [n for n in graph.nodes if view in variable_refs(graph, n)]
        if len(readers) != 1 or packet(readers[0].aten) not in ("view", "reshape", "_unsafe_view"):
            return head
        view = readers[0].index
    return view


def _is_weight(graph: Graph, node: int) -> bool:
    name = graph.nodes[node].name or ""
    return bool(graph.weights and name in graph.weights)


def _heads(graph: Graph, node: int) -> list[int]:
    """The raw heads behind one value that the model hands over."""
    start = graph.nodes[node]
    source = _source(graph, node)
    if _is_handed_on(graph, source):
        return [source]
    if _is_stop(graph, graph.nodes[source]) or graph.nodes[source].op == "input":
        return [source] if node not in graph.outputs or _is_shared(graph, node, source) else [node]
    found = _walk(graph, node, through_model=True)
    fanned = len([n for n in found if graph.nodes[n].op != "input"]) > MOST_HEADS
    return [start.index] if fanned or not found else found


def _is_handed_on(graph: Graph, source: int) -> bool:
    """Is it data that a model gives back as it took them? Nobody predicts that."""
    is_leaf = graph.nodes[source].op == "input"
    return bool(graph.weights) and is_leaf and source not in graph.buffers and not _is_weight(graph, source)


def raw_values_before(graph: Graph, node: int) -> tuple[int, ...]:
    """The raw values behind any op: linear layers, weights and inputs, found as the boundary is."""
    found = _walk(graph, node, through_model=True)
    return tuple(found) if len(found) <= MOST_HEADS else ()


def _is_shared(graph: Graph, node: int, source: int) -> bool:
    """Does something besides `node` read the raw value? Then moving `node` alone could never happen."""
    way = [node]
    while way[-1] != source:
        way.append(variable_refs(graph, graph.nodes[way[-1]])[0])
    readers = {n.index for n in graph.nodes for r in variable_refs(graph, n) if r in way[1:]}
    return bool(readers - set(way))


def _walk(graph: Graph, start: int, through_model: bool) -> list[int]:
    """Nodes where the walk back from `start` ends, in program order."""
    called = set() if through_model else called_layers(graph)
    ends: set[int] = set()
    seen = {start}
    stack = [start]
    while stack:
        node = graph.nodes[stack.pop()]
        for ref in variable_refs(graph, node):
            if ref in seen or graph.nodes[ref].op == "constant":
                continue
            seen.add(ref)
            if ref in called or _ends(graph, graph.nodes[ref], through_model):
                ends.add(ref)
            else:
                stack.append(ref)
    return sorted(ends)


def _ends(graph: Graph, node: Node, through_model: bool) -> bool:
    if node.op == "input":
        return True
    return _is_stop(graph, node) if through_model else node.zone == "model"


def _is_stop(graph: Graph, node: Node) -> bool:
    """A layer that can put its output anywhere: linear, normalising, or `x @ w + b` written out. `L @ L.mT` is none."""
    if ops.row(node.op).kind in _STOPS:
        return ops.row(node.op).kind != "linear" or _is_layer(graph, node)
    if node.op not in ("add", "sub"):
        return False
    parts = [graph.nodes[_source(graph, a.index)] for a in node.args[:2] if isinstance(a, Ref)]
    return (
        len(parts) == 2
        and any(_is_layer(graph, p) for p in parts)
        and any(p.op == "input" or (ops.row(p.op).kind != "linear" and _is_bias(graph, p)) for p in parts)
    )


def _is_layer(graph: Graph, node: Node) -> bool:
    """A product with a factor as it is given, or made of parameters alone. That of two computed factors, such as a
    covariance of its root, or of a root and noise, only takes the values that these lead to, and so does one of bounded
    factors: an average."""
    if ops.row(node.op).kind != "linear":
        return False
    factors = [_source(graph, r) for r in variable_refs(graph, node)]
    given = any(graph.nodes[f].op == "input" or _is_of_parameters(graph, f) for f in factors)
    return given and not all(_is_bounded(graph, f) for f in factors)


def _is_bounded(graph: Graph, index: int) -> bool:
    """On both sides, whatever the parameters are; or does it not change at all?"""
    return index in graph.buffers or all(math.isfinite(end) for end in value_bounds(graph, index))


def _is_of_parameters(graph: Graph, index: int) -> bool:
    leaves = [graph.nodes[k] for k in ancestors(graph, index)]
    data = (n.op == "input" and n.index not in graph.buffers and not _is_weight(graph, n.index) for n in leaves)
    return not any(data) and not any(ops.row(n.op).kind == "random" for n in leaves)


def _is_bias(graph: Graph, node: Node) -> bool:
    return len(node.shape) <= 1 and node.zone == "model"


def _source(graph: Graph, index: int) -> int:
    """The node behind views and hand-over clones."""
    node = graph.nodes[index]
    while node.op == "view" and node.args and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
    return node.index
