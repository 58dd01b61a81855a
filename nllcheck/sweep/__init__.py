"""Axes -> Swept: loss, gradient and the range of every op at all points of every axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import torch

from nllcheck.axes.boundary import boundary
from nllcheck.axes.points import default_points
from nllcheck.axes.selection import steering
from nllcheck.axes.spec import Spec, spec_points
from nllcheck.capture import LossGraph
from nllcheck.sweep.joint import Joint, joint_graph
from nllcheck.sweep.watch import Trace, UnsweepableError, affordable, run_points, watched_names
from nllcheck.types import Axis

WORK = 5e7  # elements computed on one default axis: large batches get fewer points, never fewer than `FEWEST`
FEWEST = 60


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
    memory: int = 2**30,
    tell: Callable[[str], None] = lambda text: None,
) -> Swept:
    """Sweep every axis. `specs` (by axis label) hold the ranges the user asked for; the rest is automatic."""
    try:
        joints, which = _joints(graph, axes)
        names = tuple(watched_names(j) for j in joints)
    except Exception as error:  # no derivative, a formula that cannot be traced, a derivative that raises
        raise UnsweepableError((str(error).strip() or type(error).__name__).splitlines()[0][:200]) from error
    parts = []
    for done, axis in enumerate(axes):
        tell(f"sweeping {axis.label} ({done + 1} of {len(axes)})")
        k = which[axis.node]
        points = _points(joints[k], axis, specs.get(axis.label), count)
        trace = run_points(joints[k], axis, points, names[k], memory=memory)
        wide = (
            run_points(joints[k], axis, points.double(), (), torch.float64, memory)
            if axis.is_boundary and axis.mode != "toward"
            else None
        )
        parts.append(Part(k, trace, wide))
    return Swept(joints, names, tuple(parts), _seen(joints, parts))


def extended(swept: Swept, ways: Sequence[Axis], memory: int = 2**30) -> Swept:
    """The sweeps with those of further ways (mode `toward`) of the boundary behind them."""
    if not ways:
        return swept
    joint, names = swept.joints[0], swept.names[0]
    traces = [run_points(joint, w, _points(joint, w, None, None), names, memory=memory) for w in ways]
    parts = (*swept.parts, *(Part(0, trace, None) for trace in traces))
    return replace(swept, parts=parts, seen=_seen(swept.joints, parts))


def _joints(graph: LossGraph, axes: Sequence[Axis]) -> tuple[tuple[Joint, ...], dict[int, int]]:
    """One joint graph for the whole boundary, and one for each other node that moves."""
    edges = boundary(graph.graph)
    fixed = steering(graph.graph)
    free = [n for n in edges.all if n not in fixed]
    together = [n for n in free if "float" in graph.graph.nodes[n].dtype and graph.values[n].numel()]
    groups = [together] if together else []
    which = dict.fromkeys(together, 0)
    for axis in axes:
        if axis.node not in which:
            which[axis.node] = len(groups)
            groups.append([axis.node])
    return tuple(joint_graph(graph, group, graph.seed) for group in groups), which


def _points(joint: Joint, axis: Axis, spec: Spec | None, count: int | None) -> torch.Tensor:
    base = joint.base[joint.moved.index(axis.node)]
    if spec is not None:
        points = spec_points(spec, base.dtype)
    else:
        points = default_points(axis, base.dtype, count or affordable(joint, WORK, FEWEST, 1000))
    return points.to(base.device)


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
                seen[op.origin] = (min(old[0], float(low[:, k].min())), max(old[1], float(high[:, k].max())))
    return seen
