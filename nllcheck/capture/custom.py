"""Functions that bring their own backward: while a program is traced, each is noted as an op of its own (see `own`)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.capture.own import Kept, OwnBackward
from nllcheck.capture.sites import own_forward
from nllcheck.capture.tracer import recording

_Context = torch.autograd.function.FunctionCtx


@contextlib.contextmanager
def custom_functions() -> Iterator[list[str]]:
    """Names of the `autograd.Function`s applied meanwhile, torch's own left out."""
    met: list[str] = []
    saved: dict[int, tuple[Any, ...]] = {}
    plain, save = torch.autograd.Function.__dict__["apply"], _Context.save_for_backward

    def apply(cls: Any, *args: Any, **kwargs: Any) -> Any:
        own_forward.append(own_forward[-1] if own_forward else torch.is_grad_enabled())
        try:
            result = plain.__get__(None, cls)(*args, **kwargs)
        finally:
            own_forward.pop()
        if cls.__module__.startswith(("torch.", "nllcheck.")):
            return result
        met.append(cls.__qualname__)
        return _as_one_op(cls, args, result, saved)

    def save_for_backward(self: Any, *tensors: Any) -> None:
        saved[id(self)] = tensors
        save(self, *tensors)

    torch.autograd.Function.apply = classmethod(apply)  # type: ignore[assignment,method-assign]
    _Context.save_for_backward = save_for_backward  # type: ignore[method-assign]
    try:
        yield met
    finally:
        torch.autograd.Function.apply = plain  # type: ignore[method-assign]
        _Context.save_for_backward = save  # type: ignore[method-assign]


def _as_one_op(function: Any, args: tuple[Any, ...], result: Any, saved: dict[int, tuple[Any, ...]]) -> Any:
    """The function's results, from now on those of an op with its backward, where one is being recorded."""
    outputs = result if isinstance(result, tuple) else (result,)
    record = recording()
    made = [getattr(o, "grad_fn", None) for o in outputs]
    context = next((m for m in made if isinstance(m, function._backward_cls)), None)
    if record is None or context is None or not all(isinstance(o, torch.Tensor) for o in outputs):
        return result
    inputs = [i for i, a in enumerate(args) if isinstance(a, torch.Tensor)]
    own, spec = pytree.tree_flatten((dict(vars(context)), saved.pop(id(context), ())))
    kept = [value for value in own if isinstance(value, torch.Tensor)]
    places = iter(range(len(kept)))
    marked = [Kept(next(places)) if isinstance(value, torch.Tensor) else value for value in own]
    op = OwnBackward(function, [o.requires_grad for o in outputs], inputs, len(args), marked, spec)
    shown = record.as_op(op, outputs, [args[i] for i in inputs], kept)
    return shown if isinstance(result, tuple) else shown[0]
