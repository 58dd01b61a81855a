"""The report as pandas tables in which NaN, infinity and missing stay three different things."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.report import Report
from nllcheck.report.spelling import short_path
from nllcheck.types import Finding, SweepTable

if TYPE_CHECKING:
    import pandas as pd

WORDS = ("rule", "name", "kind", "verdict", "severity", "phase", "op")
PLACE = ("path", "line", "function", "variable", "source")
NUMBERS = ("threshold", "last_good", "reach", "witness", "loss", "slope", "reference_loss", "reference_slope")
TEXTS = ("message", "reason", "fix", "advice", "command")


def to_frame(report: Report, which: str = "findings") -> pd.DataFrame:
    """The table named `which`; an unknown name is an `NllcheckError` that lists the known ones."""
    tables: dict[str, Callable[[Report], pd.DataFrame]] = {"findings": findings_frame, "sweep": sweep_frame}
    if which not in tables:
        raise NllcheckError(f"no table '{which}'", where="to_frame", hint=did_you_mean(which, set(tables)))
    return tables[which](report)


def findings_frame(report: Report) -> pd.DataFrame:
    """One row a finding, in the report's order (worst first).

    rule, name, kind, verdict, severity, phase, op   as in `Finding`
    path, line, function, variable, source           the line to edit; `line` is Int64; missing without a site
    axis                                             what was moved; missing for a structural finding
    threshold, last_good                             first failing value of `axis`, its neighbour that works
    reach                                            smallest factor on the batch's range at which it happens
    witness                                          the value of `axis` where the next four were taken
    loss, slope, reference_loss, reference_slope     in the training dtype, and in the more precise arithmetic
    observed_low, observed_high                      range of `axis` on the batch
    on_batch                                         the batch itself shows it
    message, reason, fix, advice, command            texts

    Each number `x` (threshold to observed_high) is a float64 column with `x_class` beside it: "finite", "inf"
    (the sign is in `x`), "nan" (the value is NaN) or "missing" (there is none; `x` is NaN too).
    """
    import pandas as pd

    found = report.findings
    columns: dict[str, Any] = {name: _words([getattr(f, name) for f in found]) for name in WORDS}
    columns |= {name: _place(found, name) for name in PLACE} | {"axis": _words([f.axis for f in found])}
    for name in NUMBERS:
        columns |= _numbers(name, [getattr(f, name) for f in found])
    for end, name in enumerate(("observed_low", "observed_high")):
        columns |= _numbers(name, [f.observed[end] if f.observed else None for f in found])
    columns["on_batch"] = pd.array([f.on_batch for f in found], dtype="bool")
    return pd.DataFrame(columns | {name: _words([getattr(f, name) for f in found]) for name in TEXTS})


def sweep_frame(report: Report) -> pd.DataFrame:
    """One row a point and axis, axes in the report's order, points ascending.

    axis, role, mode        as in `Axis`: its label, what moves, "set" or "scale"
    point                   position on the axis, from 0 (int64)
    value                   of the axis at the point
    loss, loss_class        of the whole batch with the axis at `value`
    slope, slope_class      directional derivative of the loss along the axis
    gradient_class          worst element of the gradient: "finite", "inf", "nan"
    in_batch_range          does the batch itself show values this large and this small?

    The class columns are as in `findings_frame`, without "missing": every point was evaluated.
    """
    import pandas as pd

    rows = [(table, point) for table in report.sweeps for point in range(len(table.values))]
    columns: dict[str, Any] = {name: _words([getattr(t.axis, name) for t, _ in rows]) for name in ("role", "mode")}
    columns = {"axis": _words([table.axis.label for table, _ in rows]), **columns}
    columns["point"] = pd.array([point for _, point in rows], dtype="int64")
    columns["value"] = pd.array([table.values[point] for table, point in rows], dtype="float64")
    columns |= _numbers("loss", [table.loss[point] for table, point in rows])
    columns |= _numbers("slope", [table.slope[point] for table, point in rows])
    columns["gradient_class"] = _words([table.gradient_state[point] for table, point in rows])
    columns["in_batch_range"] = pd.array([_inside(table, point) for table, point in rows], dtype="bool")
    return pd.DataFrame(columns)


def number_class(value: float | None) -> str:
    if value is None:
        return "missing"
    return "nan" if math.isnan(value) else "inf" if math.isinf(value) else "finite"


def _numbers(name: str, values: list[float | None]) -> dict[str, Any]:
    import pandas as pd

    filled = [math.nan if value is None else value for value in values]
    classes = _words([number_class(value) for value in values])
    return {name: pd.array(filled, dtype="float64"), f"{name}_class": classes}


def _words(values: Iterable[object]) -> pd.Series:
    import pandas as pd

    return pd.Series(list(values), dtype="str")


def _place(found: tuple[Finding, ...], name: str) -> pd.Series:
    import pandas as pd

    values = [getattr(finding.site, name) if finding.site else None for finding in found]
    if name == "path":
        values = [None if path is None else short_path(path) for path in values]
    return pd.Series(values, dtype="Int64" if name == "line" else "str")


def _inside(table: SweepTable, point: int) -> bool:
    low, high = table.axis.observed
    return low <= table.values[point] <= high
