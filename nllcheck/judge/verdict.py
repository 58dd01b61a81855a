"""Events -> verdicts: the same graph in exact arithmetic where that is affordable, else in float64."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from nllcheck.axes.reach import reach_of
from nllcheck.detect.events import batch_axis
from nllcheck.exact import Certain, SingularError, certain, limit, work_of
from nllcheck.judge.sample import Sampler
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Axis, Event, Judged, VerdictName

HEADROOM = 0.75  # an exact loss above max**0.75 (8e28 in float32) has left any useful range: nobody's defect
AFFORDABLE = 30_000  # scalar ball operations (0.04 s): up to here exact arithmetic judges every failure
DEEPER = 0.1  # a verdict must hold this much further into the failing region, too
_WIDER = torch.float64
EXACT = "exact arithmetic"


@dataclass(frozen=True, slots=True)
class Reference:
    """What the formula gives at one point, free of the training dtype's rounding as far as it goes."""

    loss: float
    slope: float
    gradient: float  # a size of the whole gradient; NaN or inf if any of its elements is
    name: str = "float64"
    why_not: str = ""  # why this reference has no answer here
    is_singular: bool = False  # certain: the formula has no value here, `why_not` is the op at its pole
    is_kink: bool = False  # certain: the gradient jumps here, `gradient` is the larger of its two sizes
    is_limit: bool = False  # certain: the formula has no value here, `loss` is what it tends to


Evaluate = Callable[[Axis, float], Reference]


def float64_reference(joint: Joint) -> Evaluate:
    """The graph itself in float64, at one point."""

    def evaluate(axis: Axis, value: float) -> Reference:
        one = run_one(joint, axis, value, (), _WIDER)
        return Reference(float(one.loss[0]), float(one.slope[0]), _largest(one))

    return evaluate


def exact_reference(joint: Joint, with_gradient: bool) -> Evaluate:
    """The graph in ball arithmetic, at one point; NaN with the reason where that is undecided.

    The size of the whole gradient costs a second evaluation: without it `gradient` stays NaN.
    """

    @functools.lru_cache(maxsize=16)
    def evaluate(axis: Axis, value: float) -> Reference:
        along = certain(joint, axis, value)
        if isinstance(along, SingularError):
            is_count = axis.role == "target" and axis.mode == "set" and value == axis.domain[0] == axis.expected[0]
            is_asked = not with_gradient and (is_count or _is_trained(joint, axis))
            continued = limit(joint, axis, value, around=not is_count) if is_asked else math.nan
            if math.isfinite(continued):  # y log(y / rate) at a count of 0, sin(x) / x at 0
                return Reference(continued, math.nan, math.nan, EXACT, is_limit=True)
            return Reference(math.nan, math.nan, math.nan, EXACT, along.reason, is_singular=True)
        if isinstance(along, str):
            return Reference(math.nan, math.nan, math.nan, EXACT, along)
        everywhere = certain(joint, axis, value, everywhere=True) if with_gradient else "not asked for"
        if isinstance(everywhere, Certain):
            return Reference(along.loss, along.slope, everywhere.size, EXACT, is_kink=everywhere.is_kink)
        return Reference(along.loss, along.slope, math.nan, EXACT, str(everywhere))

    return evaluate


def _largest(one: Trace) -> float:
    low, high = float(one.gradient_low[0]), float(one.gradient_high[0])
    return math.nan if math.isnan(low) or math.isnan(high) else max(abs(low), abs(high))


def _is_trained(joint: Joint, axis: Axis) -> bool:
    """Does the axis move nothing but what is trained? Beside a mask of 0 stands another program."""
    nodes = {axis.node, axis.other, *(move.node for move in axis.moves)}
    return all(trained for node, trained in zip(joint.moved, joint.trained, strict=True) if node in nodes)


def judge(event: Event, joint: Joint, dtype: torch.dtype, sample: Sampler) -> Judged:
    """The verdict on one failure (NaN or Inf): by exact arithmetic where that is affordable and decides.

    Of a large batch the sample that decides is judged alone; the numbers told are the whole batch's in float64.
    """
    axis = event.axis or batch_axis(joint)
    if work_of(joint) <= AFFORDABLE:
        exact = _exactly(event, axis, joint, dtype)
        return exact if exact.verdict != "undecided" else judged_by(float64_reference(joint), event, axis, dtype)
    judged = judged_by(float64_reference(joint), event, axis, dtype)
    alone = sample(event, axis, joint, _places(event, axis))
    if alone is not None and work_of(alone.joint) <= AFFORDABLE:
        exact = _exactly(event, alone.axis, alone.joint, dtype)
        if exact.verdict != "undecided":
            return replace(judged, verdict=exact.verdict, reason=f"{exact.reason} ({alone.name})")
    if judged.verdict != "undecided":
        return judged
    exact = _exactly(event, axis, joint, dtype)
    return exact if exact.verdict != "undecided" or not math.isfinite(judged.reference_loss) else judged


def _exactly(event: Event, axis: Axis, joint: Joint, dtype: torch.dtype) -> Judged:
    reference = exact_reference(joint, event.phase == "backward")
    judged = judged_by(reference, event, axis, dtype)
    if judged.verdict != "defect" or event.phase != "forward" or not _is_of_selected(event, joint):
        return judged
    return at_an_edge_only(judged, reference)


def _is_of_selected(event: Event, joint: Joint) -> bool:
    """Is it a mean over the elements that the values themselves select?"""
    notes = (node.meta.get("custom") or {} for node in joint.forward.graph.nodes)
    return any(note.get("origin") == event.node and note["mark"] and note["mark"].meant for note in notes)


def judged_by(reference: Evaluate, event: Event, axis: Axis, dtype: torch.dtype) -> Judged:
    """The verdict of one reference, taken nearest to the threshold and once more deeper inside."""
    at, *deeper = _places(event, axis)
    reach = 1.0 if event.on_batch else reach_of(axis, at)
    here = reference(axis, at)
    verdict, reason = _verdict_at(event, axis, at, here, reference, dtype)
    if event.threshold and (verdict, event.phase) == ("defect", "forward"):
        reason = f"{reason} (at {at:.6g})"
    if deeper and (verdict != "defect" or event.phase == "forward"):
        inside, why = _verdict_at(event, axis, deeper[0], reference(axis, deeper[0]), reference, dtype)
        verdict, reason = _combined((verdict, reason), (inside, f"{why} (at {deeper[0]:.6g})"))
    shown = here if at == event.witness else reference(axis, event.witness)
    name = "exact" if shown.name == EXACT else shown.name
    return Judged(event, verdict, reach, reason, shown.loss, shown.slope, name, here.loss)


Ruling = tuple[VerdictName, str]


def _combined(edge: Ruling, inside: Ruling) -> Ruling:
    """A defect that is a limit a little further in was only leaving the dtype's range; one that shows only
    further in (the edge itself being singular) is a defect all the same."""
    if edge[0] == "defect":
        return inside if inside[0] == "limit" else edge
    return inside if inside[0] == "defect" else edge


def at_an_edge_only(judged: Judged, reference: Evaluate) -> Judged:
    """What selects elements may select another at its very edge in other arithmetic; nearest to it, among the values
    that were swept, the formula may have no value all the same: an average over no elements."""
    event = judged.event
    if event.axis is None or len(_places(event, event.axis)) > 1:
        return judged
    at = event.threshold[1] if event.threshold else event.witness
    inside = min((end for part in event.region for end in part), key=lambda end: abs(end - at), default=at)
    if inside == at or not (here := reference(event.axis, inside)).is_singular:
        return judged
    reason = f"the formula itself has no value here: {here.why_not} meets its pole (at {inside:.6g})"
    return replace(judged, verdict="limit", reason=reason)


def _verdict_at(
    event: Event, axis: Axis, at: float, here: Reference, reference: Evaluate, dtype: torch.dtype
) -> Ruling:
    verdict, reason = _verdict(event, here, dtype)
    if verdict == "undecided" and event.phase == "backward" and math.isfinite(here.loss):
        return _by_difference(axis, at, here, reference, dtype)
    return verdict, reason


def _places(event: Event, axis: Axis) -> list[float]:
    """The threshold and a value a tenth further into the failing region, if it fails there, too; else the witness."""
    if not event.threshold:
        return [event.witness]
    good, bad = event.threshold
    seen = max((abs(v) for v in axis.observed if math.isfinite(v)), default=1.0)
    value = bad + math.copysign(DEEPER * (abs(bad) or seen), bad - good)
    return [bad, value] if any(low <= value <= high for low, high in event.region) else [bad]


def _verdict(event: Event, here: Reference, dtype: torch.dtype) -> Ruling:
    largest = torch.finfo(dtype).max
    name = str(dtype).removeprefix("torch.")
    if here.is_singular:
        return "limit", f"the formula itself has no value here: {here.why_not} meets its pole"
    if math.isnan(here.loss) or (event.phase == "backward" and math.isnan(here.gradient)):
        return "undecided", here.why_not or f"{here.name} gives no number here either"
    if math.isinf(here.loss) and here.name == "float64":
        return "undecided", f"{here.name} gives no finite loss here either"
    if abs(here.loss) > largest**HEADROOM:
        return "limit", f"the loss itself is {here.loss:.3g} here, at the end of what {name} can hold"
    if abs(here.loss) > largest or (event.phase == "backward" and here.gradient > largest):
        if here.name == "float64" and math.isinf(here.gradient):
            return "undecided", "float64 gives no finite gradient here either"
        return "limit", "the slope itself is infinite here" if math.isinf(here.gradient) else _limit_reason(dtype)
    if here.is_limit:
        return "defect", f"the loss tends to {here.loss:.7g} there: 0 log 0 and 0 / 0 are NaN to a float"
    if event.phase == "forward":
        return "defect", f"in {here.name} the same loss is {here.loss:.7g}, which {name} can hold"
    if here.is_kink:
        return "defect", "the loss has a kink here: its slopes on both sides are finite, any between is a gradient"
    return "defect", f"in {here.name} the gradient is finite (size {here.gradient:.4g}), which {name} can hold"


def _limit_reason(dtype: torch.dtype) -> str:
    name, largest = str(dtype).removeprefix("torch."), torch.finfo(dtype).max
    return f"the value itself grows beyond what {name} can hold ({largest:.3g})"


def _by_difference(axis: Axis, at: float, here: Reference, reference: Evaluate, dtype: torch.dtype) -> Ruling:
    """The gradient formula fails in float64, too: does the loss itself have a slope there?

    One-sided difference quotients at two steps; they must agree with each other on both sides. That shows a
    finite slope (a kink counts as none), it certifies no value.
    """
    scale = max(abs(at), 1e-3)
    quotients = [_quotient(axis, at, here.loss, step * scale, reference) for step in (1e-5, -1e-5, 1e-6, -1e-6)]
    finite = all(math.isfinite(q) for q in quotients)
    size = max(1e-6, *(abs(q) for q in quotients)) if finite else math.inf
    if finite and max(quotients) - min(quotients) <= 0.02 * size and size <= torch.finfo(dtype).max:
        return "defect", f"the loss is smooth there (slope {quotients[0]:.3g} by differences)"
    sides = [(far, near) for far, near in (quotients[::2], quotients[1::2]) if math.isfinite(far * near)]
    if any(abs(near) > 2.5 * abs(far) for far, near in sides):
        return "limit", "the slope itself grows without bound at this point"
    if finite and all(abs(near - far) <= 0.02 * size for far, near in sides):
        return (
            "defect",
            f"the loss has a kink here: its slope is {quotients[3]:.3g} before and {quotients[2]:.3g} after",
        )
    return "undecided", here.why_not or f"{here.name} gives no finite gradient here either"


def _quotient(axis: Axis, at: float, loss: float, step: float, reference: Evaluate) -> float:
    return (reference(axis, at + step).loss - loss) / step
