"""The words that verdicts, findings and reports are made of."""

from __future__ import annotations

from typing import Literal

Severity = Literal["error", "warning", "note"]
Phase = Literal["forward", "backward"]
Zone = Literal["model", "loss"]
Kind = Literal[
    "nan",
    "inf",
    "raises",
    "negative-nll",
    "sign-flip",
    "precision",
    "dead-gradient",
    "wrong-density",
    "unbounded",
]
VerdictName = Literal["defect", "limit", "wrong-formula", "legitimate", "silent", "undecided"]
State = Literal["finite", "inf", "nan"]
Effort = Literal["quick", "default", "thorough"]

EFFORTS: tuple[Effort, ...] = ("quick", "default", "thorough")

SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")  # worst first
NEAR = 10.0  # within this factor of the batch's range a defect counts in full
PLAUSIBLE = 200.0  # a raw output or weight of this size is possible for any network, whatever the batch shows
