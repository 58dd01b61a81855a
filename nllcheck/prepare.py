"""The target on one device in one dtype, and a first plain look at its loss before anything clever happens."""

from __future__ import annotations

import contextlib
import math
import os
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.companions import Companion, Held
from nllcheck.devices import noise_kept
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.kept import buffers_kept
from nllcheck.target import Batch, Target, called_as, evaluate, term_names

_MUST_RUN = "model and loss must run on the batch before they can be checked"
DTYPES = {"float32": torch.float32, "float64": torch.float64, "float16": torch.float16, "bfloat16": torch.bfloat16}


@contextmanager
def quiet() -> Iterator[None]:
    """Without torch's remarks, on standard error and past Python's filters, on ops that have no rule for vmap."""
    switches: Any = torch._C._functorch
    switches._set_vmap_fallback_warning_enabled(False)
    try:
        yield
    finally:
        switches._set_vmap_fallback_warning_enabled(True)  # as torch has it; nothing tells how it was


def dtype_of(name: str | None) -> torch.dtype | None:
    """The torch dtype of a name; None stays None. Raises NllcheckError for other names."""
    if name is None or name in DTYPES:
        return DTYPES[name] if name else None
    raise NllcheckError(f"unknown dtype '{name}'", hint=did_you_mean(name, set(DTYPES)))


def prepared(target: Target, device: torch.device, dtype: torch.dtype | None) -> Target:
    """Model and batches on `device`; floating values in `dtype`, or in the model's own dtype when None."""
    model = target.model
    wanted = dtype or _dtype_of_model(model)
    batches = tuple(_moved(batch, device, wanted) for batch in target.batches)
    if isinstance(model, torch.jit.ScriptModule):
        model = model.to(device)  # its code may name its dtypes
    elif model is not None:
        model = model.to(device=device, dtype=dtype) if dtype else model.to(device)
    for companion in target.held.modules:
        companion.module.to(device=device, dtype=dtype) if dtype else companion.module.to(device)
    _refuse_empty(batches)
    return replace(target, model=model, batches=batches)


def _dtype_of_model(model: torch.nn.Module | None) -> torch.dtype | None:
    floats = [p.dtype for p in model.parameters() if p.is_floating_point()] if model is not None else []
    return floats[0] if floats else None


def _moved(batch: Batch, device: torch.device, dtype: torch.dtype | None) -> Batch:
    def move(value: torch.Tensor) -> torch.Tensor:
        wanted = dtype if value.is_floating_point() and dtype else value.dtype
        return value.detach().to(device=device, dtype=wanted).requires_grad_(value.requires_grad)

    return _changed(batch, move)


def _changed(batch: Batch, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
    """Every tensor changed, once: what the batch holds twice it still holds twice."""
    done: dict[int, torch.Tensor] = {}

    def move(value: Any) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        if id(value) not in done:
            done[id(value)] = change(value)
        return done[id(value)]

    fields = {f: pytree.tree_map(move, getattr(batch, f)) for f in ("args", "targets", "whole")}
    kwargs = {name: pytree.tree_map(move, value) for name, value in batch.kwargs.items()}
    return replace(batch, kwargs=kwargs, **fields)


def _refuse_empty(batches: tuple[Batch, ...]) -> None:
    if not batches:
        raise NllcheckError("no batch was given", hint="pass batch=(inputs, targets), or --batch FILE")
    for batch in batches:
        tensors = [t for t in pytree.tree_leaves((batch.args, dict(batch.kwargs), batch.targets)) if _is_tensor(t)]
        empty = [t for t in tensors if t.numel() == 0]
        if empty:
            shape = tuple(empty[0].shape)
            raise NllcheckError(
                f"{batch.name} is empty: it holds a tensor of shape {shape}", hint="give at least one row"
            )


def _is_tensor(value: Any) -> bool:
    return isinstance(value, torch.Tensor)


def first_look(target: Target, batch: Batch, seed: int) -> torch.Tensor:
    """The loss of one batch as training computes it. Raises NllcheckError with the user's line if that fails.

    It gets a copy: some losses write into their arguments.
    """
    call = _called(target, _changed(batch, torch.Tensor.clone))
    with noise_kept(), torch.enable_grad():
        torch.manual_seed(seed)
        loss = call()
    if not loss.requires_grad:
        _refuse_constant(target, batch)
    return loss.detach()


def _refuse_constant(target: Target, batch: Batch) -> None:
    """A loss without a gradient, for which backward() would raise: no report on it may say that all is well."""
    if target.model is None and not _has_floats(batch):
        raise NllcheckError("no floating point tensor reaches the loss", hint="pass float tensors to check_function")
    if target.model is not None and any(p.requires_grad for p in target.model.parameters()):
        hint = "training cannot move anything: look for detach(), .data, torch.no_grad() and argmax on the way to it"
        raise NllcheckError(
            f"the loss {target.loss_name} depends on no parameter of the model on this batch", hint=hint
        )


def with_terms(target: Target, seed: int) -> Target:
    """The target with the terms named that its loss returns on the first batch; as it is where that raises."""
    free = _wanting_gradients(target, _changed(target.batches[0], torch.Tensor.clone))
    with noise_kept(), torch.enable_grad(), contextlib.suppress(Exception), buffers_kept(target):
        torch.manual_seed(seed)
        return replace(target, terms=term_names(target, free))
    return target  # the first look says what is wrong


def with_trained(target: Target, seed: int) -> Target:
    """The target with the parameters named, of what its loss holds, that a backward pass gives a gradient."""
    named = [(k, name, p) for k, one in enumerate(target.held.modules) for name, p in one.module.named_parameters()
             if p.requires_grad and p.is_floating_point()]  # fmt: skip
    if not named:
        return target
    got: list[Any] = [None] * len(named)
    free = _wanting_gradients(target, _changed(target.batches[0], torch.Tensor.clone))
    with noise_kept(), torch.enable_grad(), contextlib.suppress(Exception), buffers_kept(target):
        torch.manual_seed(seed)
        got = list(torch.autograd.grad(evaluate(target, target.model, free), [p for *_, p in named], allow_unused=True))
    trained = {(k, name) for (k, name, _), gradient in zip(named, got, strict=True) if gradient is not None}
    modules = (Companion(one.name, one.module, frozenset(name for j, name in trained if j == k))
               for k, one in enumerate(target.held.modules))  # fmt: skip
    return replace(target, held=Held(tuple(modules), target.held.objects))


def _has_floats(batch: Batch) -> bool:
    leaves = pytree.tree_leaves((batch.args, dict(batch.kwargs), batch.targets))
    return any(_is_tensor(t) and t.is_floating_point() for t in leaves)


def _called(target: Target, batch: Batch) -> Callable[[], torch.Tensor]:
    free = _wanting_gradients(target, batch)

    def call() -> torch.Tensor:
        try:
            with buffers_kept(target):
                return evaluate(target, target.model, free)
        except NllcheckError:
            raise
        except Exception as error:
            raise _told(target, error) from error

    return call


def _wanting_gradients(target: Target, batch: Batch) -> Batch:
    """For a bare function: its float arguments ask for gradients, as the outputs of a model in training would."""
    if target.style != "function":
        return batch

    def free(value: Any) -> Any:
        return value.detach().clone().requires_grad_() if _is_tensor(value) and value.is_floating_point() else value

    moved = {n: v if n in target.target_names else pytree.tree_map(free, v) for n, v in batch.kwargs.items()}
    return replace(batch, kwargs=moved, whole=moved)


def _told(target: Target, error: Exception) -> NllcheckError:
    """The user's exception as one message with the innermost line that is theirs."""
    frames = traceback.extract_tb(error.__traceback__)
    package, libraries = os.path.dirname(os.path.abspath(__file__)), os.path.dirname(torch.__file__)
    own = [f for f in frames if not f.filename.startswith((package, libraries, "<frozen"))]
    where = f"{own[-1].filename}:{own[-1].lineno}" if own else ""
    text = str(error).strip().splitlines()
    message = f"the loss {target.loss_name} raised {type(error).__name__}: {text[0] if text else 'no message'}"
    return NllcheckError(message, where=where, hint=_MUST_RUN if own else called_as(target))


def is_finite(loss: torch.Tensor) -> bool:
    """Is the 0-d loss a finite number?"""
    return math.isfinite(float(loss))
