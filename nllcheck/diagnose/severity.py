"""How much a verdict matters: one visible table from verdict, reach and rule to error, warning or note."""

from __future__ import annotations

import math

from nllcheck.names import is_parameter_name
from nllcheck.types import NEAR, PLAUSIBLE, SEVERITIES, Axis, Event, Judged, Severity

ORDINARY = 10.0  # a raw output of this size is no surprise, even if the batch stays far below
LOST = 1e16  # where the exact loss is this large training is lost already; (1 - sigmoid(17))**-2 is only 6e14
CLOSE = 2.0  # a limit this close deserves a word
NEGLIGIBLE = 1e-3  # of the usual size of the loss or gradient: digits lost there change nothing
SLIVER = 0.01  # of the batch's range: too few values fall there to matter
DUST = 1e-7  # of a tensor's range, float32's last bit: one value so near to 0 is met by chance only
MOST = 0.25  # of the values held by a clamp that was meant: a batch of which fewer are held is alive
FLAT = 1e-6  # an exact slope below this: the loss no longer depends on the value


def severity_of(judged: Judged, rule: Severity | None, is_meant: bool = False) -> Severity:
    """The severity of one judged failure under a rule's own severity (None: no rule explains it).

    `is_meant`: the op is a clamp that the user wrote, or one of a library.

    | verdict | where | severity |
    |---|---|---|
    | any | the batch itself is not finite | error |
    | any | only reached by moving an intermediate | note |
    | defect | the exact loss is above 1e16 there | note |
    | defect | targets: within their range; up to 2 x or where the loss tests for one; beyond | rule, warning, note |
    | both | only between 0 and a billionth of the batch's range, both left out | note |
    | defect | within 10 x of the batch's range, or a raw value up to 10 | the rule's, else error |
    | defect | a raw value up to 200, a positive one from 1/200 on | the rule's, else warning |
    | defect | the same where the loss is flat: a single trained number, or a rule of warnings | note |
    | both | only where rows or tensors coincide or vanish, or with another mask or labels | warning |
    | limit | the loss itself, where scores are sure and right of all labels | note |
    | both | only with a batch that a loader hardly makes (one row, a NaN under the mask) | note |
    | defect | only at a point that a search found, and not around it: next to 0, else | note, warning |
    | limit | only the gradient fails, at an exact 0 of what is no scale, and a rule says why | warning |
    | limit | within 2 x; along targets only if every value of the range fails | the rule's, else warning |
    | silent | the batch shows it | warning |
    | silent | a clamp that is plainly meant holds less than a quarter of the batch | note |
    | defect | a wrong sign of the gradient over several points: within 2 x, within 10 x | error, warning |
    | both | digits or signs lost where the gradient is below a thousandth of its usual size | note |
    | silent | within 2 x of the batch's range, and more than a sliver inside it | warning |
    | silent | a clamp that is plainly meant, or a library's own, while the batch is alive | note |
    | all others | | note |
    """
    event = judged.event
    if event.kind in ("nan", "inf", "raises") and event.on_batch:
        return "error" if event.reaches else "note"
    if event.kind in ("precision", "dead-gradient"):
        return _silent(judged, is_meant)
    if event.axis is None or not event.axis.is_boundary:
        return "note"
    if event.kind == "sign-flip":
        return _wrong_sign(judged)
    if event.axis.mode == "batch" and judged.reach > CLOSE:
        return "note"
    if event.axis.is_special and event.axis.goal != "found":
        if event.axis.goal == "found alone" and _is_dust(event.axis):
            return "note"
        telling = ("defect", "limit") if _is_met(event, event.axis.goal) else ("defect",)
        return "warning" if judged.verdict in telling and rule != "note" else "note"
    if judged.verdict == "defect":
        return _defect(judged, rule)
    if judged.verdict == "limit" and rule in ("error", "warning") and _is_trap_at_zero(event):
        return "warning"
    if judged.verdict == "limit" and judged.reach <= CLOSE and (event.axis.role != "target" or _is_everywhere(event)):
        return "note" if _is_left_alone(judged, rule) or _is_speck(event) else rule or "warning"
    return "note"


def _wrong_sign(judged: Judged) -> Severity:
    event = judged.event
    lone = bool(event.region) and event.region[0][0] == event.region[0][1]
    if judged.verdict != "defect" or event.weight < NEGLIGIBLE or judged.reach > NEAR or lone:
        return "note"
    return "error" if judged.reach <= CLOSE else "warning"


def _silent(judged: Judged, is_meant: bool) -> Severity:
    event = judged.event
    if event.on_batch:
        return "note" if is_meant and 0 < event.share < MOST else "warning"
    if is_meant or event.weight < NEGLIGIBLE or judged.reach > CLOSE or _is_sliver(event):
        return "note"
    return "warning"


def _is_sliver(event: Event) -> bool:
    """Does the failing region lie inside the batch's range and cover less than a hundredth of it?"""
    low, high = event.axis.observed if event.axis else (0.0, 0.0)
    covered = sum(max(0.0, min(b, high) - max(a, low)) for a, b in event.region)
    inside = all(low <= a and b <= high for a, b in event.region)
    return bool(event.region) and inside and covered < SLIVER * (high - low)


def _is_met(event: Event, goal: str) -> bool:
    """Does training come where the goal leads even if the loss has no value there? Not to one found point; nor to sure
    scores, unless the loss is content with them and only its gradient fails: what it punishes is no label to be met."""
    return goal != "found alone" and not (goal == "as labelled" and event.phase == "forward")


def _is_dust(axis: Axis) -> bool:
    """Does a lone point need an element just next to 0 and not 0, as minus the epsilon inside a norm?"""
    return any(0 < abs(m.end) < DUST * max(map(abs, m.observed)) for m in axis.moves)


def _is_speck(event: Event) -> bool:
    """Does it fail at tiny values only, and not at 0?"""
    axis, ends = event.axis, event.region
    if axis is None or not ends:
        return False
    return all(axis.is_speck(max(abs(a), abs(b))) and not a <= 0 <= b for a, b in ends)


def _is_ordinary(axis: Axis, value: float) -> bool:
    """A raw value that any freshly drawn head may give."""
    raw = axis.mode == "set" and not axis.moves and axis.domain == (-math.inf, math.inf)
    return raw and abs(value) <= ORDINARY


def _is_plausible(axis: Axis, value: float) -> bool:
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


def _is_trap_at_zero(event: Event) -> bool:
    """A loss that is fine at 0 while its gradient is not: a zero is a common value of anything but a scale."""
    axis = event.axis
    if axis is None or axis.domain[0] != 0 or axis.mode != "set" or axis.role == "target":
        return False
    at = event.threshold[1] if event.threshold else event.witness
    return event.phase == "backward" and at == 0 and not is_parameter_name(axis.label)


def _is_everywhere(event: Event) -> bool:
    low, high = event.axis.observed if event.axis else (math.nan, math.nan)
    return event.threshold is None and any(a <= low and high <= b for a, b in event.region)


def _defect(judged: Judged, rule: Severity | None) -> Severity:
    event = judged.event
    if _is_lost(judged):
        return "note"
    if _is_speck(event):
        return "note"
    at = event.threshold[1] if event.threshold else event.witness
    if event.axis and event.axis.role == "target":
        low, high = event.axis.expected
        near = judged.reach <= CLOSE or low <= at <= high
        return (rule or "error") if judged.reach <= 1.0 else "warning" if near else "note"
    first = at if event.onset is None else min(at, event.onset, key=abs)
    if judged.reach <= NEAR or (event.axis and _is_ordinary(event.axis, first)):
        return rule or "error"
    if event.axis and event.axis.mode != "scale" and _is_plausible(event.axis, first):
        return "note" if _is_left_alone(judged, rule) else rule or "warning"
    return "note"


def _is_lost(judged: Judged) -> bool:
    """Is the exact loss beyond use wherever it fails? The witness is a round number, often far behind the edge."""
    sizes = [abs(loss) for loss in (judged.edge_loss, judged.reference_loss) if math.isfinite(loss)]
    return min(sizes, default=0.0) > LOST


def _is_left_alone(judged: Judged, rule: Severity | None) -> bool:
    """Is the loss flat where it fails, so that training has no reason to go there (a sigma of e^-88 in a mixture)?

    A single trained number goes where its own slope takes it: one of exactly 0, as behind a clamp, ends the way there,
    whatever the rule says. A model's output goes where other samples take it, too, and a value inside the model has no
    optimum of its own.
    """
    axis = judged.event.axis
    if axis is None or axis.moves or axis.role == "hidden" or not abs(judged.reference_slope) < FLAT:
        return False
    return rule == "warning" or (judged.reference_slope == 0 and axis.observed[0] == axis.observed[1])


def worse(a: Severity, b: Severity) -> Severity:
    """The more severe of two."""
    return min(a, b, key=SEVERITIES.index)
