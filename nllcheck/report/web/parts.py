"""A finding as HTML: the same parts stand in the page and in a notebook cell."""

from __future__ import annotations

import math
from collections.abc import Sequence

from nllcheck.report import Report, margins, strip, words
from nllcheck.report.spelling import clean, code, count, number, prose
from nllcheck.report.web import chart as charts
from nllcheck.report.web import density
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.types import Finding, SweepTable

ROWS = 40  # of the table beside a picture
CELLS, CELL = 96, 5  # of a row of the break map
LEGEND = (
    (strip.FINITE, "finite"),
    (strip.NEGATIVE, "below 0 (slope: falling)"),
    (strip.RISING, "rising"),
    (strip.INFINITE, "infinite"),
    (strip.NAN, "NaN"),
)


def body(report: Report, finding: Finding, pictures: bool = True) -> Safe:
    """Everything below a finding's heading: source, picture and its table, sentences, what to write, how to rerun."""
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    drawn = charts.chart(table, finding, report.facts) if table and pictures else None
    numbers = _twin(table, finding) if table and drawn else None
    rows = [("when", words.when(finding, report.facts, table))]
    rows += words.rows(finding, report.facts, table, verbose=True)
    told = [join(tag("dt", label), tag("dd", text)) for label, text in rows if text]
    return join(
        _source(finding),
        _chain(finding),
        tag("figure", drawn, numbers) if drawn else None,
        density_figures(report) if finding.kind == "wrong-density" and pictures else None,
        tag("dl", *told) if told else None,
        _fix(finding),
        tag("p", "Rerun: ", tag("code", prose(finding.command))) if finding.command else None,
    )


def density_figures(report: Report) -> Safe | None:
    """Z along each axis that the density test moved."""
    drawn = [tag("figure", density.chart(c), twin(density.COLUMNS, density.numbers(c))) for c in report.densities]
    if len(drawn) < 2:
        return join(*drawn) if drawn else None
    more = tag("summary", f"along {count(len(drawn) - 1, 'other axis', 'other axes')}")
    return join(drawn[0], tag("details", more, *drawn[1:]))


def _source(finding: Finding) -> Safe | None:
    site = finding.site
    if site is None:
        return None
    start, stop = site.span or (0, 0)
    guilty = tag("mark", site.source[start:stop]) if stop > start else None
    line = tag("pre", tag("code", site.source[:start], guilty, site.source[stop:])) if site.source else None
    return join(tag("p", tag("code", words.place(site)), " in ", tag("code", clean(site.function))), line)


def _chain(finding: Finding) -> Safe | None:
    """The way of the failure; a line of its own for each station."""
    steps = []
    for link in finding.chain:
        place = join(" ", tag("code", words.place(link.site))) if link.site else None
        steps.append(tag("li", words.step(link), place))
    return tag("ol", *steps, class_="chain", aria_label="the way of the failure") if steps else None


def _fix(finding: Finding) -> Safe | None:
    if not finding.fix:
        return None
    said = tag("p", "Instead (a suggestion, not yet tried on your code):")
    return join(said, tag("pre", tag("code", code(finding.fix))))


def _twin(table: SweepTable, finding: Finding) -> Safe:
    """The picture's numbers, at most `ROWS` of them."""
    low, high = charts.window(table, finding)
    points = charts.thinned([i for i, v in enumerate(table.values) if low <= v <= high], table)
    wide = any(charts.beside(table, points, which) for which in charts.PANELS)
    points = points[:: math.ceil(len(points) / ROWS)]
    names = (table.axis.label, "loss", "slope", "gradient", *(("loss in float64", "slope in float64") if wide else ()))
    return twin(names, [_numbers(table, i, wide) for i in points])


def twin(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Safe:
    """The table that says what the picture above it shows."""
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    lines = [tag("tr", *(tag("td", text) for text in row)) for row in rows]
    summary = tag("summary", "the numbers as a table")
    grid = tag("table", tag("thead", head), tag("tbody", *lines))
    return tag("details", summary, tag("div", grid, class_="wide", tabindex="0"))


def _numbers(table: SweepTable, i: int, wide: bool) -> tuple[str, ...]:
    values = (table.values[i], table.loss[i], table.slope[i])
    beside = (table.wide_loss[i], table.wide_slope[i]) if wide else ()
    return (*(number(v, 6) for v in values), table.gradient_state[i], *(number(v, 6) for v in beside))


def break_map(report: Report) -> Safe | None:
    """Every axis that was swept: the batch's range, the nearest failure, and the whole axis as two strips."""
    if not report.sweeps:
        return None
    names = ("axis", "batch's range", "first failing values", "margin", "loss above, slope below")
    head = tag("tr", *(tag("th", name, scope="col") for name in names))
    rows = [_axis_row(report, table) for table in report.sweeps]
    return join(tag("table", tag("thead", head), tag("tbody", *rows)), legend())


def _axis_row(report: Report, table: SweepTable) -> Safe:
    known = [f for f in report.findings if f.axis == table.axis.label and f.threshold is not None]
    near = min(known, key=lambda f: math.inf if f.reach is None or math.isnan(f.reach) else f.reach, default=None)
    low, high = table.axis.observed
    seen = f"{number(low, 4)} to {number(high, 4)}" if math.isfinite(low) else ""
    breaks = [one for one in report.breaks if one.axis == table.axis.label]
    edges = [tag("div", said) for said in margins.by_dtype(breaks)]
    own = next((one.reach for one in breaks if one.dtype == report.facts.dtype), math.inf)
    margin = f"{number(own, 3)} x" if math.isfinite(own) else ""
    cells = (
        tag("td", seen),
        tag("td", *edges) if edges else tag("td", _sampled(table)),
        tag("td", margin),
        tag("td", _strips(table, near)),
    )
    return tag("tr", tag("th", table.axis.label, scope="row"), *cells)


def _sampled(table: SweepTable) -> str:
    """The failing point nearest to the batch's range, where no finding of its own gives the exact value."""
    low, high = table.axis.observed
    failing = [v for i, v in enumerate(table.values) if math.isfinite(v) and strip.failing(table, i)]
    if not failing:
        return "none found"
    return f"about {number(min(failing, key=lambda v: (max(low - v, v - high, 0.0), abs(v))), 3)}"


def _strips(table: SweepTable, near: Finding | None) -> Safe | None:
    bad, good = (near.threshold, near.last_good) if near else (None, None)
    built = strip.build(table, CELLS, bad=bad, good=good)
    if built is None:
        return None
    bars = [_bars(built.loss, 0, "loss"), _bars(built.slope, 18, "slope"), _marks(built.marks)]
    size = {"viewBox": f"0 0 {CELLS * CELL} 46", "role": "img", "aria_label": _in_words(table), "class_": "strips"}
    return tag("svg", *bars, **size, fill="currentColor", font_family="system-ui, sans-serif", font_size="12")


def _bars(row: str, y: float, which: str) -> Safe:
    bars, start = [], 0
    while start < len(row):
        stop = start
        while stop < len(row) and row[stop] == row[start]:
            stop += 1
        if row[start] != strip.NO_POINT:
            bars.append(charts.bar(start * CELL, stop * CELL, y, row[start], which))
        start = stop
    return join(*bars)


def _marks(row: str) -> Safe:
    """The batch's range as a line, the threshold as a triangle."""
    batch = [i for i, mark in enumerate(row) if mark in "[=]#"]
    found = []
    if batch:
        size = {"x": batch[0] * CELL, "width": (batch[-1] + 1 - batch[0]) * CELL}
        found.append(tag("rect", y=38, height=4, fill="currentColor", opacity="0.6", **size))
    if strip.FIRST_BAD in row:
        x = (row.index(strip.FIRST_BAD) + 0.5) * CELL
        found.append(tag("polygon", points=f"{x - 5:g},46 {x + 5:g},46 {x:g},36", fill="#c93a3a"))
    return join(*found)


def _in_words(table: SweepTable) -> str:
    failing = sum(strip.failing(table, i) for i in range(len(table.values)))
    return f"{table.axis.label}: {failing} of {len(table.values)} points fail"


def legend() -> Safe:
    keys = [tag("span", _key(symbol), f" {said}") for symbol, said in LEGEND]
    marks = tag("span", "▬ the batch's own range"), tag("span", "▲ first failing value")
    return tag("p", *keys, *marks, class_="legend")


def _key(symbol: str) -> Safe:
    return tag("svg", charts.bar(0, 16, 0, symbol, "loss"), viewBox="0 0 16 16", class_="key", aria_hidden="true",
               fill="currentColor", font_size="12")  # fmt: skip
