"""Notes told by a line: none is lost, and nothing that a note says about the batch itself is cut to a line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from report_cases import FACTS, NEGATIVE, PDF_THEN_LOG, RHO_NEAR_ONE, rho_sweep, sigma_sweep

from nllcheck.report import Report, further
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
    assert (f"{many} NOTES" in text) == (many > further.FEW)


def test_a_line_says_from_where_on_and_how_far_that_is():
    said = further.rows(notes(3)[:3], FACTS, TABLES, 120)
    edge = f"from rho_raw >= {RHO_NEAR_ONE.threshold:.7g}"
    assert [edge in row and row.endswith(f", {k} x") for k, row in zip((3, 4, 5), said, strict=True)] == [True] * 3
    assert further.rows([OTHER], FACTS, TABLES, 120)[0].startswith("cosh  NLL999 odd-one  ")


@pytest.mark.parametrize(
    "note", [NEGATIVE, replace(RHO_NEAR_ONE, severity="note", on_batch=True)], ids=["sign", "batch"]
)
def test_what_the_batch_itself_shows_is_told_in_full(note):
    told, short = further.split((*notes(5), note))
    assert note in told
    assert len(short) == 5
