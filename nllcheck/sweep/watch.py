"""Run a joint graph at many points at once, watching the range of every op, forward and backward."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import torch
from torch import fx
from torch.utils._pytree import tree_map

from nllcheck.capture.interpret import promoted, run_all
from nllcheck.capture.trace import plain_kernels
from nllcheck.ops import packet
from nllcheck.sweep.heap import HEAP
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.program import extent, watching
from nllcheck.sweep.trace import Gathering, Row, Trace, on_cpu, trace_of
from nllcheck.types import Axis


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
    if axis.with_it:
        return [place(axis, b, point, seed=axis.nodes.index(n)) if n in axis.nodes else (b, None)
                for n, b in zip(joint.moved, bases, strict=True)]  # fmt: skip
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
    axis: Axis, base: torch.Tensor, point: torch.Tensor, other: torch.Tensor | None = None, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """The same from the moved tensor itself; `other` is what an axis with the goal `equal` goes to.

    `seed`: of the noise, another for each tensor that gets some.
    """
    point = point.to(base.dtype)
    if axis.mode == "toward":
        return on_the_way(base, goal_of(axis, base, other), point)
    selected = torch.zeros(base.shape[-1] if base.dim() else 1, dtype=torch.bool, device=base.device)
    start, stop = axis.channel or (0, selected.numel())
    selected[start:stop] = True
    mask = selected.expand(base.shape) if base.dim() else selected.reshape(())
    if axis.mode == "scale":
        return torch.where(mask, base * point, base), torch.where(mask, base, 0)
    if axis.mode == "noise":
        noise = torch.where(mask, noise_like(base, seed), 0)
        return base + point * noise, noise
    return torch.where(mask, point, base), mask.to(base.dtype)


def noise_like(base: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """Normal noise of the tensor's own size (root mean square, 1 where that is 0); always the same for a seed."""
    generator = torch.Generator().manual_seed(seed)
    normal = torch.randn(base.shape, generator=generator, dtype=torch.float64).to(base)
    size = base.detach().square().mean().sqrt()
    return normal * torch.where(size > 0, size, torch.ones_like(size))


def goal_of(axis: Axis, base: torch.Tensor, other: torch.Tensor | None) -> torch.Tensor:
    """Where a `toward` axis ends: the batch's values with one row, or all, put where a formula may have a pole."""
    if axis.goal == "equal" and other is not None:
        return other.to(base.dtype)
    rows = base.reshape(-1, base.shape[-1])
    special = {
        "zero row": lambda: torch.zeros_like(rows[0]),
        "constant row": lambda: rows[0].mean().expand_as(rows[0]),
        "equal rows": lambda: rows[1],
        "equal row": lambda: (rows if other is None else other.to(base.dtype).reshape(-1, rows.shape[-1]))[0],
    }[axis.goal]()
    return torch.cat([special[None], rows[1:]]).reshape(base.shape)


def pointwise(
    joint: Joint, axis: Axis, dtype: torch.dtype | None, names: tuple[str, ...]
) -> Callable[[torch.Tensor], Row]:
    """The function of one 0-d point that a sweep vectorises; what it returns gets a dimension of points by that."""
    bases = [promoted(b, dtype) for b in joint.base]

    def at(point: torch.Tensor) -> Row:
        return observed(joint, placements(joint, axis, bases, point), names, dtype)

    return at


def observed(
    joint: Joint,
    placed: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    names: tuple[str, ...],
    dtype: torch.dtype | None = None,
) -> Row:
    """Loss, slope, magnitude and ranges with the moved tensors as given, each with the direction it moves in."""
    (loss, *gradients), found = watching(joint, names, dtype)(*(tensor for tensor, _ in placed))
    pairs = zip(gradients, (direction for _, direction in placed), strict=True)
    along = [g * d if g.shape == d.shape else d * 0 for g, d in pairs if d is not None] or [loss * 0]
    low, high = extent(tuple(gradients)) or (loss * 0, loss * 0)
    lows, highs = (tuple(_in(loss.dtype, pair[end]) for pair in found) for end in (0, 1))
    slope, size = (sum(part.sum() for part in parts) for parts in (along, [a.abs() for a in along]))
    return loss, slope, size, low, high, lows, highs


def _in(dtype: torch.dtype, value: torch.Tensor) -> torch.Tensor:
    return value if value.dtype == dtype else value.to(dtype)


def watched_names(joint: Joint) -> tuple[str, ...]:
    """Ops of the joint graph that give floating values, in program order, found by one run on the batch."""
    with torch.no_grad(), plain_kernels():
        values = run_all(joint.module, joint.base)
    nodes = [n for n in joint.module.graph.nodes if n.op != "output"]
    watched = (n for n, v in zip(nodes, values, strict=True) if n.name in joint.ops and extent(v) and not _is_blank(n))
    return tuple(n.name for n in watched)


def _is_blank(node: fx.Node) -> bool:
    """Memory as it was found, for a later op to write into: its content is chance."""
    return packet(str(node.target)) in ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


def run_points(
    joint: Joint,
    axis: Axis,
    points: torch.Tensor,
    names: tuple[str, ...],
    dtype: torch.dtype | None = None,
    memory: int = 2**30,
) -> Trace:
    """Evaluate all `points` (P,), vectorised, in chunks that stay within `memory` bytes.

    An out-of-memory error halves the chunk and goes on. Nothing leaves the device before the end.
    """
    at = torch.func.vmap(pointwise(joint, axis, dtype, names), randomness="same")
    chunk = chunk_size(joint, memory, dtype)
    found, start = Gathering(points.numel()), 0
    with torch.no_grad(), plain_kernels():
        while start < points.numel():
            some = points[start : start + chunk]
            try:
                found.put(start, trace_of(axis, some, at(some), names))
                start += chunk
                HEAP.tidy(memory // 2)
            except torch.OutOfMemoryError:
                if chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
            except Exception as error:  # no batching rule, or a formula that raises for an empty selection
                raise UnsweepableError(_first_line(error)) from error
    return on_cpu(found.trace())


class UnsweepableError(Exception):
    """An op of this graph cannot be run at many points at once (its result's shape depends on values)."""


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


def run_one(joint: Joint, axis: Axis, point: float, names: tuple[str, ...], dtype: torch.dtype | None = None) -> Trace:
    """The canonical path: one point, plain eager kernels at the batch's own shapes. Thresholds rest on it."""
    like = joint.base[joint.moved.index(axis.node)]
    value = torch.tensor(point, dtype=dtype or like.dtype, device=like.device)
    with torch.no_grad(), plain_kernels():
        row = pointwise(joint, axis, dtype, names)(value)
    return on_cpu(trace_of(axis, value.reshape(1), tree_map(lambda t: t[None], row), names))


def affordable(joint: Joint, work: float, fewest: int, most: int) -> int:
    """How many points may be evaluated for `work` elements computed, between `fewest` and `most`."""
    return int(min(most, max(fewest, work / elements(joint))))


CACHED = 2**25  # elements computed in a chunk on a CPU: more does not stay in its caches, less is all overhead
SHARE = 4  # of the memory a chunk takes one part; temporaries of its ops and what has been found have the rest


def chunk_size(joint: Joint, memory: int, dtype: torch.dtype | None) -> int:
    """Points evaluated at once: as many as `memory` bytes hold, and on a CPU no more than its caches like.

    It depends on the program and not on what is free just now: see `plan`.
    """
    item = torch.empty((), dtype=dtype or joint.base[0].dtype).element_size()
    fitting = memory // (SHARE * item * live_elements(joint))
    return max(1, fitting if joint.base[0].is_cuda else min(fitting, CACHED // elements(joint)))


@functools.lru_cache(maxsize=64)
def live_elements(joint: Joint) -> int:
    """The most elements that one point holds at a time: a value goes when the last op that reads it has run."""
    last = {source: n for n in joint.module.graph.nodes for source in n.all_input_nodes}
    held = most = 0
    for n in joint.module.graph.nodes:
        held += _numel(n) if n.op != "get_attr" else 0
        most = max(most, held)
        held -= sum(_numel(source) for source in n.all_input_nodes if last[source] is n and source.op != "get_attr")
    return max(1, most)


def elements(joint: Joint) -> int:
    """What one point computes, over all ops."""
    return max(1, sum(_numel(n) for n in joint.module.graph.nodes))


def _numel(node: fx.Node) -> int:
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    shape = getattr(value, "shape", None)
    return int(torch.Size(shape).numel()) if shape is not None else 1
