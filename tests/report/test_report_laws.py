"""Laws that every report keeps, over all hand-built reports."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest
from report_cases import REPORTS, RHO_NEAR_ONE, hostile, realistic
from rich.cells import cell_len

from nllcheck.report import Report
from nllcheck.report.terminal import ASCII, render

ANSI = re.compile(r"\x1b\[[0-9;]*m")
WIDTHS = (60, 80, 120)

every_report = pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS.keys())
every_width = pytest.mark.parametrize("width", WIDTHS)


def refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")


@every_report
@every_width
@pytest.mark.parametrize("verbose", [False, True])
def test_no_line_is_wider_than_the_terminal(make: Callable[[], Report], width: int, verbose: bool) -> None:
    lines = render(make(), width, verbose=verbose).split("\n")
    assert max(map(cell_len, lines)) <= width


@every_report
@every_width
def test_colour_adds_nothing_but_colour(make: Callable[[], Report], width: int) -> None:
    coloured = ANSI.sub("", render(make(), width, color=True))
    assert [line.rstrip() for line in coloured.split("\n")] == render(make(), width).split("\n")


@every_report
def test_plain_text_has_no_control_characters(make: Callable[[], Report]) -> None:
    text = render(make(), verbose=True)
    assert all(character.isprintable() for character in text.replace("\n", ""))


@every_report
@every_width
def test_ascii_is_ascii_and_as_wide(make: Callable[[], Report], width: int) -> None:
    plain, poor = render(make(), width), render(make(), width, ascii_only=True)
    assert poor.isascii()
    assert poor == plain.translate(ASCII).encode("ascii", "replace").decode()


def test_the_symbols_of_a_strip_stay_apart_in_ascii() -> None:
    assert len(set(map("·-∞N+0±[=]#▲ ".translate(ASCII).__getitem__, range(13)))) == 13


@every_report
def test_json_is_strict_sorted_and_complete(make: Callable[[], Report]) -> None:
    report = make()
    text = report.to_json()
    assert json.loads(text, parse_constant=refuse) == report.to_dict()
    assert text == json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"
    assert report.to_dict()["schema"] == 1


@every_report
def test_json_is_the_same_twice_whatever_the_time(make: Callable[[], Report]) -> None:
    report = make()
    slower = replace(report, facts=replace(report.facts, seconds=(("sweep", 99.0),)))
    assert report.to_json() == make().to_json() == slower.to_json()


@every_report
def test_the_swept_points_are_all_in_the_regions(make: Callable[[], Report]) -> None:
    report = make()
    for table, told in zip(report.sweeps, report.to_dict()["sweeps"], strict=True):
        assert sum(region["points"] for region in told["regions"]) == told["points"] == len(table.values)


@every_report
def test_html_has_no_active_content(make: Callable[[], Report]) -> None:
    page = make()._repr_html_()
    tags = set(re.findall(r"<\s*/?\s*([a-zA-Z0-9]+)", page))
    text = {"div", "p", "b", "br", "small", "details", "summary", "code", "pre", "mark", "dl", "dt", "dd", "ol", "li"}
    table = {"figure", "table", "thead", "tbody", "tr", "th", "td"}
    picture = {"svg", "text", "line", "rect", "circle", "polyline", "polygon"}
    assert tags <= {"style"} | text | table | picture
    assert all(c.isprintable() or c == "\n" for c in html.unescape(page))


@every_report
def test_str_is_the_plain_text_at_80(make: Callable[[], Report]) -> None:
    assert str(make()) == render(make(), 80)


AS_WRITTEN = ("[nan]", "[red]x[/red]", "[..., 4]", r"\x1b[31mred", r"\udc80", r"\u202e", ":smile:")


@pytest.mark.parametrize("piece", AS_WRITTEN)
def test_what_the_user_wrote_is_shown_as_written(piece: str) -> None:
    text = render(hostile(), 120, verbose=True)
    assert text.count(piece) >= 15
    assert piece in html.unescape(hostile()._repr_html_())


def test_nothing_heavy_is_imported() -> None:
    heavy = "{'torch', 'pandas', 'numpy', 'rich'} & set(sys.modules)"
    code = f"import sys, nllcheck.report.formats, nllcheck.report.notebook, nllcheck.report.frames; print({heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize(
    ("changes", "is_short"),
    [
        ({"site": replace(RHO_NEAR_ONE.site, line=25)}, True),
        ({"phase": "backward"}, True),
        ({"advice": "something else"}, False),
        ({"rule": "NLL999"}, False),
        ({"severity": "warning"}, False),
        ({"site": replace(RHO_NEAR_ONE.site, function="another")}, False),
    ],
    ids=lambda changes: "-".join(changes) if isinstance(changes, dict) else "",
)
def test_an_offence_met_again_is_told_in_short(changes: dict[str, object], is_short: bool) -> None:
    """What it shares with the first (source, sweep, advice) is said once; with `verbose` it is said again."""
    twin = replace(RHO_NEAR_ONE, **changes)
    once, twice = (replace(realistic(), findings=found) for found in [(RHO_NEAR_ONE,), (RHO_NEAR_ONE, twin)])
    one, short, full = render(once, 120), render(twice, 120), render(twice, 120, verbose=True)
    assert short.count("  same     ") == is_short
    assert "  same     " not in full
    strips = [text.count("  loss     N") for text in (one, short, full)]
    assert strips == [1, 1 if is_short else 2, 2]
    place = f"{twin.site.path.rpartition('/')[2]}:{twin.site.line}"
    assert short.count(place) > one.count(place)
