"""The formats, a row each, and the one function that touches the disk."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

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
    """Put `text` at `path` as UTF-8: whole or not at all.

    It is written beside the target and renamed over it. A link is followed; a device or pipe, which cannot
    be replaced, is written to directly. An unwritable place is an `NllcheckError`.
    """
    target = Path(path)
    try:
        target = target.resolve()
        special = target.exists() and not (target.is_file() or target.is_dir())
        (_write_through if special else _replace)(target, text.encode("utf-8", "backslashreplace"))
    except (OSError, ValueError) as error:
        raise NllcheckError(f"cannot write: {_cause(error)}", where=str(path), hint=_hint(target)) from error


def _write_through(target: Path, data: bytes) -> None:
    with open(target, "wb") as stream:
        stream.write(data)


def _replace(target: Path, data: bytes) -> None:
    if target.is_dir():
        raise IsADirectoryError(0, "it is a directory")
    aside = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        _write_through(aside, data)
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def _cause(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _hint(target: Path) -> str:
    if target.is_dir():
        return "name a file in it"
    return f"make the directory {target.parent} first" if not target.parent.exists() else "choose another path"
