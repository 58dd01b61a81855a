"""The report as text for a terminal: pure in `render`, at home on a live stream in `show`."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from nllcheck.report import Report, exit_code, words
from nllcheck.report.identity import place_of
from nllcheck.report.page import Page
from nllcheck.report.sheet import console
from nllcheck.report.spelling import count, prose

if TYPE_CHECKING:
    from rich.text import Text

PIPED_WIDTH = 120
ASCII = str.maketrans(
    {"·": ".", "∞": "I", "±": "*", "▲": "^", "─": "-", "→": ">", "…": "~", "×": "x", "—": "-", "“": '"', "”": '"'}
)


def render(
    report: Report, width: int = PIPED_WIDTH, color: bool = False, verbose: bool = False, ascii_only: bool = False
) -> str:
    """The whole report, no line wider than `width` cells (40 at least); ends with a newline.

    `verbose` shows notes in full and adds why, verdict, seed and versions.
    """
    width = max(width, 40)
    lines = Page(report, width, verbose).lines()
    text = _ansi(lines, width) if color else "".join(line.plain.rstrip() + "\n" for line in lines)
    return text.translate(ASCII).encode("ascii", "replace").decode() if ascii_only else text


def render_all(
    reports: Sequence[Report],
    width: int = PIPED_WIDTH,
    color: bool = False,
    verbose: bool = False,
    ascii_only: bool = False,
    quiet: bool = False,
) -> str:
    """Report after report; several end with a line each. `quiet`: only a line a failing finding and a report."""
    if quiet:
        text = "".join(line + "\n" for line in _brief(reports))
        return text.translate(ASCII).encode("ascii", "replace").decode() if ascii_only else text
    parts = [render(report, width, color, verbose, ascii_only) for report in reports]
    closing = "".join(_ending(report) + "\n" for report in reports) if len(reports) > 1 else ""
    closing += f"{count(len(reports), 'target')} · exit {exit_code(reports)}\n" if closing else ""
    return "\n".join([*parts, closing] if closing else parts)


def _brief(reports: Sequence[Report]) -> list[str]:
    """For a log: `file:line: severity: RULE name: message`, as compilers write it."""
    lines = []
    for report in reports:
        for found in filter(report.failing, report.findings):
            place = words.place(place_of(found, report.facts))
            lines.append(prose(f"{place}: {found.severity}: {found.rule} {found.name}: {found.message}"))
        lines += [prose(f"{report.label}: not evaluated: {text}") for text in report.incomplete]
    return [*lines, *map(_ending, reports)]


def _ending(report: Report) -> str:
    return prose(f"{'ok  ' if report.exit_code == 0 else 'FAIL'}  {report.label}: {words.tally(report)}")


def show(reports: Sequence[Report], stream: TextIO | None = None, verbose: bool = False, quiet: bool = False) -> None:
    """Print to `stream` (stdout) in its own width, colour and character set; `NO_COLOR` is honoured."""
    stream = stream or sys.stdout
    tty = stream.isatty()
    color = tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    stream.write(render_all(reports, _columns(stream), color, verbose, not _unicode(stream), quiet))


def _columns(stream: TextIO) -> int:
    """The terminal's; into a pipe, as a pager has it, that of the terminal where the command was typed."""
    try:
        own = stream.fileno()
        screen = own if stream.isatty() or not stat.S_ISFIFO(os.fstat(own).st_mode) else 0
        return os.get_terminal_size(screen).columns or 80
    except (OSError, ValueError):
        return 80 if stream.isatty() else PIPED_WIDTH


def _unicode(stream: TextIO) -> bool:
    try:
        "".join(map(chr, ASCII)).encode(stream.encoding or "utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _ansi(lines: list[Text], width: int) -> str:
    screen = console(width)
    with screen.capture() as captured:
        for line in lines:
            screen.print(line, no_wrap=True, crop=False, overflow="ignore")
    return captured.get()
