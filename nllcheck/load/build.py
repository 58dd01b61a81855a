"""Import paths -> the user's model and loss, built."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from nllcheck.devices import noise_kept
from nllcheck.errors import NllcheckError
from nllcheck.load.imports import resolve, told


def model_from(spec: str, base: Path, kwargs: Mapping[str, Any] | None = None) -> torch.nn.Module:
    """A model from an import path: a module as it is, a class or factory called, with seed 0. Raises NllcheckError."""
    found = resolve(spec, "model", base)
    if isinstance(found, torch.nn.Module):
        return found
    if not callable(found):
        message = f"the model '{spec}' is {_a(found)}"
        raise NllcheckError(message, hint="name a class, a factory or a module")
    model = _seeded(spec, found, kwargs or {})
    if not isinstance(model, torch.nn.Module):
        raise NllcheckError(f"'{spec}' built {_a(model)}, not a torch.nn.Module", hint="return the model")
    if any(p.is_meta for p in model.parameters()):
        raise NllcheckError(f"'{spec}' built a model on the meta device", hint="build it on the CPU")
    return model


def _seeded(spec: str, factory: Callable[..., Any], kwargs: Mapping[str, Any]) -> Any:
    try:
        with noise_kept():
            torch.manual_seed(0)
            return factory(**kwargs)
    except (Exception, SystemExit) as error:
        called = f"with {', '.join(kwargs)}" if kwargs else "without arguments"
        hint = f"it is called {called}; write a factory that fills in the rest" if isinstance(error, TypeError) else ""
        raise told(error, f"building the model '{spec}' failed", hint) from None


def loss_from(spec: str, base: Path) -> Callable[..., Any]:
    """A loss from an import path: a function, a module, or a module class that needs no arguments."""
    found = resolve(spec, "loss", base)
    if inspect.isclass(found):
        return _instance(spec, found)
    if not callable(found):
        raise NllcheckError(f"the loss '{spec}' is {_a(found)}, not a function", hint="name a callable")
    return found


def _instance(spec: str, found: type) -> Callable[..., Any]:
    try:
        loss = found()
    except (Exception, SystemExit) as error:
        hint = "it is built without arguments; write `loss = YourLoss(...)` in a file and name that"
        raise told(error, f"building the loss '{spec}' failed", hint) from None
    if not callable(loss):
        raise NllcheckError(f"the loss '{spec}' builds {_a(loss)} that cannot be called", hint="name a callable")
    return loss


def _a(value: Any) -> str:
    name = type(value).__name__
    return "None" if value is None else f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"
