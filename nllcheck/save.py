"""`nllcheck.save`: model, batch and loss in one file that is safe to load and that `nllcheck run` takes alone."""

from __future__ import annotations

import importlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.callable_module import make_callable
from nllcheck.errors import NllcheckError
from nllcheck.load.bundle import KEY, SCHEMA


def save(
    path: str | Path,
    *,
    model: torch.nn.Module,
    loss: Any,
    batch: Any,
    factory: Any = None,
    kwargs: Mapping[str, Any] | None = None,
    **meta: Any,
) -> Path:
    """Write a bundle.

    Args:
        path: the file to write; an existing one is replaced.
        model: its state dict is stored, its code is not: on loading it is built again.
        loss: an importable function or module class (lambdas, closures and what `__main__` holds are not).
        batch: tensors in tuples, lists and dicts, and plain numbers and texts.
        factory: what builds the model: an importable class or function, or its 'module:name'; by default the
            model's own class.
        kwargs: arguments of the factory, plain values.
        meta: anything JSON can hold (step, run, …); kept as it is.

    Raises:
        NllcheckError: what cannot be stored safely, and why. Nothing is written then.
    """
    content = {
        KEY: SCHEMA,
        "state": {k: v.detach().cpu() for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)},
        "batch": pytree.tree_map(_stored, batch),
        "model": _name(factory if factory is not None else type(model), "model"),
        "kwargs": _plain(dict(kwargs or {}), "kwargs"),
        "loss": _name(type(loss) if isinstance(loss, torch.nn.Module) else loss, "loss"),
        "meta": _plain(meta, "meta"),
    }
    if factory is None and not kwargs:
        _needs_nothing(type(model))
    return _written(content, Path(path))


def _stored(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    hint = "store tensors, numbers and texts in tuples, lists and dicts"
    raise NllcheckError(f"the batch holds a {type(value).__name__}, which cannot be stored safely", hint=hint)


def _name(found: Any, what: str) -> str:
    """'module:qualname' of something importable. Raises NllcheckError."""
    if isinstance(found, str):
        return found
    module, name = getattr(found, "__module__", None), getattr(found, "__qualname__", None)
    if not module or not name or "<" in name:
        raise _unfindable(what, name or repr(found))
    if module == "__main__":
        hint = f"move it into a module, or pass its place as text: {what}='file.py:{name}'"
        raise NllcheckError(f"the {what} '{name}' lives in the running script", hint=hint)
    place: Any = importlib.import_module(module)
    for part in name.split("."):
        place = getattr(place, part, None)
    if place is not found and not callable(place):
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


def _needs_nothing(model: type) -> None:
    """A class that is called without arguments must not need any."""
    parameters = list(inspect.signature(model).parameters.values())
    required = [
        p.name for p in parameters if p.default is p.empty and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    variadic = [p for p in parameters if p.kind == p.VAR_POSITIONAL]
    if required or variadic:
        needs = ", ".join(required) or "its layers"
        hint = "pass kwargs={...}, or factory= with an importable function that builds the model"
        raise NllcheckError(f"{model.__name__} cannot be built again without {needs}", hint=hint)


def _written(content: Mapping[str, Any], path: Path) -> Path:
    aside = path.with_name(path.name + ".part")
    try:
        torch.save(dict(content), aside)
        aside.replace(path)
    except (OSError, RuntimeError) as error:  # torch's writer raises RuntimeError for a missing folder
        aside.unlink(missing_ok=True)
        raise NllcheckError(
            f"cannot write it: {str(error).splitlines()[0]}", where=str(path), hint="check folder and disk"
        ) from None
    return path


make_callable(__name__)
