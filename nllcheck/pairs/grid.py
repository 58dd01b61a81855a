"""Two axes at once: where to look, and whether loss and gradient are finite there, all points in one sweep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from nllcheck.axes.points import from_ordinal, to_ordinal
from nllcheck.capture.numerics import plain_kernels
from nllcheck.detect.births import births, state_of
from nllcheck.detect.events import batch_axis
from nllcheck.search.space import box
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import place
from nllcheck.sweep.program import observed
from nllcheck.sweep.trace import Gathering, Trace, on_cpu, trace_of
from nllcheck.sweep.watch import chunk_size
from nllcheck.types import Axis

Floats = npt.NDArray[np.float64]
SYMBOLS = np.array([".", "g", "i", "n"])  # finite; only the gradient fails; loss infinite; loss NaN
FURTHER = 1e3  # than the box of a search: positive values, whose edges lie decades away


@dataclass(frozen=True, eq=False)
class Plane:
    """Two axes of one joint graph, everything else as the batch has it."""

    joint: Joint
    axes: tuple[Axis, Axis]
    memory: int

    @property
    def dtype(self) -> torch.dtype:
        return self.joint.base[self.joint.moved.index(self.axes[0].node)].dtype

    def at(self, points: Floats, names: tuple[str, ...] = ()) -> Trace:
        """Loss, gradient and the watched ops at points (S, 2); a column that is NaN leaves its axis alone."""
        like = self.joint.base[0]
        tensor = torch.from_numpy(points).to(self.dtype).to(like.device)
        run = torch.func.vmap(lambda p: observed(self.joint, self._placed(p), names), randomness="same")
        size, found = chunk_size(self.joint, self.memory, None), Gathering(len(points))
        with torch.no_grad(), plain_kernels():
            for start in range(0, len(points), size):
                part = tensor[start : start + size]
                order = torch.arange(start, start + len(part), dtype=self.dtype)
                found.put(start, trace_of(batch_axis(self.joint), order, run(part), names))
        return on_cpu(found.trace())

    def _placed(self, point: torch.Tensor) -> list[tuple[torch.Tensor, None]]:
        bases = list(self.joint.base)
        for axis, value in zip(self.axes, point, strict=True):
            k = self.joint.moved.index(axis.node)
            bases[k] = torch.where(torch.isnan(value), bases[k], place(axis, bases[k], value)[0])
        return [(base, None) for base in bases]

    def states(self, points: Floats) -> npt.NDArray[np.int8]:
        """(S,) 0 finite, 1 only the gradient is not, 2 the loss is infinite, 3 it is NaN."""
        trace = self.at(points)
        found = births(self.joint, trace)
        loss = found.loss_state
        return np.where(loss > 0, loss + 1, state_of(trace.gradient_low, trace.gradient_high) > 0).astype(np.int8)


@dataclass(frozen=True)
class Grid:
    """(N,) values of the first axis and (M,) of the second, ascending; (N, M) states as `Plane.states` counts them."""

    xs: Floats
    ys: Floats
    states: npt.NDArray[np.int8]
    alone: tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]  # (N,), (M,): does it fail with only this axis moved?

    @property
    def together(self) -> npt.NDArray[np.bool_]:
        """(N, M) where it fails although it does not with either value alone."""
        return (self.states > 0) & ~(self.alone[0][:, None] | self.alone[1][None, :])


def gridded(plane: Plane, xs: Floats, ys: Floats) -> Grid:
    """Every pair of values, and each value alone."""
    pairs = np.stack(np.meshgrid(xs, ys, indexing="ij"), -1).reshape(-1, 2)
    first = np.stack([xs, np.full(len(xs), np.nan)], 1)
    second = np.stack([np.full(len(ys), np.nan), ys], 1)
    states = plane.states(np.concatenate([pairs, first, second]))
    cuts = len(pairs), len(pairs) + len(xs)
    grid, one, other = states[: cuts[0]], states[cuts[0] : cuts[1]], states[cuts[1] :]
    return Grid(xs, ys, grid.reshape(len(xs), len(ys)), (one > 0, other > 0))


def values_of(axis: Axis, dtype: torch.dtype, count: int) -> Floats:
    """About `count` values (N,), ascending, floats of `dtype`: all magnitudes alike, and ever closer to finite ends.

    They go as far as a search would, which is where failures count; where only positive values are possible a
    thousand times further.
    """
    (low, high), (least, most) = box(axis), axis.domain
    if least == 0 and most == math.inf:
        made = np.geomspace(max(low, 1e-30) / FURTHER, high * FURTHER, count)
    elif math.isfinite(least) and math.isfinite(most):
        close = (most - least) * np.geomspace(1e-7, 0.5, count // 2)
        made = np.concatenate([least + close, most - close])
    elif least == -math.inf and most == math.inf:
        size = high * np.geomspace(min(max(max(map(abs, axis.observed)) / high, 1e-3), 0.05), 1.0, count // 2)
        made = np.concatenate([-size, [0.0], size])
    else:
        made = np.linspace(low, high, count)
    return rounded(made, dtype)


def rounded(values: Floats, dtype: torch.dtype) -> Floats:
    """The floats of `dtype`, ascending and distinct, without those that it cannot hold."""
    cast = torch.unique(torch.from_numpy(np.asarray(values, np.float64)).to(dtype) + 0.0).double().numpy()
    return cast[np.isfinite(cast)]


def refined(values: Floats, changes: npt.NDArray[np.int64], dtype: torch.dtype, room: int) -> Floats:
    """`values` with `room` more of them in the gaps (by their lower end) where something changes."""
    gaps = np.nonzero(changes)[0]
    if not len(gaps) or room < 1:
        return values
    weight = changes[gaps] / changes[gaps].sum()
    more = [_between(values[g], values[g + 1], max(1, int(w * room)), dtype) for g, w in zip(gaps, weight, strict=True)]
    return rounded(np.concatenate([values, *more]), dtype)


def _between(low: float, high: float, count: int, dtype: torch.dtype) -> Sequence[float]:
    """Inside a gap, even by bit pattern: in the middle of 1e-6 and 1 lies 1e-3."""
    if low < 0 < high or low == 0 or high == 0:
        return [float(v) for v in np.linspace(low, high, count + 2)[1:-1]]
    first, last = to_ordinal(low, dtype), to_ordinal(high, dtype)
    return [from_ordinal(round(first + (last - first) * k / (count + 1)), dtype) for k in range(1, count + 1)]


def changes(grid: Grid, dim: int) -> npt.NDArray[np.int64]:
    """In how many rows (columns) failing starts or ends between each value and the next."""
    return np.diff(grid.states > 0, axis=dim).sum(1 - dim)
