"""Text -> syntax tree, for conditions and patterns alike: Python's syntax, read by `ast` and never run."""

from __future__ import annotations

import ast
import re
import warnings
from typing import NoReturn

from nllcheck.errors import NllcheckError

LONGEST = 1000  # characters
DEEPEST = 40  # nested operations


class TextError(NllcheckError):
    """An error at one place of a text; `column` counts characters from 1, in the text as one line."""

    def __init__(self, text: str, column: int, message: str, hint: str = "") -> None:
        self.text = one_line(text)
        self.column = column
        super().__init__(message, where=f"column {column} of `{self.text}`", hint=hint)


def read(text: str) -> ast.expr:
    """The syntax tree of one expression (it may run over lines), within the bounds on length and depth."""
    if len(text) > LONGEST:
        fail(text[:LONGEST], LONGEST, f"the expression is longer than {LONGEST} characters")
    try:
        with warnings.catch_warnings(action="ignore"):  # of odd escapes in strings, which end up as they are
            tree = ast.parse(one_line(text), mode="eval").body
    except SyntaxError as error:
        fail(text, max((error.offset or 1) - 1, 0), f"cannot read the expression: {error.msg}")
    except ValueError as error:
        fail(text, 0, f"cannot read the expression: {error}")
    except (MemoryError, RecursionError):  # what these say differs between versions of Python
        fail(text, 0, "cannot read the expression: nested too deeply")
    _bound(text, tree, DEEPEST)
    return tree


def fail(text: str, at: ast.expr | int, message: str, hint: str = "") -> NoReturn:
    """Raise TextError that points at a node (or a 0-based place) of `text`."""
    flat = one_line(text)
    column = at if isinstance(at, int) else len(flat.encode()[: at.col_offset].decode(errors="ignore"))
    raise TextError(flat, column + 1, message, hint)


def one_line(text: str) -> str:
    """Every white space a blank: places in the result are places in the text, but for blanks at its ends."""
    return re.sub(r"\s", " ", text).strip()


def _bound(text: str, node: ast.expr, left: int) -> None:
    if not left:
        fail(text, node, f"nested more than {DEEPEST} deep")
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            _bound(text, child, left - 1)
