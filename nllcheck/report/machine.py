"""The reports as JSON: versioned, sorted, strict, and the same bytes for the same seed."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from itertools import groupby
from typing import Any

from nllcheck.report import Report, exit_code
from nllcheck.report.identity import fingerprints
from nllcheck.report.spelling import short_path
from nllcheck.report.strip import slope_symbol
from nllcheck.types import SEVERITIES, Axis, Facts, Finding, Site, SweepTable

SCHEMA = 1  # raise it when a reader of the old form would misread the new one
SIGNS = {"+": "rising", "-": "falling", "0": "flat", "∞": "inf", "N": "nan"}


def to_dict(report: Report) -> dict[str, Any]:
    """Plain values, described by `report.schema.json` beside this file.

    `schema`, `tool`, `name`, `summary`, `facts`, `findings`, `accepted`, `bits`, `breaks`, `sweeps`, `notes`,
    `skipped`, `searched`, `densities`, `pairs` (the characters of `rows` are those of `types.PAIR_STATES`),
    `incomplete`.
    NaN and infinities are the strings "nan", "inf", "-inf"; missing is null. `facts.seconds` is left out. Paths
    are relative to the working directory. `sweeps` holds runs of equal state, not the points: those are in
    `Report.to_frame("sweep")`. A finding's `fingerprint` stays the same when its line moves.
    """
    told = _findings(report)
    accepted = zip(report.accepted, told[len(report.findings) :], strict=True)
    return {
        "schema": SCHEMA,
        "tool": "nllcheck",
        "name": report.name,
        "summary": _summary(report),
        "facts": _facts(report.facts),
        "bits": plain(report.bits),
        "breaks": plain(report.breaks),
        "findings": told[: len(report.findings)],
        "accepted": [{"how": one.how, "reason": one.reason, "finding": finding} for one, finding in accepted],
        "sweeps": [_sweep(table) for table in report.sweeps],
        "notes": list(report.notes),
        "skipped": list(report.skipped),
        "searched": plain(report.searched),
        "densities": plain(report.densities),
        "pairs": plain(report.pairs),
        "incomplete": list(report.incomplete),
    }


def render(reports: Sequence[Report]) -> str:
    """The JSON text: of one report its own object, of several `schema`, `tool`, `summary` and `reports`."""
    told = to_dict(reports[0]) if len(reports) == 1 else _several(reports)
    return json.dumps(told, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _several(reports: Sequence[Report]) -> dict[str, Any]:
    told = [to_dict(report) for report in reports]
    counts = {name: sum(one["summary"]["counts"][name] for one in told) for name in SEVERITIES}
    summary = {
        "counts": counts,
        "exit_code": exit_code(reports),
        "ok": all(report.ok for report in reports),
        "worst": next((name for name in SEVERITIES if counts[name]), None),
    }
    return {"schema": SCHEMA, "tool": "nllcheck", "summary": summary, "reports": told}


def _findings(report: Report) -> list[dict[str, Any]]:
    """The findings, then the accepted ones."""
    found: list[Finding] = [*report.findings, *(one.finding for one in report.accepted)]
    prints = fingerprints(found, report.facts)
    return [{**plain(one), "fingerprint": text} for one, text in zip(found, prints, strict=True)]


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
    told["target"] = short_path(facts.target)
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
    return {"axis": _axis(table.axis), "points": len(table.values), "regions": regions}


def _axis(axis: Axis) -> dict[str, Any]:
    """Of what a search moved only where to: the batch's own values stay at home, and so do labels that say where to."""
    told = () if axis.goal == "as labelled" else axis.moves
    moves = [{"name": m.name, "node": m.node, "position": m.position, "end": plain(m.end)} for m in told]
    return {**plain(axis), "moves": moves}


def _ends(table: SweepTable, run: list[int]) -> dict[str, Any]:
    return {"first": plain(table.values[run[0]]), "last": plain(table.values[run[-1]])}


def _state(table: SweepTable, point: int) -> dict[str, str]:
    loss = table.loss[point]
    slope = SIGNS[slope_symbol(table.slope[point], table.gradient_state[point])]
    return {"loss": "negative" if math.isfinite(loss) and loss < 0 else _loss_state(loss), "slope": slope}
