"""What a project has decided about findings: which rules count, and how much.

Applied to a finished report, so the check itself never depends on it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.report import Report
from nllcheck.report.spelling import count
from nllcheck.types import Finding, Severity


@dataclass(frozen=True, slots=True)
class Policy:
    """Codes are rule ids or their beginnings: `NLL1` is every rule from NLL100 to NLL199."""

    select: tuple[str, ...] = ()  # empty: all rules
    ignore: tuple[str, ...] = ()
    severity: tuple[tuple[str, Severity], ...] = ()

    def codes(self) -> tuple[str, ...]:
        return (*self.select, *self.ignore, *(code for code, _ in self.severity))


def checked(policy: Policy, known: Collection[str], where: str = "") -> Policy:
    """The policy, if every code means at least one of the `known` rules. Raises NllcheckError."""
    for code in policy.codes():
        if not code or not any(rule.startswith(code) for rule in known):
            raise NllcheckError(f"no rule begins with '{code}'", where=where, hint=did_you_mean(code, set(known)))
    return policy


def applied(report: Report, policy: Policy) -> Report:
    """The report with severities set and unwanted rules left out; how many were left out stands in its notes.

    What the batch itself shows to be broken is an error whatever a file says: its severity is only raised.
    """
    kept = [finding for finding in report.findings if _wanted(finding.rule, policy)]
    left = len(report.findings) - len(kept)
    notes = (*report.notes, f"left out by select and ignore: {count(left, 'finding')}") if left else report.notes
    return replace(report, findings=tuple(_weighed(finding, policy) for finding in kept), notes=notes)


def _wanted(rule: str, policy: Policy) -> bool:
    """The longest code that fits decides; ignore wins a draw."""
    selected = _longest(rule, policy.select) if policy.select else 0
    return selected is not None and selected > (_longest(rule, policy.ignore) or -1)


def _longest(rule: str, codes: Iterable[str]) -> int | None:
    return max((len(code) for code in codes if rule.startswith(code)), default=None)


def _weighed(finding: Finding, policy: Policy) -> Finding:
    fitting = [(len(code), severity) for code, severity in policy.severity if finding.rule.startswith(code)]
    if not fitting or (finding.on_batch and finding.severity == "error"):
        return finding
    severity = max(fitting, key=lambda pair: pair[0])[1]
    return replace(finding, severity=severity, weighed="this project's settings say so")
