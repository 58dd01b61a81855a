"""What a line of the user's code says about an op: where it stands, and which variable it is assigned to."""

from __future__ import annotations

import ast
import functools
import linecache
from dataclasses import dataclass

from nllcheck.types import Site

Span = tuple[int, int, int, int]  # line, end line, column, end column; columns in bytes, as Python counts


@dataclass(frozen=True, slots=True)
class Frame:
    """One user frame while an op ran: where in the file, and which call of the function it was."""

    path: str
    function: str
    span: Span
    call: int  # identity of the frame object: tells two calls of one function apart


@dataclass(frozen=True, slots=True)
class Mark:
    """What is noted for every op: the user's frames (innermost first) and the state around it."""

    frames: tuple[Frame, ...]
    in_model: bool
    grad_enabled: bool
    inplace: bool
    output: str = ""  # "output", "output.mu": the model hands this value to the loss
    inside: tuple[str, ...] = ()  # the library's functions between the op and the user's line, innermost first
    within: Frame | None = None  # where that is in the code of an installed package
    meant: str = ""  # the rule name of the op for which others stand, of which this is the last


def site_of(frames: tuple[Frame, ...], variable: str | None = None) -> Site | None:
    """The report's `Site` of an op: its innermost user frame, with the expression's columns in that line."""
    if not frames:
        return None
    frame = frames[0]
    text = linecache.getline(frame.path, frame.span[0]).rstrip("\n")
    return Site(frame.path, frame.span[0], frame.function, variable, text.strip(), _columns(text, frame.span))


def _columns(text: str, span: Span) -> tuple[int, int] | None:
    """The expression's columns within the stripped line; an expression over several lines ends with the first."""
    line, end_line, start, end = span
    if start < 0:
        return None
    raw = text.encode()
    stop = len(raw.rstrip()) if end_line != line else end
    indent = len(text) - len(text.lstrip())
    left = len(raw[:start].decode(errors="ignore")) - indent
    right = len(raw[:stop].decode(errors="ignore")) - indent
    return (left, right) if 0 <= left < right else None


@functools.lru_cache(maxsize=256)
def assignments(path: str) -> dict[Span, tuple[str, ...]]:
    """Spans of assigned expressions in a file -> the names they are assigned to.

    `rho = torch.tanh(x)` maps the span of `torch.tanh(x)` to ('rho',); `a, b = f(x)` maps to ('a', 'b').
    """
    try:
        tree = ast.parse("".join(linecache.getlines(path)))
    except (SyntaxError, ValueError):
        return {}
    found: dict[Span, tuple[str, ...]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            names = _names(node.targets[0])
        elif isinstance(node, (ast.AnnAssign, ast.AugAssign)) and isinstance(node.target, ast.Name):
            names = (node.target.id,)
        else:
            continue
        if names and node.value is not None:
            found[_span(node.value)] = names
            if isinstance(node, ast.AugAssign):
                found[_span(node)] = names
    return found


def _names(target: ast.expr) -> tuple[str, ...]:
    if isinstance(target, ast.Name):
        return (target.id,)
    if isinstance(target, ast.Attribute):
        return (target.attr,)
    if isinstance(target, ast.Tuple) and all(isinstance(e, ast.Name) for e in target.elts):
        return tuple(e.id for e in target.elts if isinstance(e, ast.Name))
    return ()


def _span(node: ast.expr | ast.stmt) -> Span:
    return (node.lineno, node.end_lineno or node.lineno, node.col_offset, node.end_col_offset or -1)


def variables(marks: list[Mark | None], selecting: list[bool]) -> list[str | None]:
    """The user's variable name of every op, given the marks in program order.

    The last op dispatched under an assigned expression (in one call of its function) is the value that is
    assigned; `a, b = x.chunk(2)` names the selecting ops of that expression one by one.
    """
    names: list[str | None] = [None] * len(marks)
    under: dict[tuple[str, Span, int], list[int]] = {}
    for i, mark in enumerate(marks):
        for frame in mark.frames if mark else ():
            under.setdefault((frame.path, frame.span, frame.call), []).append(i)
    for (path, span, _), ops in under.items():
        for i, name in _named(assignments(path).get(span, ()), ops, selecting):
            names[i] = names[i] or name
    return names


def _named(targets: tuple[str, ...], ops: list[int], selecting: list[bool]) -> list[tuple[int, str]]:
    if len(targets) == 1:
        return [(ops[-1], targets[0])]
    parts = [i for i in ops if selecting[i]]
    if targets and len(parts) >= len(targets):
        return list(zip(parts[-len(targets) :], targets, strict=True))
    return []
