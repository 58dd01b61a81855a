"""One sample's loss as a function of its own target: `-log p(y | theta)`, for all samples of a batch at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import fx

from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import Allowance
from nllcheck.density.samples.prune import live_elements, until
from nllcheck.density.samples.terms import Tail, Term, without_ones

WIDE = torch.float64
CACHED = 2**24  # bytes: more does not stay in a CPU's caches
LAYERS = 1000  # numbers that all samples share, from which on a network is taken to read the target
SHARE = 4  # of the memory the values of one run take one part; temporaries of its ops have the rest


@dataclass(frozen=True)
class Samples:
    """The loss cut at what the model gives, as terms of single samples.

    `shape` is the samples' shape (leading dimensions of the target), `event` what one target is beyond that: ()
    for a number, (D,) for a row. All values are float64, integers as they are.
    """

    module: fx.GraphModule
    tail: Tail
    moved: tuple[int, ...]  # plain indices of the placeholders
    base: tuple[torch.Tensor, ...]  # their values on the batch
    which: int  # the target's place among them
    shape: tuple[int, ...]
    event: tuple[int, ...]
    shares: dict[Term, torch.Tensor]  # what one sample's loss multiplies a term's elements with, in the term's shape
    values: dict[fx.Node, Any]  # every node's value on the batch
    counted: torch.Tensor  # (N,) which samples the loss counts at all: a mask leaves others out
    by_step: bool = False  # a sample is the last step of a sequence, given those before it
    is_bare: bool = False  # minus the terms with the target is taken for the density, in place of its logarithm
    is_turned: bool = False  # the loss is taken for the log-density, without the minus
    columns: tuple[int, ...] = ()  # of a row of the target: these are moved, the others stay as observed; (): all
    allowance: Allowance = field(default_factory=Allowance)  # what evaluating it at many targets may take

    @property
    def count(self) -> int:
        """N, the number of samples."""
        return math.prod(self.shape)

    @property
    def target(self) -> torch.Tensor:
        """The targets of the batch, (N, *event)."""
        rows = self.base[self.which].reshape(self.count, -1)
        return (rows[:, list(self.columns)] if self.columns else rows).reshape(self.count, *self.event)

    @property
    def rows(self) -> torch.Tensor:
        """The targets of the batch, flat: (N, d)."""
        return self.target.reshape(self.count, -1)

    def node_at(self, theta: tuple[torch.Tensor, ...], node: fx.Node) -> torch.Tensor:
        """(P, N) a node with one number a sample that does not depend on the target."""

        def at(*tensors: torch.Tensor) -> torch.Tensor:
            runner = Runner(self.module, WIDE)
            runner.run(*tensors)
            return runner.env[node].reshape(-1)  # type: ignore[no-any-return]

        with torch.no_grad(), plain_kernels():
            return torch.func.vmap(at)(*theta)

    @cached_property
    def free(self) -> tuple[Term, ...]:
        """The terms of single samples that depend on the model and not on the target."""
        return tuple(t for t in self._own if not self.tail.reads_target(t) and self.tail.reads_model(t))

    def nats(self, tensors: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(N,) each sample's whole loss, penalties left out, at other values of the placeholders; differentiable."""
        return sum(self._terms(tensors, self._own))  # type: ignore[return-value]

    def nats_at(self, theta: tuple[torch.Tensor, ...], wanted: tuple[Term, ...] | None) -> torch.Tensor:
        """(P, N) the sum of the `wanted` terms of each sample (None: all but penalties), at P settings."""
        terms = self._own if wanted is None else wanted
        with torch.no_grad(), plain_kernels():
            return torch.func.vmap(lambda *t: torch.stack(self._terms(t, terms)).sum(0))(*theta)

    @cached_property
    def _own(self) -> tuple[Term, ...]:
        return tuple(t for t in self.tail.terms if t not in self.penalties)

    @cached_property
    def penalties(self) -> tuple[Term, ...]:
        """Terms that belong to no sample, as a penalty on the weights does."""
        if self.by_step:
            return tuple(t for t in self.tail.terms if not bool(self.shares[t].any()))
        loose = [t for t in self.tail.terms if not (self.tail.reads_target(t) or t.shared or t.repeated)]
        return tuple(t for t in loose if not _is_aligned(tuple(self.shares[t].shape), self.shape))

    @cached_property
    def fixed(self) -> tuple[tuple[Term, torch.Tensor], ...]:
        """What no model changes of each sample's loss, (N,): plain numbers, and functions of the other data."""
        found = [t for t in self._own if not self.tail.reads_target(t) and not self.tail.reads_model(t)]
        values = {t: self.values[t.node] if t.constant is None else t.constant for t in found}
        return tuple((t, self._by_sample(t, values[t]).to(WIDE)) for t in found)

    def losses(self, target: torch.Tensor, theta: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(Q, P, N) the part of the loss that depends on the target.

        `target` is (Q, P, N, *event); `theta` holds every placeholder's value with a leading P (the target's own
        entry is ignored). Raises SpentError where that is more work than is left.
        """
        queries, points = target.shape[:2]
        full = self.whole(target)
        rows = self.at_once(points)
        _, short, elements = self.by_target
        self.allowance.spend(len(short.graph.nodes), queries * points * elements)
        with torch.no_grad(), plain_kernels():
            parts = [self._dependent(full[k : k + rows], theta) for k in range(0, queries, rows)]
        return torch.cat(parts)

    def whole(self, target: torch.Tensor) -> torch.Tensor:
        """Targets (Q, P, N, *event) in the shape of the batch's own, (Q, P, ...)."""
        shape = (*target.shape[:2], *self.base[self.which].shape)
        if not self.columns:
            return target.reshape(shape)
        rows = self.base[self.which].reshape(self.count, -1)
        full = rows.to(target.dtype).expand(*target.shape[:2], *rows.shape).clone()
        full[..., list(self.columns)] = target.reshape(*full.shape[:3], len(self.columns))
        return full.reshape(shape)

    def at_once(self, points: int) -> int:
        """How many targets of each sample are tried at a time, at so many settings."""
        return max(1, min(CACHED, self.allowance.memory // SHARE) // (WIDE.itemsize * points * self.by_target[2]))

    def free_terms(self, theta: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """(P, N, J) the `free` terms of each sample."""
        if not self.free:
            return torch.zeros(len(theta[0]), self.count, 0, dtype=WIDE)
        with torch.no_grad(), plain_kernels():
            return torch.func.vmap(lambda *t: torch.stack(self._terms(t, self.free), -1))(*theta)

    @cached_property
    def by_target(self) -> tuple[tuple[Term, ...], fx.GraphModule, int]:
        """The terms that read the target, the module as far as they need it, and what it holds for one target."""
        wanted = tuple(t for t in self.tail.terms if self.tail.reads_target(t))
        nodes = [t.node for t in wanted]
        return wanted, until(self.module, nodes), live_elements(nodes, self.tail.on_target, self.values)

    def _dependent(self, target: torch.Tensor, theta: tuple[torch.Tensor, ...]) -> torch.Tensor:
        wanted, short, _ = self.by_target

        def at(y: torch.Tensor, *rest: torch.Tensor) -> torch.Tensor:
            values = Runner(short, WIDE, keep=False).run(*rest[: self.which], y, *rest[self.which + 1 :])
            total: torch.Tensor = sum(self._by_sample(t, v) for t, v in zip(wanted, values, strict=True))  # type: ignore[assignment]
            return -torch.log(-total) if self.is_bare else -total if self.is_turned else total

        return self.over_targets(at, target, theta)  # type: ignore[no-any-return]

    def over_targets(self, at: Callable[..., Any], target: torch.Tensor, theta: tuple[torch.Tensor, ...]) -> Any:
        """`at(target, *theta)` of one setting, for all targets (Q, P, ...) of all settings: (Q, P, ...) each."""
        fixed = tuple(None for _ in theta)
        if self.has_layers:  # each setting by itself: batched weights would be copied for every target
            over = torch.func.vmap(at, in_dims=(0, *fixed))
            return torch.stack([over(target[:, p], *(t[p] for t in theta)) for p in range(target.shape[1])], 1)
        return torch.func.vmap(torch.func.vmap(at), in_dims=(0, *fixed))(target, *theta)

    @cached_property
    def has_layers(self) -> bool:
        """Are there many numbers beside the target that all samples share, as a network's parameters are?"""
        shared = [b for b in self.base[: self.which] if b.shape[: len(self.shape)] != self.shape]
        return sum(b.numel() for b in shared) > LAYERS

    def _terms(self, tensors: tuple[torch.Tensor, ...], wanted: tuple[Term, ...]) -> list[torch.Tensor]:
        """Each wanted term by sample, (N,)."""
        runner = Runner(self.module, WIDE)
        runner.run(*tensors)
        values = {t: runner.env[t.node] if t.constant is None else t.constant for t in wanted}
        return [self._by_sample(t, values[t]) for t in wanted]

    def _by_sample(self, term: Term, value: Any) -> torch.Tensor:
        whole = value * self.shares[term]
        if term.shared:
            return whole.sum().expand(self.count) / self.count
        return by_sample(whole, self.shape, term.repeated)


def by_sample(value: torch.Tensor, shape: tuple[int, ...], repeated: bool = False) -> torch.Tensor:
    """A term's elements summed by sample, (N,); one that spans several samples is shared out evenly.

    Of two readings, one number a row or one a column (`repeated`), the first is taken unless the loss says otherwise.
    """
    count, value = math.prod(shape), value.reshape(_plain(tuple(value.shape), shape))
    if value.numel() % count == 0 and value.numel():
        return value.reshape(count, -1).sum(-1)
    if leads(tuple(value.shape), shape) and not repeated:
        each = value.reshape(*value.shape, *(1 for _ in shape[value.dim() :])) * (value.numel() / count)
        return each.expand(shape).reshape(-1)
    if _spreads(tuple(value.shape), shape):
        return (value * (value.numel() / count)).expand(shape).reshape(-1)
    return value.sum().expand(count) / count


def _plain(own: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    """A term's shape without dimensions of one number in front, and behind those of the samples."""
    own = without_ones(own)
    ones = next((k for k, size in enumerate(reversed(own[len(shape) :])) if size != 1), len(own[len(shape) :]))
    return own[: len(own) - ones]


def _is_aligned(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Can a term of this shape be read by sample?"""
    count, own = math.prod(shape), _plain(own, shape)
    whole = own[: len(shape)] == shape or (bool(own) and own[0] == count) or math.prod(own) == count
    return whole or leads(own, shape) or _spreads(own, shape)


def leads(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Is it one number for each row of several samples, as a scale that the pixels of an image share?"""
    return bool(own) and own == shape[: len(own)]


def _spreads(own: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    try:
        return tuple(torch.broadcast_shapes(own, shape)) == shape
    except RuntimeError:
        return False
