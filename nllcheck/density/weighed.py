"""Bounds that weigh each draw of z by the density it was drawn from: log mean p(x, z) / q(z), Burda et al. 2016.

With the noise as it fell, exp(-loss) integrates over x to p(z) / q(z), which changes with everything: a likelihood it
is only on average over the noise. In the plain bound log q - log p is a term of its own, without the target.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.implied import origin_of
from nllcheck.density.latent import noises
from nllcheck.density.terms import Tail
from nllcheck.graphs import ancestors, refs
from nllcheck.ops import is_transparent
from nllcheck.types import Graph

WEIGHED = (
    "the loss weighs each draw of z by the density that it was drawn from, as an importance-weighted bound does: a "
    "likelihood only on average over the draws"
)


def weighs_draws(graph: LossGraph, tail: Tail) -> bool:
    """Does a term with the target hold z - mu, the residual that a drawn sample's own density is made of?"""
    starts = [origin for t in tail.terms if tail.reads_target(t) and (origin := origin_of(t)) is not None]
    read = ancestors(graph.graph, *starts)
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
