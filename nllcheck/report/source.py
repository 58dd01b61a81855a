"""Code and commands laid out to a width: the user's line, the chain of a failure, a shell line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePath

from nllcheck.report.words import clean, step
from nllcheck.types import ChainStep, Finding, Site


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
    stations = [(links[0].site, _phrase(links)) for _, links in _stations(finding.chain)]
    if len({_line(site) for site, _ in stations}) <= 1:
        return [" → ".join(phrase for _, phrase in stations)] if stations else []
    phrases = [f"→ {phrase}" if i else phrase for i, (_, phrase) in enumerate(stations)]
    column = min(max(map(len, phrases)), room * 2 // 3)
    codes = [_code(site, finding.site) for site, _ in stations]
    return [
        shorten(f"{phrase:<{column}}  {code}".rstrip(), room)
        for phrase, code in zip(phrases, codes, strict=True)
    ]


def _stations(chain: tuple[ChainStep, ...]) -> list[tuple[object, list[ChainStep]]]:
    """Neighbouring steps of one line together; where it reaches loss or gradient is a station of its own."""
    key = lambda link: (link.what in ("loss", "gradient"), link.what in ("loss", "gradient") or _line(link.site))  # noqa: E731
    return [(station, list(links)) for station, links in groupby(chain, key=key)]


def _phrase(links: list[ChainStep]) -> str:
    told = list(dict.fromkeys(map(step, links)))
    if links[0].what in ("loss", "gradient"):
        return " and ".join([told[0], *(text.removeprefix("reaches ") for text in told[1:])])
    return " → ".join(told)


def _line(site: Site | None) -> tuple[str, int] | None:
    return (site.path, site.line) if site else None


def _code(site: Site | None, home: Site | None) -> str:
    """Which line, against the finding's own: "line 38: rho = ..."; the path only where it is another file."""
    if site is None:
        return ""
    if _line(site) == _line(home):
        return f"line {site.line}, see above"
    same = home is not None and site.path == home.path
    where = f"line {site.line}" if same else f"{clean(PurePath(site.path).name)}:{site.line}"
    return f"{where}: {clean(site.source)}" if site.source else where


def shell_lines(command: str, room: int) -> list[str]:
    """A command over several lines that a shell still reads as one: cut between words, quotes kept whole."""
    lines = [""]
    for word in re.findall(r"(?:'[^']*'|\"[^\"]*\"|\S)+", command):
        if lines[-1] and len(lines[-1]) + len(word) + 3 > room:
            lines.append("")
        lines[-1] += f" {word}" if lines[-1] else word
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]
