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


def chains(graph: LossGraph, likelihood: tuple[int, ...], beside: tuple[int, ...]) -> tuple[Chain, ...]:
    """One for each of the first `MOST` draws that the terms `likelihood` (plain nodes) read, or else those `beside`."""
    normal, drawn = noises(graph), drawn_in(graph)
    read = ancestors(graph.graph, *likelihood)
    ends = {k: likelihood if k in read else _readers(graph.graph, k, beside) for k in drawn[:MOST]}
    found = (_chain(graph, k, k in normal, set(drawn) - {k}, terms) for k, terms in ends.items())
    return tuple(one for one in found if one is not None)


def _readers(graph: Graph, noise: int, terms: tuple[int, ...]) -> tuple[int, ...]:
    reached = depends_on(graph, {noise})
    return tuple(k for k in terms if k in reached)


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
    steps = [k for k in _passed(graph.graph, way, set(likelihood)) if not is_transparent(nodes[k].op) and k != noise]
    steps = [k for k in steps if "float" in nodes[k].dtype and graph.values[k].numel() == size]
    behind = way[1:]  # what the noise itself is shaped like is no parameter
    sources = _sources(graph.graph, behind, noisy, steps)
    alone = set(steps) - _reached(graph.graph, others, sources) - depends_on(graph.graph, set(graph.graph.targets))
    kept = [k for k in steps if k in alone - set(likelihood)]
    sources = [s for s in _sources(graph.graph, behind, noisy, kept) if "float" in nodes[s].dtype]
    return Chain(noise, is_normal, tuple(kept), tuple(sources)) if kept and sources else None


def _sources(graph: Graph, way: list[int], noisy: set[int], steps: list[int]) -> list[int]:
    """Where the parameters of the steps come from."""
    beside = [r for k in way if steps and k <= steps[-1] for r in refs(graph.nodes[k]) if r not in noisy]
    moving = depends_on(graph, {n.index for n in graph.nodes if n.op == "input"} - {*graph.buffers})
    return list(dict.fromkeys(s for r in beside for s in sources_of(graph, r) if s in moving))


def _reached(graph: Graph, draws: set[int], sources: list[int]) -> set[int]:
    """What other draws reach, but not as a parameter: a level of a ladder is drawn with what the one before it gave."""
    reached = set(draws) - set(sources)
    for node in graph.nodes:
        if node.index not in sources and any(r in reached for r in refs(node)):
            reached.add(node.index)
    return reached


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
