"""Dead gradients: exactly 0 behind a closed gate that the loss would open, or lost to underflow and saturation.

A gate (clamp, relu, max against a constant) is *stuck* where it is closed and the loss would fall if its output
moved back inside: a hinge at 0 is satisfied, a rate clamped from below while the data asks for more is stuck.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from nllcheck.axes.boundary import called_layers
from nllcheck.axes.reach import reach_of, reaches
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.clamps import library_clamp
from nllcheck.detect.births import origins
from nllcheck.detect.bits import NOISE, spread, usual
from nllcheck.detect.events import batch_axis, ranges_at
from nllcheck.detect.gates import Stuck, stuck
from nllcheck.detect.library import clamped
from nllcheck.detect.threshold import Question, Single, bisect
from nllcheck.ops import is_transparent
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Axis, ChainStep, Event

NEAR = 10.0  # looked at up to this factor of the batch's range
RELEVANT = 1e-3  # a gradient below this share of what is typical near the batch is no loss when it is 0


def dead_on_batch(graph: LossGraph, joint: Joint, names: tuple[str, ...]) -> list[Event]:
    """Gates that are stuck for some elements of the batch as it is, while some gradient is exactly 0; and clamps of
    libraries that hold some of its values."""
    axis = batch_axis(joint)
    share = _zero_share(joint)
    called = called_layers(graph.graph)  # within the loss, where it is as likely a hidden layer
    weights = frozenset(i for i in joint.moved if graph.graph.nodes[i].name in graph.graph.weights or i in called)
    held = stuck(joint, axis, 1.0, "all" if share == 1 else "some", weights)
    held += clamped(graph)
    one = run_one(joint, axis, 1.0, names if held else ())
    return [
        replace(_event(graph, joint, one, s.origin, _told(graph, s)), axis=None, on_batch=True, share=_own(graph, s))
        for s in held
    ]


def _own(graph: LossGraph, found: Stuck) -> float:
    """The share that a bound of the user's own holds. A library's is not told apart by it: nobody meant that one."""
    return 0.0 if library_clamp(graph.graph.nodes[found.origin]) else found.elements / found.of


def _zero_share(joint: Joint) -> float:
    """The share of the gradient's elements that are exactly 0 on the batch."""
    with torch.no_grad(), plain_kernels():
        _, *gradients = Runner(joint.module).run(*joint.base)
    zero = [g == 0 for g, b in zip(gradients, joint.base, strict=True) if g.shape == b.shape]
    return sum(int(z.sum()) for z in zero) / max(1, sum(z.numel() for z in zero))


def _told(graph: LossGraph, found: Stuck) -> str:
    name = graph.graph.nodes[found.origin].name
    of = f" of {name}" if name else ""
    return f"{found.elements} of {found.of} values{of} on the batch are held at {found.bound:.6g}"


def dead_events(graph: LossGraph, joint: Joint, trace: Trace, wide: Trace) -> list[Event]:
    """At most one event on each side of the batch's range: where the whole axis gets a gradient of exactly 0.

    Not where only values next to 0 do, whose squares underflow: a norm has no slope at 0 either.
    """
    axis = trace.axis
    dead = _dead(trace)
    values = trace.points.double().numpy()
    near = np.nonzero(dead.numpy() & (reaches(axis, values) <= NEAR))[0].tolist()
    found: dict[int, Event] = {}
    for side in (0, 1, -1):
        places = [k for k in near if _side(axis, values[k]) == side]
        apart = [j for j in places if not axis.is_speck(float(values[j]))]
        if not apart:
            continue
        k = min(places, key=lambda k: (reach_of(axis, float(values[k])), abs(values[k])))
        event = _located(graph, joint, trace, wide, dead, k, min(apart, key=lambda j: abs(j - k)))
        if event:
            found.setdefault(event.node, event)
    return list(found.values())


def _dead(trace: Trace) -> torch.Tensor:
    dead = (trace.magnitude == 0) & torch.isfinite(trace.loss) & (trace.points != 0)
    return dead & ~_in_a_valley(trace, dead)


def _in_a_valley(trace: Trace, dead: torch.Tensor) -> torch.Tensor:
    """Points between a falling and a rising slope: a minimum that is as flat as the dtype has it is no dead end."""
    sign = torch.sign(trace.slope).nan_to_num(0.0)
    alive = torch.where(dead, 0, torch.arange(len(dead)) + 1)
    before = alive.cummax(0).values
    after = torch.where(dead, len(dead) + 1, alive).flip(0).cummin(0).values.flip(0)
    padded = torch.cat([sign.new_zeros(1), sign, sign.new_zeros(1)])
    return dead & (padded[before] < 0) & (padded[after] > 0)


def _side(axis: Axis, value: float) -> int:
    low, high = axis.observed
    return 1 if value > high else -1 if value < low else 0


def _located(
    graph: LossGraph, joint: Joint, trace: Trace, wide: Trace, dead: torch.Tensor, k: int, gate: int
) -> Event | None:
    """Lost by underflow or saturation at the point `k`, else held by a gate at the point `gate`."""
    one = run_one(joint, trace.axis, float(trace.points[k]), trace.names)
    node = _vanishing(joint, one) if _is_lost(trace, wide, k) else None
    apart = node is not None and is_transparent(graph.graph.nodes[node].op)  # other channels' gradients live on
    held = _gate(joint, trace, dead, gate) if node is None or apart else None
    if held:
        one = run_one(joint, trace.axis, float(trace.points[gate]), trace.names)
        event = _event(graph, joint, one, held.origin, _held(held))
        return replace(event, threshold=_edge(joint, trace, dead, gate), share=float(dead.double().mean()))
    if node is None:
        return None
    event = _event(graph, joint, one, node, f"float64 still gives {wide.magnitude[k]:.3g} at {trace.points[k]:.6g}")
    return replace(event, threshold=_edge(joint, trace, dead, k))


def _is_lost(trace: Trace, wide: Trace, k: int) -> bool:
    """Does float64 have a gradient there that is no mere remainder?"""
    size, most = float(wide.magnitude[k]), usual(trace, wide.magnitude)
    return math.isfinite(size) and size > RELEVANT * most and size > 1e3 * _tiny(trace) and not _is_noise(trace, most)


def _is_noise(trace: Trace, most: float) -> bool:
    """Is the gradient as much larger in the training dtype as that rounds more? Then it is 0 but for rounding, as that
    of a shift which both sides of a difference share."""
    return most <= NOISE / torch.finfo(trace.loss.dtype).eps * usual(trace, trace.magnitude)


def _gate(joint: Joint, trace: Trace, dead: torch.Tensor, k: int) -> Stuck | None:
    """The gate that holds the whole axis there."""
    held = stuck(joint, trace.axis, float(trace.points[k]), dead="axis")
    return held[0] if held and not _is_alone(joint, trace, dead, k) else None


def _is_alone(joint: Joint, trace: Trace, dead: torch.Tensor, k: int) -> bool:
    """Is the gradient 0 only because all values are alike, as that of a variance is? Asked at the largest value on
    the side, where a few percent are not nothing."""
    axis, values = trace.axis, trace.points.tolist()
    if axis.mode != "set":
        return False
    side = [v for j, v in enumerate(values) if dead[j] and _side(axis, v) == _side(axis, values[k])]
    changed, around = spread(joint, axis, max((v for v in side if reach_of(axis, v) <= NEAR), key=abs))
    return bool(run_one(changed, around, 1.0, ()).magnitude[0] != 0)


def _tiny(trace: Trace) -> float:
    return torch.finfo(trace.loss.dtype).tiny


def _held(found: Stuck) -> str:
    return f"held at {found.bound:.6g}, where the loss would fall if it could move on"


def _edge(joint: Joint, trace: Trace, dead: torch.Tensor, k: int) -> tuple[float, float] | None:
    """(last live, first dead) value, adjacent floats, at the end of the dead run that is nearest to `k`."""
    question = Question(Single(joint, trace.axis, ()), lambda t: _dead(t).numpy())
    ends = [_live(dead, k, step) for step in (1, -1)]
    reached = [(abs(j - k), j) for j in ends if j is not None]
    if not reached:
        return None
    live = min(reached)[1]
    first = live - 1 if live > k else live + 1
    return bisect(question, float(trace.points[live]), float(trace.points[first]), trace.points.dtype)


def _live(dead: torch.Tensor, k: int, step: int) -> int | None:
    places = range(k, len(dead)) if step > 0 else range(k, -1, -1)
    return next((j for j in places if not bool(dead[j])), None)


def _vanishing(joint: Joint, one: Trace) -> int | None:
    """The op in whose derivative the gradient becomes all zeros."""
    backward = np.array([bool(op and op.phase == "backward") for op in map(joint.ops.get, one.names)])
    zero = ((one.low[0] == 0) & (one.high[0] == 0)).numpy() & backward
    born, _, to_gradient = origins(joint, one.names, zero[None, :])
    places = np.nonzero(born[0] & to_gradient[0])[0].tolist()
    return joint.ops[one.names[places[0]]].origin if places else None


def _event(graph: LossGraph, joint: Joint, one: Trace, node: int, detail: str) -> Event:
    plain = graph.graph.nodes[node]
    return Event(
        kind="dead-gradient",
        phase="backward",
        node=node,
        axis=one.axis,
        witness=float(one.points[0]),
        threshold=None,
        reaches=("gradient",),
        loss=float(one.loss[0]),
        slope=float(one.slope[0]),
        chain=(ChainStep(node, plain.op, "saturation", plain.site),),
        ranges=ranges_at(joint, one),
        detail=detail,
    )
