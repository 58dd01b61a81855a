"""The one function that touches the disk, and the one that touches a stream."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from report_cases import realistic

from nllcheck.errors import NllcheckError
from nllcheck.report import formats, terminal


def test_write_replaces_whole_files_and_leaves_nothing_beside(tmp_path: Path) -> None:
    target = tmp_path / "report.json"
    target.write_text("old")
    formats.write("new ∞ \udc80\n", target)
    assert target.read_text(encoding="utf-8") == "new ∞ \\udc80\n"
    assert os.listdir(tmp_path) == ["report.json"]


def test_write_follows_links_and_writes_through_devices(tmp_path: Path) -> None:
    (tmp_path / "real.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real.txt")
    formats.write("new", tmp_path / "link.txt")
    assert (tmp_path / "link.txt").is_symlink() and (tmp_path / "real.txt").read_text() == "new"
    formats.write("gone", "/dev/null")
    assert not Path("/dev/null").is_file()


@pytest.mark.parametrize(("path", "hint"), [("no/such/report.json", "make the directory"), (".", "name a file in it")])
def test_an_unwritable_place_is_a_user_error(tmp_path: Path, path: str, hint: str) -> None:
    with pytest.raises(NllcheckError, match=hint) as caught:
        formats.write("text", tmp_path / path)
    assert caught.value.where == str(tmp_path / path) and caught.value.exit_code == 2
    assert os.listdir(tmp_path) == []


def test_a_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    target = tmp_path / "report.json"
    target.write_text("old")
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(NllcheckError, match="no space left"):
        formats.write("new", target)
    assert target.read_text() == "old" and os.listdir(tmp_path) == ["report.json"]


def test_what_a_killed_writer_left_goes_once_it_is_old(tmp_path: Path) -> None:
    old, new, others = (tmp_path / name for name in (".a.json.1.nllcheck-part", ".b.json.2.nllcheck-part", ".c.part"))
    for path in (old, new, others):
        path.write_text("half")
    for path in (old, others):
        os.utime(path, (0, 0))
    formats.write("whole", tmp_path / "a.json")
    assert sorted(os.listdir(tmp_path)) == [new.name, others.name, "a.json"]


def test_a_loop_of_links_is_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").symlink_to("a.json")
    with pytest.raises(NllcheckError, match="too many levels"):
        formats.write("text", tmp_path / "a.json")


def test_every_format_is_a_function_of_the_report() -> None:
    for name in formats.FORMATS:
        assert formats.renderer(name)((realistic(),)) == formats.FORMATS[name]((realistic(),))
    with pytest.raises(NllcheckError, match="did you mean 'json'"):
        formats.renderer("jsn")


class Stream(io.TextIOWrapper):
    """A stream with a chosen encoding that says whether it is a terminal (80 columns: it has no file)."""

    def __init__(self, encoding: str, tty: bool) -> None:
        super().__init__(io.BytesIO(), encoding=encoding)
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty

    def text(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tty", "environment", "width", "color"),
    [
        (True, {}, 80, True),
        (True, {"NO_COLOR": "1"}, 80, False),
        (True, {"TERM": "dumb"}, 80, False),
        (False, {"FORCE_COLOR": "1"}, 120, False),
    ],
)
def test_show_suits_the_stream(
    monkeypatch: pytest.MonkeyPatch, tty: bool, environment: dict[str, str], width: int, color: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stream = Stream("utf-8", tty)
    terminal.show((realistic(),), stream)
    assert stream.text() == terminal.render(realistic(), width, color)


def test_show_falls_back_to_ascii() -> None:
    stream = Stream("latin-1", False)
    terminal.show((realistic(),), stream)
    assert stream.text() == terminal.render(realistic(), ascii_only=True)


SHOW = "from report_cases import realistic; from nllcheck.report import terminal; terminal.show((realistic(),))"


@pytest.mark.parametrize(("into", "width"), [("pipe", 60), ("file", 120)])
def test_a_pager_gets_the_width_of_its_terminal_and_a_file_always_the_same(tmp_path: Path, into: str, width: int):
    termios = pytest.importorskip("termios")
    typed, screen = os.openpty()
    termios.tcsetwinsize(screen, (40, 60))
    with (tmp_path / "out").open("w") as file:
        out = subprocess.PIPE if into == "pipe" else file
        done = subprocess.run([sys.executable, "-c", SHOW], stdin=screen, stdout=out, check=True, text=True,
                              cwd=Path(__file__).parent)  # fmt: skip
    os.close(screen), os.close(typed)
    text = done.stdout if into == "pipe" else (tmp_path / "out").read_text()
    assert text == terminal.render(realistic(), width)
