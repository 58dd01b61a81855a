"""Discrete posteriors that a graph draws from in a relaxed form (Maddison et al. 2017, Jang et al. 2017).

Classes are softmax((logits + g) / t) with Gumbel noise g, bits sigmoid((logits + l) / t) with logistic noise l. Both
are read from the graph's own numbers: the noise is moved through its quantiles, and what enters the softmax must follow
those of g or l; the logits are the first node that has what is left.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.density.posteriors import MOST, QUANTILES, Posterior, noise_at, sources_of
from nllcheck.density.samples.running import run_at
from nllcheck.density.samples.sample import WIDE
from nllcheck.graphs import refs
from nllcheck.ops import row
from nllcheck.types import Graph, Node

SAME = 1e-3
_SHARES = ("softmax", "log_softmax", "logsumexp")
_BITS = ("sigmoid", "logsigmoid")


@dataclass(frozen=True, slots=True)
class _Squashed:
    """A node that squashes `scores`, which read the noise, to shares of classes or to bits."""

    node: Node
    scores: int
    is_bits: bool


def relaxed(graph: LossGraph) -> tuple[Posterior, ...]:
    """The first `MOST` of them, in the order of the program."""
    pairs = zip(graph.fx_nodes, graph.graph.nodes, strict=True)
    noise = [p for n, p in pairs if is_fixed(n) and row(p.op).kind == "random" and "float" in p.dtype]
    return tuple(one for drawn in noise for one in _drawn_with(graph, drawn))[:MOST]


def _drawn_with(graph: LossGraph, noise: Node) -> Iterator[Posterior]:
    leaves = {n.index for n in graph.graph.nodes if n.op == "input" and n.index not in graph.graph.targets}
    moving, noisy = depends_on(graph.graph, leaves), depends_on(graph.graph, {noise.index})
    for one in _squashed(graph.graph, noisy & moving):
        logits = _logits(graph, noise, one, sorted(moving - noisy))
        sources = sources_of(graph.graph, logits) if logits is not None else []
        if logits is not None and not set(sources) & set(graph.graph.targets):
            yield Posterior("categorical", (logits,), tuple(sources), one.node.index, noise.index, is_bits=one.is_bits)
            return


def _squashed(graph: Graph, among: set[int]) -> Iterator[_Squashed]:
    for node in graph.nodes:
        first = refs(node)[0] if refs(node) and refs(node)[0] in among else None
        if first is None:
            continue
        last = len(graph.nodes[first].shape) - 1
        dims = [d for a in node.args[1:2] for d in (a if isinstance(a, tuple) else (a,))]
        if node.op in _SHARES and dims in ([last], [-1]):
            yield _Squashed(node, first, False)
        elif node.op in _BITS:
            yield _Squashed(node, first, True)


def _logits(graph: LossGraph, noise: Node, one: _Squashed, among: list[int]) -> int | None:
    """The first of the nodes `among` that the scores are a multiple of, beside the noise."""
    levels = (torch.arange(QUANTILES, dtype=WIDE) + 0.5) / QUANTILES
    shape = graph.values[noise.index].shape
    drawn = noise_at(noise, levels).reshape(-1, *(1 for _ in shape)).expand(-1, *shape)
    try:
        (scores,) = run_at(graph, (noise.index,), (drawn,), (one.scores,))
    except (RuntimeError, ValueError, TypeError):  # not read, or ops at values they never saw
        return None
    exact = torch.logit(levels) if one.is_bits else -torch.log(-torch.log(levels))
    left = _without_noise(scores.sort(0).values, exact)
    if left is None:
        return None
    own = left if one.is_bits else left - left.mean(-1, keepdim=True)
    return next((k for k in among if _is_same(graph.values[k], own, one.is_bits)), None)


def _without_noise(scores: Tensor, exact: Tensor) -> Tensor | None:
    """What is left of (Q, ...) scores = (left + noise) / t, if they follow the (Q,) quantiles of the noise."""
    rate = ((scores[-1] - scores[0]) / (exact[-1] - exact[0])).median()
    noise = exact.reshape(-1, *(1 for _ in scores.shape[1:]))
    left = scores / rate - noise
    follows = float(rate) > 0 and bool((left - left.mean(0)).abs().max() < SAME)
    return left.mean(0) if follows else None


def _is_same(value: object, left: Tensor, is_bits: bool) -> bool:
    if not isinstance(value, Tensor) or value.shape != left.shape or not value.is_floating_point():
        return False
    own = value.to(WIDE)
    own = own if is_bits else own - own.mean(-1, keepdim=True)
    return bool(torch.allclose(own, left, rtol=SAME, atol=SAME))
