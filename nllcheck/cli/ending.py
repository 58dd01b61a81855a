"""How a command ends: whatever was raised, one clear block on standard error and an exit code."""

from __future__ import annotations

import errno
import os
import signal
import sys
import sysconfig
import textwrap
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path

from nllcheck.errors import NllcheckError

_PACKAGE = str(Path(__file__).resolve().parents[1])
_NOT_THE_USERS = (_PACKAGE, sysconfig.get_path("stdlib"), sysconfig.get_path("purelib"), "<frozen")
_NO_MEMORY = NllcheckError(
    "out of memory, so nothing was concluded", hint="lower --memory or --points, or take a smaller batch", exit_code=4
)
_LOOP = "Symlink loop from "
_pressed: list[int] = []  # Ctrl-C of this command


@contextmanager
def remembering_ctrl_c() -> Iterator[None]:
    """Imports swallow a KeyboardInterrupt, or turn it into an ImportError; what was pressed still counts."""
    _pressed.clear()
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler:  # ignored on purpose, as under nohup
        yield
        return
    signal.signal(signal.SIGINT, _remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _remember(number: int, frame: object) -> None:
    _pressed.append(number)
    raise KeyboardInterrupt


def heard() -> None:
    """Ctrl-C was dealt with where it was pressed: the command goes on to its own end."""
    _pressed.clear()


def code_of(error: BaseException) -> int:
    """Tell the user what ended the command; the exit code that goes with it."""
    if _pressed or isinstance(error, KeyboardInterrupt):
        return _told("interrupted", 130)
    if isinstance(error, SystemExit):
        return _left(error)
    if isinstance(error, BrokenPipeError):
        return 4  # not that of a result, which `output.results` deals with: nobody knows how far it came
    if isinstance(error, NllcheckError):
        return _told(block(error), error.exit_code)
    if isinstance(error, RuntimeError) and str(error).startswith(_LOOP):  # Path.resolve before Python 3.13
        return _told(block(NllcheckError("this is a loop of links", where=str(error)[len(_LOOP) :].strip("'"))), 2)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):  # typer's own help, for one
        return _told(block(NllcheckError(f"cannot write: {os.strerror(error.errno)}")), 2)
    if _debugging():
        traceback.print_exception(error)
    elif _is_memory(error):
        return _told(block(_NO_MEMORY), _NO_MEMORY.exit_code)
    return _told(_internal(error), 3)


@contextmanager
def users_code() -> Iterator[None]:
    """Where code of the user runs: what it prints goes to standard error, and it cannot end the program."""
    try:
        with redirect_stdout(sys.stderr):
            yield
        if _pressed:
            raise KeyboardInterrupt
    except SystemExit as error:
        message = f"the project's own code ended the program: sys.exit({error.code if error.code is not None else ''})"
        hint = "what a script does belongs under: if __name__ == '__main__'"
        raise NllcheckError(message, where=_users_line(error), hint=hint) from None


def block(error: NllcheckError) -> str:
    """An error as it is printed: what, where, what to do."""
    lines = [f"error: {error.message}"]
    lines += [f"  at   {error.where}"] if error.where else []
    lines += [f"  hint {error.hint}"] if error.hint else []
    return "\n".join(lines)


def _left(error: SystemExit) -> int:
    """typer has printed what there was to print, except that it leaves Ctrl-C without a word."""
    code = error.code if isinstance(error.code, int) else int(error.code is not None)
    return _told("interrupted", 130) if code == 130 else code


def _told(text: str, code: int) -> int:
    with suppress(OSError, ValueError):  # nobody is left to be told
        wide = os.get_terminal_size(sys.stderr.fileno()).columns if sys.stderr.isatty() else 0
        print(wrapped(text, wide) if wide else text, file=sys.stderr, flush=True)
    return code


def wrapped(text: str, width: int) -> str:
    """Each line broken between words to `width` cells, what is left over under its beginning; places stay whole."""
    return "\n".join(row for line in text.splitlines() for row in _rows(line, width))


def _rows(line: str, width: int) -> list[str]:
    if line.startswith("  at ") or not line:
        return [line]
    under = " " * 7 if line.startswith(("error: ", "  hint ")) else ""
    return textwrap.wrap(line, width, subsequent_indent=under, break_long_words=False, break_on_hyphens=False)


def _is_memory(error: BaseException) -> bool:
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate mem" in str(error)
    )


def _debugging() -> bool:
    return os.environ.get("NLLCHECK_DEBUG", "0") not in ("", "0")


def _internal(error: BaseException) -> str:
    text = (str(error).strip().splitlines() or [""])[0][:200]
    return (
        f"internal error: {type(error).__name__}: {text}\n  at   {_place(error)}\n"
        "  hint please report this, with the command; NLLCHECK_DEBUG=1 shows the traceback"
    )


def _place(error: BaseException) -> str:
    """The innermost frame, and the innermost of nllcheck's own if that is another."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if f.filename.startswith(_PACKAGE)]
    names = [f"{Path(f[-1].filename).name}:{f[-1].lineno}" for f in (frames, own) if f]
    return ", called from ".join(dict.fromkeys(names)) or "an unknown place"


def _users_line(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_NOT_THE_USERS) and "site-packages" not in f.filename]
    return f"{own[-1].filename}:{own[-1].lineno}" if own else ""
