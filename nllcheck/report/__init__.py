"""What a check found, and its ways to people and machines.

`Report` is a plain frozen value. Renderers are pure functions `Report -> str` (rows of `formats.FORMATS`);
`formats.write` is the only function that touches the disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.types import SEVERITIES, Break, Facts, Finding, Severity, SweepTable

if TYPE_CHECKING:
    import pandas as pd

FAIL_ON: tuple[str, ...] = (*SEVERITIES, "never")


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

    def __post_init__(self) -> None:
        if self.fail_on not in FAIL_ON:
            hint = did_you_mean(self.fail_on, FAIL_ON)
            raise NllcheckError(f"unknown severity '{self.fail_on}'", where="fail_on", hint=hint)
        ranked = sorted(self.findings, key=lambda finding: SEVERITIES.index(finding.severity))
        object.__setattr__(self, "findings", tuple(ranked))

    @property
    def ok(self) -> bool:
        """No finding at or above `fail_on`."""
        failing = SEVERITIES[: FAIL_ON.index(self.fail_on) + 1] if self.fail_on != "never" else ()
        return self.worst not in failing

    @property
    def worst(self) -> Severity | None:
        """The severity of the worst finding; None without findings."""
        return self.findings[0].severity if self.findings else None

    @property
    def exit_code(self) -> int:
        """1 with a finding at or above `fail_on`, else 4 when incomplete, else 0."""
        return 1 if not self.ok else 4 if self.incomplete else 0

    def to_dict(self) -> dict[str, Any]:
        """Plain, strict JSON values under `schema: 1`; see `machine.to_dict`."""
        from nllcheck.report.machine import to_dict

        return to_dict(self)

    def to_json(self) -> str:
        """`to_dict` as sorted JSON text; the same bytes for the same seed, since timings are left out."""
        from nllcheck.report.machine import to_json

        return to_json(self)

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
