"""Functions that bring their own backward."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

import torch

from nllcheck.capture.lines import Frame, Mark
from nllcheck.capture.sites import freeze, is_own, own_forward

_APPLY = torch.autograd.function.BackwardCFunction.apply.__code__


@contextlib.contextmanager
def custom_functions() -> Iterator[list[str]]:
    """Names of the `autograd.Function`s applied meanwhile, torch's own left out."""
    met: list[str] = []
    plain = torch.autograd.Function.__dict__["apply"]

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        met.extend([] if cls.__module__.startswith("torch.") else [cls.__qualname__])
        own_forward.append(torch.is_grad_enabled())
        try:
            return plain.__get__(None, cls)(*args, **kwargs)
        finally:
            own_forward.pop()

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[assignment,method-assign]
    try:
        yield met
    finally:
        torch.autograd.Function.apply = plain  # type: ignore[method-assign]


def mark_in_backward() -> Mark | None:
    """The mark of the op being dispatched now, if a `backward` that somebody wrote runs it; None for torch's own."""
    frame = sys._getframe(1).f_back  # none in a thread of the autograd engine, where a GPU runs its backward
    own: list[Frame] = []
    while frame is not None and frame.f_code is not _APPLY:
        own += [freeze(frame)] if is_own(frame) else []
        frame = frame.f_back
    return Mark(tuple(own), False, torch.is_grad_enabled(), False) if frame is not None and own else None
