"""A function that brings its own backward, as an op of the graph: its value is what its forward made, its gradient is
what its backward makes of the numbers that the forward kept.

The ops of the forward stay in the graph, as they were dispatched; the op stands at their end and no gradient passes it.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
import torch.utils._pytree as pytree

from nllcheck.capture.lines import Frame, Mark
from nllcheck.capture.mode import Watching
from nllcheck.capture.sites import freeze, is_own

_APPLY = torch.autograd.function.BackwardCFunction.apply.__code__


_derived: list[type] = []


@contextlib.contextmanager
def derived(function: type) -> Iterator[None]:
    """Meanwhile the ops of this function have the derivative of their forward."""
    _derived.append(function)
    try:
        yield
    finally:
        _derived.pop()


@dataclass(frozen=True, slots=True)
class Kept:
    """Stands for a tensor among what a function's context holds: the place of its value among an op's arguments."""

    place: int


class Context:
    """What a function's `backward` is handed: the attributes that its `forward` set, and what it saved."""

    def __init__(self, held: dict[str, Any], saved: tuple[Any, ...], needs_input_grad: tuple[bool, ...]) -> None:
        self.__dict__.update(held)
        self.saved_tensors, self.needs_input_grad = saved, needs_input_grad


class _Lines(Watching):
    """Notes for a tracer which of the user's lines makes each op of a backward."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        note = fx_traceback.current_meta.get("custom")
        mark = mark_in_backward() if note is not None else None
        if note is None or mark is None:
            return func(*args, **(kwargs or {}))
        fx_traceback.current_meta["custom"] = {**note, "mark": mark}
        try:
            return func(*args, **(kwargs or {}))
        finally:
            fx_traceback.current_meta["custom"] = note


def mark_in_backward() -> Mark | None:
    """The mark of the op being dispatched now, if a `backward` that somebody wrote runs it; None for torch's own."""
    frame = sys._getframe(1).f_back  # none in a thread of the autograd engine, where a GPU runs its backward
    own: list[Frame] = []
    while frame is not None and frame.f_code is not _APPLY:
        own += [freeze(frame)] if is_own(frame) else []
        frame = frame.f_back
    return Mark(tuple(own), False, torch.is_grad_enabled(), False) if frame is not None and own else None


class _Own(torch.autograd.Function):
    """`apply(op, *outputs, *inputs, *kept)`: the outputs, with the gradients of the op's own backward."""

    @staticmethod
    def forward(ctx: Any, op: OwnBackward, *tensors: Any) -> tuple[torch.Tensor, ...]:  # type: ignore[override]
        ctx.op, ctx.kept = op, tensors[op.results + len(op.inputs) :]
        outputs = tuple(torch.ops.aten.alias.default(t) for t in tensors[: op.results])
        ctx.mark_non_differentiable(*(o for o, d in zip(outputs, op.has_slope, strict=True) if not d))
        return outputs

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Any, ...]:
        op = ctx.op
        needs = ctx.needs_input_grad[1 + op.results :][: len(op.inputs)]
        found = op.gradients(ctx.kept, needs, grads)
        return (None, *[None] * op.results, *found, *[None] * len(ctx.kept))


class OwnBackward:
    """The op: `op(*outputs, *inputs, *kept) -> outputs`, one tensor where there is one output.

    `inputs`: the places of the tensors among the function's arguments, of which there are `arguments`. `held`: the
    leaves of `spec`, which is the context's attributes and what it saved, with `Kept` for tensors. `is_derivative`: is
    the backward the derivative of the forward, as far as that was tried?
    """

    __name__ = "own_backward"
    tags: tuple[Any, ...] = ()

    def __init__(
        self,
        function: type,
        has_slope: Sequence[bool],
        inputs: Sequence[int],
        arguments: int,
        held: Sequence[Any],
        spec: pytree.TreeSpec,
    ) -> None:
        self.function, self.has_slope, self.results = function, tuple(has_slope), len(has_slope)
        self.is_derivative = False
        self.inputs, self.arguments, self.held, self.spec = tuple(inputs), arguments, tuple(held), spec

    def __call__(self, *tensors: torch.Tensor) -> Any:
        if self.function in _derived or not torch.is_grad_enabled():
            outputs = tensors[: self.results]
        else:
            outputs = _Own.apply(self, *tensors)  # type: ignore[no-untyped-call]
        return outputs[0] if self.results == 1 else outputs

    def __str__(self) -> str:
        return "nllcheck.own_backward.default"

    def gradients(self, kept: Sequence[torch.Tensor], needs: Sequence[bool], grads: Sequence[Any]) -> list[Any]:
        """Of each tensor among the arguments: what the function's own backward says."""
        leaves = [kept[leaf.place] if isinstance(leaf, Kept) else leaf for leaf in self.held]
        held, saved = pytree.tree_unflatten(leaves, self.spec)
        wanted = [False] * self.arguments
        for place, need in zip(self.inputs, needs, strict=True):
            wanted[place] = need
        with _Lines():
            found = self.function.backward(Context(held, saved, tuple(wanted)), *grads)  # type: ignore[attr-defined]
        every = found if isinstance(found, tuple) else (found,)
        return [every[place] if place < len(every) else None for place in self.inputs]
