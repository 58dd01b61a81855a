"""A loss that falls without end along an axis: seen in the float64 sweep, checked in exact arithmetic.

Moving every sample alike leaves a likelihood's data misfit in place, so that a correct one turns upwards in both
directions. Where it does not, training has nothing to stop at.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from nllcheck.axes import depends_on
from nllcheck.axes.boundary import boundary, called_layers
from nllcheck.capture import LossGraph
from nllcheck.exact import Certain, certain
from nllcheck.graphs import ancestors, refs
from nllcheck.ops import is_transparent
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace
from nllcheck.types import Axis, Density, Event, Judged, VerdictName

FAR = 64.0  # raw values from here on are looked at
LAST = 6  # points over which the fall must go on
DEEP = 100.0  # how far below the batch's loss, against its size


def falls(graph: LossGraph, joint: Joint, wide: Trace, loss: float, answer: Density) -> list[Judged]:
    """At most one verdict an axis: the end at which the loss goes to minus infinity.

    `wide` is the axis' sweep in float64, `loss` the batch's. Bounded domains have no such end.
    """
    given = wide.axis.role == "target" and wide.axis.node not in graph.graph.targets
    if given and graph.program.model is not None:
        return []  # data: nobody trains it
    found = []
    for way in (1.0, -1.0):
        tail = _tail(wide, way)
        if tail is None or not _is_falling(*tail, loss):
            continue
        points, values = tail
        place = float(points[int((points.abs() <= 30 * FAR).sum()) - 1])
        exact = certain(joint, wide.axis, place)
        if not isinstance(exact, Certain) or exact.slope * way >= 0:
            continue
        where = "grows" if way > 0 else "falls"
        detail = f"goes to minus infinity as {wide.axis.label} {where}, {_rate(points, values)}"
        node = _culprit(graph, wide.axis)
        event = Event(
            "unbounded", "forward", node, wide.axis, place, None, loss=exact.loss, slope=exact.slope, detail=detail
        )
        at = f"the loss is {exact.loss:.4g} at {place:.4g}"
        reason = f"exact arithmetic: {at} and still falling (slope {exact.slope:.3g})"
        is_alarm = answer.claims and not (_is_signed(graph, wide.axis.node) or _is_critic(graph, wide.axis.node))
        verdict: VerdictName = "wrong-formula" if is_alarm else "undecided"
        found.append(Judged(event, verdict, 1.0, reason, exact.loss, exact.slope, "exact"))
    return found[:1]


def _tail(wide: Trace, way: float) -> tuple[torch.Tensor, torch.Tensor] | None:
    """The far points at one end, going outwards, with their finite losses; None where there are too few."""
    if wide.axis.mode != "set" or wide.axis.role == "target" or math.isfinite(_end(wide.axis, way)):
        return None
    keep = torch.isfinite(wide.loss) & (wide.points * way >= FAR)
    points, loss = wide.points[keep].double(), wide.loss[keep].double()
    order = torch.argsort(points * way)
    return (points[order], loss[order]) if len(points) >= LAST else None


def _end(axis: Axis, way: float) -> float:
    return axis.domain[1] if way > 0 else axis.domain[0]


def _is_falling(points: torch.Tensor, values: torch.Tensor, loss: float) -> bool:
    """Falling over all far points, and far below the batch's loss in the end."""
    steps = values[1:] - values[:-1]
    deep = float(values[-1]) < loss - DEEP * (1 + abs(loss))
    return deep and bool((steps <= 0).all()) and bool((steps < 0).double().mean() > 0.9)


def _rate(points: torch.Tensor, values: torch.Tensor) -> str:
    """How fast: like its square, linearly, like a logarithm, exponentially."""
    far = min(len(points) - 1, int((points.abs() <= 30 * FAR).sum()) - 1)
    half = min(far - 1, max(1, int((points.abs() <= 8 * FAR).sum()) - 1))
    steps, falls = (points - points[0]).abs(), values[0] - values  # from the first point on: a constant says nothing
    power = float(torch.log(falls[far] / falls[half]) / torch.log(steps[far] / steps[half]))
    if power > 6:
        return "exponentially"
    if power < 0.8:
        return "slowly, like its logarithm" if power < 0.45 else "slower than linearly"
    return "linearly" if power < 1.3 else f"like its power {round(power)}"


def _culprit(graph: LossGraph, axis: Axis) -> int:
    """The last line of the loss, or where the axis' part of it is made: the sum that reads it and no target."""
    reached = _reached(graph, {axis.node}) - _reached(graph, set(graph.graph.targets))
    named = [n.index for n in graph.graph.nodes if n.index in reached and n.name and n.zone == "loss" and n.site]
    return named[-1] if named else graph.graph.loss


def _reached(graph: LossGraph, sources: set[int]) -> set[int]:
    found = set(sources)
    for node in graph.graph.nodes:
        if any(r in found for r in refs(node)):
            found.add(node.index)
    return found


def _is_signed(graph: LossGraph, moved: int) -> bool:
    """Are samples weighed by data of either sign, as policy gradients do by an advantage? Then none is held.

    The weight may be a target or what is computed from targets alone, as returns without their mean.
    """
    data, along = depends_on(graph.graph, set(graph.graph.targets)), depends_on(graph.graph, {moved})
    moving = {n.index for n in graph.graph.nodes if n.op == "input"} - set(graph.graph.targets)
    weights = data - depends_on(graph.graph, moving)
    signed = {w for w in weights if _has_both_signs(graph.values[w])}
    return any(_is_factor(graph, w, along) for w in signed)


def _is_critic(graph: LossGraph, moved: int) -> bool:
    """Is it what a layer says of what other layers give, as a critic of an actor's action, and only to be made large?

    Another step trains the critic, and holds it.
    """
    plain = graph.graph
    others = set(boundary(plain).outputs) - {moved}
    if moved not in called_layers(plain) or not others & ancestors(plain, moved):
        return False
    data = depends_on(plain, set(plain.targets))
    way = [n for n in plain.nodes if n.index in depends_on(plain, {moved}) and n.index != moved]
    return all(n.op in _LINEAR and not data & set(refs(n)) for n in way if not is_transparent(n.op))


_LINEAR = ("add", "sub", "neg", "mean", "sum", "mul", "div", "select", "minimum", "min")


def _has_both_signs(value: Any) -> bool:
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.numel():
        return False
    return bool(value.min() < 0 < value.max())


def _is_factor(graph: LossGraph, data: int, along: set[int]) -> bool:
    """Is it only ever multiplied, and with something that moves?"""
    shown, factors = {data}, []
    for node in graph.graph.nodes:
        if shown & set(refs(node)):
            if is_transparent(node.op):
                shown.add(node.index)
            else:
                factors.append(node)
    return all(n.op == "mul" for n in factors) and any(set(refs(n)) & along for n in factors)
