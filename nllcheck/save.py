"""`nllcheck.save`: model, batch and loss in one file that is safe to load and that `nllcheck run` takes alone."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nllcheck import disk
from nllcheck.autocast import MixedStep
from nllcheck.callable_module import make_callable
from nllcheck.errors import NllcheckError
from nllcheck.load.build import loss_from, model_from
from nllcheck.load.bundle import KEY, SCHEMA
from nllcheck.load.weights import fitted


def save(
    path: str | Path,
    model: torch.nn.Module,
    loss: Any,
    batch: Any,
    *,
    factory: str | Callable[..., torch.nn.Module] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    mixed: MixedStep | None = None,
    **meta: Any,
) -> Path:
    """Write a bundle.

    Args:
        path: the file to write; an existing one is replaced.
        model: its state dict is stored, its code is not: on loading it is built again. That is tried here.
            What torch.compile or DataParallel put around it is left out.
        loss: an importable function or module class (lambdas, closures and what `__main__` holds are not), or
            its 'module:name' or 'file.py:name'; a module instance with the settings its class has by default.
        batch: tensors in tuples, lists and dicts, and plain numbers and texts.
        factory: what builds the model: an importable class or function, or its 'module:name' or 'file.py:name';
            by default the model's own class.
        kwargs: arguments of the factory, plain values.
        mixed: the mixed-precision step that this was, if it was one, for `run` to repeat: dtype, scale and device.
        meta: anything JSON can hold (step, run, …); kept as it is.

    Raises:
        NllcheckError: what cannot be stored safely, and why. Nothing is written then.
    """
    model = _bare(model)
    content = {
        KEY: SCHEMA,
        "state": {name: _stored(value, f"the state '{name}'") for name, value in model.state_dict().items()},
        "batch": _stored(batch, "the batch"),
        "model": _name(factory if factory is not None else type(model), "model"),
        "kwargs": _plain(dict(kwargs or {}), "kwargs"),
        "loss": _loss_name(loss),
        "meta": _plain(meta, "meta"),
    }
    content |= {"mixed": asdict(mixed)} if mixed else {}
    _same_again(content, model)
    return _written(content, Path(path))


def _bare(model: Any) -> torch.nn.Module:
    """The user's own module, out of what training wraps around it."""
    around = (torch.nn.DataParallel, torch.nn.parallel.DistributedDataParallel)
    while hasattr(model, "_orig_mod") or isinstance(model, around):
        model = model.module if isinstance(model, around) else model._orig_mod
    if not isinstance(model, torch.nn.Module):
        hint = "pass the trained torch.nn.Module; the loss and what builds the model have arguments of their own"
        raise NllcheckError(f"the model is no torch.nn.Module but of type {type(model).__name__}", hint=hint)
    return model


def _stored(value: Any, what: str) -> Any:
    """The value in types that a weights-only load accepts: subclasses and named tuples would need their code."""
    if isinstance(value, torch.Tensor) and type(value.detach()) is torch.Tensor:
        return value.detach().cpu().clone()  # of a view, not the whole storage behind it
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, tuple):
        return type(value)(_stored(v, what) for v in value)
    if isinstance(value, Mapping) and all(type(k) in (str, int) for k in value):
        return {k: _stored(v, what) for k, v in value.items()}
    hint = "store tensors, numbers and texts in tuples, lists and dicts"
    raise NllcheckError(f"{what} holds a {type(value).__name__}, which cannot be stored safely", hint=hint)


def _loss_name(loss: Any) -> str:
    """'module:name' of a loss that can be built again as it is. Raises NllcheckError."""
    if not isinstance(loss, torch.nn.Module):
        return _name(loss, "loss")
    name = _name(type(loss), "loss")
    if _settings(loss) != _settings(loss_from(name, Path.cwd())):
        message = f"the loss {type(loss).__name__} has settings of its own, and only its name can be stored"
        raise NllcheckError(message, hint="write a function that calls it, at the top of a module, and pass that")
    return name


def _settings(module: Any) -> tuple[str, dict[str, str]]:
    """What tells two instances of a module class apart, as texts.

    With addresses: a closure made in the constructor may hold settings that nothing else shows.
    """
    own = {k: repr(v) for k, v in vars(module).items() if not k.startswith("_") and k != "training"}
    return repr(module), own | {k: repr(v) for k, v in module.state_dict().items()}


def _spelled(value: Any) -> str:
    """Its repr without addresses, which differ between two models of the same make."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _name(found: Any, what: str) -> str:
    """'module:qualname' of something importable; a text is taken as it is. Raises NllcheckError."""
    if isinstance(found, str):
        return found
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not module or not name or "<" in name:
        raise _unfindable(what, name or repr(found))
    if module == "__main__":
        option = "factory" if what == "model" else what
        hint = f"move it into a module, or pass its place as text: {option}='file.py:{name}'"
        raise NllcheckError(f"the {what} '{name}' lives in the running script", hint=hint)
    place: Any = importlib.import_module(module)
    for part in name.split("."):
        place = getattr(place, part, None)
    if place is not found:  # a bound method, a wrapped function, a name that means something else by now
        raise _unfindable(what, name)
    return f"{_public(module, name)}:{name}"


def _public(module: str, name: str) -> str:
    """torch's own functions and modules under the names people use."""
    for public in ("torch.nn.functional", "torch.nn"):
        if module.startswith(("torch.nn", "torch._C")) and hasattr(importlib.import_module(public), name):
            return public
    return module


def _unfindable(what: str, name: str) -> NllcheckError:
    return NllcheckError(f"the {what} '{name}' cannot be imported by name", hint="define it at the top of a module")


def _plain(value: Mapping[str, Any], what: str) -> Any:
    try:
        return json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise NllcheckError(f"{what} must be plain values: {error}", hint="numbers, texts, lists and dicts") from None


def _same_again(content: Mapping[str, Any], model: torch.nn.Module) -> None:
    """Build the model and find the loss as `run` will: what cannot be loaded is refused while it can be mended."""
    hint = "pass kwargs={...}, or factory= with an importable function that builds the model"
    try:
        again = model_from(content["model"], Path.cwd(), content["kwargs"])
        fitted(content["state"], again, "")
    except NllcheckError as error:
        message = f"{type(model).__name__} cannot be built again by '{content['model']}': {error.message}"
        raise NllcheckError(message, where=error.where, hint=hint) from None
    if type(again) is type(model) and _spelled(again) != _spelled(model):  # a dropout rate has no key in the state
        raise NllcheckError(f"'{content['model']}' builds a {type(again).__name__} with other settings", hint=hint)
    loss_from(content["loss"], Path.cwd())


def _written(content: Mapping[str, Any], path: Path) -> Path:
    disk.tidy(path.parent)
    try:
        with disk.whole(path) as stream:
            torch.save(dict(content), stream)
    except RuntimeError as error:  # of torch's writer, for a full disk
        message = f"cannot write it: {str(error).splitlines()[0]}"
        raise NllcheckError(message, where=str(path), hint="check folder and disk") from None
    return path


make_callable(__name__)
