"""Where the points of an axis put the tensors that move."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from nllcheck.capture.interpret import promoted
from nllcheck.sweep.joint import Joint
from nllcheck.types import PLAUSIBLE, Axis


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


def stacked(
    joint: Joint, axis: Axis, points: torch.Tensor, dtype: torch.dtype | None
) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
    """Every moved tensor at all points, (P, *its shape), and the direction in which it moves; None where it stays."""
    bases = [promoted(b, dtype) for b in joint.base]
    ways = [way for _, way in placements(joint, axis, bases, points[0])]
    where = torch.func.vmap(lambda p: tuple(t for t, _ in placements(joint, axis, bases, p)))(points)
    return [t.contiguous() for t in where], ways


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
    if axis.mode == "toward" and axis.moves:
        goal = found_goal(axis, axis.node, base)
        return on_the_way(base, base if goal is None else goal, point)
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
        return other.to(base.dtype).reshape(base.shape)
    if axis.goal == "as labelled" and other is not None:
        return PLAUSIBLE * (2 * other.to(base.dtype).reshape(base.shape) - 1)
    if axis.goal in ("zero column", "zero columns"):
        dead = 1 if axis.goal == "zero column" else 2
        return torch.cat([torch.zeros_like(base[..., :dead]), base[..., dead:]], -1)
    rows = base.reshape(-1, base.shape[-1])
    special = {
        "zero row": lambda: torch.zeros_like(rows[0]),
        "constant row": lambda: rows[0].mean().expand_as(rows[0]),
        "equal rows": lambda: rows[1],
        "equal row": lambda: (rows if other is None else other.to(base.dtype).reshape(-1, rows.shape[-1]))[0],
    }[axis.goal]()
    return torch.cat([special[None], rows[1:]]).reshape(base.shape)
