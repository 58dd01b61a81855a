"""What the terms without target are to each latent variable that is drawn, by three readings.

Normal posteriors of single numbers are fitted with all that goes wrong with them (`divergence`), other families told
by the shape of their divergence (`implied`), and log q of what is drawn in several steps by a change of variables
(`pushed`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from nllcheck.capture import LossGraph
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.kl.divergence import of_normal
from nllcheck.density.kl.implied import divergence_of
from nllcheck.density.kl.pushed import Pushed, chains_of, on_target, pushed
from nllcheck.density.kl.pushed_words import divergence_by, sum_of
from nllcheck.density.latent import latents
from nllcheck.density.posteriors import posteriors
from nllcheck.density.relaxed import relaxed
from nllcheck.types import Divergence

_One = TypeVar("_One")
_Answer = TypeVar("_Answer")


def divergences(graph: LossGraph, beside: frozenset[int] | None = None) -> tuple[Divergence, ...]:
    """One answer a posterior that the graph shows and whose parameters the loss' terms without target read.

    `beside`: the nodes of those that are no part of the likelihood, where that is known.
    """
    found = {one.sample: answer for one in latents(graph) if (answer := _tried(of_normal, graph, one, beside))}
    drawn = {one.sample: one.noise for one in latents(graph)}
    for made in (*posteriors(graph), *relaxed(graph)):
        key = made.sample if made.sample is not None else -1 - made.params[0]
        if key not in found and (answer := _tried(divergence_of, graph, made, beside)):
            found[key], drawn[key] = answer, -1 if made.noise is None else made.noise
    found = {key: _placed(graph, one) for key, one in found.items()}
    for chain in _tried(lambda *_: chains_of(graph), graph, None, beside) or ():
        if (way := _tried(pushed, graph, chain, beside)) is not None:
            found = _with(graph, found, {k for k in found if drawn.get(k) == chain.noise}, way)
    return tuple(found.values())


def _placed(graph: LossGraph, one: Divergence) -> Divergence:
    """At the op that puts a wrong divergence together, where it is called at one of its terms."""
    others = _tried(lambda *_: on_target(graph), graph, None, None) if one.name != "kl" else None
    return replace(one, node=sum_of(graph.graph, one.node, set(others))) if others else one


def _with(graph: LossGraph, found: dict[int, Divergence], own: set[int], way: Pushed) -> dict[int, Divergence]:
    """With the answer of a chain in place of those on the same noise, `own`. One on the same number stays: it knows the
    prior, too; unless it has seen nothing wrong where there is, or the chain tells which part of log q is."""
    beside = {k: v for k, v in found.items() if k not in own}
    same = found.get(way.sample)
    if same is not None and way.name != "steps" and (same.name != "kl" or way.name == "sound"):
        return beside | {way.sample: same}
    return beside | {way.sample: divergence_by(graph, way)}


def _tried(
    ask: Callable[[LossGraph, _One, frozenset[int] | None], _Answer], graph: LossGraph, one: _One,
    beside: frozenset[int] | None,
) -> _Answer | None:  # fmt: skip
    try:
        return ask(graph, one, beside)
    except (UndecidedError, RuntimeError, TypeError, ValueError, IndexError):  # ops at values they never saw
        return None
