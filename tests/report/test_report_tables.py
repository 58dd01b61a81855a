"""--save-sweep: what is read back is what the report holds, with NaN, infinities and missing apart."""

from __future__ import annotations

import csv
import math
import struct
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import realistic

from nllcheck.errors import NllcheckError
from nllcheck.report import Report, tables
from nllcheck.types import SweepTable

NUMBER = st.floats(width=32) | st.sampled_from([math.nan, math.inf, -math.inf, -0.0, 1e-45])


def bits(values) -> list[bytes]:
    """Told apart by their bits, except that one NaN is as good as another."""
    return [struct.pack("d", math.nan if math.isnan(v) else v) for v in values]


def read_csv(path: Path) -> dict[str, list]:
    with open(path, newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    found = {name: [row[name] for row in rows] for name in tables.NAMES}
    return found | {name: list(map(float, found[name])) for name in ("value", "loss", "slope")}


def read_parquet(path: Path) -> dict[str, list]:
    pq = pytest.importorskip("pyarrow.parquet")
    table = pq.read_table(path)
    assert sum(table[name].null_count for name in tables.NAMES) == 0
    return {name: table[name].to_pylist() for name in tables.NAMES}


READERS = {"csv": read_csv, "parquet": read_parquet}


def with_losses(report: Report, losses: list[float]) -> Report:
    axis = report.sweeps[0].axis
    values, states = tuple(map(float, range(len(losses)))), ("finite",) * len(losses)
    table = SweepTable(axis, values, tuple(losses), tuple(losses[::-1]), states)
    return replace(report, sweeps=(table, *report.sweeps))


@pytest.mark.parametrize("kind", READERS)
def test_every_float_comes_back(kind, tmp_path_factory):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path_factory.mktemp("sweep") / f"points.{kind}"

    @settings(max_examples=25, deadline=None)
    @given(st.lists(NUMBER, min_size=1, max_size=20))
    def law(losses):
        report = with_losses(realistic(), losses)
        tables.save_sweep([report], path)
        found = READERS[kind](path)
        assert bits(found["loss"]) == bits([v for t in report.sweeps for v in t.loss])
        assert bits(found["slope"]) == bits([v for t in report.sweeps for v in t.slope])
        classes = ["nan" if math.isnan(v) else "inf" if math.isinf(v) else "finite" for v in found["loss"]]
        assert found["loss_class"] == classes
        assert set(found["target"]) == {report.label}

    law()


@pytest.mark.parametrize("kind", READERS)
def test_rows_are_those_of_the_frame(kind, tmp_path, monkeypatch):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    monkeypatch.setattr(tables, "ROWS", 3)  # blocks smaller than an axis
    path = tmp_path / f"points.{kind}"
    tables.save_sweep([realistic()], path)
    found, frame = READERS[kind](path), realistic().to_frame("sweep")
    for name in frame.columns:
        own = frame[name].tolist()
        same = bits(found[name]) == bits(own) if name in ("value", "loss", "slope") else None
        assert [str(v) for v in found[name]] == [str(v) for v in own] if same is None else same, name


@pytest.mark.parametrize("name", ["sweep.xlsx", "sweep"])
def test_another_suffix_is_refused(tmp_path, name):
    with pytest.raises(NllcheckError, match=r"saved as \.csv or \.parquet"):
        tables.save_sweep([realistic()], tmp_path / name)


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(NllcheckError, match=r"nllcheck\[parquet\]"):
        tables.writer(tmp_path / "sweep.parquet")


@pytest.mark.parametrize("kind", READERS)
def test_a_full_disk_is_one_clear_error_and_keeps_the_old_file(kind, tmp_path):
    if kind == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"points.{kind}"
    path.symlink_to("/dev/full")
    with pytest.raises(NllcheckError, match="no space left") as caught:
        tables.save_sweep([realistic()], path)
    assert caught.value.where == str(path)
