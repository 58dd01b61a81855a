"""Verdicts on what is finite and wrong: digits lost, gradients of exactly zero."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from nllcheck.axes.reach import reach_of
from nllcheck.detect.events import batch_axis
from nllcheck.exact import Certain, certain, work_of
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import run_one
from nllcheck.types import Axis, Event, Judged

AFFORDABLE = 300_000  # scalar ball operations, half a second for each event; float64 is nearly always as good


def silent(event: Event, joint: Joint) -> Judged | None:
    """The verdict on a `precision` or `dead-gradient` event; None where exact arithmetic takes the training
    dtype's side, so that there is nothing to report."""
    axis = event.axis or batch_axis(joint)
    loss, slope, reference = _exact_or_wide(joint, axis, event)
    computed, exact = (event.loss, loss) if event.phase == "forward" else (event.slope, slope)
    if event.kind == "precision" and _agrees(joint, axis, event, computed, exact):
        return None
    what = "loss" if event.phase == "forward" else "slope"
    said = "exact arithmetic" if reference == "exact" else reference
    reason = f"the computed {what} is {computed:.6g}, in {said} it is {exact:.6g}"
    if event.kind == "dead-gradient" and exact == computed == 0:
        reason = f"the slope is 0 in {said}, too: it is the bound that holds the value, not rounding"
    told = replace(event, axis=None) if event.on_batch else event
    return Judged(told, "silent", _reach(event, axis), reason, loss, slope, reference)


def _exact_or_wide(joint: Joint, axis: Axis, event: Event) -> tuple[float, float, str]:
    answer = certain(joint, axis, event.witness) if work_of(joint) <= AFFORDABLE else ""
    if isinstance(answer, Certain):
        return answer.loss, answer.nearest(event.slope), "exact"
    wide = run_one(joint, axis, event.witness, (), torch.float64)
    return float(wide.loss[0]), float(wide.slope[0]), "float64"


def _agrees(joint: Joint, axis: Axis, event: Event, computed: float, exact: float) -> bool:
    """Is the computed value within a thousandth, against its own size or (a slope) that of its summands?"""
    if exact == 0 or not math.isfinite(exact):
        return True
    size = abs(exact)
    if event.phase == "backward":
        size = max(size, float(run_one(joint, axis, event.witness, (), torch.float64).magnitude[0]))
    return abs(computed - exact) <= 2.0**-10 * size


def _reach(event: Event, axis: Axis) -> float:
    """Of the nearest value in the failing region."""
    if event.on_batch:
        return 1.0
    edges = [v for interval in event.region for v in interval]
    edges += [event.threshold[1]] if event.threshold else []
    return min(reach_of(axis, v) for v in [*edges, event.witness])
