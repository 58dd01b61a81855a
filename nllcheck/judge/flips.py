"""Sign changes of the slope along an axis, each with its cause: an optimum, a kink, rounding, a NaN between.

The sweep proposes, float64 counts, and exact arithmetic certifies the change nearest to the batch where the
graph is small enough: its derivative comes from jets through the forward graph and has a certain sign.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from nllcheck.axes.points import from_ordinal, to_ordinal
from nllcheck.axes.reach import reach_of, reaches
from nllcheck.capture import LossGraph
from nllcheck.detect.bits import usual
from nllcheck.detect.events import batch_axis
from nllcheck.detect.precision import losing
from nllcheck.detect.threshold import Pair, Question, Single, bisect
from nllcheck.exact import Certain, certain, work_of
from nllcheck.judge.verdict import AFFORDABLE
from nllcheck.sweep.joint import Joint, of_batch
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Axis, Event, Judged

NEAR = 10.0  # signs are looked at up to this factor of the batch's range
WRONG = 1e-2  # a slope counts as wrong in sign if it is off by this share of what it is summed from
JUMP = 1e-3  # of the usual slope: this much on both sides of a single step is a kink
TRIED = 3  # points at which a wrong sign is confirmed


@dataclass(frozen=True)
class _Near:
    """The points near the batch where both sweeps give a finite slope."""

    points: torch.Tensor  # (M,) float64
    slope: torch.Tensor  # (M,) as computed in the training dtype
    wide: torch.Tensor  # (M,) in float64
    size: torch.Tensor  # (M,) sum of |gradient|, float64
    places: torch.Tensor  # (M,) positions in the trace
    typical: float  # the median size over the batch's own range


def flips_along(graph: LossGraph, joint: Joint, trace: Trace, wide: Trace) -> list[Judged]:
    """At most two: signs that rounding turns, and the sign change of the loss' own shape nearest to the batch."""
    near = _near(trace, wide)
    if near is None:
        return []
    wrong = (torch.sign(near.slope) * torch.sign(near.wide) < 0) & ((near.slope - near.wide).abs() > WRONG * near.size)
    found = [_rounding(graph, joint, trace, near, wrong)] if bool(wrong.any()) else []
    felt = near.wide.abs() > 1e-9 * near.size
    turns = changes(near.wide.where(felt & ~wrong, torch.zeros_like(near.wide)))
    return [j for j in [*found, _crossing(graph, joint, trace, near, turns) if turns else None] if j]


def _near(trace: Trace, wide: Trace) -> _Near | None:
    close = torch.from_numpy(reaches(trace.axis, trace.points.double()) <= NEAR)
    keep = close & torch.isfinite(trace.slope) & torch.isfinite(wide.slope)
    if int(keep.sum()) < 3:
        return None
    size = wide.magnitude[keep].clamp(min=1e-30)
    places = torch.nonzero(keep).flatten()
    typical = max(usual(trace, wide.magnitude), 1e-30)
    return _Near(trace.points[keep].double(), trace.slope[keep].double(), wide.slope[keep], size, places, typical)


def changes(values: torch.Tensor) -> list[tuple[int, int]]:
    """Pairs of consecutive non-zero entries with opposite signs."""
    places = torch.nonzero(values).flatten()
    signs = torch.sign(values[places])
    turns = torch.nonzero(signs[1:] != signs[:-1]).flatten()
    return [(int(places[t]), int(places[t + 1])) for t in turns.tolist()]


def _rounding(graph: LossGraph, joint: Joint, trace: Trace, near: _Near, wrong: torch.Tensor) -> Judged | None:
    """Points where the computed sign is not the true one, confirmed at the nearest of them, with the op to blame."""
    axis = trace.axis
    ranked = sorted(torch.nonzero(wrong).flatten().tolist(), key=lambda k: (reach_of(axis, float(near.points[k])), k))
    for k in ranked[:TRIED]:
        value = float(near.points[k])
        computed = float(run_one(joint, axis, value, ()).slope[0])
        exact, name = _slope(joint, axis, value, float(near.wide[k]))
        if computed * exact < 0:
            found = _wrong_sign(graph, axis, _against_batch(joint, near), wrong, k, computed, exact, name)
            return _blamed(graph, found, losing(joint, axis, value, "backward", trace.names))
    return None


def _blamed(graph: LossGraph, found: Judged, node: int | None) -> Judged:
    """With the op whose rounding it is, where one is told from the others."""
    if node is None:
        return found
    detail = found.event.detail.replace("rounding", f"rounding in {graph.graph.nodes[node].op}", 1)
    return replace(found, event=replace(found.event, node=node, detail=detail))


def is_turned(judged: Judged, joint: Joint, graph: LossGraph) -> bool:
    """Does rounding turn the sign there on all rows of the batch, `graph`, where `joint` is one of some of them?"""
    whole, axis = of_batch(joint, graph), judged.event.axis
    if whole is joint or axis is None:
        return True
    computed, wide = (float(run_one(whole, axis, judged.event.witness, (), d).slope[0]) for d in (None, torch.float64))
    return computed * wide < 0


def _against_batch(joint: Joint, near: _Near) -> _Near:
    """Where the loss does not feel an axis at all every slope is rounding: the batch's own gradient is the measure."""
    own = float(run_one(joint, batch_axis(joint), 1.0, ()).magnitude[0])
    return replace(near, typical=max(near.typical, own)) if math.isfinite(own) else near


def _slope(joint: Joint, axis: Axis, value: float, wide: float) -> tuple[float, str]:
    """The derivative with a certain sign; float64's where exact arithmetic is too dear or undecided."""
    answer = certain(joint, axis, value) if work_of(joint) <= AFFORDABLE else "too large"
    return (answer.slope, "exact arithmetic") if isinstance(answer, Certain) else (wide, "float64")


def _wrong_sign(
    graph: LossGraph, axis: Axis, near: _Near, wrong: torch.Tensor, k: int, computed: float, exact: float, name: str
) -> Judged:
    value = float(near.points[k])
    low, high = _extent_of(wrong, k)
    region = (float(near.points[low]), float(near.points[high]))
    count = int(wrong.sum())
    place = f"those from {region[0]:.6g} to {region[1]:.6g}" if high > low else f"{value:.6g}"
    detail = f"rounding turns the gradient's sign at {count} of {len(wrong)} points near the batch, such as {place}"
    event = Event(
        "sign-flip", "backward", graph.graph.loss, axis, value, None, (region,), slope=computed,
        detail=detail, share=count / len(wrong),
        weight=float(wrong.double() @ torch.maximum(near.slope.abs(), near.wide.abs())) / count / near.typical,
    )  # fmt: skip
    reason = f"at {value:.6g} the computed slope is {computed:.4g}, in {name} it is {exact:.4g}"
    return Judged(event, "defect", reach_of(axis, value), reason, reference_slope=exact,
                  reference=_reference(name))  # fmt: skip


def _extent_of(wrong: torch.Tensor, k: int) -> tuple[int, int]:
    """The run of points around `k` in which at least every third sign is wrong."""
    low = high = k
    while low > 0 and bool(wrong[max(0, low - 3) : low].any()):
        low = max(0, low - 3) + int(torch.nonzero(wrong[max(0, low - 3) : low]).flatten()[0])
    while high < len(wrong) - 1 and bool(wrong[high + 1 : high + 4].any()):
        high = high + 1 + int(torch.nonzero(wrong[high + 1 : high + 4]).flatten()[-1])
    return low, high


def _crossing(graph: LossGraph, joint: Joint, trace: Trace, near: _Near, turns: list[tuple[int, int]]) -> Judged | None:
    """The change nearest to the batch that is not float64's own rounding, classified; the others are counted."""
    ranked = sorted(turns, key=lambda t: min(reach_of(trace.axis, float(near.points[k])) for k in t))
    for turn in ranked[:TRIED]:
        cause, known, pair = _cause(joint, trace, near, turn)
        if cause != "rounding":
            return _told(graph, trace.axis, near, turn, len(turns), cause, known, pair)
    return None


def _told(
    graph: LossGraph, axis: Axis, near: _Near, turn: tuple[int, int], count: int, cause: str, known: str,
    pair: Pair | None,
) -> Judged:  # fmt: skip
    a, b = turn
    ends = float(near.points[a]), float(near.points[b])
    at = f"at {pair[1]:.6g}" if pair else f"between {ends[0]:.4g} and {ends[1]:.4g}"
    at = "at 0" if max(map(abs, ends)) < 1e-9 else at
    what = f"{'a kink, ' if cause == 'kink' else ''}a {'minimum' if float(near.wide[a]) < 0 else 'maximum'} {at}"
    between = "" if int(near.places[b] - near.places[a]) == b - a else " with a NaN or infinity between"
    head = f"has {what}" if count == 1 else f"changes sign {count} times, nearest the batch at {what}"
    sides = f"slope {near.wide[a]:.3g} before, {near.wide[b]:.3g} after"
    event = Event(
        "sign-flip", "backward", graph.graph.loss, axis, ends[1], pair, detail=f"{head} ({sides}{between})"
    )  # fmt: skip
    reason = f"{known}: the derivative itself changes sign here, so this is the loss' own shape and not rounding"
    return Judged(event, "legitimate", reach_of(axis, ends[1]), reason, reference=_reference(known))


def _reference(known: str) -> str:
    return "exact" if known.endswith("exact arithmetic") else "float64"


def _place(joint: Joint, trace: Trace, near: _Near, turn: tuple[int, int]) -> Pair | None:
    """The adjacent floats between which the computed slope changes sign."""
    low, high = (float(near.points[k]) for k in turn)
    after = math.copysign(1.0, float(near.wide[turn[1]]))
    question = Question(Single(joint, trace.axis, ()), lambda t: (t.slope * after > 0).numpy())
    return bisect(question, low, high, trace.points.dtype)


def _cause(joint: Joint, trace: Trace, near: _Near, turn: tuple[int, int]) -> tuple[str, str, Pair | None]:
    """(optimum, kink or rounding; how it is known; the floats between which it lies)."""
    sides = [_slope(joint, trace.axis, float(near.points[k]), float(near.wide[k])) for k in turn]
    exact = all(name == "exact arithmetic" for _, name in sides)
    if exact and sides[0][0] * sides[1][0] >= 0:
        return "rounding", "exact arithmetic", None
    pair = _place(joint, trace, near, turn)
    steps = [_slope(joint, trace.axis, v, math.nan)[0] for v in _around(pair, trace.points.dtype)] if pair else []
    kink = len(steps) == 2 and steps[0] * steps[1] < 0 and min(map(abs, steps)) > JUMP * near.typical
    return "kink" if kink else "optimum", "certified by exact arithmetic" if exact else "by float64", pair


def _around(pair: tuple[float, float], dtype: torch.dtype) -> tuple[float, float]:
    """One float further to either side: at a kink itself torch takes a slope of 0."""
    low, high = (to_ordinal(v, dtype) for v in pair)
    out = 1 if high > low else -1
    return from_ordinal(low - out, dtype), from_ordinal(high + out, dtype)
