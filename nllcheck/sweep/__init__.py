"""Axes -> Swept: loss, gradient and the range of every op at all points of every axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from nllcheck.axes.boundary import boundary
from nllcheck.axes.inside import levels
from nllcheck.axes.points import default_points
from nllcheck.axes.selection import steering
from nllcheck.axes.spec import Spec, spec_points
from nllcheck.capture import LossGraph
from nllcheck.errors import raise_own
from nllcheck.sweep.fused import repays
from nllcheck.sweep.joint import Joint, joint_graph
from nllcheck.sweep.plan import Engine, Lane, Plan, Tell, gathered, local
from nllcheck.sweep.trace import Trace
from nllcheck.sweep.watch import UnsweepableError, affordable, elements, run_points, watched_names
from nllcheck.types import Axis, Effort

# Elements computed on one default axis, and points at most. Large batches get fewer points, never fewer than `FEWEST`
# where these cost no more than `LARGEST` elements, and never fewer than `LEAST`.
WORK: dict[Effort, tuple[float, int]] = {"quick": (1e7, 300), "default": (5e7, 1000), "thorough": (4e8, 8000)}
FEWEST, LARGEST, LEAST = 60, 2e8, 24


@dataclass(frozen=True)
class Part:
    """One axis: its sweep in the training dtype and the same points in float64."""

    joint: int  # index into `Swept.joints`
    trace: Trace
    wide: Trace | None


@dataclass(frozen=True)
class Swept:
    """All sweeps of a check. Joint 0 is cut at the boundary; each intermediate axis has a joint of its own."""

    joints: tuple[Joint, ...]
    names: tuple[tuple[str, ...], ...]
    parts: tuple[Part, ...]
    seen: dict[int, tuple[float, float]] = field(default_factory=dict)  # node -> range over all boundary sweeps
    compiled: int = 0  # sweeps that ran as compiled programs

    @property
    def points(self) -> int:
        """Points evaluated in the training dtype."""
        return sum(p.trace.points.numel() for p in self.parts)


def sweep(
    graph: LossGraph,
    axes: Sequence[Axis],
    specs: dict[str, Spec],
    *,
    count: int | None = None,
    effort: Effort = "default",
    memory: int = 2**30,
    tell: Tell = lambda text: None,
    engine: Engine = local,
    fuse: bool | None = None,
) -> Swept:
    """Sweep every axis. `specs` (by axis label) hold the ranges the user asked for; the rest is automatic."""
    plan = planned(graph, axes, specs, count=count, effort=effort, memory=memory, fuse=fuse)
    traces = gathered(plan, engine(plan, range(len(plan.pieces)), tell))
    wide = {lane.axis: t for lane, t in zip(plan.lanes, traces, strict=True) if lane.dtype is not None}
    parts = [Part(lane.joint, t, wide.get(lane.axis))
             for lane, t in zip(plan.lanes, traces, strict=True) if lane.dtype is None]  # fmt: skip
    compiled = sum(lane.is_fused for lane in plan.lanes)
    return Swept(plan.joints, plan.names, tuple(parts), _seen(plan.joints, parts), compiled)


def planned(
    graph: LossGraph,
    axes: Sequence[Axis],
    specs: dict[str, Spec],
    *,
    count: int | None = None,
    effort: Effort = "default",
    memory: int = 2**30,
    fuse: bool | None = None,
) -> Plan:
    """Each axis in the training dtype and, where they are compared, in float64 at the same points.

    `fuse`: compile the sweeps or do not; None: where that is worth while.
    """
    try:
        joints, which = _joints(graph, axes)
        names = tuple(watched_names(j) for j in joints)
    except Exception as error:  # no derivative, a formula that cannot be traced, a derivative that raises
        raise_own(error)
        raise UnsweepableError((str(error).strip() or type(error).__name__).splitlines()[0][:200]) from error
    lanes = []
    for axis in axes:
        k = which[axis.nodes]
        points = _points(joints[k], axis, specs.get(axis.label), count, effort)
        lanes.append(Lane(k, axis, points, names[k], None))
        if axis.is_boundary and axis.mode != "toward" and axis.role != "hidden":
            lanes.append(Lane(k, axis, points.double(), (), torch.float64))
    return Plan(joints, names, _with_fused(joints, lanes, fuse), memory)


def _with_fused(joints: Sequence[Joint], lanes: Sequence[Lane], fuse: bool | None) -> tuple[Lane, ...]:
    """Marks the lanes to be compiled: with `fuse` None those whose program does enough work to repay that."""
    work: dict[tuple[int, torch.dtype | None], float] = {}
    for lane in lanes:
        own = lane.points.numel() * elements(joints[lane.joint])
        work[lane.joint, lane.dtype] = work.get((lane.joint, lane.dtype), 0.0) + own

    def is_fused(lane: Lane) -> bool:
        return repays(work[lane.joint, lane.dtype], lane.points.device) if fuse is None else fuse

    return tuple(replace(lane, is_fused=is_fused(lane)) for lane in lanes)


def extended(swept: Swept, ways: Sequence[Axis], memory: int = 2**30) -> Swept:
    """The sweeps with those of further ways (mode `toward`) of the boundary behind them."""
    if not ways:
        return swept
    joint, names = swept.joints[0], swept.names[0]
    traces = [run_points(joint, w, _points(joint, w, None, None, "default"), names, memory=memory) for w in ways]
    parts = (*swept.parts, *(Part(0, trace, None) for trace in traces))
    return replace(swept, parts=parts, seen=_seen(swept.joints, parts))


def _joints(graph: LossGraph, axes: Sequence[Axis]) -> tuple[tuple[Joint, ...], dict[tuple[int, ...], int]]:
    """One joint graph for the whole boundary, one for each layer of raw values inside, one for each other node or
    group of nodes that moves; and which of them an axis is of, by the axis' nodes."""
    edges = boundary(graph.graph)
    fixed = steering(graph.graph)
    free = [n for n in edges.all if n not in fixed]
    together = [n for n in free if "float" in graph.graph.nodes[n].dtype and graph.values[n].numel()]
    groups = [together] if together else []
    which: dict[tuple[int, ...], int] = dict.fromkeys(((n,) for n in together), 0)
    inside = tuple(dict.fromkeys(a.node for a in axes if a.role == "hidden"))
    for level in levels(graph.graph, inside):
        which.update(dict.fromkeys(((n,) for n in level), len(groups)))
        groups.append(list(level))
    for axis in axes:
        if axis.nodes not in which:
            which[axis.nodes] = len(groups)
            groups.append(list(axis.nodes))
    return tuple(joint_graph(graph, group, graph.seed) for group in groups), which


def _points(joint: Joint, axis: Axis, spec: Spec | None, count: int | None, effort: Effort) -> torch.Tensor:
    base = joint.base[joint.moved.index(axis.node)]
    if spec is not None:
        points = spec_points(spec, base.dtype)
    else:
        work, most = WORK[effort]
        points = default_points(axis, base.dtype, count or _affordable(joint, work, most))
    return points.to(base.device)


def _affordable(joint: Joint, work: float, most: int) -> int:
    return affordable(joint, work, affordable(joint, LARGEST, LEAST, FEWEST), most)


def _seen(joints: tuple[Joint, ...], parts: Sequence[Part]) -> dict[int, tuple[float, float]]:
    """What values each forward op took (infinities included) while the boundary moved."""
    seen: dict[int, tuple[float, float]] = {}
    for part in parts:
        if not part.trace.axis.is_boundary:
            continue
        low, high = part.trace.low.nan_to_num(torch.inf, None, None), part.trace.high.nan_to_num(-torch.inf, None, None)
        for k, name in enumerate(part.trace.names):
            op = joints[part.joint].ops.get(name)
            if op and op.phase == "forward":
                old = seen.get(op.origin, (torch.inf, -torch.inf))
                seen[op.origin] = (min(old[0], float(low[0, k])), max(old[1], float(high[0, k])))
    return seen
