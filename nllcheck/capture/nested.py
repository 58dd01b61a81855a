"""Losses that take a gradient themselves (a gradient penalty), and functions that bring their own backward."""

from __future__ import annotations

import contextlib
import linecache
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any

import torch
from torch import fx

from nllcheck.capture.sites import Frame, Mark, freeze, is_own, own_forward

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
            return plain.__func__(cls, *args, **kwargs)
        finally:
            own_forward.pop()

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[assignment,method-assign]
    try:
        yield met
    finally:
        torch.autograd.Function.apply = plain  # type: ignore[method-assign]


def without_saved(module: fx.GraphModule) -> fx.GraphModule:
    """The graph of a loss with a gradient inside, without the `detach`es by which autograd keeps values for later.

    They cut the second derivative off in the graph, as they do not in torch; those that the source spells stay.
    """
    for node in list(module.graph.nodes):
        if node.target is torch.ops.aten.detach.default and not _is_spelled(node):
            node.replace_all_uses_with(node.args[0])
    return module


def _is_spelled(node: fx.Node) -> bool:
    mark: Mark | None = (node.meta.get("custom") or {}).get("mark")
    frames = mark.frames[:1] if mark else ()
    lines = [linecache.getline(f.path, n) for f in frames for n in range(f.span[0], f.span[1] + 1)]
    return any(word in line for line in lines for word in ("detach", ".data"))


def mark_in_backward() -> Mark | None:
    """The mark of the op being dispatched now, if a `backward` that somebody wrote runs it; None for torch's own."""
    frame: FrameType | None = sys._getframe(2)
    own: list[Frame] = []
    while frame is not None and frame.f_code is not _APPLY:
        own += [freeze(frame)] if is_own(frame) else []
        frame = frame.f_back
    return Mark(tuple(own), False, torch.is_grad_enabled(), False) if frame is not None and own else None
