"""Data that both the model and the loss read, as a variational autoencoder's: what the loss compares with, as a target.

-log p(x | z(x)) + KL is a density of the x that the decoder's output is compared with, while the encoder goes on
reading the one that was observed (Kingma and Welling 2014, eq. 2). So the program is taken with the data twice.
"""

from __future__ import annotations

from torch import fx

from nllcheck import ops
from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.program import Leaf
from nllcheck.density.draws.rebuilt import Rebuilt, rebuilt, with_leaf
from nllcheck.graphs import ancestors, refs
from nllcheck.types import Density, Graph, Node

VOLUME = (
    "the loss adds what the model makes of the data that it is compared with, as a flow adds its log-determinant, and "
    "the two are one only where nothing of the model reads what it predicts"
)
_TABLES = ("embedding", "index", "gather")  # of parameters as they are
_PARTS = ("select", "view")
_REPEATS = "aten.expand"  # the same data for several draws, which is more than one part of them
_LINEAR = ("add", "sub", "neg", "sum", "mean", "mul", "div")


def with_data_apart(graph: LossGraph) -> Rebuilt | None:
    """The program with a target of its own; None where the loss reads a target, or compares with no data or several."""
    compared = _compared(graph.graph)
    root = _root(graph.graph, set(compared))
    return None if root is None else _divided(graph, root, compared)


def compared_with(graph: LossGraph) -> int | None:
    """The node of the data that model and loss both read, where the loss reads no target."""
    return _root(graph.graph, set(_compared(graph.graph)))


def reader_of(graph: LossGraph, root: int) -> int | None:
    """The first op of the loss that compares with what is made of `root`, behind views."""
    plain, compared = graph.graph, _compared(graph.graph)
    found = [k for source, readers in compared.items() if root in ancestors(plain, source) for k in readers]
    return behind_views(plain, min(found, default=None))


def behind_views(graph: Graph, index: int | None) -> int | None:
    """The first op that computes with a node's values."""
    while index is not None and (ops.is_transparent(graph.nodes[index].op) or graph.nodes[index].op == "input"):
        index = min((n.index for n in graph.nodes if index in refs(n)), default=None)
    return index


def _root(graph: Graph, compared: set[int]) -> int | None:
    """The one value that the loss compares with, or the data that all of them are made of."""
    if len(compared) == 1:
        return next(iter(compared))
    made_of = {k for k in ancestors(graph, *compared) if _is_data(graph, graph.nodes[k])} if compared else set()
    return next(iter(made_of)) if len(made_of) == 1 else None


def undecided_by_volume(program: Rebuilt, answer: Density) -> Density:
    """Of an answer "varies": undecided where nothing is drawn and the loss adds what the model makes of the same data.

    So does a flow with its log-determinant (Rezende and Mohamed 2015, eq. 5), where the data that the model reads move
    with those that are compared, which this test leaves where they are.
    """
    graph = program.graph.graph
    if answer.name != "varies" or _draws(graph, ancestors(graph, graph.loss)) or not _adds_given(graph):
        return answer
    return Density("undecided", f"Not decided: {VOLUME}.", claims=answer.claims)


def _adds_given(graph: Graph) -> bool:
    """Is a term of the loss made of the data by the model, without the target?"""
    compared = depends_on(graph, set(graph.targets))
    given = depends_on(graph, {n.index for n in graph.nodes if _is_data(graph, n)})
    terms, stack = set[int](), [graph.loss]
    while stack:
        node = graph.nodes[stack.pop()]
        linear = node.op in _LINEAR or ops.is_transparent(node.op)
        stack += refs(node) if linear else ()
        terms |= set() if linear else {node.index}
    trained = depends_on(graph, {n.index for n in graph.nodes if n.op == "input" and n.name in graph.weights})
    return bool(terms & given & trained - compared)


def _compared(graph: Graph) -> dict[int, set[int]]:
    """What is made of the data alone, as the model gets it, and read by the loss, too: with the ops that do so."""
    reads, pairs = ancestors(graph, graph.loss), _met(graph)
    if not graph.weights or reads & set(graph.targets) - conditions(graph):
        return {}
    in_loss = [(source, n) for source, n in pairs if n.zone == "loss"]
    found: dict[int, set[int]] = {}
    for source, node in in_loss or (pairs if _draws(graph, reads) else []):  # a model may return its bound
        found.setdefault(source, set()).add(node.index)
    return _narrowed(graph, found, reads)


def _narrowed(graph: Graph, found: dict[int, set[int]], reads: set[int]) -> dict[int, set[int]]:
    """Where all that the loss compares with is one part of a value, that part."""
    while len(found) == 1:
        ((source, readers),) = found.items()
        part = graph.nodes[min(readers)]
        parted = ops.is_transparent(part.op) or part.op in _PARTS
        if len(readers) > 1 or refs(part) != (source,) or not parted or part.aten.startswith(_REPEATS):
            break
        users = [n for n in graph.nodes if part.index in refs(n) and n.index in reads]
        found = {part.index: {n.index for n in users if not _asks(graph, part.index, n)}}
    return found


def conditions(graph: Graph) -> frozenset[int]:
    """Targets that the loss reads by way of the model's layers alone, as a conditional model does the labels."""
    reads, alone = ancestors(graph, graph.loss), of_data_alone(graph)
    given = set(graph.targets) & ancestors(graph, *_layers(graph, alone)) & reads
    return frozenset(given - ancestors(graph, *(source for source, _ in _met(graph))) if given else ())


def _met(graph: Graph) -> list[tuple[int, Node]]:
    """What the layers are fed with, or the loss alone reads, and each op behind the layers that reads it.

    A question about labels, such as which of them only fill up a row, is asked of those observed.
    """
    reads, alone = ancestors(graph, graph.loss), of_data_alone(graph)
    inside = ancestors(graph, *_layers(graph, alone)) & reads
    outside = [graph.nodes[k] for k in sorted(reads - inside)]
    leaves = {n.index for n in graph.nodes if _is_data(graph, n)} - set(graph.targets)
    starts = {k for k in alone & (inside | leaves) if graph.nodes[k].dtype}  # no list of pieces
    pairs = [(source, n) for n in outside for source in sorted(set(refs(n)) & starts)]
    return [(source, n) for source, n in pairs if not _asks(graph, source, n)]


def _asks(graph: Graph, source: int, node: Node) -> bool:
    """Is it a question about labels, with a plain number beside them?"""
    return node.dtype == "bool" and refs(node) == (source,) and "float" not in graph.nodes[source].dtype


def with_questions_held(graph: LossGraph) -> Rebuilt | None:
    """The program whose questions about its labels, such as which of them only fill up a row, are asked of those
    observed; None where there are none."""
    plain = graph.graph
    users = {t: [n for n in plain.nodes if t in refs(n)] for t in plain.targets}
    asked = {t: {n.index for n in ns if not _asks(plain, t, n)} for t, ns in users.items() if ns}
    one = [t for t, others in asked.items() if 0 < len(others) < len(users[t])]
    return _divided(graph, one[0], {one[0]: asked[one[0]]}) if len(one) == 1 else None


def of_data_alone(graph: Graph) -> set[int]:
    """Nodes that are made of the batch, and of nothing that training or chance can change."""
    data = {n.index for n in graph.nodes if _is_data(graph, n)}
    drawn = {n.index for n in graph.nodes if ops.row(n.op).kind == "random"}
    other = drawn | {n.index for n in graph.nodes if n.op == "input" and n.name in graph.weights}
    return depends_on(graph, data) - depends_on(graph, other)


def _draws(graph: Graph, reads: set[int]) -> bool:
    return any(ops.row(graph.nodes[k].op).kind == "random" for k in reads)


def _is_data(graph: Graph, node: Node) -> bool:
    return node.op == "input" and node.index not in graph.buffers and node.name not in graph.weights


def _layers(graph: Graph, alone: set[int]) -> list[int]:
    """Where the data meet parameters: a layer, or a table of them that the data select from."""
    weights = {n.index for n in graph.nodes if n.op == "input" and n.name in graph.weights}
    fed = depends_on(graph, alone)
    trained = depends_on(graph, weights) - fed
    layers = [(n, trained) for n in graph.nodes if ops.row(n.op).kind in ("linear", "norm")]
    layers += [(n, weights) for n in graph.nodes if n.op in _TABLES]
    return [n.index for n, own in layers if set(refs(n)) & own and set(refs(n)) & fed]


def _divided(graph: LossGraph, root: int, compared: dict[int, set[int]]) -> Rebuilt:
    """The program with a further leaf with the value of `root`, which is the target: of it those nodes of `compared`
    are made once more that the loss reads at the ops beside them."""
    new, copies, target = fx.Graph(), dict[fx.Node, fx.Node](), None
    nodes, leaves = graph.fx_nodes, graph.program.leaves
    again: dict[fx.Node, fx.Node] = {}
    way = ancestors(graph.graph, *compared) & depends_on(graph.graph, {root})
    for place, old in enumerate(graph.module.graph.nodes):
        if place == len(leaves):
            target = again[nodes[root]] = new.placeholder("compared")
        swapped = {nodes[k]: again[nodes[k]] for k, readers in compared.items() if place in readers}
        copies[old] = new.node_copy(old, lambda n, swapped=swapped: swapped.get(n, copies[n]))  # type: ignore[misc]
        if place in way and place != root:
            again[old] = new.node_copy(old, lambda n: again.get(n, copies[n]))
    assert target is not None  # there is a loss behind the leaves
    value = graph.values[root]
    given = with_leaf(graph, Leaf(graph.graph.nodes[root].name or "data", "target", value))
    made = {new: old for old, new in [*copies.items(), *again.items()]}
    return rebuilt(given, new, made, {target: value}, targets=(len(leaves),))
