"""log q(z) of a latent variable against the noise that it is made of, by a change of variables.

Of z = T(eps), step by step, log q(z) = log n(eps) - log |det dT/d eps|: exact for every draw, without an integral. The
terms of the loss that read the parameters or the noise, and not only z, are its log q. They are evaluated at many
parameters and draws, and fitted by what each step adds (Rezende and Mohamed 2015, eq. 13). What is made of the noise
alone moves no gradient and is left open: an entropy in closed form is as good as a draw of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.chain import Chain, chains, has_parameters, is_held, last_read, level_of, reads_past
from nllcheck.density.kl.counted import Columns, columns_of, off_by, only_of, range_of, times_of, weight_of
from nllcheck.density.kl.implied import origin_of
from nllcheck.density.kl.jacobian import log_dets
from nllcheck.density.kl.laws import FELT, MOST_UNITS, mostly
from nllcheck.density.kl.normals import SAME
from nllcheck.density.kl.rows import by_rows, units_of
from nllcheck.density.posteriors import noise_at
from nllcheck.density.samples.cut import samples_of
from nllcheck.density.samples.running import by_origin, run_to
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.types import Graph

GROUPS = 48  # of three settings: the same parameters with another draw, and the same draw with other parameters
LEAST = 0.01  # nats by which a step must move log q to be told
FAR = (1 - 3e-5, 1 - 1e-15)  # levels of the noise: 4 and 8 standard deviations of a normal one
MOST_WORK = 5e6  # elements of the largest value, at all settings together


@dataclass(frozen=True)
class Step:
    """A step of the chain whose log-determinant counts otherwise than once, and by how many nats that makes log q move
    where it was tried; `term`: the plain node of the term that is this log-determinant and nothing else."""

    node: int
    times: float
    moves: float
    term: int | None = None


@dataclass(frozen=True)
class Pushed:
    """What the terms are to log q(z), z the plain node `sample`; `terms`: the plain nodes read for it, `beside` those
    of all other terms of the loss.

    'steps': some log-determinants count otherwise than once; 'norm': off by a function of the parameters alone, which
    varies by `off` nats.
    """

    name: Literal["sound", "reversed", "steps", "norm"]
    chain: Chain
    sample: int
    weight: float
    terms: tuple[int, ...]
    beside: tuple[int, ...]
    steps: tuple[Step, ...] = ()
    off: float = 0.0


@dataclass(frozen=True)
class _Seen:
    """All terms and columns at S settings, U rows each."""

    terms: dict[int, Tensor]  # (S, U) by plain node, as one sample's loss takes them
    log_n: Tensor  # (S, U), up to its constant
    log_dets: Tensor  # (S, U, J) of the chain's steps, what each adds


def chains_of(graph: LossGraph) -> tuple[Chain, ...]:
    """The ways from noise to the terms with the target; of what none of these reads, as a prior's own level, to the
    others. Raises UndecidedError where these cannot be told."""
    tail = samples_of(graph).tail
    beside = (origin_of(t) for t in tail.terms if t.constant is None and not tail.reads_target(t))
    return chains(graph, on_target(graph), tuple(k for k in beside if k is not None))


def on_target(graph: LossGraph) -> tuple[int, ...]:
    """The plain nodes of the terms with the target."""
    tail = samples_of(graph).tail
    found = (origin_of(t) for t in tail.terms if tail.reads_target(t))
    return tuple(k for k in found if k is not None)


def pushed(graph: LossGraph, chain: Chain, beside: frozenset[int] | None) -> Pushed | None:
    """What is to be said of one draw, if the terms without target hold its log q, or plainly were meant to hold it.

    `beside`: the plain nodes of those that are no part of the likelihood, where that is known. Raises UndecidedError,
    or what the ops raise.
    """
    kept = {origin_of(t) for t in samples_of(graph).free} - beside if beside is not None else set()
    return _told(graph, chain, _Draws(graph, chain, frozenset(kept)))


@dataclass(frozen=True, eq=False)
class _Draws:
    """What is evaluated of one chain; `kept`: terms that belong to the likelihood."""

    graph: LossGraph
    chain: Chain
    kept: frozenset[int | None]

    @cached_property
    def near(self) -> _Seen:
        """At parameters around the batch's own and ordinary draws, in groups of three: as they are, the noise drawn
        anew, the parameters drawn anew."""
        made = torch.Generator().manual_seed(0)
        values = [_moved(v, made) for v in self._samples.base[: len(self.chain.sources)]]
        first, other = torch.rand(2, GROUPS, *self._noise.shape, generator=made, dtype=WIDE).unbind(0)
        return self._seen(values, 0.01 + 0.98 * torch.cat([first, other, first]))

    @cached_property
    def far(self) -> _Seen:
        """At the batch's own parameters and draws further and further out, upwards and downwards."""
        ends = torch.tensor([FAR[0], FAR[1], 1 - FAR[0], 1 - FAR[1]], dtype=WIDE)
        levels = ends.reshape(-1, *(1 for _ in self._noise.shape)).expand(-1, *self._noise.shape)
        own = self._samples.base[: len(self.chain.sources)]
        return self._seen([v.expand(len(levels), *v.shape) for v in own], levels)

    def beside(self, terms: tuple[int, ...]) -> tuple[int, ...]:
        """The plain nodes of all terms of the loss but `terms`."""
        own = {o for t in self._samples.tail.terms if t.constant is None and (o := origin_of(t)) is not None}
        return tuple(sorted(own - set(terms)))

    @cached_property
    def _samples(self) -> Samples:
        found = samples_of(self.graph, moved=(*self.chain.sources, self.chain.noise))
        if max(v.numel() for v in found.values.values() if isinstance(v, Tensor)) * 3 * GROUPS > MOST_WORK:
            raise UndecidedError("too much work")
        return found

    @property
    def _noise(self) -> Tensor:
        return self.graph.values[self.chain.noise]

    def _seen(self, parameters: list[Tensor], levels: Tensor) -> _Seen:
        samples, place = self._samples, len(self.chain.sources)
        drawn = self.graph.graph.nodes[self.chain.noise]
        noise = torch.special.ndtri(levels) if self.chain.is_normal else noise_at(drawn, levels)
        rest = [b.expand(len(levels), *b.shape) for b in samples.base[place + 1 :]]
        values, names = [*parameters, noise, *rest], by_origin(samples.module, samples.moved)
        dets = log_dets(samples.module, place, [names[s] for s in self.chain.steps], values)
        terms = _terms(samples, self.kept, values)
        parts = by_rows(self.graph.graph, self.chain.noise, self._noise.shape, terms)
        units = units_of(dets.shape[1], parts)
        dets = dets.reshape(len(dets), units, -1, dets.shape[-1]).sum(2)[:, :MOST_UNITS]
        rows = {k: v.reshape(len(v), units, -1).sum(-1)[:, :MOST_UNITS] for k, v in parts.items()}
        own = noise.reshape(len(noise), units, -1)[:, :MOST_UNITS]
        log_n = (-0.5 if self.chain.is_normal else 0.0) * (own**2).sum(-1)
        return _Seen(rows, log_n, torch.diff(dets, dim=-1, prepend=torch.zeros_like(dets[..., :1])))


def _terms(samples: Samples, kept: frozenset[int | None], values: list[Tensor]) -> dict[int, Tensor]:
    """The terms that read what is moved and not the target, (S, ...) by plain node."""
    own = [t for t in samples.tail.terms if not samples.tail.reads_target(t) and samples.tail.reads_model(t)]
    terms = {o: t for t in own if (o := origin_of(t)) is not None and o not in kept}
    if not terms or len(terms) < sum(origin_of(t) not in kept for t in own):
        raise UndecidedError("the terms without target have no place in the program")
    given = run_to(samples.module, [t.node for t in terms.values()], values)
    return {k: v * samples.shares[t] for (k, t), v in zip(terms.items(), given, strict=True)}


def _moved(value: Tensor, made: torch.Generator) -> Tensor:
    """(3 G, ...) around a value; what is positive stays so, and zeros stay zero."""
    first, other = (2 * torch.rand(2, GROUPS, *value.shape, generator=made, dtype=WIDE) - 1).unbind(0)
    away = torch.cat([first, first, other])
    size = 0.5 + 0.5 * float(value.std() if value.numel() > 1 else value.abs())
    keeps = bool((value >= 0).all())
    return value * torch.exp(0.5 * away) if keeps else torch.where(value == 0, value, value + size * away)


def _told(graph: LossGraph, chain: Chain, draws: _Draws) -> Pushed | None:
    """Right as the density of a step that a prior reads, or else what is wrong with it as that of the last."""
    seen = draws.near
    levels = {k: level_of(graph.graph, chain, k) for k in seen.terms}
    last = _last(graph.graph, chain, levels)
    for level in sorted({last, *levels.values()} - {0}, reverse=True):
        terms, value = _log_q(graph.graph, chain, seen, level)
        weight = weight_of(_columns(seen, level), value) if terms else None
        if weight is not None and weight > 0 and (level == last or not _is_improper(draws.far, level, weight)):
            return Pushed("sound", chain, chain.steps[level - 1], weight, terms, draws.beside(terms))
    return _wrong(graph, draws, last) if last else None


def _last(graph: Graph, chain: Chain, levels: dict[int, int]) -> int:
    """The step that is the latent variable: the last that a prior reads, else the last that is read at all; and what is
    made of that without parameters."""
    last = max(levels.values()) or last_read(graph, chain, tuple(levels))
    while 0 < last < len(chain.steps) and not has_parameters(graph, chain, last):
        last += 1
    return last


def _log_q(graph: Graph, chain: Chain, seen: _Seen, level: int) -> tuple[tuple[int, ...], Tensor]:
    """The terms that are more than a function of the step's value, and their sum: (S, U)."""
    terms = tuple(k for k in seen.terms if reads_past(graph, chain, k, level))
    return terms, sum((seen.terms[k] for k in terms), torch.zeros_like(seen.log_n))


def _columns(seen: _Seen, level: int) -> Columns:
    return columns_of(seen.log_n, seen.log_dets[..., :level])


def _wrong(graph: LossGraph, draws: _Draws, level: int) -> Pushed | None:
    chain, seen = draws.chain, draws.near
    terms, value = _log_q(graph.graph, chain, seen, level)
    columns, sample = _columns(seen, level), chain.steps[level - 1]
    if not depends_on(graph.graph, set(chain.sources)) & set(terms) or is_held(graph, chain, terms):
        return None
    if (weight := weight_of(columns, value)) is not None and weight < 0:
        return Pushed("reversed", chain, sample, -weight, terms, draws.beside(terms))
    if (counts := times_of(columns, value)) is not None:
        wrong = {k: n for k, n in counts[1].items() if abs(n - 1) > SAME}
        moves = {k: abs(n - 1) * range_of(columns.steps[k]) for k, n in wrong.items()}
        sure = _surely(graph.graph, draws, level, counts[0], {k: n for k, n in wrong.items() if moves[k] > LEAST})
        given = {k: seen.terms[k] for k in terms}
        steps = tuple(Step(chain.steps[k], n, moves[k], only_of(columns.steps[k], given)) for k, n in sure.items())
        return Pushed("steps", chain, sample, counts[0], terms, draws.beside(terms), steps) if steps else None
    if (found := off_by(columns, value, [seen.terms[k] for k in terms])) is not None:
        return Pushed("norm", chain, sample, found[0], terms, draws.beside(terms), off=found[1])
    return None


def _surely(graph: Graph, draws: _Draws, level: int, weight: float, wrong: dict[int, float]) -> dict[int, float]:
    """Without the steps at the end that read no parameters: what they lack may be another prior of what they are made
    of. They count where that prior has no integral."""
    first = level
    while first > 1 and not has_parameters(graph, draws.chain, first - 1):
        first -= 1
    before = {k: n for k, n in wrong.items() if k < first}
    return before or (wrong if _is_improper(draws.far, first, weight) else {})


def _is_improper(far: _Seen, level: int, weight: float) -> bool:
    """Does the density that is left for the step `level`, beside its log q, not fall both upwards and downwards?"""
    log_q = far.log_n - far.log_dets[..., :level].sum(-1)
    rest = sum(far.terms.values(), torch.zeros_like(log_q)) - weight * log_q
    rises = (rest[1::2] - rest[::2]) > FELT * weight
    return mostly(~rises.all(0) & torch.isfinite(rest).all(0))
