"""Progress: on a terminal only, and only for those who had to wait."""

from __future__ import annotations

import io
import sys
import time

from nllcheck.cli import output


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def watched(monkeypatch, patience: float, stream: io.StringIO) -> io.StringIO:
    """The stream as standard error; no fixture, since pytest puts its own there before each test body."""
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(output, "PATIENCE", patience)
    return stream


def test_nothing_is_shown_of_what_is_quick(monkeypatch):
    stderr = watched(monkeypatch, 30.0, Terminal())
    with output.progress() as tell:
        tell("loading")
    assert stderr.getvalue() == ""


def test_what_takes_long_is_shown_and_taken_away(monkeypatch):
    stderr = watched(monkeypatch, 0.05, Terminal())
    before = sys.stdout
    with output.progress() as tell:
        tell("sweep [nan] of [i]")
        deadline = time.monotonic() + 5
        while "sweep" not in stderr.getvalue() and time.monotonic() < deadline:
            time.sleep(0.01)
    assert "sweep [nan] of [i]" in stderr.getvalue()
    assert sys.stdout is before


def test_nothing_is_shown_off_a_terminal(monkeypatch):
    stderr = watched(monkeypatch, 0.0, io.StringIO())
    with output.progress() as tell:
        tell("loading")
        time.sleep(0.05)
    assert stderr.getvalue() == ""
