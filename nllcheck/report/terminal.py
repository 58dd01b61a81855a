"""The report as text for a terminal: pure in `render`, at home on a live stream in `show`."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, TextIO

from nllcheck.report import Report
from nllcheck.report.page import Page, console

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


def show(report: Report, stream: TextIO | None = None, verbose: bool = False) -> None:
    """Print to `stream` (stdout) in its own width, colour and character set; `NO_COLOR` is honoured."""
    stream = stream or sys.stdout
    tty = stream.isatty()
    color = tty and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    stream.write(render(report, _columns(stream) if tty else PIPED_WIDTH, color, verbose, not _unicode(stream)))


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or 80
    except OSError:
        return 80


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
