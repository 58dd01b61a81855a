"""Run a joint graph at many points at once, watching the range of every op, forward and backward."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nllcheck.capture.interpret import Runner, promoted
from nllcheck.capture.trace import plain_kernels
from nllcheck.sweep.joint import Joint
from nllcheck.types import Axis


@dataclass(frozen=True)
class Trace:
    """One axis swept. P points, N watched ops (`names`, in program order); all tensors on the CPU."""

    axis: Axis
    points: torch.Tensor  # (P,) values of the axis, in the dtype of the sweep, ascending
    loss: torch.Tensor  # (P,)
    slope: torch.Tensor  # (P,) directional derivative along the axis
    magnitude: torch.Tensor  # (P,) sum of |gradient| over the moved elements: what the slope cancels from
    low: torch.Tensor  # (P, N) smallest element of each op's output; NaN if any element is
    high: torch.Tensor  # (P, N)
    gradient_low: torch.Tensor  # (P,) over all elements of all gradients
    gradient_high: torch.Tensor  # (P,)
    names: tuple[str, ...]  # fx node names, parallel to N


class Watcher(Runner):
    """Keeps (min, max) of every floating output."""

    def __init__(self, module: fx.GraphModule, watched: set[str], dtype: torch.dtype | None = None) -> None:
        super().__init__(module, dtype)
        self.watched = watched
        self.ranges: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if n.name in self.watched:
            found = extent(result)
            if found is not None:
                self.ranges[n.name] = found
        return result


def extent(value: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """0-d smallest and largest element of a float tensor (or of all float tensors in a tuple); None if none."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    dense = [p for p in parts if isinstance(p, torch.Tensor) and p.layout == torch.strided]
    tensors = [p for p in dense if p.is_floating_point() and p.numel()]
    if not tensors:
        return None
    pairs = [_extent(t.reshape(-1)) for t in tensors]
    low, high = pairs[0]
    for other in pairs[1:]:
        low, high = torch.minimum(low, other[0]), torch.maximum(high, other[1])
    return low, high


def _extent(flat: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest element, NaN if there is one.

    On a GPU one `aminmax` reads the data once. On CPU its kernel is not vectorised: for 10,000 x 64 floats it
    takes 0.61 ms where `amin` and `amax` together take 0.07 ms (torch 2.13, 2 cores).
    """
    return tuple(torch.aminmax(flat, dim=0)) if flat.is_cuda else (flat.amin(0), flat.amax(0))  # type: ignore[return-value]


def placed(
    joint: Joint, axis: Axis, bases: Sequence[torch.Tensor], point: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The moved tensor at a point (0-d), and the direction in which the axis moves it; `bases` as `joint.base`."""
    base = bases[joint.moved.index(axis.node)]
    other = bases[joint.moved.index(axis.other)] if axis.other in joint.moved else None
    return place(axis, base, point, other)


def placements(
    joint: Joint, axis: Axis, bases: Sequence[torch.Tensor], point: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor | None]]:
    """Every moved tensor at a point, with the direction in which the axis moves it; None where it stays."""
    if not axis.moves:
        return [placed(joint, axis, bases, point) if n == axis.node else (b, None)
                for n, b in zip(joint.moved, bases, strict=True)]  # fmt: skip
    goals = (found_goal(axis, n, b) for n, b in zip(joint.moved, bases, strict=True))
    return [(b, None) if goal is None else on_the_way(b, goal, point) for b, goal in zip(bases, goals, strict=True)]


def found_goal(axis: Axis, node: int, base: torch.Tensor) -> torch.Tensor | None:
    """The batch's values of `node` with the elements in place that a search has moved; None where it moved none."""
    own = [m for m in axis.moves if m.node == node]
    if not own:
        return None
    places = torch.tensor([m.position for m in own], device=base.device)
    ends = torch.tensor([m.end for m in own], dtype=torch.float64, device=base.device).to(base.dtype)
    return base.reshape(-1).index_put((places,), ends).reshape(base.shape)


def on_the_way(base: torch.Tensor, goal: torch.Tensor, point: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The share `point` of the way to `goal`, which is met exactly, and the way itself."""
    point = point.to(base.dtype)
    return torch.where(point == 1, goal, base + point * (goal - base)), goal - base


def place(
    axis: Axis, base: torch.Tensor, point: torch.Tensor, other: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from the moved tensor itself; `other` is what an axis with the goal `equal` goes to."""
    point = point.to(base.dtype)
    if axis.mode == "toward":
        return on_the_way(base, goal_of(axis, base, other), point)
    selected = torch.zeros(base.shape[-1] if base.dim() else 1, dtype=torch.bool, device=base.device)
    start, stop = axis.channel or (0, selected.numel())
    selected[start:stop] = True
    mask = selected.expand(base.shape) if base.dim() else selected.reshape(())
    if axis.mode == "scale":
        return torch.where(mask, base * point, base), torch.where(mask, base, 0)
    return torch.where(mask, point, base), mask.to(base.dtype)


def goal_of(axis: Axis, base: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
    """Where a `toward` axis ends: the batch's values with one row, or all, put where a formula may have a pole."""
    if axis.goal == "equal" and other is not None:
        return other.to(base.dtype)
    rows = base.reshape(-1, base.shape[-1])
    special = {
        "zero row": lambda: torch.zeros_like(rows[0]),
        "constant row": lambda: rows[0].mean().expand_as(rows[0]),
        "equal rows": lambda: rows[1],
        "equal row": lambda: (rows if other is None else other.to(base.dtype).reshape(rows.shape))[0],
    }[axis.goal]()
    return torch.cat([special[None], rows[1:]]).reshape(base.shape)


def pointwise(
    joint: Joint, axis: Axis, dtype: torch.dtype | None, names: tuple[str, ...]
) -> Callable[[torch.Tensor], tuple[torch.Tensor, ...]]:
    """The function of one 0-d point that a sweep vectorises: see `Trace` for what it returns."""
    bases = [promoted(b, dtype) for b in joint.base]

    def at(point: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return observed(joint, placements(joint, axis, bases, point), names, dtype)

    return at


def observed(
    joint: Joint,
    placed: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    names: tuple[str, ...],
    dtype: torch.dtype | None = None,
) -> tuple[torch.Tensor, ...]:
    """Loss, slope, magnitude and ranges with the moved tensors as given, each with the direction it moves in."""
    runner = Watcher(joint.module, set(names), dtype)
    loss, *gradients = runner.run(*(tensor for tensor, _ in placed))
    pairs = zip(gradients, (direction for _, direction in placed), strict=True)
    along = [g * d if g.shape == d.shape else d * 0 for g, d in pairs if d is not None] or [loss * 0]
    low, high = extent(tuple(gradients)) or (loss * 0, loss * 0)
    lows = torch.stack([_plain(runner.ranges[n][0], loss) for n in names]) if names else loss.new_zeros(0)
    highs = torch.stack([_plain(runner.ranges[n][1], loss) for n in names]) if names else loss.new_zeros(0)
    slope, size = (sum(part.sum() for part in parts) for parts in (along, [a.abs() for a in along]))
    return loss, slope, size, low, high, lows, highs  # type: ignore[return-value]


def _plain(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return value.detach().to(like.dtype)


def watched_names(joint: Joint) -> tuple[str, ...]:
    """Ops of the joint graph that give floating values, in program order, found by one run on the batch."""
    runner = Watcher(joint.module, set(joint.ops))
    with torch.no_grad(), plain_kernels():
        runner.run(*joint.base)
    return tuple(n.name for n in joint.module.graph.nodes if n.name in runner.ranges)


def run_points(
    joint: Joint,
    axis: Axis,
    points: torch.Tensor,
    names: tuple[str, ...],
    dtype: torch.dtype | None = None,
    memory: int = 2**30,
) -> Trace:
    """Evaluate all `points` (P,), vectorised, in chunks that stay within `memory` bytes.

    An out-of-memory error halves the chunk and goes on.
    """
    at = torch.func.vmap(pointwise(joint, axis, dtype, names), randomness="same")
    chunk = chunk_size(joint, points.numel(), memory, dtype)
    parts: list[tuple[torch.Tensor, ...]] = []
    start = 0
    with torch.no_grad(), plain_kernels():
        while start < points.numel():
            try:
                parts.append(tuple(t.cpu() for t in at(points[start : start + chunk])))
                start += chunk
            except torch.OutOfMemoryError:
                if chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
            except Exception as error:  # no batching rule, or a formula that raises for an empty selection
                raise UnsweepableError(_first_line(error)) from error
    return _trace(axis, points, parts, names)


class UnsweepableError(Exception):
    """An op of this graph cannot be run at many points at once (its result's shape depends on values)."""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def _trace(axis: Axis, points: torch.Tensor, parts: list[tuple[torch.Tensor, ...]], names: tuple[str, ...]) -> Trace:
    loss, slope, size, g_low, g_high, low, high = (torch.cat(column) for column in zip(*parts, strict=True))
    return Trace(axis, points.cpu(), loss, slope, size, low, high, g_low, g_high, names)


def run_one(joint: Joint, axis: Axis, point: float, names: tuple[str, ...], dtype: torch.dtype | None = None) -> Trace:
    """The canonical path: one point, plain eager kernels at the batch's own shapes. Thresholds rest on it."""
    like = joint.base[joint.moved.index(axis.node)]
    value = torch.tensor(point, dtype=dtype or like.dtype, device=like.device)
    with torch.no_grad(), plain_kernels():
        row = pointwise(joint, axis, dtype, names)(value)
    return _trace(axis, value.reshape(1), [tuple(t.cpu()[None] for t in row)], names)


def affordable(joint: Joint, work: float, fewest: int, most: int) -> int:
    """How many points may be evaluated for `work` elements computed, between `fewest` and `most`."""
    return int(min(most, max(fewest, work / max(1, sum(_numel(n) for n in joint.module.graph.nodes)))))


def chunk_size(joint: Joint, points: int, memory: int, dtype: torch.dtype | None) -> int:
    """Points whose live values fit in `memory`: the interpreter keeps every op's output until the chunk ends."""
    widths = [_numel(n) for n in joint.module.graph.nodes]
    item = torch.empty((), dtype=dtype or joint.base[0].dtype).element_size()
    return max(1, min(points, memory // max(1, sum(widths) * item * 2)))


def _numel(node: fx.Node) -> int:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    shape = getattr(value, "shape", None)
    return int(torch.Size(shape).numel()) if shape is not None else 1
