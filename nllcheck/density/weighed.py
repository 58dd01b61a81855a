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
from nllcheck.types import Graph

WEIGHED = (
    "the loss weighs each draw of z by the density that it was drawn from, as an importance-weighted bound does: a "
    "likelihood only on average over the draws"
)


def weighs_draws(graph: LossGraph, tail: Tail) -> bool:
    """Does a term with the target read a drawn sample, and the mean that it was drawn around beside it?"""
    starts = [origin for t in tail.terms if tail.reads_target(t) and (origin := origin_of(t)) is not None]
    return any(
        sample in ancestors(graph.graph, start) and _past(graph.graph, start, sample) & means
        for start in starts
        for sample, means in _draws(graph)
    )


def _draws(graph: LossGraph) -> Iterator[tuple[int, set[int]]]:
    """Of each noise the first sum with something of the model: the sample, and what is not noise in that sum."""
    leaves = {n.index for n in graph.graph.nodes if n.op == "input" and n.index not in graph.graph.targets}
    moving = depends_on(graph.graph, leaves)
    for noise in noises(graph):
        noisy = depends_on(graph.graph, {noise})
        sums = (n for n in graph.graph.nodes if n.op in ("add", "sub", "addcmul") and n.index in noisy)
        means = ((n.index, {r for r in refs(n) if r not in noisy and r in moving}) for n in sums)
        yield from itertools.islice((one for one in means if one[1]), 1)


def _past(graph: Graph, start: int, stop: int) -> set[int]:
    """What `start` is computed from on ways that do not lead through `stop`."""
    found, stack = {start}, [start]
    while stack:
        node = stack.pop()
        new = set() if node == stop else set(refs(graph.nodes[node])) - found
        found |= new
        stack += new
    return found
