"""Losses that take a gradient themselves, as a gradient penalty does: traced with autograd at work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nllcheck.capture.mode import Watching

aten = torch.ops.aten
_CUTS = (torch.Tensor.detach, torch.Tensor.detach_, torch.detach)


def through_saved(program: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
    """The program, to be traced with autograd at work: the ops of its own backward passes can be differentiated."""

    def whole(*moved: torch.Tensor) -> torch.Tensor:
        cuts = _Cuts()
        with cuts, _Saved(cuts):
            return program(*moved)

    return whole


class _Cuts(TorchFunctionMode):
    """Knows whether the user's own `detach` is being called."""

    def __init__(self) -> None:
        super().__init__()
        self.now = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        before, self.now = self.now, func in _CUTS
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.now = before


class _Saved(Watching):
    """Autograd saves an op's own output (of tanh, exp) detached; run again, the derivative must reach it."""

    def __init__(self, cuts: _Cuts) -> None:
        super().__init__()
        self.cuts = cuts

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kept = func is aten.detach.default and not self.cuts.now
        return (aten.alias.default if kept else func)(*args, **(kwargs or {}))
