"""The bits that each source line keeps, as a table."""

from __future__ import annotations

from nllcheck.report import Report, digits
from nllcheck.report.spelling import number
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.report.words import place
from nllcheck.types import LineBits

_COLUMNS = ("line", "phase", "worst", "typical", "lost by", "bits lost there", "at")


def bits_table(report: Report) -> Safe | None:
    """A row for each source line and phase; nothing where there is nothing to compare with."""
    if not report.bits:
        return None
    head = tag("tr", *(tag("th", name, scope="col") for name in _COLUMNS))
    table = tag("table", tag("thead", head), tag("tbody", *map(_row, report.bits)))
    of = digits.SIGNIFICAND.get(report.facts.dtype, 0)
    title = tag("summary", f"Bits kept by source line, of {of}, near the batch's range")
    return tag("details", title, tag("div", table, class_="wide", tabindex="0"))


def _row(one: LineBits) -> Safe:
    code = tag("th", place(one.site), tag("div", tag("code", one.site.source)), scope="row")
    at = join(f"{one.axis} = {number(one.at, 4)}", digits.stretch(one))
    lost = f"{one.lost:.1f}" if one.lost >= 1 else ""
    cells = (one.phase, f"{one.worst:.1f}", f"{one.typical:.1f}", one.op if lost else "", lost, at)
    return tag("tr", code, *(tag("td", cell) for cell in cells))
