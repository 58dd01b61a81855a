"""What a first call in Python hands over, looked at before anything runs: the usual slips, each with what to write."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
import torch.utils._pytree as pytree
from torch.utils.data import DataLoader, Dataset

from nllcheck.errors import NllcheckError

DATA = ("target", "targets", "y_true", "y", "obs", "observed", "observation", "observations", "data", "value", "values",
        "label", "labels", "x")  # what data are called; the first of these that is an argument  # fmt: skip
_ORDER = "check(loss, model=model, batch=(inputs, targets)): the loss comes first"


def look_at(loss: Any, model: Any) -> None:
    """Raises NllcheckError for a loss that cannot be called, and for a model that is none."""
    is_loss = not isinstance(loss, torch.nn.Module) or type(loss).__module__.startswith("torch.nn.modules.loss")
    if not is_loss and not isinstance(model, (torch.nn.Module, type, type(None))):
        raise NllcheckError("loss and model have changed places", hint=_ORDER)
    look_at_loss(loss)
    if isinstance(model, type):
        raise NllcheckError(f"{model.__name__} is a class, not a model", hint=f"pass one: model={model.__name__}(...)")
    if not isinstance(model, torch.nn.Module):
        message = f"the model is no torch.nn.Module but of type {type(model).__name__}"
        raise NllcheckError(message, hint="for a bare function of tensors use nllcheck.check_function(fn, {...})")
    if any(p.is_meta for p in model.parameters()):
        raise NllcheckError(
            "weights of the model are on the meta device, which holds no numbers", hint="load them first"
        )


def look_at_loss(loss: Any) -> None:
    """Raises NllcheckError for a number that a loss has given already, and for a class of losses."""
    if isinstance(loss, type) and issubclass(loss, torch.nn.Module):
        raise NllcheckError(f"{loss.__name__} is a class, not a loss", hint=f"pass one: {loss.__name__}()")
    if not callable(loss):
        message = f"the loss is of type {type(loss).__name__} and cannot be called"
        raise NllcheckError(message, hint="pass the function itself, not what it gives: it is run at many values")


def batch_of(batch: Any) -> Any:
    """The batch with NumPy arrays as tensors. Raises NllcheckError for what hands out batches and is none itself."""
    if batch is None:
        raise NllcheckError("check needs a batch", hint="pass batch=(inputs, targets)")
    if isinstance(batch, (DataLoader, Dataset, Iterator)):
        one = {DataLoader: "next(iter(loader))", Dataset: "next(iter(DataLoader(dataset, batch_size=64)))"}
        hint = next((text for kind, text in one.items() if isinstance(batch, kind)), "next(iterator)")
        raise NllcheckError(f"a {type(batch).__name__} is no batch", hint=f"pass one of its batches: batch={hint}")
    return pytree.tree_map(_as_tensor, batch)


def _as_tensor(value: Any) -> Any:
    """An array of numbers as a tensor of its own, in the machine's byte order; torch knows no long double."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiub":
        return value
    kind = value.dtype.newbyteorder("=")
    return torch.tensor(value.astype(np.float64 if kind == np.longdouble else kind))


def named_tensors(fn: Callable[..., Any], given: Any, target: Any) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The named tensors of a bare function, and which are targets. Raises NllcheckError with its call spelled out."""
    look_at_loss(fn)
    if not isinstance(given, Mapping) or not all(isinstance(name, str) for name in given):
        message = "check_function needs a dict of named tensors"
        raise NllcheckError(message, hint=f"write check_function(fn, {_spelled(fn)})")
    several = isinstance(target, (tuple, list, set, frozenset))
    names = tuple(target) if several else () if target is None else (target,)
    if not all(isinstance(name, str) for name in names):
        raise NllcheckError("target names a tensor, it is none itself", hint='for example target="y"')
    return batch_of(dict(given)), names


def _spelled(fn: Callable[..., Any]) -> str:
    """{"mu": mu, "y": y}, target="y": the last one is usually the data."""
    try:
        asked = [p for p in inspect.signature(fn).parameters.values() if p.default is inspect.Parameter.empty]
        names = [p.name for p in asked if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    except (TypeError, ValueError):
        names = []
    names = names or ["mu", "y"]
    return "{" + ", ".join(f'"{name}": {name}' for name in names) + f'}}, target="{names[-1]}"'


def called_data(given: Mapping[str, Any]) -> tuple[str, ...]:
    """The argument of a likelihood that is called as its data usually are, if it has others beside it."""
    return tuple(name for name in DATA if name in given)[:1] if len(given) > 1 else ()
