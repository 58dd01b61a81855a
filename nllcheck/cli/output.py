"""Results on standard output, progress on standard error. A reader that has gone away ends nothing."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from nllcheck.errors import NllcheckError

if TYPE_CHECKING:
    from nllcheck.report import Report

PATIENCE = 1.0  # seconds before progress is shown


@contextmanager
def results() -> Iterator[TextIO]:
    """Standard output, flushed at the end; after a closed pipe the rest goes nowhere, without a word."""
    try:
        yield sys.stdout
        sys.stdout.flush()
    except BrokenPipeError:
        _mute()
    except OSError as error:
        _mute()
        raise NllcheckError(f"cannot write: {error.strerror or error}", where="standard output") from None


def _mute() -> None:
    """What is still buffered must not fail again when Python ends."""
    with suppress(OSError, ValueError, AttributeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stdout = nowhere()


def remark(text: str) -> None:
    """Print one text on standard error. Where that is closed or full, the run goes on without it."""
    try:
        sys.stderr.write(_printable(text + "\n", sys.stderr))
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = nowhere()


def nowhere() -> TextIO:
    """A stream that takes everything, for as long as the program runs."""
    return open(os.devnull, "w", encoding="utf-8")


def say(text: str) -> None:
    """Print one text as a result."""
    with results() as stream:
        stream.write(_printable(text + "\n", stream))


def _printable(text: str, stream: TextIO) -> str:
    """The text in what the stream can encode."""
    encoding = getattr(stream, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def show(reports: Sequence[Report], kind: str = "terminal", verbose: bool = False, quiet: bool = False) -> None:
    """Print the reports of a run; the terminal's own format suits itself to the stream."""
    from nllcheck.report import terminal
    from nllcheck.report.formats import renderer

    with results() as stream:
        if kind == "terminal":
            terminal.show(reports, stream, verbose, quiet)
        else:
            stream.write(_printable(renderer(kind)(reports), stream))


def destination(text: str) -> tuple[str, Path]:
    """`KIND=PATH` of `--output`, refused before the work is done where it cannot be written after it."""
    from nllcheck.report.formats import renderer

    kind, equals, place = text.partition("=")
    if not equals or not place:
        raise NllcheckError(f"cannot read --output '{text}'", hint="write KIND=PATH, for example json=report.json")
    renderer(kind)
    return kind, _file(place)


def sweep_file(place: str | None) -> Path | None:
    """The file of `--save-sweep`, refused before the work as well. Raises NllcheckError."""
    from nllcheck.report.tables import writer

    if place is None:
        return None
    writer(place)
    return _file(place)


def _file(place: str) -> Path:
    path = Path(place)
    if path.is_dir() or not path.resolve().parent.is_dir():
        hint = "name a file in it" if path.is_dir() else f"make the directory {path.parent} first"
        raise NllcheckError("cannot write: no such file can be made", where=place, hint=hint)
    return path


class progress:
    """A line on standard error that says what is going on: on a terminal, and only for those who had to wait."""

    def __init__(self) -> None:
        self.status: Any = None
        self.timer: threading.Timer | None = None
        self.lock = threading.Lock()

    def __enter__(self) -> Callable[[str], None]:
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True).status("")
            self.timer = threading.Timer(PATIENCE, self._appear)
            self.timer.daemon = True
            self.timer.start()
        return self.tell

    def tell(self, text: str) -> None:
        """Replace the line."""
        if self.status is not None:
            from rich.text import Text

            self.status.update(Text(text))

    def _appear(self) -> None:
        with self.lock:
            if self.status is not None:
                self.status.start()

    def __exit__(self, *error: object) -> None:
        if self.timer is not None:
            self.timer.cancel()
        with self.lock:
            if self.status is not None:
                self.status.stop()
            self.status = None
