"""How much a verdict matters: one visible table from verdict, reach and rule to error, warning or note."""

from __future__ import annotations

from nllcheck.types import SEVERITIES, Judged, Severity

NEAR = 10.0  # within this factor of the batch's range a defect counts in full
PLAUSIBLE = 200.0  # a raw output or weight of this size is possible for any network, whatever the batch shows
LOST = 1e12  # where the exact loss is this large training is lost already, whatever the gradient does
CLOSE = 2.0  # a limit this close deserves a word


def severity_of(judged: Judged, rule: Severity | None) -> Severity:
    """The severity of one judged failure under a rule's own severity (None: no rule explains it).

    | verdict | where | severity |
    |---|---|---|
    | any | the batch itself is not finite | error |
    | any | only reached by moving an intermediate | note |
    | defect | the exact loss is above 1e12 there | note |
    | defect | targets: within their range, up to 2 x, beyond | the rule's, warning, note |
    | defect | within 10 x of the batch's range | the rule's, else error |
    | defect | a raw value up to 200 | error for a rule that is one, warning without a rule, else note |
    | limit | within 2 x | the rule's, else warning |
    | silent | the batch shows it | warning |
    | all others | | note |
    """
    event = judged.event
    if event.kind in ("nan", "inf", "raises") and event.on_batch:
        return "error" if event.reaches else "note"
    if event.axis is None or not event.axis.is_boundary:
        return "warning" if judged.verdict == "silent" and event.on_batch else "note"
    if judged.verdict == "defect":
        return _defect(judged, rule)
    if judged.verdict == "limit" and judged.reach <= CLOSE and event.axis.role != "target":
        return rule or "warning"
    return "note"


def _defect(judged: Judged, rule: Severity | None) -> Severity:
    event = judged.event
    if abs(judged.reference_loss) > LOST:
        return "note"
    if event.axis and event.axis.role == "target":
        return (rule or "error") if judged.reach <= 1.0 else "warning" if judged.reach <= CLOSE else "note"
    if judged.reach <= NEAR:
        return rule or "error"
    at = event.threshold[1] if event.threshold else event.witness
    if event.axis and event.axis.mode == "set" and abs(at) <= PLAUSIBLE:
        return "error" if rule == "error" else "warning" if rule is None else "note"
    return "note"


def worse(a: Severity, b: Severity) -> Severity:
    """The more severe of two."""
    return min(a, b, key=SEVERITIES.index)
