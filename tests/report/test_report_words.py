"""Sentences, numbers, strips and source lines, each against an oracle where there is one."""

from __future__ import annotations

import math
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_cases import EXP_HEAD, FACTS, PDF_THEN_LOG, RHO_NEAR_ONE, rho_sweep, sigma_sweep
from rich.cells import cell_len

from nllcheck.report import source, spelling, strip, words
from nllcheck.types import Axis, Site, SweepTable

singles = st.floats(width=32, allow_nan=False, allow_infinity=False)
finite = st.floats(-1e30, 1e30)


@given(singles)
def test_a_float32_is_written_as_short_as_it_reads_back(value: float) -> None:
    text = spelling.exact(value, "float32")
    assert np.float32(text) == np.float32(value)
    shortest = np.format_float_scientific(np.float32(value), unique=True, trim="-")
    assert digits(text) <= digits(shortest)


def digits(text: str) -> int:
    """How many significant digits a number is written with."""
    return len(text.split("e", maxsplit=1)[0].replace(".", "").strip("-0"))


@given(st.floats(width=16, allow_nan=False, allow_infinity=False))
def test_a_float16_reads_back(value: float) -> None:
    assert np.float16(spelling.exact(value, "float16")) == np.float16(value)


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (9.01091289520263671875, "float32", "9.010913"),
        (9.010911941528320, "float32", "9.010912"),
        (88.72284698486328, "float32", "88.72285"),
        (0.1, "float32", "0.1"),  # no float32 at all: float64's shortest
        (1.0078125, "bfloat16", "1.01"),
        (65504.0, "float16", "65500"),
        (1e39, "float32", "1e+39"),
        (math.inf, "float32", "inf"),
        (math.nan, "float32", "NaN"),
    ],
)
def test_exact_numbers(value: float, dtype: str, text: str) -> None:
    assert spelling.exact(value, dtype) == text


def test_when_names_side_neighbour_and_part() -> None:
    assert words.when(RHO_NEAR_ONE, FACTS, rho_sweep()) == "NaN from rho_raw >= 9.010913; still finite at 9.010912"
    mirrored = replace(PDF_THEN_LOG, threshold=-2.0, last_good=-1.5, reaches=("gradient",))
    assert words.when(mirrored, FACTS, None) == "infinite gradient from mu_x <= -2; still finite at -1.5"
    assert words.when(replace(RHO_NEAR_ONE, threshold=None), FACTS, None) == "NaN at rho_raw = 9.010913"
    assert words.when(replace(RHO_NEAR_ONE, axis=None), FACTS, None) == ""


def test_when_does_not_call_an_infinity_finite() -> None:
    text = "NaN from log_s1 >= 88.72285; not yet at 88.72284"
    assert words.when(EXP_HEAD, FACTS, sigma_sweep()) == text


@pytest.mark.parametrize(
    ("failing", "told"),
    [
        (5, "; not finite at any of the values tried"),
        (4, "; not finite at 80 % of the values tried"),
        (0, ""),
    ],
)
def test_without_a_threshold_the_witness_is_one_of_many(failing: int, told: str) -> None:
    loss = (math.inf,) * failing + (1.0,) * (5 - failing)
    table = SweepTable(Axis("x", 0, "output"), (0.0, 1.0, 2.0, 3.0, 4.0), loss, (0.0,) * 5, ("finite",) * 5)
    finding = replace(RHO_NEAR_ONE, axis="x", threshold=None, witness=1.0)
    assert words.when(finding, FACTS, table) == f"NaN at x = 1{told}"


def test_when_says_where_it_is_finite_again() -> None:
    axis = Axis("x", 0, "output")
    loss = (1.0, math.nan, math.nan, 2.0, math.nan)
    table = SweepTable(axis, (0.0, 1.0, 2.0, 3.0, 4.0), loss, (0.0,) * 5, ("finite",) * 5)
    finding = replace(RHO_NEAR_ONE, axis="x", threshold=1.0, last_good=0.5)
    assert words.when(finding, FACTS, table).endswith("; finite again from 3")


@pytest.mark.parametrize(
    ("reach", "on_batch", "text"),
    [
        (2.31, False, "at 2.31 x the batch's own range [-1.1, 3.9]"),
        (math.inf, False, "not reached by stretching the batch's own range [-1.1, 3.9]"),
        (1.2e20, False, "at 1.2e+20 x the batch's own range [-1.1, 3.9]"),
        (0.5, True, "on the batch itself, as it is"),
        (None, False, ""),
    ],
)
def test_reach(reach: float | None, on_batch: bool, text: str) -> None:
    assert words.reach(replace(RHO_NEAR_ONE, reach=reach, on_batch=on_batch)) == text


@pytest.mark.parametrize(("observed", "text"), [((-1.1, 3.9), "inside"), ((1.0, 2.0), "closer to 0 than")])
def test_a_value_within_the_magnitude_of_the_batch_may_lie_outside_its_range(observed, text):
    finding = replace(RHO_NEAR_ONE, reach=1.0, threshold=0.5, observed=observed)
    assert words.reach(finding).startswith(f"{text} the batch's own range")


@given(st.text())
def test_clean_text_is_printable_and_keeps_what_is(text: str) -> None:
    assert spelling.clean(text).isprintable()
    if text.isprintable():
        assert spelling.clean(text) == text


states = st.sampled_from([1.0, -1.0, math.inf, math.nan])


@given(st.lists(st.tuples(finite, states), min_size=1), st.tuples(finite, finite), finite)
def test_a_strip_hides_no_failure(points: list[tuple[float, float]], observed: tuple[float, float], bad: float) -> None:
    rows = sorted(dict(points).items())
    axis = Axis("x", 0, "output", observed=(min(observed), max(observed)))
    values, losses = zip(*rows, strict=True)
    table = SweepTable(axis, values, losses, losses, tuple("finite" for _ in rows))
    built = strip.build(table, 48, bad=bad, good=math.nextafter(bad, -math.inf), label="bad")
    assert built is not None
    assert len(built.loss) == len(built.slope) == 48 >= max(len(built.marks), len(built.scale))
    worst = min(map(strip.loss_symbol, losses), key="N∞-·".index)
    assert worst in built.loss
    assert built.marks.count(strip.FIRST_BAD) == 1


def test_a_strip_keeps_points_in_order_and_the_edge_between_cells() -> None:
    ruler = strip._ruler(rho_sweep(), list(range(len(rho_sweep().values))), 9.010913, 69)
    cells = [ruler.cell(value) for value in rho_sweep().values]
    assert cells == sorted(cells) and cells[0] == 0 and cells[-1] == 68
    assert ruler.cell(9.010912) < ruler.cell(9.010913)


def test_a_strip_marks_the_first_failing_value_of_either_side() -> None:
    for bad, good in ((9.010913, 9.010912), (-9.010913, -9.010912)):
        built = strip.build(rho_sweep(), 69, bad=bad, good=good, label="edge")
        assert built is not None
        mark = built.marks.index(strip.FIRST_BAD)
        assert built.loss[mark] == "N" and built.loss[mark - (1 if bad > 0 else -1)] != "N"


def test_the_strip_of_an_axis_without_a_finite_value_is_none() -> None:
    assert strip.build(SweepTable(Axis("x", 0, "output"), (math.nan,), (1.0,), (1.0,), ("finite",)), 40) is None


def test_a_long_line_keeps_the_guilty_expression_in_view() -> None:
    text = "loss = " + "変数 + " * 30 + "torch.log(p)" + " + other" * 30
    start = text.index("torch.log(p)")
    crop = source.crop(Site("a.py", 1, "f", None, text, (start, start + 12)), 48)
    assert crop is not None and crop.text[crop.start : crop.stop] == "torch.log(p)"
    assert cell_len(crop.text) <= 48
    assert len(crop.marker) - 12 == cell_len(crop.text[: crop.start])


def test_the_chain_tells_lines_once_and_one_line_in_one_row() -> None:
    assert source.chain_rows(RHO_NEAR_ONE, 69) == [
        "tanh saturates at 1              line 38: rho = torch.tanh(rho_raw)",
        "→ div gives inf → div gives NaN  line 43",
        "→ reaches the loss and the gradient  line 44",
    ]
    short = replace(EXP_HEAD, chain=(RHO_NEAR_ONE.chain[1], RHO_NEAR_ONE.chain[2]))
    assert source.chain_rows(short, 69) == ["div gives inf → div gives NaN"]


@pytest.mark.parametrize("room", [48, 68, 108])
def test_a_command_stays_one_command(room: int) -> None:
    lines = source.shell_lines(RHO_NEAR_ONE.command, room)
    joined = "\n".join(lines).replace("\\\n", "")  # what a shell does first
    assert shlex.split(joined) == shlex.split(RHO_NEAR_ONE.command)
    assert max(map(len, lines)) <= room


def test_the_reference_stands_beside_what_training_sees() -> None:
    text = "loss 29812.14, slope 59635.25 at rho_raw = 9.010913 (float32: loss NaN, slope NaN)"
    assert words.reference(RHO_NEAR_ONE, FACTS) == text
    assert words.reference(EXP_HEAD, FACTS) == ""
    fails_too = replace(RHO_NEAR_ONE, verdict="defect", reference="float64", reference_loss=math.inf, reason="it is 7")
    told = dict(words.rows(fails_too, FACTS, None, verbose=False))
    assert "float64" not in told and told["verdict"] == "defect: it is 7"


def test_paths_are_shown_against_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert spelling.short_path(str(tmp_path / "pkg" / "losses.py")) == "pkg/losses.py"
    assert spelling.short_path("/elsewhere/losses.py") == "/elsewhere/losses.py"
    assert words.place(Site("losses.py", 3, "f")) == "losses.py:3"


@pytest.mark.parametrize("low", [0.0, -1.7976931348623157e308])
def test_a_strip_spans_every_double(low: float) -> None:
    values = (low, 5e-324, 1.0, 1.7976931348623157e308)
    table = SweepTable(Axis("x", 0, "output", observed=(1.0, 1.0)), values, values, values, ("finite",) * 4)
    built = strip.build(table, 48)
    assert built is not None and strip.BATCH_POINT in built.marks and len(built.loss) == 48


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/venv/lib/python3.12/site-packages/torch/nn/functional.py", "torch/nn/functional.py:7"),
        ("/usr/lib/python3/dist-packages/scipy/a.py", "scipy/a.py:7"),
        ("/elsewhere/site-packages.py", "/elsewhere/site-packages.py:7"),
    ],
)
def test_a_line_of_an_installed_package_is_named_by_the_package(path, shown):
    assert words.place(replace(RHO_NEAR_ONE.site, path=path, line=7)) == shown
