"""What the options of `run` may be, and how they are spelled again."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.types import EFFORTS

SEEDS = range(-(2**63), 2**64)  # what torch takes


def spelled(given: Mapping[str, Any]) -> str:
    """The options of the command line that a finding depends on, for the command that shows it again."""
    words: list[str] = []
    for name in ("device", "dtype", "effort", "seed", "rules"):
        value = given.get(name)
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            words += [f"--{name}", str(one)]
    return f" {shlex.join(words)}" if words else ""


def check_values(values: Mapping[str, Any]) -> None:
    """Refuse before the work what would be refused after it, or taken for something else."""
    from nllcheck.report import FAIL_ON

    severity, points, seed = (values.get(name) for name in ("fail_on", "points", "seed"))
    if severity is not None and severity not in FAIL_ON:
        hint = did_you_mean(severity, FAIL_ON)
        raise NllcheckError(f"unknown severity '{severity}'", where="fail_on", hint=hint)
    effort = values.get("effort")
    if effort is not None and effort not in EFFORTS:
        raise NllcheckError(f"unknown effort '{effort}'", where="effort", hint=did_you_mean(effort, EFFORTS))
    if points is not None and points < 2:
        raise NllcheckError(f"{points} points are no sweep", where="points", hint="take 2 or more")
    if values.get("min_bits") is not None and not 1 <= values["min_bits"] <= 53:
        raise NllcheckError(f"{values['min_bits']} is no number of bits", where="min_bits", hint="take 1 to 53")
    if seed is not None and seed not in SEEDS:
        raise NllcheckError(f"{seed} does not fit 64 bits", where="seed", hint="take a smaller seed")
