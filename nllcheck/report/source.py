"""Code and commands laid out to a width: the user's line, the chain of a failure, a shell line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath

from nllcheck.report.spelling import clean
from nllcheck.report.words import step
from nllcheck.types import ChainStep, Finding, Site

SHORT = 20  # characters of an arrival that the column beside it is moved for: "reaches the loss"
MIN_CODE = 24  # cells below which a line of code is not worth showing


@dataclass(frozen=True, slots=True)
class Crop:
    """A source line cut to fit; `start` and `stop` bound the guilty expression, `marker` underlines it."""

    text: str
    start: int
    stop: int
    marker: str


def shorten(text: str, room: int) -> str:
    """`text` in at most `room` cells, with an ellipsis where it was cut."""
    from rich.text import Text

    line = Text(text)
    line.truncate(room, overflow="ellipsis")
    return line.plain


def crop(site: Site, room: int) -> Crop | None:
    """The line of `site` in `room` cells, the guilty expression in view; None without source."""
    from rich.cells import cell_len

    if not site.source:
        return None
    begin, end = site.span or (0, 0)
    text, start, stop = clean(site.source), len(clean(site.source[:begin])), len(clean(site.source[:end]))
    hidden = start - room // 3 if cell_len(text) > room and cell_len(text[:stop]) >= room else 0
    if hidden > 0:
        text, start, stop = "…" + text[hidden + 1 :], start - hidden, stop - hidden
    text = shorten(text, room)
    stop = min(stop, len(text))
    return Crop(text, start, stop, " " * cell_len(text[:start]) + "^" * cell_len(text[start:stop]) if stop else "")


def chain_rows(finding: Finding, room: int) -> list[str]:
    """The way of the failure, one row a line of code it passes; a single row where all happens on one line."""
    stations = [list(links) for _, links in groupby(finding.chain, key=_station)]
    phrases = [_phrase(links) for links in stations]
    if len({_line(links[0].site) for links in stations}) <= 1:
        return [" → ".join(phrases)] if phrases else []
    heads = [p for p, links in zip(phrases, stations, strict=True) if not _arrives(links[0]) or len(p) <= SHORT]
    column = max((len(p) + 4 for p in heads), default=0)
    rows: list[str] = []
    for i, (phrase, links) in enumerate(zip(phrases, stations, strict=True)):
        head = ("→ " if i else "") + phrase
        rows += _beside(head, _code(links[0], finding.site), column, room)
    return rows


def _beside(head: str, code: str, column: int, room: int) -> list[str]:
    """`code` to the right of `head`, cut to fit; below it where so little room is left that it says nothing."""
    row = f"{head}  ".ljust(column) + code
    if len(row) <= room or room - column >= MIN_CODE or not code:
        return [shorten(row.rstrip(), room)]
    return [shorten(head, room), shorten(f"    {code}", room)]


def _arrives(link: ChainStep) -> bool:
    """Is this where the failure reaches the loss or the gradient?"""
    return link.what in ("loss", "gradient")


def _station(link: ChainStep) -> object:
    """Neighbouring steps of one line are told together; the arrival is a station of its own."""
    return "arrival" if _arrives(link) else _line(link.site)


def _phrase(links: list[ChainStep]) -> str:
    told = list(dict.fromkeys(map(step, links)))
    if _arrives(links[0]):
        return " and ".join([told[0], *(text.removeprefix("reaches ") for text in told[1:])])
    return " → ".join(told)


def _line(site: Site | None) -> tuple[str, int] | None:
    return (site.path, site.line) if site else None


def _code(link: ChainStep, home: Site | None) -> str:
    """Which line, "line 38: rho = ..."; the path only where it is another file."""
    site = link.site
    if site is None:
        return ""
    if _line(site) == _line(home):
        return f"line {site.line}"
    same = home is not None and site.path == home.path
    where = f"line {site.line}" if same else f"{clean(PurePath(site.path).name)}:{site.line}"
    return where + (f": {clean(site.source)}" if site.source and not _arrives(link) else "")


def shell_lines(command: str, room: int) -> list[str]:
    """A command over several lines that a shell still reads as one: cut between words, quotes kept whole."""
    lines: list[str] = [""]
    for word in re.findall(r"(?:'[^']*'|\"[^\"]*\"|\S)+", command):
        if lines[-1] and len(lines[-1]) + len(word) + 3 > room:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [f"{line} \\" for line in lines[:-1]] + ([lines[-1]] if lines[-1] else [])
