"""A slope that fails before its value does: at one op, by one rule, on one side of an axis they are one offence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from nllcheck.diagnose.builtin import UNEXPLAINED
from nllcheck.diagnose.wording import number
from nllcheck.types import SEVERITIES, Finding


def as_one(found: Sequence[Finding]) -> list[Finding]:
    """Of each pair the more severe, of equals the nearer to the batch, which says where the other begins."""
    kept: list[Finding] = []
    for finding in sorted(found, key=lambda f: (SEVERITIES.index(f.severity), f.reach or 0.0)):
        place = next((k for k, other in enumerate(kept) if _is_twin(other, finding)), None)
        if place is None:
            kept.append(finding)
        else:
            kept[place] = replace(kept[place], also=(_told(finding), *kept[place].also))
    return kept


def _is_twin(one: Finding, other: Finding) -> bool:
    if one.rule == UNEXPLAINED.id or one.phase == other.phase or one.site is None or other.site is None:
        return False
    if one.threshold is None or other.threshold is None or (one.threshold > 0) != (other.threshold > 0):
        return False
    own, others = ((f.rule, f.op, f.verdict, f.axis, f.site and (f.site.path, f.site.line)) for f in (one, other))
    return own == others


def _told(finding: Finding) -> str:
    part = "the loss itself" if finding.phase == "forward" else "its gradient"
    return f"{part} from {finding.axis} = {number(finding.threshold or 0.0)} on"
