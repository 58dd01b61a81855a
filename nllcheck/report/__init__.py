"""What a check found, and its ways to people and machines.

`Report` is a plain frozen value. Renderers are pure functions of the reports of one run (rows of
`formats.FORMATS`); `formats.write` is the only function that touches the disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.types import SEVERITIES, Break, Candidate, Facts, Finding, LineBits, PairMap, Severity, SweepTable, ZCurve

if TYPE_CHECKING:
    import pandas as pd

FAIL_ON: tuple[str, ...] = (*SEVERITIES, "never")


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that somebody has answered for: it is shown, and fails nothing."""

    finding: Finding
    how: Literal["baseline", "suppressed"]
    reason: str  # why, in the words of whoever accepted it


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one check. `findings` are put worst first; equals keep the order they came in."""

    facts: Facts
    findings: tuple[Finding, ...] = ()
    sweeps: tuple[SweepTable, ...] = ()
    notes: tuple[str, ...] = ()  # remarks on the run as a whole
    skipped: tuple[str, ...] = ()  # "what: because ..." for everything that was not checked
    incomplete: tuple[str, ...] = ()  # was asked for and not evaluated, or cut short: exit code 4
    fail_on: str = "error"
    breaks: tuple[Break, ...] = ()  # per axis and dtype, the first values that are not survived
    accepted: tuple[Accepted, ...] = ()  # by the baseline, or by a comment beside the line
    name: str = ""  # of the target in pyproject.toml
    searched: tuple[Candidate, ...] = ()  # ops that could fail and do not on any axis
    bits: tuple[LineBits, ...] = ()  # how many each source line keeps near the batch, the fewest first
    densities: tuple[ZCurve, ...] = ()  # the density test's Z along the axes it moved
    pairs: tuple[PairMap, ...] = ()  # two axes at once, where that shows more than either alone

    def __post_init__(self) -> None:
        if self.fail_on not in FAIL_ON:
            hint = did_you_mean(self.fail_on, FAIL_ON)
            raise NllcheckError(f"unknown severity '{self.fail_on}'", where="fail_on", hint=hint)
        ranked = sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.severity))
        object.__setattr__(self, "findings", tuple(ranked))

    @property
    def evaluated(self) -> bool:
        """False for a target that could not be checked at all, see `not_evaluated`."""
        return bool(self.facts.dtype)

    @property
    def ok(self) -> bool:
        """No finding at or above `fail_on`."""
        return not any(map(self.failing, self.findings))

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding; None without findings."""
        return self.findings[0].severity if self.findings else None

    @property
    def exit_code(self) -> int:
        """1 with a finding at or above `fail_on`, else 4 when incomplete, else 0."""
        return 1 if not self.ok else 4 if self.incomplete else 0

    @property
    def label(self) -> str:
        """What to call it among others: its name in pyproject.toml, else the checkpoint and the loss."""
        from nllcheck.report.identity import loss_function
        from nllcheck.report.spelling import short_path

        return self.name or f"{short_path(self.facts.target)} {loss_function(self.facts)}"

    def failing(self, finding: Finding) -> bool:
        """Is this finding at or above `fail_on`?"""
        return FAIL_ON.index(finding.severity) <= FAIL_ON.index(self.fail_on) and self.fail_on != "never"

    @property
    def alarms(self) -> tuple[Finding, ...]:
        """The findings to bother a reviewer with: errors, warnings, and notes where these fail."""
        return tuple(finding for finding in self.findings if finding.severity != "note" or self.failing(finding))

    def to_dict(self) -> dict[str, Any]:
        """Plain, strict JSON values under `schema: 1`; see `machine.to_dict`."""
        from nllcheck.report.machine import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as sorted JSON text; the same bytes for the same seed, since timings are left out."""
        from nllcheck.report.machine import render

        return render((self,))

    def to_frame(self, which: str = "findings") -> pd.DataFrame:
        """A pandas table: `"findings"` (one row a finding) or `"sweep"` (one row a point and axis).

        Columns are documented in `frames.findings_frame` and `frames.sweep_frame`. Beside each number `x`
        stands `x_class` in finite / inf / nan / missing, because pandas alone cannot tell NaN from missing.
        """
        from nllcheck.report.frames import to_frame

        return to_frame(self, which)

    def _repr_html_(self) -> str:
        from nllcheck.report.notebook import render

        return render(self)

    def __str__(self) -> str:
        from nllcheck.report.terminal import render

        return render(self, width=80)


def exit_code(reports: Sequence[Report]) -> int:
    """Of several targets together: 1 if any fails, else 4 if anything was not evaluated, else 0."""
    codes = {report.exit_code for report in reports}
    return next((code for code in (1, 4) if code in codes), 0)


def not_evaluated(name: str, target: str, reason: str) -> Report:
    """The report of a target that was asked for and could not be checked: exit code 4."""
    facts = Facts(target, "", float("nan"), "", "", "graph", 0, 0)
    return Report(facts, incomplete=(reason,), name=name)
