"""Files written whole or not at all: beside their place first, then renamed over it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from nllcheck.errors import NllcheckError


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream whose content stands at `path` once the block has ended well; until then the old file does.

    A link is followed; a device or pipe, which cannot be replaced, is written to directly. A place that cannot be
    written and a full disk are an NllcheckError.
    """
    target = Path(path)
    try:
        target = target.resolve()
        with _stream(target) as stream:
            yield stream
    except (OSError, ValueError) as error:
        raise NllcheckError(f"cannot write: {_cause(error)}", where=str(path), hint=_hint(target)) from error


@contextmanager
def _stream(target: Path) -> Iterator[BinaryIO]:
    if target.is_dir():
        raise IsADirectoryError(0, "it is a directory")
    if target.exists() and not target.is_file():
        with open(target, "wb") as stream:
            yield stream
        return
    aside = target.with_name(f".{target.name[:200]}.{os.getpid()}.part")
    try:
        with open(aside, "wb") as stream:
            yield stream
        os.replace(aside, target)
    finally:
        aside.unlink(missing_ok=True)


def _cause(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error).lower()


def _hint(target: Path) -> str:
    if target.is_dir():
        return "name a file in it"
    return f"make the directory {target.parent} first" if not target.parent.exists() else "choose another path"
