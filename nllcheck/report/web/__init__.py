"""The report as one HTML file that needs nothing else: no network, no font, no script but its own.

A content security policy with the hashes of the one style and the one script keeps it so.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

from nllcheck import __version__
from nllcheck.report import Report, brief, exit_code, words
from nllcheck.report.spelling import count, number, prose
from nllcheck.report.web import parts, plane
from nllcheck.report.web.lines import bits_table
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.types import SEVERITIES, Finding

MOST = 60  # findings with a picture: a page stays under 1 MB
COLUMNS = ("severity", "rule", "verdict", "where", "axis", "reach")
Row = tuple[Report, Finding]


def _asset(name: str) -> Safe:
    return Safe(Path(__file__).with_name(name).read_text(encoding="utf-8"))


def render(reports: Sequence[Report]) -> str:
    style, script = Safe(_asset("parts.css") + _asset("page.css")), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'"
    )
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", f"nllcheck: {_result(reports)}"),
        tag("style", style),
    )
    page = tag("html", head, tag("body", *_body(reports), tag("script", script), class_="nllcheck"), lang="en")
    return f"<!doctype html>\n{page}\n"


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _result(reports: Sequence[Report]) -> str:
    code = exit_code(reports)
    return {0: "ok", 1: "fails"}.get(code, "not complete")


def _body(reports: Sequence[Report]) -> list[Safe | None]:
    rows = [(report, finding) for report in reports for finding in report.findings]
    rows.sort(key=lambda row: SEVERITIES.index(row[1].severity))
    first = {id(o): one for report, _ in rows for one, same in brief.grouped(report.findings, False) for o in same}
    articles = [_article(i, report, finding, first.get(id(finding))) for i, (report, finding) in enumerate(rows)]
    verdict = tag("strong", _result(reports), class_="ok" if exit_code(reports) == 0 else "fails")
    found = tag("h2", "Findings") if rows else None
    return [
        tag("a", "to the findings", href="#list", class_="skip"),
        tag("header", tag("h1", "nllcheck: ", verdict), _verdicts(reports)),
        tag("main", found, _overview(rows), tag("div", *articles), *map(_rest, reports), id="list"),
        tag("footer", f"nllcheck {__version__} · exit {exit_code(reports)}"),
    ]


def _verdicts(reports: Sequence[Report]) -> Safe:
    head = tag("tr", *(tag("th", name, scope="col") for name in ("target", "result", "loss on the batch", "checked")))
    rows = []
    for report in reports:
        good = report.exit_code == 0
        said = {0: "✓ ok", 1: "✗ fails"}.get(report.exit_code, "✗ not complete")
        mark = tag("span", said, class_="ok" if good else "fails")
        result = tag("td", mark, f": {words.tally(report)}")
        loss = number(report.facts.loss) if report.evaluated else "–"
        cells = (tag("td", loss), tag("td", words.coverage(report)))
        rows.append(tag("tr", tag("th", report.label, scope="row"), result, *cells))
    return tag("div", tag("table", tag("thead", head), tag("tbody", *rows)), class_="wide", tabindex="0")


def _overview(rows: list[Row]) -> Safe | None:
    """The table that sorts and filters; without a script it is simply complete."""
    if not rows:
        return None
    several = len({report.label for report, _ in rows}) > 1
    heads = [tag("th", tag("button", name, type="button"), scope="col") for name in (*COLUMNS, *["target"] * several)]
    lines = [_overview_row(i, finding, report.label if several else None) for i, (report, finding) in enumerate(rows)]
    grid = tag("table", tag("thead", tag("tr", *heads)), tag("tbody", *lines), id="findings")
    boxes = [_box(name) for name in SEVERITIES]
    field = tag("label", "Filter ", tag("input", type="search", id="search"))
    shown = tag("span", id="shown", class_="muted", role="status")
    controls = tag("div", field, *boxes, shown, class_="controls", hidden=True)
    return join(controls, tag("div", grid, class_="wide", tabindex="0"))


def _box(severity: str) -> Safe:
    return tag("label", tag("input", type="checkbox", checked=True, data_severity=severity), f" {severity}s")


def _overview_row(i: int, finding: Finding, target: str | None) -> Safe:
    reach = finding.reach
    far = math.inf if reach is None or math.isnan(reach) else reach
    title = tag("a", f"{finding.rule} {finding.name}", href=f"#f{i}")
    cells = (
        tag("td", tag("span", finding.severity, class_="severity"), data_value=SEVERITIES.index(finding.severity)),
        tag("td", title),
        tag("td", finding.verdict),
        tag("td", words.line(finding.site), title=words.place(finding.site)) if finding.site else tag("td", ""),
        tag("td", finding.axis or ""),
        tag("td", "on the batch" if finding.on_batch else number(far, 3) if math.isfinite(far) else "",
            data_value="0" if finding.on_batch else "Infinity" if math.isinf(far) else f"{far:.6g}"),
        tag("td", target) if target else None,
    )  # fmt: skip
    return tag("tr", *cells, class_=finding.severity, data_level=finding.severity, data_article=f"f{i}")


def _article(i: int, report: Report, finding: Finding, first: Finding | None) -> Safe:
    """Open is what raises an alarm; folded are notes, and the same offence at another op, which names its `first`."""
    severity = tag("span", finding.severity, class_="severity")
    title = tag("h3", severity, f" {finding.rule} {finding.name} · {finding.verdict}", id=f"h{i}")
    again = f" · the same as at {brief.lines([first])[0]}" if first else ""
    target = tag("p", report.label, again, class_="muted")
    folded = tag(
        "details",
        tag("summary", "what was measured"),
        parts.body(report, finding, pictures=i < MOST),
        open=finding.severity != "note" and first is None,
    )
    more = {"id": f"f{i}", "aria_labelledby": f"h{i}", "class_": f"finding {finding.severity}"}
    return tag("article", title, target, tag("p", prose(finding.message)), folded, **more)


def _rest(report: Report) -> Safe | None:
    """Below the findings: what was not evaluated, what was accepted, remarks, and the map of all axes."""
    lists = (
        ("Not evaluated", report.incomplete),
        ("Accepted", [f"{one.finding.rule} {one.finding.name}: {one.how}, {one.reason}" for one in report.accepted]),
        ("Remarks", report.notes),
        ("Skipped", report.skipped),
    )
    told = [join(tag("h3", name), tag("ul", *(tag("li", prose(t)) for t in texts))) for name, texts in lists if texts]
    if report.densities and not any(finding.kind == "wrong-density" for finding in report.findings):
        told.append(join(tag("h3", "The density test: Z, the integral of exp(-loss)"), parts.density_figures(report)))
    axes, planes = parts.break_map(report), plane.section(report)
    title = tag("h3", f"Where it breaks: {count(len(report.sweeps), 'axis', 'axes')}")
    drawn = join(title, tag("div", axes, class_="wide", tabindex="0"), bits_table(report))
    head = tag("h2", report.label)
    return tag("section", head, *told, planes, drawn if axes else None) if told or planes or axes else None
