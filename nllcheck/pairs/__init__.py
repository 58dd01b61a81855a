"""Swept -> maps of two axes, and axes that lead to failures which no axis shows alone.

A map is kept where two values together do something that neither does alone: fail, or mend what the other breaks. All
else is the sweeps' to tell. A point that fails only so becomes an axis, as what a search finds does, and is judged and
weighed like any other.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt
import torch

from nllcheck.axes import depends_on
from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.names import is_parameter_name
from nllcheck.pairs.grid import SYMBOLS, Floats, Grid, Plane, changes, gridded, refined, values_of
from nllcheck.pairs.region import region
from nllcheck.pairs.way import nearest, short, way
from nllcheck.search.space import box
from nllcheck.search.wanted import failing_within, place_of
from nllcheck.sweep import Swept
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.trace import Trace
from nllcheck.sweep.watch import affordable
from nllcheck.types import Axis, Effort, PairMap


@dataclass(frozen=True, slots=True)
class Budget:
    """How much maps may cost."""

    axes: int  # of which all pairs are tried
    maps: int  # kept
    work: float  # elements computed for one grid


BUDGETS: dict[Effort, Budget] = {
    "quick": Budget(0, 0, 0.0),
    "default": Budget(4, 2, 1e7),
    "thorough": Budget(8, 8, 1e8),
}
SIDE = 33  # values of each axis on a map
FEWEST = 13  # with fewer nothing is drawn
ROUNDS = 2  # of a closer look at the edges
TELLING = 0.004  # of the near points that only the two values decide together


def pairs(
    graph: LossGraph, swept: Swept, *, effort: Effort = "default", memory: int = 2**30
) -> tuple[tuple[Axis, ...], tuple[PairMap, ...]]:
    """Ways to failures that need two values at once, and the maps worth a look. Axes that the user named are always
    mapped, two at a time, over the values named."""
    budget = BUDGETS[effort]
    asked = [p.trace for p in swept.parts if p.trace.axis.requested and p.trace.axis.mode == "set"]
    if not budget.maps or not bool(torch.isfinite(graph.loss)):
        return (), ()
    planes = _requested(graph, swept, asked, memory) if asked else _planes(swept, budget, memory)
    maps: list[tuple[float, PairMap]] = []
    ways: list[Axis] = []
    known = {place_of(graph.graph.nodes[i]) for i, _ in failing_within(swept)}
    for plane, values in planes:
        grid = _grid(plane, values, budget)
        if grid is None:
            continue
        telling, near = _telling(plane, grid)
        if telling < TELLING and not asked:
            continue
        maps.append((telling, _map(plane, grid, budget)))
        found = None if asked or not near.any() else way(graph, plane, swept.names[0], grid, near, known)
        if found is not None:
            ways.append(found[0])
            known |= {found[1]}
    maps.sort(key=lambda told: -told[0])
    return tuple(ways), tuple(one for _, one in maps[: budget.maps])


# --- which two

Planes = list[tuple[Plane, Sequence[Floats] | None]]


def _planes(swept: Swept, budget: Budget, memory: int) -> Planes:
    """All pairs of the axes that matter most: what fails near the batch, then what is named like a parameter."""
    able = [p.trace for p in swept.parts if p.joint == 0 and _is_able(p.trace.axis)]
    ranked = sorted(able, key=lambda t: (_nearest_failure(t), not is_parameter_name(short(t.axis))))
    kept = [t.axis for t in able if any(t is one for one in ranked[: budget.axes])]
    return [(Plane(swept.joints[0], pair, memory), None) for pair in combinations(kept, 2)]


def _is_able(axis: Axis) -> bool:
    plain = axis.mode == "set" and axis.role in ("output", "input", "weight")
    return plain and math.isfinite(sum(axis.observed))


def _nearest_failure(trace: Trace) -> float:
    """Its reach, where a search would go; infinite without one."""
    low, high = box(trace.axis)
    values = trace.points.double()
    bad = ~torch.isfinite(trace.loss + trace.gradient_low + trace.gradient_high) & (values >= low) & (values <= high)
    return min((reach_of(trace.axis, v) for v in values[bad].tolist()), default=math.inf)


def _requested(graph: LossGraph, swept: Swept, asked: list[Trace], memory: int) -> Planes:
    """What the user named, as long as one does not follow from the other."""
    found: Planes = []
    for a, b in combinations(asked, 2):
        one, two = a.axis.node, b.axis.node
        if one != two and (two in depends_on(graph.graph, {one}) or one in depends_on(graph.graph, {two})):
            continue
        together = [j for j in swept.joints if one in j.moved and two in j.moved]
        joint = together[0] if together else joint_graph(graph, (one, two), graph.seed)
        found.append((Plane(joint, (a.axis, b.axis), memory), [_thinned(t.points) for t in (a, b)]))
    return found


def _thinned(points: torch.Tensor) -> Floats:
    values: Floats = points.double().numpy()
    return values[np.unique(np.linspace(0, len(values) - 1, min(SIDE, len(values))).round().astype(int))]


# --- one map


def _grid(plane: Plane, values: Sequence[Floats] | None, budget: Budget) -> Grid | None:
    side = math.isqrt(affordable(plane.joint, budget.work, 0, SIDE * SIDE))
    if side < FEWEST:
        return None
    xs, ys = values or [values_of(axis, plane.dtype, side) for axis in plane.axes]
    return gridded(plane, xs, ys)


def _telling(plane: Plane, grid: Grid) -> tuple[float, npt.NDArray[np.bool_]]:
    """Of the near points the share that fails and lies in no row and column that fails as a whole, since those are the
    axes' own; and the near points that fail only together."""
    inside = [(v >= box(a)[0]) & (v <= box(a)[1]) for a, v in zip(plane.axes, (grid.xs, grid.ys), strict=True)]
    fails = np.asarray(grid.states[np.ix_(*inside)] > 0)
    if not fails.size:
        return 0.0, np.zeros_like(grid.together)
    own = np.all(fails, 1)[:, None] | np.all(fails, 0)[None, :]
    return float((fails & ~own).mean()), grid.together & inside[0][:, None] & inside[1][None, :]


def _map(plane: Plane, grid: Grid, budget: Budget) -> PairMap:
    """The grid as it is drawn; its line is also right of a closer look at the edges."""
    fine = grid
    for _ in range(ROUNDS):
        room = [max(0, 2 * len(v) - len(w)) for v, w in ((grid.xs, fine.xs), (grid.ys, fine.ys))]
        xs = refined(fine.xs, changes(fine, 0), plane.dtype, min(room[0], len(grid.xs) // ROUNDS))
        ys = refined(fine.ys, changes(fine, 1), plane.dtype, min(room[1], len(grid.ys) // ROUNDS))
        fine = gridded(plane, xs, ys)
    a, b = plane.axes
    line, wrong = region((short(a), short(b)), fine.xs, fine.ys, fine.states > 0)
    return PairMap(
        first=a.label,
        second=b.label,
        first_values=tuple(grid.xs.tolist()),
        second_values=tuple(grid.ys.tolist()),
        rows=tuple("".join(row) for row in SYMBOLS[grid.states]),
        observed=(a.observed, b.observed),
        region=line,
        wrong=wrong,
        points=fine.states.size,
        failing=int((fine.states > 0).sum()),
        nearest=nearest(plane, grid, grid.states > 0),
        together=int(grid.together.sum()),
    )
