"""A report as text and back, whole: for the cache, and from one process to another."""

from __future__ import annotations

import json
import types
from array import array
from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nllcheck.report import Report


def encode(report: Report) -> Any:
    """JSON values, NaN and infinities as Python's `json` writes them."""
    return _plain(report)


def decode(content: Any) -> Report:
    """The report that `encode` took. Raises ValueError for anything else."""
    try:
        made: Report = _made(Report, content)
    except (KeyError, TypeError, IndexError, AttributeError) as error:
        raise ValueError(f"no stored report: {error!r}") from None
    return made


def dumps(content: Any) -> str:
    return json.dumps(content, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, (tuple, array)):
        return list(value) if all(type(item) in (float, str, int) for item in value) else [_plain(v) for v in value]
    return value


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


def _made(kind: Any, value: Any) -> Any:
    """`value` as `kind`; what does not fit is refused."""
    origin, inner = get_origin(kind), get_args(kind)
    if is_dataclass(kind) and isinstance(kind, type):
        if set(value) != set(_hints(kind)):
            raise ValueError(f"no stored {kind.__name__}")
        return kind(**{name: _made(hint, value[name]) for name, hint in _hints(kind).items()})
    if origin in (Union, types.UnionType):
        return None if value is None else _made(next(one for one in inner if one is not type(None)), value)
    if origin is tuple:
        return _tuple(inner, value)
    if origin is Sequence:
        column = _tuple((*inner, ...), value)
        return array("d", column) if column and inner[0] is float else column
    return _checked(kind, inner if origin is Literal else None, value)


def _tuple(inner: tuple[Any, ...], value: Any) -> tuple[Any, ...]:
    if not isinstance(value, list):
        raise ValueError("no stored tuple")
    if inner[-1] is not ...:
        return tuple(_made(kind, one) for kind, one in zip(inner, value, strict=True))
    if inner[0] is float and all(type(one) in (float, int) for one in value):
        return tuple(map(float, value))
    return tuple(_made(inner[0], one) for one in value)


def _checked(kind: Any, allowed: tuple[Any, ...] | None, value: Any) -> Any:
    fits = value in allowed if allowed else type(value) is kind or (kind is float and type(value) is int)
    if not fits:
        raise ValueError(f"{value!r} is not stored {kind}")
    return float(value) if kind is float else value
