"""Two axes at once as a picture, and the same as a table."""

from __future__ import annotations

from itertools import groupby

from nllcheck.report import Report, maps, strip
from nllcheck.report.spelling import number
from nllcheck.report.web.chart import FILLS
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.types import PAIR_STATES, PairMap

CELL, LEFT, BOTTOM, TOP = 12, 84, 40, 8
COLOURS = {".": FILLS[strip.FINITE], "g": "#c9962f", "i": FILLS[strip.INFINITE], "n": FILLS[strip.NAN]}
LETTERS = {"g": "g", "i": "∞", "n": "N"}


def section(report: Report) -> Safe | None:
    """Every map of a report, each with its line and its table."""
    if not report.pairs:
        return None
    return join(tag("h3", "Two axes at once"), *map(_figure, report.pairs))


def _figure(one: PairMap) -> Safe:
    said = maps.sentence(one)
    caption = tag("figcaption", said)
    return tag(
        "figure", caption, tag("div", _picture(one, said), class_="wide", tabindex="0"), _legend(one), _twin(one)
    )


def _picture(one: PairMap, said: str) -> Safe:
    """`first` upwards, `second` to the right; every value has a cell of the same size."""
    height, width = len(one.rows) * CELL, len(one.second_values) * CELL
    bars = [_row(row, TOP + k * CELL) for k, row in enumerate(reversed(one.rows))]
    box = f"0 0 {LEFT + width + 20} {TOP + height + BOTTOM}"
    size = {"viewBox": box, "role": "img", "aria_label": said, "class_": "chart"}
    parts = [*bars, _batch(one, height), *_ticks(one, height, width)]
    return tag("svg", *parts, **size, fill="currentColor", font_family="system-ui, sans-serif", font_size="12")


def _row(row: str, y: int) -> Safe:
    """One rectangle for every run of one state, with its letter where it fails."""
    made, start = [], 0
    for state, run in groupby(row):
        count = len(list(run))
        x, wide = LEFT + start * CELL, count * CELL
        look = {"fill": COLOURS[state], "shape_rendering": "crispEdges"}
        made.append(tag("rect", x=x, y=y, width=wide, height=CELL, **look))
        letter = {"fill": "#fff", "font_size": "10", "text_anchor": "middle"}
        made += [tag("text", LETTERS[state], x=x + wide / 2, y=y + CELL - 2, **letter)] if state in LETTERS else []
        start += count
    return join(*made)


def _batch(one: PairMap, height: int) -> Safe | None:
    """The batch's own ranges as a frame."""
    up, right = (
        [k for k, v in enumerate(values) if low <= v <= high]
        for values, (low, high) in zip((one.first_values, one.second_values), one.observed, strict=True)
    )
    if not up or not right:
        return None
    y = TOP + height - (up[-1] + 1) * CELL
    return tag("rect", x=LEFT + right[0] * CELL, y=y, width=len(right) * CELL, height=len(up) * CELL, fill="none",
               stroke="#fff", stroke_width="2", stroke_dasharray="4 2")  # fmt: skip


def _ticks(one: PairMap, height: int, width: int) -> list[Safe]:
    """First, middle and last value of either axis, and their names."""
    found = []
    for k in sorted({0, len(one.first_values) // 2, len(one.first_values) - 1}):
        y = TOP + height - (k + 0.5) * CELL + 4
        found.append(tag("text", number(one.first_values[k], 3), x=LEFT - 6, y=y, text_anchor="end"))
    for k in sorted({0, len(one.second_values) // 2, len(one.second_values) - 1}):
        x = LEFT + (k + 0.5) * CELL
        found.append(tag("text", number(one.second_values[k], 3), x=x, y=TOP + height + 16, text_anchor="middle"))
    middle = TOP + height / 2
    names = {"font_weight": "bold", "text_anchor": "middle"}
    found.append(tag("text", maps.short(one.second), x=LEFT + width / 2, y=TOP + height + 34, **names))
    turned = f"rotate(-90 14 {middle:g})"
    return [*found, tag("text", maps.short(one.first), x=14, y=middle, transform=turned, **names)]


def _legend(one: PairMap) -> Safe:
    shown = [state for state in PAIR_STATES if any(state in row for row in one.rows)]
    keys = [tag("span", _key(state), f" {PAIR_STATES[state]}") for state in shown]
    return tag("p", *keys, tag("span", "dashed: the batch's own ranges"), class_="legend")


def _key(state: str) -> Safe:
    drawn = tag("rect", x=0, y=0, width=16, height=16, fill=COLOURS[state])
    letter = tag("text", LETTERS.get(state, ""), x=8, y=12, fill="#fff", text_anchor="middle")
    return tag("svg", drawn, letter, viewBox="0 0 16 16", class_="key", aria_hidden="true", font_size="12")


def _twin(one: PairMap) -> Safe:
    """The picture's numbers: for every value of the first axis the runs of the second that fail, and how."""
    first, second = maps.short(one.first), maps.short(one.second)
    head = tag("tr", tag("th", first, scope="col"), tag("th", f"fails for {second}", scope="col"))
    rows = [tag("tr", tag("th", number(v, 6), scope="row"), tag("td", _runs(one, row)))
            for v, row in zip(one.first_values, one.rows, strict=True)]  # fmt: skip
    grid = tag("table", tag("thead", head), tag("tbody", *rows))
    summary = tag("summary", "the numbers as a table")
    return tag("details", summary, tag("div", grid, class_="wide", tabindex="0"))


def _runs(one: PairMap, row: str) -> str:
    told, start = [], 0
    for state, run in groupby(row):
        last = start + len(list(run)) - 1
        ends = (number(one.second_values[k], 6) for k in (start, last))
        told += [f"{' to '.join(dict.fromkeys(ends))} ({PAIR_STATES[state]})"] if state != "." else []
        start = last + 1
    return "; ".join(told) or "never"
