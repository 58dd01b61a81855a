"""What is told in short: nothing is lost, and what the batch itself shows is told in full."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_cases import FACTS, NEGATIVE, PDF_THEN_LOG, RHO_NEAR_ONE, rho_sweep, sigma_sweep

from nllcheck.report import Report, brief, markdown, web
from nllcheck.report.terminal import render
from nllcheck.types import Finding

TABLES = (rho_sweep(), sigma_sweep())
OTHER = replace(PDF_THEN_LOG, rule="NLL999", name="odd-one", severity="note", site=None, op="cosh", reach=None)


def notes(many: int) -> tuple[Finding, ...]:
    made = (replace(RHO_NEAR_ONE, severity="note", rule=f"NLL9{k:02d}", reach=3.0 + k) for k in range(many))
    return (*made, NEGATIVE)


@pytest.mark.parametrize("many", [1, 2, 3, 11])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_every_note_is_told_once_with_its_place(many, width):
    text = render(Report(FACTS, notes(many), TABLES), width)
    assert all(text.count(note.rule) == 1 for note in notes(many))
    heads = [line for line in text.splitlines() if "NLL9" in line]
    assert all(f":{RHO_NEAR_ONE.site.line}" in line or "…" in line for line in heads)
    assert (f"{many} NOTES" in text) == (many > brief.FEW)


def test_a_line_says_from_where_on_and_how_far_that_is():
    said = brief.rows(notes(3)[:3], FACTS, TABLES, 120)
    edge = f"from rho_raw >= {RHO_NEAR_ONE.threshold:.7g}"
    assert [edge in row and row.endswith(f", {k} x") for k, row in zip((3, 4, 5), said, strict=True)] == [True] * 3
    assert brief.rows([OTHER], FACTS, TABLES, 120)[0].startswith("cosh  NLL999 odd-one  ")


@pytest.mark.parametrize(
    "note", [NEGATIVE, replace(RHO_NEAR_ONE, severity="note", on_batch=True)], ids=["sign", "batch"]
)
def test_what_the_batch_itself_shows_is_told_in_full(note):
    told, short = brief.split((*notes(5), note))
    assert note in told
    assert len(short) == 5


@pytest.mark.parametrize(
    ("changes", "full"),
    [({}, True), ({"already": "loss"}, False), ({"already": "loss", "axis": "sigma_raw"}, True)],
    ids=["another", "behind it", "behind one of another axis"],
)
def test_an_alarm_behind_another_is_told_in_short_and_with_its_advice(changes, full):
    other = replace(RHO_NEAR_ONE, rule="NLL998", message="Says its own.", advice="Do its own.", fix=None)
    other = replace(other, **changes)
    text = render(Report(FACTS, (RHO_NEAR_ONE, other), TABLES), 100)
    assert text.count("  rerun  ") == 1 + full
    assert text.count("  when  ") == text.count("  how  ") == 2
    assert "Says its own." in text
    assert "Do its own." in text


def test_the_same_offence_at_other_lines_is_a_line_each_with_its_threshold_and_distance():
    site = replace(RHO_NEAR_ONE.site, line=25)
    others = [replace(RHO_NEAR_ONE, site=site, threshold=at, reach=reach) for at, reach in ((9.5, 5.3), (11.0, 6.1))]
    between = replace(RHO_NEAR_ONE, rule="NLL998", advice="Do its own.", fix=None)
    text = render(Report(FACTS, (RHO_NEAR_ONE, others[0], between, others[1]), TABLES), 100)
    rows = [line for line in text.splitlines() if "losses.py:25" in line]
    assert [row.split()[-2:] for row in rows] == [["5.3", "x"], ["6.1", "x"]]
    assert rows[0].startswith("  same     ")
    assert text.index(rows[1]) < text.index("NLL998")  # beside the first of their kind
    assert "4 errors" in text


def test_the_same_offence_at_another_op_is_folded_in_the_files_and_names_the_first():
    site = replace(RHO_NEAR_ONE.site, line=RHO_NEAR_ONE.site.line + 1)
    report = Report(FACTS, (RHO_NEAR_ONE, replace(RHO_NEAR_ONE, site=site, message="It is here, too.")), TABLES)
    page, text = web.render([report]), markdown.render([report])
    assert page.count("<details open>") == text.count("<details open>") == 1
    assert f"the same as at {brief.lines([RHO_NEAR_ONE])[0]}" in page
    assert all("It is here, too." in one for one in (page, text))
