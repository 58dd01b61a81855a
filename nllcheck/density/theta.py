"""Parameters to try: what the model gives on the batch, and each axis moved, near the checkpoint and away from it.

Every sample of a batch can be moved on its own, so one run tries as many moves as there are samples.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nllcheck.axes.reach import reaches
from nllcheck.density.samples.sample import Samples
from nllcheck.types import Axis

STEPS = (-1.0, 1.0, -0.3, 0.3)  # of the range seen on the batch
FEWEST = 48  # moved samples in all, at least
MOST_POINTS = 64
MOST_SHARED = 6  # axes that all samples share, such as a scale of its own


@dataclass(frozen=True)
class Theta:
    """P parameter settings: 0 is the batch as it is.

    `tensors` holds a (P, ...) tensor for each placeholder; `axis` (P, N) the moved axis (-1: none) and `value` (P, N)
    where it was put.
    """

    tensors: tuple[torch.Tensor, ...]
    axis: torch.Tensor
    value: torch.Tensor
    axes: tuple[Axis, ...]

    def reach(self) -> torch.Tensor:
        """(P, N) how far each setting lies from the batch, as `reach_of` counts."""
        found = torch.ones(self.axis.shape, dtype=torch.float64)
        for k, axis in enumerate(self.axes):
            there = self.axis == k
            found[there] = torch.from_numpy(reaches(axis, self.value[there].numpy()))
        return found


def thetas(samples: Samples, axes: Sequence[Axis]) -> Theta:
    """The settings to try."""
    usable = tuple(a for a in axes if a.mode == "set" and a.node in samples.moved[: samples.which] and _is_seen(a))
    own = [k for k, a in enumerate(usable) if _by_sample(samples, a) is not None]
    shared = _by_turns(usable, [k for k in range(len(usable)) if k not in own])[:MOST_SHARED]
    moves = [(k, s) for s in STEPS for k in own]
    able = torch.stack([_channel_of(samples, usable[k]) for k, _ in moves]) if moves else torch.empty(0)
    count = min(MOST_POINTS, math.ceil(max(FEWEST, len(moves)) / samples.count)) if moves else 0
    whole = [(k, s) for s in STEPS[:2] for k in shared]
    points = 1 + count + len(whole)
    tensors = [b.expand(points, *b.shape).clone() for b in samples.base]
    axis = torch.full((points, samples.count), -1)
    value = torch.full((points, samples.count), math.nan, dtype=torch.float64)
    for p in range(count):
        turn = _turns(able, p)
        for j in turn[turn >= 0].unique().tolist():
            k, step = moves[j]
            _move(samples, usable, k, step, tensors, 1 + p, turn == j, axis, value)
    everyone = torch.ones(samples.count, dtype=torch.bool)
    for j, (k, step) in enumerate(whole):
        _move(samples, usable, k, step, tensors, 1 + count + j, everyone, axis, value)
    return Theta(tuple(tensors), axis, value, usable)


def _by_turns(axes: tuple[Axis, ...], some: list[int]) -> list[int]:
    """The first of every tensor before the second of any."""
    before = {k: sum(axes[j].node == axes[k].node for j in some if j < k) for k in some}
    return sorted(some, key=lambda k: (before[k], k))


def _channel_of(samples: Samples, axis: Axis) -> torch.Tensor:
    """(N,) which samples have elements of their own that the axis moves."""
    base = samples.base[samples.moved.index(axis.node)]
    return _channel(base, axis).reshape(samples.count, -1).any(-1)


def _turns(able: torch.Tensor, point: int) -> torch.Tensor:
    """(N,) one of the (M, N) moves for each sample, among those that are able to move it: its next at every point, and
    another than the sample before that can be moved so; -1 where none can."""
    number, first = able.sum(0), able.int().argmax(0)
    alike = first == torch.arange(len(able))[:, None]
    rank = (alike.cumsum(1) - 1).gather(0, first[None])[0]
    nth = (rank + point * alike.sum(1)[first]) % number.clamp(min=1)
    hit = (able.cumsum(0) == nth + 1) & able
    return torch.where(number > 0, hit.int().argmax(0), -1)


def far_along(samples: Samples, axes: Sequence[Axis], steps: Sequence[float]) -> Theta:
    """Every axis moved in all samples at once, downwards and upwards by each step: P = axes x 2 x steps settings."""
    moves = [(k, way * step) for k in range(len(axes)) for way in (-1.0, 1.0) for step in steps]
    tensors = [b.expand(len(moves), *b.shape).clone() for b in samples.base]
    axis = torch.full((len(moves), samples.count), -1)
    value = torch.full((len(moves), samples.count), math.nan, dtype=torch.float64)
    everyone = torch.ones(samples.count, dtype=torch.bool)
    for p, (k, step) in enumerate(moves):
        _move(samples, tuple(axes), k, step, tensors, p, everyone, axis, value)
    return Theta(tuple(tensors), axis, value, tuple(axes))


def _is_seen(axis: Axis) -> bool:
    return not math.isnan(axis.observed[0])


def _by_sample(samples: Samples, axis: Axis) -> int | None:
    """How many elements of the axis' tensor belong to one sample; None where it has no rows of its own."""
    base = samples.base[samples.moved.index(axis.node)]
    leads = tuple(base.shape[: len(samples.shape)]) == samples.shape
    is_flat = base.dim() > 0 and base.shape[0] == samples.count
    return base.numel() // samples.count if samples.count > 1 and (leads or is_flat) else None


def _move(
    samples: Samples, axes: tuple[Axis, ...], k: int, step: float, tensors: list[torch.Tensor], point: int,
    which: torch.Tensor, axis: torch.Tensor, value: torch.Tensor,
) -> None:  # fmt: skip
    """Put one axis a step away in some of the samples of one point."""
    place = samples.moved.index(axes[k].node)
    whole = tensors[place][point]
    lines = samples.count if _by_sample(samples, axes[k]) is not None else 1
    rows, columns = whole.reshape(lines, -1), _channel(whole, axes[k]).reshape(lines, -1)
    chosen = which if lines > 1 else torch.ones(1, dtype=torch.bool)
    moving = chosen[:, None] & columns
    new = torch.where(moving, _stepped(rows, axes[k], step), rows)
    tensors[place][point] = new.reshape(whole.shape)
    hit = moving.any(-1).expand(samples.count) & which
    axis[point][hit] = k
    first = new.gather(1, columns.int().argmax(-1, keepdim=True))[:, 0].expand(samples.count)
    value[point][hit] = first[hit]


def _channel(whole: torch.Tensor, axis: Axis) -> torch.Tensor:
    """Which elements of a tensor the axis moves."""
    start, stop = axis.channel or (0, whole.shape[-1] if whole.dim() else 1)
    place = torch.arange(whole.shape[-1] if whole.dim() else 1)
    return ((place >= start) & (place < stop)).expand(whole.shape or (1,))


def _stepped(rows: torch.Tensor, axis: Axis, step: float) -> torch.Tensor:
    """A step of the range seen; within its domain: by a factor on a half line, on the logit scale in an interval."""
    low, high = axis.domain
    seen = axis.observed
    if low >= 0 and not math.isfinite(high):
        return low + (rows - low) * math.exp(1.5 * step)
    if math.isfinite(low) and math.isfinite(high):
        share = ((rows - low) / (high - low)).clamp(1e-6, 1 - 1e-6)
        return low + (high - low) * torch.sigmoid(torch.logit(share) + 2 * step)
    return rows + step * max(seen[1] - seen[0], 0.5 * max(abs(seen[0]), abs(seen[1])), 0.5)
