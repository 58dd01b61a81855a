"""The HTML page: self-contained, inert, complete; and in a real browser it opens, sorts and filters."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import math
import re
import shutil
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import BENT, FACTS, PDF_THEN_LOG, REPORTS, RHO_NEAR_ONE, hostile, realistic, rho_sweep, sigma_sweep

from nllcheck.report import Report, not_evaluated, web
from nllcheck.report.web import chart, density
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.report.web.scale import fitted

every_report = pytest.mark.parametrize("make", REPORTS.values(), ids=REPORTS.keys())
VOID = {"meta", "input", "br", "wbr"}


class Reader(html.parser.HTMLParser):
    """Tags balanced, attributes and text collected."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append((name, dict(attributes)))
        if name not in VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        assert self.open.pop() == name

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text.append(data)


@every_report
def test_the_page_is_well_formed_and_inert(make: Callable[[], Report]) -> None:
    page = web.render((make(),))
    reader = Reader(page)
    assert reader.open == []
    assert [name for name, _ in reader.tags].count("script") == 1
    for name, attributes in reader.tags:
        assert not {key for key in attributes if key.startswith("on") or key in ("style", "src", "srcset")}
        assert name not in ("img", "link", "iframe", "object", "embed", "base", "form")
        assert attributes.get("href", "#").startswith("#")
    ids = [attributes["id"] for _, attributes in reader.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "http" not in "".join(value or "" for _, a in reader.tags for k, value in a.items() if k != "http-equiv")


@every_report
def test_the_policy_allows_this_style_and_this_script_alone(make: Callable[[], Report]) -> None:
    page = web.render((make(),))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    assert policy and "default-src &#x27;none&#x27;" in policy[1] and "unsafe" not in policy[1]
    for name in ("style", "script"):
        (body,) = re.findall(f"<{name}>(.*?)</{name}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"sha256-{digest}" in policy[1]


def test_every_plot_has_its_table_and_its_words() -> None:
    reader = Reader(web.render((realistic(),)))
    charts = [a for name, a in reader.tags if name == "svg" and a.get("class") == "chart"]
    assert len(charts) == 6 and all(a["role"] == "img" and a["aria-label"] for a in charts)
    assert reader.text.count("the numbers as a table") == 6


def test_float64_is_drawn_where_it_says_something_else() -> None:
    table, points = rho_sweep(), [*range(len(rho_sweep().values))]
    drawn = chart.beside(table, points, "loss")
    assert all(math.isfinite(table.loss[i]) is (abs(table.values[i]) < 9.0109129) for i in drawn)
    assert drawn and all(drawn[i] == table.wide_loss[i] and abs(drawn[i]) < 3.4028236e38 for i in drawn)
    same = replace(table, wide_loss=tuple(v if math.isfinite(v) else math.inf for v in table.loss))
    assert chart.beside(same, points, "loss") == {} == chart.beside(sigma_sweep(), points[:9], "slope")


def test_z_is_drawn_with_its_bars_and_named_as_in_the_table() -> None:
    picture = density.chart(BENT)
    assert picture is not None and picture.count("<circle") == len(BENT.values)
    heights = [float(y) for y in re.findall(r'<circle cx="[^"]*" cy="([^"]*)"', picture)]
    assert heights == sorted(heights, reverse=True)  # its Z rise, and pixels count downwards
    assert [float(row[1]) for row in density.numbers(BENT)] == pytest.approx([math.exp(z) for z in BENT.log_z], 1e-5)
    assert density.chart(replace(BENT, log_z=(math.nan,) * 4)) is None


def test_a_long_report_stays_under_a_megabyte() -> None:
    many = [replace(f, message=f"{f.message} {i}") for i in range(150) for f in (RHO_NEAR_ONE, PDF_THEN_LOG)]
    table = rho_sweep()
    dense = replace(table, values=tuple(i / 100 for i in range(-2000, 2001)), loss=(1.0,) * 4001, wide_loss=(),
                    slope=(0.5,) * 4001, wide_slope=(), gradient_state=("finite",) * 4001)  # fmt: skip
    page = web.render((Report(FACTS, tuple(many), (dense,)),))
    assert len(page.encode()) < 1_000_000
    assert len(re.findall("<article", page)) == 300


@every_report
def test_the_notebook_shows_the_same_findings_without_a_script(make: Callable[[], Report]) -> None:
    report = make()
    cell = report._repr_html_()
    reader = Reader(cell)
    assert "script" not in {name for name, _ in reader.tags}
    assert [n for n, a in reader.tags if n == "details" and "finding" in (a.get("class") or "")] == ["details"] * len(
        report.findings
    )


@settings(deadline=None)
@given(st.text(), st.text())
def test_nothing_but_safe_text_is_markup(text: str, value: str) -> None:
    made = tag("p", text, tag("b", text), title=value)
    reader = Reader(made)
    assert [name for name, _ in reader.tags] == ["p", "b"] and reader.open == []
    assert isinstance(made, Safe) and "<" not in join(text).replace("&lt;", "")


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=1, max_size=30))
def test_scales_keep_order_and_stay_inside(values: list[float]) -> None:
    scale = fitted(values, 10.0, 200.0)
    known = sorted(v for v in values if abs(v) < float("inf"))
    pixels = [scale(v) for v in known]
    assert pixels == sorted(pixels) and all(10.0 <= p <= 200.0 for p in pixels)
    ticks = scale.ticks(20)
    assert ticks == sorted(ticks) and all(scale.holds(t) for t in ticks) and len(ticks) <= 11


# --- in a real browser, where there is one

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync",
             "--no-first-run", "--disable-component-update", "--window-size=1000,900")  # fmt: skip


class Browser:
    """The few words of the WebDriver protocol (W3C, 2018) that these tests speak."""

    def __init__(self, port: str) -> None:
        self.base = f"http://127.0.0.1:{port}"
        options = {"binary": CHROMIUM, "args": [*ARGUMENTS], "perfLoggingPrefs": {"enableNetwork": True}}
        logs = {"browser": "ALL", "performance": "ALL"}
        wanted = {"alwaysMatch": {"goog:chromeOptions": options, "goog:loggingPrefs": logs}}
        self.base += "/session/" + self.post("/session", capabilities=wanted)["sessionId"]

    def post(self, path: str, **body: Any) -> Any:
        request = urllib.request.Request(
            self.base + path, json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        return json.loads(urllib.request.urlopen(request, timeout=60).read())["value"]

    def run(self, script: str) -> Any:
        return self.post("/execute/sync", script=script, args=[])

    def close(self) -> None:
        urllib.request.urlopen(urllib.request.Request(self.base, method="DELETE"), timeout=60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not (CHROMIUM and DRIVER):
        pytest.skip("no chromium with chromedriver on this machine")
    with subprocess.Popen([DRIVER, "--port=0"], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout
        lines = (line for line in driver.stdout if "started successfully on port" in line)
        port = re.findall(r"port (\d+)", next(lines))[0]
        found = Browser(port)
        yield found
        found.close()
        driver.terminate()


ROWS = (
    "[...document.querySelectorAll('#findings tbody tr')].filter(r => !r.hidden).map(r => r.children[{}].textContent)"
)


def test_a_browser_opens_sorts_and_filters_it(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(web.render((realistic(), replace(hostile(), name="hostile"), not_evaluated("x", "x.pt", "gone"))))
    browser.post("/url", url=path.as_uri())
    rules = f"return {ROWS.format(1)}"
    assert (
        len(browser.run(rules)) == 6
        and browser.run("return document.querySelector('#shown').textContent") == "6 of 6 shown"
    )

    browser.run("document.querySelectorAll('#findings th button')[5].click()")
    reach = browser.run(f"return {ROWS.format(5)}")
    assert reach[:4] == ["on the batch", "2.31", "3.88", "38.4"]
    browser.run("document.querySelectorAll('#findings th button')[5].click()")
    assert browser.run(f"return {ROWS.format(5)}")[-4:] == ["38.4", "3.88", "2.31", "on the batch"]
    assert browser.run("return document.querySelectorAll('[aria-sort=descending]').length") == 1

    browser.run("document.querySelector('[data-severity=note]').click()")
    assert len(browser.run(rules)) == 4
    browser.run(
        "const s = document.querySelector('#search'); s.value = 'UNDERFLOWS'; s.dispatchEvent(new Event('input'))"
    )
    assert browser.run(rules) == ["NLL201 pdf-then-log"]
    shown = "return [...document.querySelectorAll('article')].filter(a => a.offsetHeight > 0).length"
    assert browser.run(shown) == 1
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")

    console = browser.post("/se/log", type="browser")
    assert console == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.post("/se/log", type="performance")]
    asked = [m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"]
    assert asked == [path.as_uri()]


@pytest.mark.parametrize("level", [0.0, math.log(2.5066)])
@pytest.mark.parametrize("noise", [0.0, 1e-9, 1e-6])
def test_a_level_line_of_z_has_a_different_name_at_each_height(level, noise):
    heights = tuple(level + noise * math.sin(3.0 * k) for k in range(16))
    curve = replace(BENT, values=tuple(float(k) for k in range(16)), log_z=heights, error=(1e-9,) * 16)
    names = re.findall(r'text-anchor="end"[^>]*>([^<]+)<', str(density.chart(curve)))
    assert len(names) == len(set(names)) > 1
