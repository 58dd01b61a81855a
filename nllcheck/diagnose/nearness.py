"""Where a failure lies: the questions that its severity is asked of."""

from __future__ import annotations

import math

from nllcheck.names import is_parameter_name
from nllcheck.types import NEAR, PLAUSIBLE, Axis, Event, Judged, Severity

ORDINARY = 10.0  # a raw output of this size is no surprise, even if the batch stays far below
LOST = 1e16  # where the exact loss is this large training is lost already; (1 - sigmoid(17))**-2 is only 6e14
SLIVER = 0.01  # of the batch's range: too few values fall there to matter
DUST = 1e-7  # of a tensor's range, float32's last bit: one value so near to 0 is met by chance only
HAIR = 1e-6  # of a tensor's largest value, a few of float32's last bits: values that round to one beside those
FLAT = 1e-6  # an exact slope below this: the loss no longer depends on the value


def at(event: Event) -> float:
    """The first failing value, else the simplest one."""
    return event.threshold[1] if event.threshold else event.witness


def first(event: Event) -> float:
    """The same, or where the gradient fails already."""
    return at(event) if event.onset is None else min(at(event), event.onset, key=abs)


def is_sliver(event: Event) -> bool:
    """Does the failing region lie inside the batch's range and cover less than a hundredth of it?"""
    low, high = event.axis.observed if event.axis else (0.0, 0.0)
    covered = sum(max(0.0, min(b, high) - max(a, low)) for a, b in event.region)
    inside = all(low <= a and b <= high for a, b in event.region)
    return bool(event.region) and inside and covered < SLIVER * (high - low)


def is_hair(event: Event) -> bool:
    """Is all of the failing region so narrow that its values are one beside the batch's own, as ties in a sort?"""
    low, high = event.axis.observed if event.axis else (0.0, 0.0)
    size = high - low or abs(high)
    return bool(event.region) and sum(b - a for a, b in event.region) < HAIR * size


def is_shrunk(event: Event) -> bool:
    """Must a trained number shrink tenfold first, without passing 0? A scale or a temperature does not by itself."""
    axis = event.axis
    if axis is None or axis.role != "weight" or axis.mode != "set" or axis.observed[0] != axis.observed[1]:
        return False
    shares = [end / axis.observed[0] for part in event.region for end in part] if axis.observed[0] else []
    return bool(shares) and all(0 < share < 1 / NEAR for share in shares)


def is_met(event: Event, goal: str) -> bool:
    """Does training come where the goal leads even if the loss has no value there? Not to one found point; nor to sure
    scores, unless the loss is content with them and only its gradient fails: what it punishes is no label to be met."""
    return goal != "found alone" and not (goal == "as labelled" and event.phase == "forward")


def is_dust(axis: Axis) -> bool:
    """Does a lone point need an element just next to 0 and not 0, as minus the epsilon inside a norm?"""
    return any(0 < abs(m.end) < DUST * max(map(abs, m.observed)) for m in axis.moves)


def is_speck(event: Event) -> bool:
    """Does it fail at tiny values only, and not at 0?"""
    return _is_tiny(event) and not any(a <= 0 <= b for a, b in event.region)


def is_passed(event: Event) -> bool:
    """Does it fail at 0 and next to it only, and does the batch not have a 0?"""
    return _is_tiny(event) and event.axis is not None and 0 not in event.axis.observed


def _is_tiny(event: Event) -> bool:
    axis = event.axis
    if axis is None or not event.region:
        return False
    return all(axis.is_speck(max(abs(a), abs(b))) for a, b in event.region)


def is_ordinary(axis: Axis, value: float) -> bool:
    """A raw value that any freshly drawn head may give."""
    raw = axis.mode == "set" and not axis.moves and axis.domain == (-math.inf, math.inf)
    return raw and abs(value) <= ORDINARY


def is_plausible(axis: Axis, value: float) -> bool:
    """A raw value up to `PLAUSIBLE`; where only positive values are possible neither is a tiny one.

    Of a found point every element that moves, at this share of the way.
    """
    if axis.moves:
        return all(_in_range(m.domain, m.start + value * (m.end - m.start)) for m in axis.moves)
    return _in_range(axis.domain, value)


def _in_range(domain: tuple[float, float], value: float) -> bool:
    if domain == (0.0, math.inf):
        return 1 / PLAUSIBLE <= value <= PLAUSIBLE
    return domain == (-math.inf, math.inf) and abs(value) <= PLAUSIBLE


def is_trap_at_zero(event: Event) -> bool:
    """A loss that is fine at 0 while its gradient is not: a zero is a common value of anything but a scale."""
    axis = event.axis
    if axis is None or axis.domain[0] != 0 or axis.mode != "set" or axis.role == "target":
        return False
    return event.phase == "backward" and at(event) == 0 and not is_parameter_name(axis.label)


def is_everywhere(event: Event) -> bool:
    low, high = event.axis.observed if event.axis else (math.nan, math.nan)
    return event.threshold is None and any(a <= low and high <= b for a, b in event.region)


def is_lost(judged: Judged) -> bool:
    """Is the exact loss beyond use wherever it fails? The witness is a round number, often far behind the edge."""
    sizes = [abs(loss) for loss in (judged.edge_loss, judged.reference_loss) if math.isfinite(loss)]
    return min(sizes, default=0.0) > LOST


def is_left_alone(judged: Judged, rule: Severity | None) -> bool:
    """Is the loss flat where it fails, so that training has no reason to go there (a sigma of e^-88 in a mixture)?

    A single trained number goes where its own slope takes it: one of exactly 0, as behind a clamp, ends the way there,
    whatever the rule says, a temperature inside the model among them. A model's output goes where other samples take
    it, too, and another value inside the model has no optimum of its own.
    """
    axis = judged.event.axis
    if axis is None or axis.moves or not abs(judged.reference_slope) < FLAT:
        return False
    own = axis.role != "hidden" and rule == "warning"
    return own or (judged.reference_slope == 0 and axis.observed[0] == axis.observed[1])
