"""Every way to end has its exit code and one clear block: never a traceback, never a silent success."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nllcheck import cli
from nllcheck.cli import ending
from nllcheck.errors import NllcheckError

FIXTURES = Path(__file__).parents[2] / "fixtures"
STABLE = str(FIXTURES / "softmax_cross_entropy" / "stable.pt")


class OutOfMemoryError(RuntimeError):
    """Named as torch's own."""


RAISED = {
    "ours": (
        NllcheckError("no such axis", where="x.py:3", hint="name another"),
        2,
        "error: no such axis\n  at   x.py:3",
    ),
    "ours with its code": (NllcheckError("not evaluated", exit_code=4), 4, "error: not evaluated"),
    "unexpected": (RuntimeError("boom\nand more"), 3, "internal error: RuntimeError: boom\n  at   test_ending.py:"),
    "unexpected without words": (AssertionError(), 3, "internal error: AssertionError"),
    "markup": (RuntimeError("[red]x[/nan]"), 3, "[red]x[/nan]"),
    "memory": (MemoryError(), 4, "out of memory"),
    "memory of a device": (OutOfMemoryError("CUDA"), 4, "out of memory"),
    "memory of the host": (RuntimeError("DefaultCPUAllocator: can't allocate memory"), 4, "out of memory"),
    "ctrl-c": (KeyboardInterrupt(), 130, "interrupted\n"),
    "ctrl-c in typer": (SystemExit(130), 130, "interrupted\n"),
    "closed pipe": (BrokenPipeError(errno.EPIPE, "Broken pipe"), 4, ""),
    "links in a loop": (
        RuntimeError("Symlink loop from '/a/b.py'"),
        2,
        "error: this is a loop of links\n  at   /a/b.py\n",
    ),
    "full disk": (OSError(errno.ENOSPC, "x"), 2, "error: cannot write: No space left on device\n"),
    "findings": (SystemExit(1), 1, ""),
}


def raising(error: BaseException):
    def command():
        raise error

    return command


@pytest.mark.parametrize("case", RAISED)
def test_what_was_raised_becomes_a_block_and_a_code(monkeypatch, call, case):
    error, code, words = RAISED[case]
    monkeypatch.delenv("NLLCHECK_DEBUG", raising=False)
    monkeypatch.setattr(cli, "app", raising(error))
    found, out, err = call("run")
    assert (found, out) == (code, "")
    assert words in err if words else not err
    assert "Traceback" not in err


def test_debugging_shows_the_traceback_and_keeps_the_code(monkeypatch, call):
    monkeypatch.setenv("NLLCHECK_DEBUG", "1")
    monkeypatch.setattr(cli, "app", raising(RuntimeError("boom")))
    code, _, err = call("run")
    assert code == 3 and "Traceback" in err and "internal error: RuntimeError: boom" in err


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_that_an_import_swallowed_still_counts(monkeypatch, call):
    def swallowing():
        try:
            os.kill(os.getpid(), signal.SIGINT)
            signal.pause()
        except KeyboardInterrupt:
            raise ImportError("cannot load module more than once per process") from None

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(cli, "app", swallowing)
    code, _, err = call("run")
    assert (code, err) == (130, "interrupted\n")
    assert signal.getsignal(signal.SIGINT) is before


ENDS = {  # each at line 3
    "while it is imported": "import sys\n\nsys.exit(0)\n",
    "while it is called": "import sys\ndef nll(o, t):\n    sys.exit(0)\n",
    "in the standard library": "import argparse\np = argparse.ArgumentParser()\np.error('x')\n",
}


@pytest.mark.parametrize("case", ENDS)
def test_a_loss_that_ends_the_program_is_no_success(call, tmp_path, case):
    place = tmp_path / "ends.py"
    place.write_text(ENDS[case])
    code, out, err = call("run", STABLE, "--loss", f"{place}:nll")
    assert (code, out) == (2, "")
    assert "sys.exit" in err and f"  at   {place}:3\n" in err and "__main__" in err


def test_what_a_loss_prints_stays_out_of_the_result(call, tmp_path):
    place = tmp_path / "prints.py"
    place.write_text("def nll(o, t):\n    print('hello')\n    return (o**2).mean()\n")
    _, out, err = call("run", STABLE, "--loss", f"{place}:nll", "--format", "json")
    assert out.startswith("{") and "hello" not in out and "hello" in err


def shell(line: str) -> subprocess.CompletedProcess:
    return subprocess.run(["bash", "-c", f"set -o pipefail; {line}"], capture_output=True, text=True, check=False)


def test_closed_pipe_is_silent_and_keeps_the_code(tmp_path):
    done = shell(f"{sys.executable} -m nllcheck rules show NLL301 | true")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_full_disk_is_told_once():
    done = shell(f"{sys.executable} -m nllcheck rules list > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "error: cannot write: No space left on device\n  at   standard output\n"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no full device here")
def test_remarks_that_nobody_can_read_change_nothing(tmp_path):
    place = tmp_path / "loud.py"
    place.write_text("def nll(o, t):\n    return (o**2).mean()\n")
    done = shell(
        f"{sys.executable} -m nllcheck run {STABLE} --loss {place}:nll --timings -q --effort quick 2> /dev/full"
    )
    assert done.returncode == 0 and done.stdout.startswith("ok ")


def test_the_help_on_a_full_disk_is_an_error_as_any():
    done = shell(f"{sys.executable} -m nllcheck --help > /dev/full")
    assert (done.returncode, done.stderr) == (2, "error: cannot write: No space left on device\n")


PRESSED_EARLY = """
import signal, sys
from nllcheck import __main__
class Finder:
    def find_spec(self, name, *_):
        if name == "nllcheck.cli":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Finder())
{before}
sys.argv[1:] = ["--version"]
__main__.main()
"""


@pytest.mark.parametrize(
    ("before", "code", "err"),
    [("", 130, "interrupted\n"), ("signal.signal(signal.SIGINT, signal.SIG_IGN)", 0, "")],
    ids=["pressed", "ignored on purpose"],
)
def test_ctrl_c_while_the_command_line_is_imported(before, code, err):
    program = [sys.executable, "-c", PRESSED_EARLY.format(before=before)]
    done = subprocess.run(program, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (code, err)


@pytest.mark.parametrize("width", [40, 60, 80])
def test_a_block_breaks_between_words_and_leaves_paths_whole(width):
    path = "/a/very/long/way/that/nobody/wants/to/see/broken/model.pt"
    error = NllcheckError("this is no checkpoint, " * 5, where=path, hint="expected a torch.save file, " * 6)
    lines = ending.wrapped(ending.block(error), width).splitlines()
    assert all(len(line) <= width or path in line for line in lines)
    assert all(line.startswith(("error: ", "  at   ", "  hint ", " " * 7)) for line in lines)
    assert " ".join(" ".join(lines).split()) == " ".join(ending.block(error).split())
    assert any(path in line for line in lines)
