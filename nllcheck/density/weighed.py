"""Bounds that weigh each draw of z by the density it was drawn from: log mean p(x, z) / q(z), Burda et al. 2016.

With the noise as it fell, exp(-loss) integrates over x to p(z) / q(z), which changes with everything: a likelihood it
is only on average over the noise. In the plain bound log q - log p is a term of its own, without the target.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from torch import Tensor

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.chain import drawn_in
from nllcheck.density.kl.implied import origin_of
from nllcheck.density.latent import noises
from nllcheck.density.samples.terms import Tail
from nllcheck.graphs import ancestors, refs
from nllcheck.ops import is_transparent
from nllcheck.types import Graph, Node

_LINEAR = ("add", "sub", "neg", "sum", "mean", "stack", "cat")
WEIGHED = (
    "the loss weighs each draw of z by the density that it was drawn from, as an importance-weighted bound does: a "
    "likelihood only on average over the draws"
)
AVERAGED = (
    "the loss takes the mean of log-likelihoods over classes by their probabilities, as the bound of a latent class "
    "does: a likelihood only where the class is certain"
)


def averages_classes(graph: LossGraph) -> bool:
    """Does it multiply something of the target with a softmax, and their own logarithm with the same probabilities and
    as much weight, as in the bound of a latent class? Else it is a mixture with its logarithm in the wrong place, be it
    with a bonus for its entropy."""
    nodes, data = graph.graph.nodes, depends_on(graph.graph, set(graph.graph.targets))
    scores = {n.index: k for n in nodes if (k := _scores_of(graph.graph, n)) is not None}
    met: dict[int, set[tuple[str, float]]] = {}
    for node in (n for n in nodes if n.op == "mul" and len(refs(n)) == 2):
        for share, other in itertools.permutations(_behind(graph.graph, r) for r in refs(node)):
            if share in scores and share not in data:
                kinds = ["data"] if other in data else []
                kinds += ["own"] if scores[share] in ancestors(graph.graph, other) else []
                weight = _weight(graph, node.index)
                met.setdefault(scores[share], set()).update((kind, weight) for kind in kinds)
    return any({("data", w), ("own", w)} <= kinds for kinds in met.values() for _, w in kinds)


def _weight(graph: LossGraph, index: int) -> float:
    """What the loss multiplies the elements of a node with, sign aside, as far as it only sums and weighs them."""
    weight, size = 1.0, graph.values[index].numel()
    while len(after := [n for n in graph.graph.nodes if index in refs(n)]) == 1:
        node, index = after[0], after[0].index
        if not isinstance(graph.values[index], Tensor):  # several results of one op, as a maximum with its place
            break
        plain = [abs(a) for a in node.args if isinstance(a, int | float)]
        if node.op == "mean":
            weight /= size / max(graph.values[index].numel(), 1)
        elif node.op in ("mul", "div") and len(refs(node)) == 1 and plain:
            weight *= plain[0] if node.op == "mul" else 1 / plain[0]
        size = graph.values[index].numel()
    return round(weight, 9)


def _scores_of(graph: Graph, node: Node) -> int | None:
    """What a node is the softmax of, be it as exp of a log-softmax: the scores alone, not what they are a part of."""
    source = graph.nodes[_behind(graph, refs(node)[0])] if node.op == "exp" else node
    is_softmax = source.op == ("log_softmax" if node.op == "exp" else "softmax")
    return refs(source)[0] if is_softmax else None


def weighs_draws(graph: LossGraph, tail: Tail) -> bool:
    """Does a term with the target weigh draws: by z - mu, the residual that a drawn sample's own density is made of, or
    inside a logarithm of a sum by terms of the draws without the target?"""
    starts = [origin for t in tail.terms if tail.reads_target(t) and (origin := origin_of(t)) is not None]
    read = ancestors(graph.graph, *starts)
    return _holds_residual(graph, read) or _holds_weight(graph, read)


def _holds_weight(graph: LossGraph, read: set[int]) -> bool:
    nodes = graph.graph.nodes
    drawn = depends_on(graph.graph, set(drawn_in(graph)))
    with_target = depends_on(graph.graph, set(graph.graph.targets))
    for index in read:
        if (summed := _in_logs(graph.graph, nodes[index])) is not None:
            parts = set(_parts(graph.graph, summed))
            if parts & with_target and parts & drawn - with_target:
                return True
    return False


def _in_logs(graph: Graph, node: Node) -> int | None:
    """What `node` takes the logarithm of a sum of exponentials of; None for any other op."""
    if node.op == "logsumexp":
        return refs(node)[0]
    inner = graph.nodes[_behind(graph, refs(node)[0])] if node.op == "log" else None
    if inner is None or inner.op not in ("sum", "mean"):
        return None
    inner = graph.nodes[_behind(graph, refs(inner)[0])]
    return refs(inner)[0] if inner.op == "exp" else None


def _parts(graph: Graph, index: int) -> Iterator[int]:
    """The summands of a node, as far as it is a sum."""
    stack = [index]
    while stack:
        node = graph.nodes[_behind(graph, stack.pop())]
        if node.op in _LINEAR or is_transparent(node.op):
            stack += refs(node)
        else:
            yield node.index


def _holds_residual(graph: LossGraph, read: set[int]) -> bool:
    residuals = [n for n in graph.graph.nodes if n.op == "sub" and n.index in read]
    sides = [{_behind(graph.graph, r) for r in refs(n)} for n in residuals]
    return any(sample in pair and pair & means for sample, means in _draws(graph) for pair in sides)


def _behind(graph: Graph, index: int) -> int:
    """What a view, a copy or a node that hands the value over shows."""
    node = graph.nodes[index]
    while refs(node) and (is_transparent(node.op) or node.op == "clone"):
        node = graph.nodes[refs(node)[0]]
    return node.index


def _draws(graph: LossGraph) -> Iterator[tuple[int, set[int]]]:
    """Of each noise the first sum with something of the model: the sample, and what is not noise in that sum."""
    leaves = {n.index for n in graph.graph.nodes if n.op == "input" and n.index not in graph.graph.targets}
    moving = depends_on(graph.graph, leaves)
    for noise in noises(graph):
        noisy = depends_on(graph.graph, {noise})
        sums = (n for n in graph.graph.nodes if n.op in ("add", "sub", "addcmul") and n.index in noisy)
        means = ((n.index, {_behind(graph.graph, r) for r in refs(n) if r not in noisy and r in moving}) for n in sums)
        yield from itertools.islice((one for one in means if one[1]), 1)
