"""An axis to a failure that needs two values at once: the straight way from the batch to the nearest such point."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from nllcheck.axes import label_of
from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.detect.births import births, culprits
from nllcheck.names import short_label
from nllcheck.pairs.grid import Floats, Grid, Plane
from nllcheck.search.space import box, indices
from nllcheck.search.wanted import place_of
from nllcheck.types import Axis, Move

MOST_MOVED = 4096  # elements: a longer way is not written down
BEYOND = 1.25  # a way goes this much further than its point where that fails, too


def short(axis: Axis) -> str:
    return short_label(axis.label)


def nearest(plane: Plane, grid: Grid, where: npt.NDArray[np.bool_]) -> tuple[float, float] | None:
    """The point of `where` (N, M) whose worse value is the least far from the batch."""
    if not where.any():
        return None
    sides = zip(plane.axes, (grid.xs, grid.ys), strict=True)
    far = [np.array([reach_of(axis, v) for v in values.tolist()]) for axis, values in sides]
    worse = np.where(where, np.maximum(far[0][:, None], far[1][None, :]), np.inf)
    total = np.where(worse == worse.min(), far[0][:, None] + far[1][None, :], np.inf)
    i, j = np.unravel_index(int(total.argmin()), where.shape)
    return float(grid.xs[i]), float(grid.ys[j])


def way(
    graph: LossGraph,
    plane: Plane,
    names: tuple[str, ...],
    grid: Grid,
    near: npt.NDArray[np.bool_],
    known: set[object],
) -> tuple[Axis, object] | None:
    """The straight way to the nearest such point, and which op fails there; None where an axis shows the op failing."""
    at = nearest(plane, grid, near)
    if at is None or sum(_moved(plane, a) for a in plane.axes) > MOST_MOVED:
        return None
    tried = _rounder(plane, np.array(at))
    trace = plane.at(tried, names)
    for one in culprits(plane.joint, trace, births(plane.joint, trace)):
        place = place_of(graph.graph.nodes[one.origin])
        if place not in known and one.points[-1]:
            end = tried[int(one.points.argmax())]
            return _axis(graph, plane, names, end, one.origin), place
    return None


def _moved(plane: Plane, axis: Axis) -> int:
    return plane.joint.base[plane.joint.moved.index(axis.node)].numel()


def _rounder(plane: Plane, point: Floats) -> Floats:
    """The point with 1 and 2 digits, rounded away from the batch, and as it is: (3, 2)."""
    middle = np.array([sum(a.observed) / 2 for a in plane.axes])
    made = []
    for digits in (1, 2):
        unit = 10.0 ** (np.floor(np.log10(np.maximum(np.abs(point), 1e-300))) - digits + 1)
        made.append(np.where(point > middle, np.ceil(point / unit - 1e-9), np.floor(point / unit + 1e-9)) * unit)
    bounds = np.array([box(a) for a in plane.axes])
    return np.stack([*(np.clip(m, bounds[:, 0], bounds[:, 1]) for m in made), point])


def _axis(graph: LossGraph, plane: Plane, names: tuple[str, ...], end: Floats, op: int) -> Axis:
    a, b = plane.axes
    middle = np.array([sum(axis.observed) / 2 for axis in plane.axes])
    further = np.clip(middle + BEYOND * (end - middle), *np.array([axis.domain for axis in plane.axes]).T)
    trace = plane.at(further[None], names)
    goes_on = any(c.origin == op for c in culprits(plane.joint, trace, births(plane.joint, trace)))
    last = further if goes_on else end
    return Axis(
        label=" and ".join(f"{short(axis)} = {v:.6g}" for axis, v in zip(plane.axes, end, strict=True)),
        node=a.node,
        role=a.role,
        mode="toward",
        goal="found",
        selector=f"{a.selector} and {b.selector}",
        observed=(0.0, 0.0),
        domain=(0.0, 1.0),
        moves=tuple(m for axis, v in zip(plane.axes, last, strict=True) for m in _moves(graph, plane, axis, float(v))),
        remark="neither value fails alone",
    )


def _moves(graph: LossGraph, plane: Plane, axis: Axis, end: float) -> list[Move]:
    base = plane.joint.base[plane.joint.moved.index(axis.node)]
    shape, width = base.shape, base.shape[-1] if base.dim() else 1
    start, stop = axis.channel or (0, width)
    name = label_of(graph.graph, axis.node)
    flat = base.reshape(-1).tolist()
    return [Move(axis.node, k, name + indices(k, shape), v, end, axis.observed, axis.domain)
            for k, v in enumerate(flat) if start <= k % width < stop]  # fmt: skip
