"""Signs that worry people: a negative loss, and a gradient that changes sign along an axis, over samples or time.

None of these is a failure by itself. They are counted, located and compared with float64, and reported as notes
unless the comparison says otherwise.
"""

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
from nllcheck.types import Axis, Event, Graph, Judged

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


def flips_along(graph: LossGraph, trace: Trace, wide: Trace) -> list[Judged]:
    """Sign changes of the slope along one axis, near the batch; and points where float32 has the sign wrong.

    `wide` is the same sweep in float64, point by point.
    """
    near = torch.tensor([reach_of(trace.axis, v) <= NEAR for v in trace.points.tolist()])
    keep = near & torch.isfinite(trace.slope) & torch.isfinite(wide.slope)
    if int(keep.sum()) < 3:
        return []
    points, slope, exact = trace.points[keep].double(), trace.slope[keep].double(), wide.slope[keep]
    size = wide.magnitude[keep].clamp(min=1e-30)
    wrong = (torch.sign(slope) * torch.sign(exact) < 0) & ((slope - exact).abs() > 1e-2 * size)
    found = [_wrong_sign(graph, trace.axis, points, slope, exact, wrong)] if bool(wrong.any()) else []
    changes = _changes(exact.where(exact.abs() > 1e-9 * size, torch.zeros_like(exact)))
    return found + ([_crossing(graph, trace.axis, points, exact, changes)] if changes else [])


def _changes(values: torch.Tensor) -> list[tuple[int, int]]:
    """Pairs of consecutive non-zero entries with opposite signs."""
    places = torch.nonzero(values).flatten()
    signs = torch.sign(values[places])
    turns = torch.nonzero(signs[1:] != signs[:-1]).flatten()
    return [(int(places[t]), int(places[t + 1])) for t in turns.tolist()]


def _wrong_sign(
    graph: LossGraph, axis: Axis, points: torch.Tensor, slope: torch.Tensor, exact: torch.Tensor, wrong: torch.Tensor
) -> Judged:
    k = int(torch.nonzero(wrong).flatten()[0])
    value = float(points[k])
    detail = f"the computed sign is wrong at {int(wrong.sum())} of {len(points)} points near the batch"
    event = Event(
        "sign-flip", "backward", graph.graph.loss, axis, value, None, slope=float(slope[k]), detail=detail,
        share=float(wrong.double().mean()),
    )  # fmt: skip
    reason = f"at {value:.6g} the computed slope is {float(slope[k]):.4g}, in float64 it is {float(exact[k]):.4g}"
    return Judged(event, "defect", reach_of(axis, value), reason, reference_slope=float(exact[k]))


def _crossing(
    graph: LossGraph, axis: Axis, points: torch.Tensor, exact: torch.Tensor, changes: list[tuple[int, int]]
) -> Judged:
    a, b = min(changes, key=lambda c: reach_of(axis, float(points[c[0]])))
    kind = "a minimum" if float(exact[a]) < 0 else "a maximum"
    times = "once" if len(changes) == 1 else f"{len(changes)} times"
    detail = f"changes sign {times} near the batch: {kind} {_between(float(points[a]), float(points[b]))}"
    sides = f"{float(exact[a]):.3g} before, {float(exact[b]):.3g} after"
    event = Event("sign-flip", "backward", graph.graph.loss, axis, float(points[b]), None, detail=f"{detail} ({sides})")
    reason = "float64 changes sign at the same place, so this is the loss' own shape and not rounding"
    return Judged(event, "legitimate", reach_of(axis, float(points[b])), reason)


def _between(a: float, b: float) -> str:
    return "at 0" if max(abs(a), abs(b)) < 1e-9 else f"between {a:.4g} and {b:.4g}"
