"""A negative loss: on the batch, or from which value of an axis on."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from nllcheck.axes import refs
from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.detect.events import batch_axis
from nllcheck.detect.threshold import Question, bisect
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Event, Graph, Judged

NEAR = 10.0  # signs are looked at up to this factor of the batch's range
_ROUNDING = 1e-6  # a loss this close below zero, against its size, is rounding


def is_discrete(graph: LossGraph) -> str:
    """'class' or 'one-hot' when the targets are labels, for which no likelihood exceeds 1; else ''."""
    for index in graph.graph.targets:
        value = graph.values[index]
        if not value.is_floating_point() and _is_label(graph.graph, index):
            return "class"
        if value.is_floating_point() and value.dim() >= 2 and value.shape[-1] > 1 and _is_one_hot(value):
            return "one-hot"
    return ""


def _is_label(graph: Graph, target: int) -> bool:
    """Is the target used as an index (and not as a number, like a count)?"""
    users = [n for n in graph.nodes if target in refs(n)]
    views = [n.index for n in users if n.op in ("view", "select")]
    direct = any(n.op in ("nll_loss", "gather", "index", "full", "scatter", "one_hot") for n in users)
    return direct or any(_is_label(graph, v) for v in views)


def _is_one_hot(value: torch.Tensor) -> bool:
    binary = bool(((value == 0) | (value == 1)).all())
    return binary and bool((value.sum(-1) == 1).all())


def negative_loss(graph: LossGraph, joint: Joint, traces: list[Trace]) -> list[Judged]:
    """At most one finding: the batch's loss is below zero, or the nearest value of an axis that makes it so."""
    kind = is_discrete(graph) or "continuous"
    base = run_one(joint, batch_axis(joint), 1.0, ())
    wide = run_one(joint, batch_axis(joint), 1.0, (), torch.float64)
    loss, exact = float(base.loss[0]), float(wide.loss[0])
    if math.isfinite(loss) and loss < -_ROUNDING and exact < 0:
        event = Event("negative-nll", "forward", graph.graph.loss, None, loss, None, loss=loss, on_batch=True)
        return [_negative(replace(event, detail=f"{kind} target"), 1.0, exact)]
    nearest = min((found for t in traces if (found := _nearest_negative(t))), default=None, key=lambda f: f[0])
    return [_negative_on(graph, joint, nearest[1], nearest[2], nearest[0], kind)] if nearest else []


def _negative(event: Event, reach: float, exact: float) -> Judged:
    if event.detail.startswith("continuous"):
        reason = "a density can exceed 1, so a negative value alone proves nothing; the density test would tell"
        return Judged(event, "undecided", reach, reason, exact)
    return Judged(event, "wrong-formula", reach, "the probability of a label cannot exceed 1", exact)


def _nearest_negative(trace: Trace) -> tuple[float, Trace, int] | None:
    if trace.axis.role not in ("output", "weight", "input"):
        return None
    below = torch.isfinite(trace.loss) & (trace.loss < -_ROUNDING * (1 + trace.loss.abs()))
    found = [(reach_of(trace.axis, v), k) for k, v in enumerate(trace.points.tolist()) if bool(below[k])]
    near = [f for f in found if f[0] <= NEAR]
    return (min(near)[0], trace, min(near)[1]) if near else None


def _negative_on(graph: LossGraph, joint: Joint, trace: Trace, k: int, reach: float, kind: str) -> Judged:
    value = float(trace.points[k])
    question = Question(joint, trace.axis, (), lambda t: (t.loss < 0).tolist())
    sound = [j for j in (k - 1, k + 1) if 0 <= j < len(trace.points) and not bool(trace.loss[j] < 0)]
    good = float(trace.points[sound[0]]) if sound else None
    pair = bisect(question, good, value, trace.points.dtype) if good is not None else None
    exact = float(run_one(joint, trace.axis, value, (), torch.float64).loss[0])
    event = Event("negative-nll", "forward", graph.graph.loss, trace.axis, value, pair, loss=float(trace.loss[k]))
    return _negative(replace(event, detail=f"{kind} target"), reach, exact)
