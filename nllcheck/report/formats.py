"""The formats, a row each, and the function that writes their texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from nllcheck import disk
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.report import Report, github, gitlab, junit, machine, markdown, sarif, terminal, web

Renderer = Callable[[Sequence[Report]], str]

FORMATS: dict[str, Renderer] = {
    "terminal": terminal.render_all,  # plain text, 120 columns; `terminal.show` suits itself to a live terminal
    "json": machine.render,
    "sarif": sarif.render,
    "junit": junit.render,
    "github": github.render,
    "gitlab": gitlab.render,
    "markdown": markdown.render,
    "html": web.render,
}


def renderer(name: str) -> Renderer:
    """The row of `FORMATS`, or an `NllcheckError` with the closest name."""
    if name not in FORMATS:
        raise NllcheckError(f"no format '{name}'", where="--format", hint=did_you_mean(name, set(FORMATS)))
    return FORMATS[name]


def write(text: str, path: str | os.PathLike[str]) -> None:
    """Put `text` at `path` as UTF-8: whole or not at all. An unwritable place is an `NllcheckError`."""
    disk.tidy(Path(path).parent)
    with disk.whole(path) as stream:
        stream.write(text.encode("utf-8", "backslashreplace"))
