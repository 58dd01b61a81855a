"""The one exception a user may see, and a switch that shows us our own mistakes."""

from __future__ import annotations

import os
from pathlib import Path

_PACKAGE = str(Path(__file__).parent) + os.sep
_MISTAKES = (TypeError, AttributeError, NameError, KeyError, AssertionError)  # torch raises IndexError, too


class NllcheckError(Exception):
    """An unusable input: what is wrong, where, and what to do about it.

    The command line prints it as one block and exits with `exit_code` (2, or 4 for something that was
    asked for and could not be evaluated); no traceback is shown.
    """

    def __init__(self, message: str, *, where: str = "", hint: str = "", exit_code: int = 2) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint
        self.exit_code = exit_code

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  hint: {self.hint}" if self.hint else head


def raise_own(error: Exception) -> None:
    """With NLLCHECK_DEBUG set, raise a mistake of this package where otherwise a way round it is taken.

    A check goes on without a stage that fails, since whatever a user's loss does may make it fail; a wrong name in
    our own code would hide behind that. The tests set the variable.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    ours = last is not None and last.tb_frame.f_code.co_filename.startswith(_PACKAGE)
    if ours and isinstance(error, _MISTAKES) and os.environ.get("NLLCHECK_DEBUG"):
        raise error


def did_you_mean(name: str, known: list[str] | tuple[str, ...] | set[str]) -> str:
    """A hint that names the closest of `known`, or lists them when none is close."""
    import difflib

    long = sorted(k for k in known if len(k) > 1)  # a single letter is half of many a name
    close = difflib.get_close_matches(name, long, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    shown = ", ".join(sorted(known)[:12])
    return f"known: {shown}" + (", …" if len(known) > 12 else "") if known else ""
