"""Files written whole or not at all: beside their place first, then renamed over it."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from nllcheck.errors import NllcheckError

SUFFIX = ".nllcheck-part"
LEFT = 3600  # seconds without a change after which nobody writes to an unfinished file any more


def tidy(folder: str | os.PathLike[str]) -> None:
    """Remove what writers that were killed have left in a folder. What cannot be removed stays."""
    old = time.time() - LEFT
    for path in Path(folder).glob(f".*{SUFFIX}"):
        with suppress(OSError):
            if path.lstat().st_mtime < old:
                path.unlink()


@contextmanager
def whole(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A stream whose content stands at `path` once the block has ended well; until then the old file does.

    A link is followed; a device or pipe, which cannot be replaced, is written to directly. A place that cannot be
    written and a full disk are an NllcheckError.
    """
    target = Path(path)
    try:
        target = _resolved(target)
        with _stream(target) as stream:
            yield stream
    except (OSError, ValueError) as error:
        raise NllcheckError(f"cannot write: {_cause(error)}", where=str(path), hint=_hint(target)) from error


def _resolved(path: Path) -> Path:
    with suppress(RuntimeError):  # a loop of links: until Python 3.12 that is raised, later the path is still a link
        found = path.resolve()
        if not found.is_symlink():
            return found
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


@contextmanager
def _stream(target: Path) -> Iterator[BinaryIO]:
    if target.is_dir():
        raise IsADirectoryError(0, "it is a directory")
    if target.exists() and not target.is_file():
        with open(target, "wb") as stream:
            yield stream
        return
    aside = target.with_name(f".{target.name[:200]}.{os.getpid()}{SUFFIX}")
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
