"""Swept -> events: what fails on the batch, and on every axis, each failure at the op where it is born."""

from __future__ import annotations

import math

import torch

from nllcheck import ops
from nllcheck.axes.boundary import boundary
from nllcheck.axes.inside import interior
from nllcheck.capture import LossGraph
from nllcheck.detect.bits import usual_floor
from nllcheck.detect.dead import dead_events, dead_on_batch
from nllcheck.detect.events import axis_events, batch_events
from nllcheck.detect.leaves import leaf_events
from nllcheck.detect.library import remarks
from nllcheck.detect.precision import batch_precision, precision_events
from nllcheck.graphs import refs
from nllcheck.sweep import Swept
from nllcheck.types import Axis, Event, Graph, Phase

Located = tuple[Event, int]  # an event, and which of `Swept.joints` shows it


def detect(graph: LossGraph, swept: Swept, floor: float | None = None) -> tuple[list[Located], list[str]]:
    """All failures, and remarks on what was seen but is no alarm.

    A loss or gradient with fewer than `floor` correct bits is one; None: `usual_floor` of the dtype.
    """
    broken = leaf_events(graph)
    if broken and not math.isfinite(float(graph.loss)):
        return [(e, 0) for e in broken], []
    on_batch = _on_batch(graph, swept)
    known: set[tuple[int, Phase]] = {(e.node, e.phase) for e, _ in on_batch}
    known |= {(n, "backward") for n, _ in known}
    found: list[Located] = [*((e, 0) for e in broken), *on_batch]
    far: dict[int, str] = {}
    for part in swept.parts:
        events, beyond = axis_events(graph, swept.joints[part.joint], part.trace, known, within(graph, part.trace.axis))
        found += [(e, part.joint) for e in events]
        far.update(dict.fromkeys(beyond, part.trace.axis.label))
    found, dropped = _reachable(graph.graph, found, swept)
    found += _finite_and_wrong(graph, swept, floor_of(graph, floor))
    told = {e.node for e, _ in found}
    return found, [*_far_note(graph.graph, far, told), *dropped, *remarks(graph, told)]


def _on_batch(graph: LossGraph, swept: Swept) -> list[Located]:
    """What the batch shows as it is: at each layer inside the model, and at the boundary, if it gets there sound."""
    inside = [p.joint for p in swept.parts if p.trace.axis.role == "hidden"]
    found: dict[tuple[int, Phase], Located] = {}
    for k in dict.fromkeys([*inside, 0] if swept.joints else []):
        if found and not all(bool(torch.isfinite(b).all()) for b in swept.joints[k].base):
            continue
        allowed = interior(graph.graph, boundary(graph.graph)) if k else None
        for event in batch_events(graph, swept.joints[k], swept.names[k], allowed):
            found.setdefault((event.node, event.phase), (event, k))
    return list(found.values())


def within(graph: LossGraph, axis: Axis) -> frozenset[int] | None:
    """Where an axis may find failures: one inside the model only there, the boundary shows the rest. None: anywhere."""
    return interior(graph.graph, boundary(graph.graph)) if axis.role == "hidden" else None


def floor_of(graph: LossGraph, asked: float | None) -> float:
    """`asked`, or the usual floor of the coarsest dtype that the program computes in (autocast: half precision)."""
    if asked is not None:
        return asked
    used = {n.dtype for n in graph.graph.nodes if n.dtype in ("float16", "bfloat16")}
    return min(usual_floor(getattr(torch, name)) for name in (*used, str(graph.loss.dtype).removeprefix("torch.")))


def _finite_and_wrong(graph: LossGraph, swept: Swept, floor: float) -> list[Located]:
    """Digits lost and dead gradients, on the batch and along each axis of the boundary."""
    if not swept.joints or not math.isfinite(float(graph.loss)):
        return []
    joint, names = swept.joints[0], swept.names[0]
    events = [*batch_precision(graph, joint, names, floor), *dead_on_batch(graph, joint, names)]
    found: list[Located] = [(e, 0) for e in events]
    for part in swept.parts:
        axis, cut = part.trace.axis, swept.joints[part.joint]
        if part.wide is None or axis.role == "target" or axis.mode == "toward":
            continue
        found += [(e, part.joint) for e in precision_events(graph, cut, part.trace, part.wide, floor)]
        found += [(e, part.joint) for e in dead_events(graph, cut, part.trace, part.wide)]
    return found


def _far_note(graph: Graph, far: dict[int, str], told: set[int]) -> list[str]:
    left = [n for n in far if n not in told]
    if not left:
        return []
    names = ", ".join(dict.fromkeys(graph.nodes[n].op for n in left))
    more = "1 more op overflows" if len(left) == 1 else f"{len(left)} more ops overflow"
    return [f"beyond a million times the batch's range {more} ({names}): not an alarm"]


def _viewed(graph: Graph, node: int) -> int:
    """What a slice, or one of several results, is taken of."""
    one = graph.nodes[node]
    is_part = ops.row(one.op).kind in ("view", "select") or "getitem" in one.aten
    return _viewed(graph, refs(one)[0]) if is_part and refs(one) else node


def _reachable(graph: Graph, found: list[Located], swept: Swept) -> tuple[list[Located], list[str]]:
    """A failure located by moving an intermediate counts only where some boundary value leads there."""
    kept, dropped = [], []
    for event, joint in found:
        axis = event.axis
        if axis is None or axis.is_boundary or axis.requested:
            kept.append((event, joint))
            continue
        at = event.threshold[1] if event.threshold else event.witness
        low, high = swept.seen.get(axis.node, (math.nan, math.nan))
        whole = swept.seen.get(_viewed(graph, axis.node), (-math.inf, math.inf))
        if low <= at <= high:
            kept.append((event, joint))
        elif not whole[0] <= at <= whole[1]:
            dropped.append(f"{axis.label} = {at:.6g}")
    left = ", ".join(dict.fromkeys(dropped))
    return kept, [f"these would fail, but nothing the model or data was swept over leads there: {left}"] if left else []
