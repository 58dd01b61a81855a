"""Culprits -> events: region, exact threshold, simplest witness, and the way of the failure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from nllcheck.axes.reach import reach_of, reaches
from nllcheck.capture import LossGraph
from nllcheck.detect.births import Bools, Culprit, births, culprits, intervals
from nllcheck.detect.chain import chain_at
from nllcheck.detect.edges import Side, is_bystander, sides_of, simple_witness, thresholds, values_of, with_edge
from nllcheck.detect.threshold import Pair, Single, failing_at
from nllcheck.graphs import ancestors
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, placements, run_one
from nllcheck.types import Axis, Event, Kind, Phase

_KINDS: tuple[Kind | None, ...] = (None, "inf", "nan")


def batch_axis(joint: Joint) -> Axis:
    """The axis that moves nothing: the first moved tensor times one."""
    return Axis("batch", joint.moved[0], "output", mode="scale", observed=(1.0, 1.0))


def batch_events(
    graph: LossGraph, joint: Joint, names: tuple[str, ...], allowed: frozenset[int] | None = None
) -> list[Event]:
    """Failures that the batch shows as it is; `allowed` are the ops that may be to blame (None: any)."""
    trace = run_one(joint, batch_axis(joint), 1.0, names)
    found = _among(allowed, culprits(joint, trace, births(joint, trace)))
    return [replace(_witnessed(graph, joint, trace, c, 1.0), axis=None, on_batch=True, share=1.0) for c in found]


def _among(allowed: frozenset[int] | None, found: list[Culprit]) -> list[Culprit]:
    return found if allowed is None else [c for c in found if c.origin in allowed]


FAR = 1e6  # beyond this factor (and beyond values of a thousand) a failure is only counted


def axis_events(
    graph: LossGraph,
    joint: Joint,
    trace: Trace,
    known: set[tuple[int, Phase]],
    allowed: frozenset[int] | None = None,
) -> tuple[list[Event], list[int]]:
    """Failures along one axis, and the ops that fail only far beyond anything the checkpoint could give.

    `known` are the (op, phase) that fail on the batch itself already: they have no threshold. `allowed` as in
    `batch_events`.
    """
    born = births(joint, trace)
    sound = (born.loss_state == 0) & (born.gradient_state == 0)
    found = [c for c in culprits(joint, trace, born) if (c.origin, c.phase) not in known]
    found = _among(allowed, _without_fringes(graph, found))
    near = [c for c in found if not _is_far(trace, c)]
    return _without_onsets(_located(graph, joint, trace, near, sound)), [c.origin for c in found if _is_far(trace, c)]


ONSET = 0.05  # a gradient that fails this little (of the value) before the loss does is the same failure;
OWN_ONSET = 0.15  # at the very same op also a little more


def _without_onsets(events: list[Event]) -> list[Event]:
    """Fold gradient failures that merely precede a failing loss (the same op, or just before it) into that failure."""
    forward = [e for e in events if e.phase == "forward" and e.threshold]
    onsets = {id(e): f for e in events if e.phase == "backward" for f in forward if _precedes(e, f)}
    kept = []
    for event in events:
        folded = [e for e in events if onsets.get(id(e)) is event]
        first = folded[0].threshold[1] if folded and folded[0].threshold else None
        kept += [] if id(event) in onsets else [replace(event, onset=first)]
    return kept


def _same_side(a: Event, b: Event) -> bool:
    """Do both fail above, or both below, the middle of the batch's range?"""
    if not a.axis or not a.threshold or not b.threshold:
        return False
    middle = sum(a.axis.observed) / 2
    return (a.threshold[1] > middle) == (b.threshold[1] > middle)


def _precedes(onset: Event, failure: Event) -> bool:
    if not onset.threshold or not failure.threshold:
        return False
    if onset.threshold[1] == 0 and not any(a <= 0 <= b for a, b in failure.region):
        return False  # 0 is a value of its own, not the rim of what fails at tiny ones
    share = OWN_ONSET if onset.node == failure.node else ONSET
    near = abs(onset.threshold[1] - failure.threshold[1]) <= share * max(abs(failure.threshold[1]), 1e-3)
    return near and _same_side(onset, failure)


def _is_far(trace: Trace, culprit: Culprit) -> bool:
    values = values_of(trace)[culprit.points]
    far = (reaches(trace.axis, values) > FAR) & (np.abs(values) > 1e3)
    return bool(far.all()) and not trace.axis.requested


def _without_fringes(graph: LossGraph, found: list[Culprit]) -> list[Culprit]:
    """Drop an op that fails only on the rim of where an op before it fails: a sum overflows just before its terms."""
    kept = []
    for culprit in found:
        before = ancestors(graph.graph, culprit.origin) - {culprit.origin}
        rims = [c for c in found if c.origin in before and c.phase == culprit.phase and _is_rim(culprit, c)]
        kept += [] if rims else [culprit]
    return kept


def _is_rim(rim: Culprit, body: Culprit) -> bool:
    """Are all failing runs of `rim` at most two points wide and next to failing points of `body`?"""
    runs = intervals(rim.points)
    padded = np.concatenate([[False], body.points, [False]])
    return all(b - a < 2 and bool(padded[a] | padded[b + 2]) for a, b in runs)


def _located(graph: LossGraph, joint: Joint, trace: Trace, found: list[Culprit], sound: Bools) -> list[Event]:
    """One event for each culprit and side of the batch's range (below, within, above) on which it fails."""
    single = Single(joint, trace.axis, trace.names)
    sides = [Side(failing_at(single, c), c, runs) for c in found for runs in sides_of(trace, c)]
    pairs = thresholds(trace, sides, sound)
    events = [_on_side(graph, trace, side, pair) for side, pair in zip(sides, pairs, strict=True)]
    return [e for e in events if e]


def _on_side(graph: LossGraph, trace: Trace, side: Side, pair: Pair | None) -> Event | None:
    """The event at a threshold, or without one; None when the canonical evaluation shows no failure."""
    values, runs = values_of(trace), side.runs
    run = min(runs, key=lambda r: min(reach_of(trace.axis, values[r[0]]), reach_of(trace.axis, values[r[1]])))
    if pair:
        run = next((r for r in runs if values[r[0]] <= pair[1] <= values[r[1]]), run)
    witness = simple_witness(side.question, trace, pair, run)
    if witness is None:
        return None
    single = side.question.single
    before = single.at(pair[0]) if pair else None
    if before is not None and is_bystander(single.joint, side.culprit, before, single.at(witness)):
        return None
    event = _witnessed(graph, single.joint, single.at(witness), side.culprit, witness)
    region = tuple((float(values[a]), float(values[b])) for a, b in runs[:6])
    event = replace(event, region=region, share=float(side.culprit.points.mean()))
    return with_edge(event, single, pair) if pair else event


def _witnessed(graph: LossGraph, joint: Joint, one: Trace, culprit: Culprit, witness: float) -> Event:
    """The event as the canonical run `one` at the witness shows it."""
    states = births(joint, one)
    state = int(states.loss_state[0] if culprit.phase == "forward" else states.gradient_state[0])
    reaches = [w for w, s in (("loss", states.loss_state), ("gradient", states.gradient_state)) if int(s[0])]
    return Event(
        kind=_KINDS[state] or "nan",
        phase=culprit.phase,
        node=culprit.origin,
        axis=one.axis,
        witness=witness,
        threshold=None,
        reaches=tuple(reaches),  # type: ignore[arg-type]
        loss=float(one.loss[0]),
        slope=float(one.slope[0]),
        chain=chain_at(graph, joint, one.axis, witness, culprit, one, states),
        detail=one.axis.remark,
        ranges=ranges_at(joint, one),
    )


def ranges_at(joint: Joint, one: Trace) -> tuple[tuple[int, float, float], ...]:
    """(plain node, min, max) of every forward op at a single point, and of the moved tensors."""
    placed = zip(joint.moved, placements(joint, one.axis, joint.base, one.points[0]), strict=True)
    moved = {n: value.double() for n, (value, _) in placed if value.is_floating_point() and value.numel()}
    found = {n: (float(value.min()), float(value.max())) for n, value in moved.items()}
    for k, name in enumerate(one.names):
        op = joint.ops.get(name)
        if op is not None and op.phase == "forward":
            found[op.origin] = (float(one.low[0, k]), float(one.high[0, k]))
    return tuple((i, low, high) for i, (low, high) in sorted(found.items()))
