"""The way from noise to a latent variable: what a posterior's draw passes through, step by step.

A step is a node that all of the noise passes on its way to the likelihood and that has as many numbers as the noise: a
change of variables leads from each to the next. What only shows them in another shape is none.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import fx

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.capture.plain import mark_of
from nllcheck.density.latent import noises
from nllcheck.density.posteriors import MOST, sources_of
from nllcheck.graphs import ancestors, refs
from nllcheck.ops import is_transparent, packet, row
from nllcheck.types import Graph


@dataclass(frozen=True, slots=True)
class Chain:
    """Plain indices of nodes: the noise, the steps after it in their order, and where their parameters come from."""

    noise: int
    is_normal: bool
    steps: tuple[int, ...]
    sources: tuple[int, ...]


def chains(graph: LossGraph, likelihood: tuple[int, ...]) -> tuple[Chain, ...]:
    """One for each of the first `MOST` draws that the terms `likelihood` (plain nodes) read."""
    normal, drawn = noises(graph), drawn_in(graph)
    found = (_chain(graph, noise, noise in normal, set(drawn) - {noise}, likelihood) for noise in drawn[:MOST])
    return tuple(one for one in found if one is not None)


def drawn_in(graph: LossGraph) -> list[int]:
    """What is drawn from a normal or a uniform distribution, or given as a draw: plain indices."""
    normal = noises(graph)
    return [*normal, *(k for k in _uniform(graph) if k not in normal)]


def _uniform(graph: LossGraph) -> list[int]:
    pairs = zip(graph.fx_nodes, graph.graph.nodes, strict=True)
    random = [p for n, p in pairs if is_fixed(n) and row(p.op).kind == "random" and "float" in p.dtype]
    return [p.index for p in random if "rand" in p.aten or "uniform" in p.aten]


def _chain(
    graph: LossGraph, noise: int, is_normal: bool, others: set[int], likelihood: tuple[int, ...]
) -> Chain | None:
    nodes, size = graph.graph.nodes, graph.values[noise].numel()
    noisy = depends_on(graph.graph, {noise})
    way = sorted(noisy & ancestors(graph.graph, *likelihood))
    alone = set(way) - depends_on(graph.graph, others | set(graph.graph.targets)) - set(likelihood) - {noise}
    steps = [k for k in _passed(graph.graph, way, set(likelihood)) if k in alone and not is_transparent(nodes[k].op)]
    steps = [k for k in steps if "float" in nodes[k].dtype and graph.values[k].numel() == size]
    if not steps:
        return None
    beside = [r for k in way if k <= steps[-1] for r in refs(nodes[k]) if r not in noisy]
    moving = depends_on(graph.graph, {n.index for n in nodes if n.op == "input"} - {*graph.graph.buffers})
    found = dict.fromkeys(s for r in beside for s in sources_of(graph.graph, r) if s in moving)
    sources = tuple(s for s in found if "float" in nodes[s].dtype)
    return Chain(noise, is_normal, tuple(steps), sources) if sources else None


def _passed(graph: Graph, way: list[int], ends: set[int]) -> Iterator[int]:
    """Nodes of the way that no edge of it leads around."""
    last = {r: len(graph.nodes) if k in ends else k for k in way for r in refs(graph.nodes[k])}  # of the latest reader
    reach = -1
    for k in (k for k in way if k not in ends):
        if k >= reach:
            yield k
        reach = max(reach, last.get(k, -1))


def level_of(graph: Graph, chain: Chain, term: int) -> int:
    """How many steps stand before a term that reads the noise and the chain's parameters only by way of the last of
    them, as a prior does; 0 if it reads them otherwise, too."""
    levels = range(len(chain.steps), 0, -1)
    read = ancestors(graph, term)
    return next((n for n in levels if chain.steps[n - 1] in read and not reads_past(graph, chain, term, n)), 0)


def reads_past(graph: Graph, chain: Chain, term: int, level: int) -> bool:
    """Does a term read the noise or the parameters otherwise than by way of the step with this number?"""
    return term in depends_on(graph, {chain.noise, *chain.sources}, around=chain.steps[level - 1])


def last_read(graph: Graph, chain: Chain, terms: tuple[int, ...]) -> int:
    """The number of the last step that any of the terms reads."""
    read = ancestors(graph, *terms)
    return max((n for n, step in enumerate(chain.steps, 1) if step in read), default=0)


def has_parameters(graph: Graph, chain: Chain, level: int) -> bool:
    """Does the step after the one with this number read parameters?"""
    return chain.steps[level] in depends_on(graph, set(chain.sources), around=chain.steps[level - 1])


def is_held(graph: LossGraph, chain: Chain, terms: tuple[int, ...]) -> bool:
    """Is a part of the terms without its gradient, as in an estimate by scores? What is meant is another one then."""
    moved = depends_on(graph.graph, {chain.noise, *chain.sources}) & ancestors(graph.graph, *terms)
    return any(_stops(graph.fx_nodes[k]) for k in moved - {chain.noise, *chain.sources})


def _stops(node: fx.Node) -> bool:
    mark = mark_of(node) if node.op == "call_function" else None
    return packet(str(node.target)) == "detach" or (mark is not None and not mark.grad_enabled)
