"""The report as a value: what is ok, in which order, and as tables."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from report_cases import EXP_HEAD, FACTS, NEGATIVE, REPORTS, RHO_NEAR_ONE, hostile, realistic

from nllcheck.errors import NllcheckError
from nllcheck.report import Report
from nllcheck.report.frames import NUMBERS

FOUND = {None: (), "note": (NEGATIVE,), "warning": (NEGATIVE, EXP_HEAD), "error": (NEGATIVE, EXP_HEAD, RHO_NEAR_ONE)}
FAILS = {"error": ["error"], "warning": ["error", "warning"], "note": ["error", "warning", "note"], "never": []}


@pytest.mark.parametrize("fail_on", FAILS)
@pytest.mark.parametrize("worst", FOUND)
def test_ok_means_nothing_at_or_above_fail_on(fail_on: str, worst: str | None) -> None:
    report = Report(FACTS, FOUND[worst], fail_on=fail_on)
    assert report.worst == worst
    assert report.ok == (worst not in FAILS[fail_on])
    assert report.exit_code == (0 if report.ok else 1)


def test_an_incomplete_report_is_no_success() -> None:
    assert Report(FACTS, incomplete=("rho",)).exit_code == 4
    assert Report(FACTS, (RHO_NEAR_ONE,), incomplete=("rho",)).exit_code == 1


def test_an_unknown_fail_on_is_a_user_error() -> None:
    with pytest.raises(NllcheckError, match="did you mean 'error'"):
        Report(FACTS, fail_on="eror")


def test_findings_are_worst_first_and_stable() -> None:
    other = replace(EXP_HEAD, rule="NLL402")
    report = Report(FACTS, (NEGATIVE, other, EXP_HEAD, RHO_NEAR_ONE))
    assert report.findings == (RHO_NEAR_ONE, other, EXP_HEAD, NEGATIVE)


@pytest.mark.parametrize("name", REPORTS)
def test_the_findings_table_keeps_nan_inf_and_missing_apart(name: str) -> None:
    report = REPORTS[name]()
    frame = report.to_frame()
    assert len(frame) == len(report.findings)
    for column in NUMBERS:
        for finding, value, kind in zip(report.findings, frame[column], frame[f"{column}_class"], strict=True):
            told = getattr(finding, column)
            expected = "missing" if told is None else "finite" if math.isfinite(told) else str(abs(told))
            assert kind == expected
            assert math.isnan(value) if kind in ("nan", "missing") else value == told


def test_the_findings_table_of_a_bivariate_gaussian() -> None:
    frame = realistic().to_frame()
    first = frame.iloc[0]
    assert (first.rule, first.path, first.line, first.axis) == ("NLL301", "losses.py", 43, "rho_raw")
    assert (first.loss_class, first.reference_loss_class) == ("nan", "finite")
    assert list(frame.severity) == ["error", "error", "warning", "note", "note"]
    assert frame.axis.isna().tolist() == [False, False, False, True, False]


def test_the_sweep_table_has_one_row_a_point_and_axis() -> None:
    report = realistic()
    frame = report.to_frame("sweep")
    assert len(frame) == sum(len(table.values) for table in report.sweeps)
    rho = frame[frame.axis == "rho_raw"]
    assert (rho.loss_class == "nan").equals(rho.value.abs() >= 9.0109129)
    assert rho[rho.in_batch_range].value.between(-1.1, 3.9).all()


def test_the_sweep_table_keeps_every_kind_of_number() -> None:
    frame = hostile().to_frame("sweep")
    assert frame.loss_class.tolist() == ["nan", "inf", "inf", "finite", "finite", "finite"]
    assert frame.loss.tolist()[1:3] == [math.inf, -math.inf]
    assert frame.gradient_class.tolist()[4] == "nan" and frame.slope_class.tolist()[4] == "finite"


def test_empty_tables_have_their_columns() -> None:
    report = Report(FACTS)
    assert list(report.to_frame().columns) == list(realistic().to_frame().columns)
    assert list(report.to_frame("sweep").columns) == list(realistic().to_frame("sweep").columns)
    assert (report.to_frame().dtypes == realistic().to_frame().dtypes).all()


def test_an_unknown_table_is_a_user_error() -> None:
    with pytest.raises(NllcheckError, match="did you mean 'sweep'"):
        Report(FACTS).to_frame("sweeps")
