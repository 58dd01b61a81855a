"""What is checked: a loss, the model it is trained with, and the batches it meets, as one callable."""

from __future__ import annotations

import contextlib
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from nllcheck.autocast import MixedStep
from nllcheck.companions import Held
from nllcheck.errors import NllcheckError

Style = Literal["output", "outputs", "model", "step", "function"]


@dataclass(frozen=True, slots=True)
class Batch:
    """One batch: what the model is called with, and what the loss compares against.

    `args` and `kwargs` are the model's inputs (for a bare function: `kwargs` are all its named tensors and
    `targets` is unused); `targets` is handed to the loss as it is; `whole` is the batch as it was stored,
    for losses that take it undivided.
    """

    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    targets: Any = None
    whole: Any = None
    name: str = "batch"


@dataclass(frozen=True, slots=True)
class Target:
    """A loss with everything it needs to be evaluated. `model` is None for a bare function."""

    name: str
    loss: Callable[..., Any]
    loss_name: str
    model: torch.nn.Module | None
    batches: tuple[Batch, ...]
    style: Style = "output"
    checkpoints: tuple[tuple[str, Mapping[str, torch.Tensor]], ...] = ()  # further states of `model`, oldest first
    target_names: tuple[str, ...] = ()  # bare functions: which of the named tensors are targets
    command: str = ""  # the command line that would repeat this check, without sweeps
    mixed: MixedStep | None = None  # the mixed-precision step that the bundle was written in
    terms: tuple[str, ...] = ()  # names of what the loss returns several of, where their sum is minimised
    held: Held = field(default_factory=Held)  # what the loss's code holds beside the model


def split_batch(batch: Any, name: str = "batch") -> Batch:
    """A stored batch -> `Batch`: (inputs, targets), inputs a tensor, a tuple (positional) or a dict (keywords).

    One value alone, as a loader over data without labels gives it, is the model's input. A dict with
    `inputs`/`input`/`x` and `targets`/`target`/`y`/`labels` is divided by these names; anything else is kept whole, for
    losses that take the batch undivided.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2:
        return _from_pair(batch[0], batch[1], batch, name)
    if isinstance(batch, (tuple, list)) and len(batch) == 1:
        return Batch(args=tuple(batch), whole=batch, name=name)
    if isinstance(batch, Mapping):
        inputs = next((k for k in ("inputs", "input", "x", "data", "features") if k in batch), None)
        targets = next((k for k in ("targets", "target", "y", "labels", "label") if k in batch), None)
        if inputs is not None and targets is not None and len(batch) == 2:
            return _from_pair(batch[inputs], batch[targets], batch, name)
        if targets is not None:
            rest = {k: v for k, v in batch.items() if k != targets}
            return Batch(kwargs=rest, targets=batch[targets], whole=batch, name=name)
    if isinstance(batch, (tuple, list)) and len(batch) > 2:
        return Batch(args=tuple(batch[:-1]), targets=batch[-1], whole=batch, name=name)
    return Batch(args=(batch,), whole=batch, name=name)


def _from_pair(inputs: Any, targets: Any, whole: Any, name: str) -> Batch:
    if isinstance(inputs, Mapping):
        return Batch(kwargs=dict(inputs), targets=targets, whole=whole, name=name)
    args = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    return Batch(args=args, targets=targets, whole=whole, name=name)


def style_of(loss: Callable[..., Any], model: torch.nn.Module | None = None) -> Style:
    """How the loss wants to be called, from its signature.

    A first parameter named `model`, `net`, `network` or `module` means `loss(model, batch)`; a method of the model's
    own whose first is `batch` is a training step; anything else takes the model's output first. (`outputs`, the
    unpacked form, is decided by `evaluate` on the first call.)
    """
    names = _required(loss)
    if model is not None and getattr(loss, "__self__", None) is model and names[:1] == ["batch"]:
        return "step" if set(names[1:]) <= _STEP_NUMBERS else "output"
    return "model" if names and names[0] in ("model", "net", "network", "module") else "output"


def called_as(target: Target) -> str:
    """How model and loss are called, for someone whose own take other arguments."""
    takes = f"{target.loss_name} takes {', '.join(p.name for p in _positional(target.loss)) or 'nothing'}"
    match target.style:
        case "function":
            return f"it is called with the tensors by name: {', '.join(target.batches[0].kwargs)}; {takes}"
        case "step":
            return f"it is called as training_step(batch, 0); {takes}"
        case "model":
            return f"it is called as loss(model, batch); {takes}"
    call = "loss(output, target), or loss(*outputs, target) where the model returns as many"
    return f"the model is called with the batch's inputs, then {call}; {takes}"


_STEP_NUMBERS = {"batch_idx", "batch_index", "batch_nb", "index", "idx"}  # what a step's second argument is called


def _required(loss: Callable[..., Any]) -> list[str]:
    return [p.name for p in _positional(loss) if p.default is inspect.Parameter.empty]


def _positional(loss: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        parameters = inspect.signature(loss).parameters.values()
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [p for p in parameters if p.kind in kinds]


def evaluate(target: Target, model: torch.nn.Module | None, batch: Batch) -> torch.Tensor:
    """Run the model and the loss once, as training would, and return the scalar loss.

    Raises NllcheckError when the result is not one real number.
    """
    with _uncompiled():
        return as_scalar(_call(target, model, batch), target.loss_name, target.terms)


def term_names(target: Target, batch: Batch) -> tuple[str, ...]:
    """Names of the terms that one run shows the loss to return, see `terms_of`."""
    with _uncompiled():
        return terms_of(_call(target, target.model, batch))


def terms_of(value: Any) -> tuple[str, ...]:
    """Names of the terms whose sum is minimised: a dict of numbers without a 'loss'; a tuple of numbers that all ask
    for a gradient and of which none is computed from another (a total beside its parts is no term)."""
    if isinstance(value, Mapping):
        return tuple(map(str, value)) if "loss" not in value and _are_numbers(list(value.values())) else ()
    if not isinstance(value, (tuple, list)) or len(value) < 2 or not _are_numbers(value):
        return ()
    trained = all(part.grad_fn is not None for part in value)
    if not trained or any(b.grad_fn in _history(a) for a in value for b in value if a is not b):
        return ()
    return tuple(f"term {k}" for k in range(len(value)))


def _are_numbers(parts: Sequence[Any]) -> bool:
    return bool(parts) and all(isinstance(p, torch.Tensor) and p.numel() == 1 and p.is_floating_point() for p in parts)


def _history(tensor: torch.Tensor) -> set[Any]:
    """Every step of autograd that leads to it."""
    seen: set[Any] = set()
    stack = [tensor.grad_fn]
    while stack:
        step = stack.pop()
        if step is not None and step not in seen:
            seen.add(step)
            stack += [before for before, _ in step.next_functions]
    return seen


@contextlib.contextmanager
def _uncompiled() -> Iterator[None]:
    """What `torch.compile` has wrapped runs as it was written: a compiled function cannot be traced."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is None:
        yield
        return
    with torch.compiler.set_stance("force_eager"), dynamo.config.patch(error_on_nested_fx_trace=False):
        yield


def _call(target: Target, model: torch.nn.Module | None, batch: Batch) -> Any:
    if target.style == "function" or model is None:
        return target.loss(**batch.kwargs)
    if target.style == "step":
        return target.loss(batch.whole) if len(_positional(target.loss)) == 1 else target.loss(batch.whole, 0)
    if target.style == "model":
        return _call_with_model(target.loss, model, batch)
    return _call_with_output(target.loss, model(*batch.args, **batch.kwargs), batch)


def _call_with_model(loss: Callable[..., Any], model: torch.nn.Module, batch: Batch) -> Any:
    wanted = len(_required(loss))
    if wanted <= 2:
        return loss(model, batch.whole)
    return (
        loss(model, *batch.args, **batch.kwargs, **{})
        if batch.targets is None
        else loss(model, *batch.args, batch.targets, **batch.kwargs)
    )


def _call_with_output(loss: Callable[..., Any], output: Any, batch: Batch) -> Any:
    targets = () if batch.targets is None else (batch.targets,)
    if isinstance(output, (tuple, list)) and len(_required(loss)) == len(output) + len(targets) != 1 + len(targets):
        return loss(*output, *targets)
    return loss(output, *targets)


def as_scalar(value: Any, loss_name: str, terms: tuple[str, ...] = ()) -> torch.Tensor:
    """The loss as a 0-d real tensor: of several `terms` the sum, of a Lightning-like dict the value of 'loss', of a
    loss beside other things the first."""
    if isinstance(value, Mapping):
        value = value["loss"] if "loss" in value else _summed(list(value.values()), value)
    if terms and isinstance(value, (tuple, list)):
        value = _summed(value, value)
    if isinstance(value, (tuple, list)) and value and isinstance(value[0], torch.Tensor) and value[0].numel() == 1:
        value = value[0]  # (loss, extras), as many training steps return
    if not isinstance(value, torch.Tensor):
        raise NllcheckError(
            f"the loss {loss_name} returned {_describe(value)}, not a tensor",
            hint="return the scalar tensor that training calls backward() on",
        )
    if value.numel() != 1:
        raise NllcheckError(
            f"the loss {loss_name} returned a tensor of shape {tuple(value.shape)}, not one number",
            hint="reduce it as training does, for example with .mean() or .sum()",
        )
    if value.is_complex() or not value.is_floating_point():
        raise NllcheckError(
            f"the loss {loss_name} returned a {str(value.dtype).removeprefix('torch.')} value, not a real number",
            hint="return a floating point tensor",
        )
    return value.reshape(())


def _summed(parts: Sequence[Any], otherwise: Any) -> Any:
    """The sum of terms that are one number each, as a training step sums them."""
    return functools.reduce(operator.add, (p.reshape(()) for p in parts)) if _are_numbers(parts) else otherwise


def _describe(value: Any) -> str:
    return "None" if value is None else f"a {type(value).__name__} ({str(value)[:40]!r})"
