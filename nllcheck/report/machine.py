"""The report as JSON: versioned, sorted, strict, and the same bytes for the same seed."""

from __future__ import annotations

import json
import math
from dataclasses import fields, is_dataclass
from itertools import groupby
from typing import Any

from nllcheck.report import Report
from nllcheck.report.spelling import short_path
from nllcheck.report.strip import slope_symbol
from nllcheck.types import SEVERITIES, Facts, Site, SweepTable

SCHEMA = 1  # raise it when a reader of the old form would misread the new one
SIGNS = {"+": "rising", "-": "falling", "0": "flat", "∞": "inf", "N": "nan"}


def to_dict(report: Report) -> dict[str, Any]:
    """Plain values: `schema`, `tool`, `summary`, `facts`, `findings`, `breaks`, `sweeps`, `notes`, `skipped`,
    `incomplete`.

    NaN and infinities are the strings "nan", "inf", "-inf"; missing is null. `facts.seconds` is left out. Paths
    are relative to the working directory. `sweeps` holds runs of equal state, not the points: those are in
    `Report.to_frame("sweep")`.
    """
    return {
        "schema": SCHEMA,
        "tool": "nllcheck",
        "summary": _summary(report),
        "facts": _facts(report.facts),
        "findings": plain(report.findings),
        "breaks": plain(report.breaks),
        "sweeps": [_sweep(table) for table in report.sweeps],
        "notes": list(report.notes),
        "skipped": list(report.skipped),
        "incomplete": list(report.incomplete),
    }


def to_json(report: Report) -> str:
    return json.dumps(to_dict(report), indent=2, sort_keys=True, allow_nan=False) + "\n"


def plain(value: Any) -> Any:
    """A frozen value as JSON values: dataclasses to objects, tuples to lists, non-finite floats to strings."""
    if is_dataclass(value):
        named = {field.name: plain(getattr(value, field.name)) for field in fields(value)}
        return {**named, "path": short_path(value.path)} if isinstance(value, Site) else named
    if isinstance(value, (tuple, list)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _loss_state(value: float) -> str:
    """One of "finite", "inf" or "nan"; the sign of an infinity is for the value to say."""
    return "nan" if math.isnan(value) else "inf" if math.isinf(value) else "finite"


def _facts(facts: Facts) -> dict[str, Any]:
    told = plain(facts) | {"versions": dict(facts.versions), "settings": dict(facts.settings)}
    return {name: value for name, value in told.items() if name != "seconds"}


def _summary(report: Report) -> dict[str, Any]:
    counts = {name: sum(found.severity == name for found in report.findings) for name in SEVERITIES}
    return {
        "counts": counts,
        "exit_code": report.exit_code,
        "fail_on": report.fail_on,
        "ok": report.ok,
        "worst": report.worst,
    }


def _sweep(table: SweepTable) -> dict[str, Any]:
    """Runs of neighbouring points that behave alike: `first` and `last` are swept values, both included."""
    runs = [list(points) for _, points in groupby(range(len(table.values)), key=lambda i: _state(table, i))]
    regions = [{"points": len(run), **_ends(table, run), **_state(table, run[0])} for run in runs]
    return {"axis": plain(table.axis), "points": len(table.values), "regions": regions}


def _ends(table: SweepTable, run: list[int]) -> dict[str, Any]:
    return {"first": plain(table.values[run[0]]), "last": plain(table.values[run[-1]])}


def _state(table: SweepTable, point: int) -> dict[str, str]:
    loss = table.loss[point]
    slope = SIGNS[slope_symbol(table.slope[point], table.gradient_state[point])]
    return {"loss": "negative" if math.isfinite(loss) and loss < 0 else _loss_state(loss), "slope": slope}
