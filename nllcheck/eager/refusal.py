"""One run of the user's function that is asked one thing: does it raise? And what is said of one that does."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch

from nllcheck.capture.mode import OfFunctionsError
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.program import Program
from nllcheck.capture.sites import SiteMode
from nllcheck.eager.record import Override, starts_of
from nllcheck.errors import NllcheckError
from nllcheck.sweep.place import place
from nllcheck.types import Axis


class _Counter(SiteMode):
    """Only counts the ops, to put a value in place of what one of them gives."""

    def __init__(self, place: int, override: Override) -> None:
        super().__init__()
        self.left, self.override = place, override

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        self.left -= 1
        return self.override(result) if self.left == -1 else result


def refused(
    program: Program, seed: int, tensors: Sequence[torch.Tensor], moved: tuple[int, Override] | None = None
) -> bool:
    """Does the forward pass raise, with distributions checking their arguments? No op is noted, which is a tenth of
    the time. `moved` is the position of an op among those that run, and what becomes of its output."""
    mode = _Counter(*moved) if moved else None
    starts = starts_of(program, tensors)
    try:
        watched = mode.watching(program.model) if mode else nullcontext()
        with quiet_numerics(seed, validates=True), torch.enable_grad(), watched:
            float(program.call(*starts).detach())
    except Exception:  # whatever the user's code raises
        return True
    return False


def placing(axis: Axis, point: torch.Tensor) -> Override:
    """What becomes of an op's output with the axis at a point (0-d)."""
    return lambda out: place(axis, out, point.to(out.dtype))[0]


def refusal_of(error: Exception) -> NllcheckError:
    """What is said of a loss that the batch itself does not get through, with its gradient."""
    text = (str(error).strip() or "no message").splitlines()[0]
    if isinstance(error, NotImplementedError) and "derivative" in text:
        hint = "what is data needs none: hand it to the loss with the targets, check_function(..., target=(...))"
        return NllcheckError(f"torch has no gradient for all that this loss reads: {text.rstrip('.')}", hint=hint)
    if isinstance(error, OfFunctionsError):
        return NllcheckError(text, hint="torch.where, or a plain `if` on a number, says the same")
    message = f"the loss cannot be followed op by op: {type(error).__name__}: {text}"
    return NllcheckError(message, hint="please report this loss; the model in eval mode or float32 may get further")
