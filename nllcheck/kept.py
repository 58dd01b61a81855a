"""A check leaves the user's objects as they were: model, criteria, and what else the loss writes to."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.parameter import is_lazy

from nllcheck.companions import attributes_kept
from nllcheck.target import Target


@contextmanager
def all_left(target: Target) -> Iterator[None]:
    """Model, criteria and what else the loss holds are afterwards as they were."""
    with contextlib.ExitStack() as stack:
        for module in _modules(target):
            stack.enter_context(left_as_it_is(module))
        stack.enter_context(attributes_kept(holders_of(target)))
        yield


def _modules(target: Target) -> list[torch.nn.Module]:
    return [*([] if target.model is None else [target.model]), *(one.module for one in target.held.modules)]


def holders_of(target: Target, model: torch.nn.Module | None = None) -> list[Any]:
    """Every object with attributes that the loss's code may write to; `model`: a copy that stands for the target's."""
    roots = [*([] if model is None else [model]), *_modules(target)]
    modules = [m for root in roots if not isinstance(root, torch.jit.ScriptModule) for m in root.modules()]
    return list({id(one): one for one in (*modules, *target.held.objects)}.values())


@contextmanager
def left_as_it_is(model: torch.nn.Module | None) -> Iterator[None]:
    """Moves of the model, in place as torch's are, are taken back: it gets the numbers that it had, not these cast."""
    had = {} if model is None else {name: t.data for name, t in _tensors(model).items()} | dict(model.named_buffers())
    try:
        yield
    finally:
        pairs = [(t, had[name]) for name, t in _tensors(model).items() if name in had] if model is not None else []
        if model is not None and any((t.device, t.dtype) != (was.device, was.dtype) for t, was in pairs):
            own = {id(t): was for t, was in pairs}
            model._apply(lambda t: own.get(id(t), t))


@contextmanager
def buffers_kept(target: Target) -> Iterator[None]:
    """What a forward pass in train mode counts, as batch norm does, is taken back: objects and numbers."""
    modules = [m for root in _modules(target) for m in root.modules()]
    had = [(m, name, t, t.detach().clone()) for m in modules for name, t in m.named_buffers(recurse=False)
           if not is_lazy(t) and t.layout == torch.strided]  # fmt: skip
    try:
        yield
    finally:
        for module, name, t, value in had:
            with torch.no_grad():
                kept = t if torch.equal(t, value) else t.copy_(value)
            if not isinstance(module, torch.jit.ScriptModule):
                module._buffers[name] = kept


def _tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Weights, buffers and their gradients, by name; what a lazy module has yet to make is none."""
    named = (*model.named_parameters(), *model.named_buffers())
    own = {name: t for name, t in named if not is_lazy(t)}
    return own | {f"{name}, gradient": t.grad for name, t in own.items() if t.is_leaf and t.grad is not None}
