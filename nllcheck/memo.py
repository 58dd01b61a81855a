"""Results kept for one check: who asks again gets the same answer, and when the check is done all of it goes.

Kept any longer, a process that checks many losses would hold the graphs and batches of dozens of them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
_KEPT: list[Any] = []


def remembered(maxsize: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """`functools.lru_cache` until `forget` is called. The arguments are hashable."""

    def wrap(function: Callable[P, R]) -> Callable[P, R]:
        kept: Callable[..., R] = functools.lru_cache(maxsize)(function)
        _KEPT.append(kept)

        @functools.wraps(function)
        def asked(*args: P.args, **kwargs: P.kwargs) -> R:
            given: tuple[Hashable, ...] = args
            return kept(*given, **kwargs)

        return asked

    return wrap


def forget() -> None:
    """Drop everything that was kept."""
    for kept in _KEPT:
        kept.cache_clear()
