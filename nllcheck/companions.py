"""What a loss's code holds beside the model: criteria with weights or buffers of their own, objects that remember."""

from __future__ import annotations

import contextlib
import functools
import sys
import sysconfig
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch.nn.parameter import is_lazy

_INSTALLED = tuple({sysconfig.get_paths()[key] for key in ("stdlib", "purelib", "platlib")})
_DEEP = 5  # functions that call functions, and what lies in objects and containers
_MANY = 64  # a longer container holds data

Named = tuple[str, Any]


@dataclass(frozen=True, slots=True)
class Companion:
    """A module that the loss calls, by the name it has there; `trained`: its parameters that get a gradient."""

    name: str
    module: torch.nn.Module
    trained: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Held:
    """What a function's code can reach: modules, and plain objects of the user's own classes."""

    modules: tuple[Companion, ...] = ()
    objects: tuple[Any, ...] = ()


def held_by(loss: Any) -> Held:
    """Follows closures, the globals that code names, arguments bound to it, and the user's functions in these."""
    seen: set[int] = set()
    modules: list[Companion] = []
    objects: list[Any] = []
    waiting: list[tuple[str, Any, int]] = [("loss", loss, 0)]
    while waiting:
        name, value, depth = waiting.pop(0)
        if id(value) in seen or depth > _DEEP:
            continue
        seen.add(id(value))
        if isinstance(value, torch.nn.Module):
            modules += [Companion(name, value)] if _can_be_held(value) else []
            continue
        if _is_own_object(value):
            objects.append(value)
        waiting += [(n, v, depth + 1) for n, v in _inside(name, value)]
    return Held(tuple(modules), tuple(objects))


def _can_be_held(module: torch.nn.Module) -> bool:
    tensors = [*module.parameters(), *module.buffers()]
    return not isinstance(module, torch.jit.ScriptModule) and not any(map(is_lazy, tensors))


def _inside(name: str, value: Any) -> Iterable[Named]:
    if isinstance(value, MethodType):
        return [(name, value.__self__), (name, value.__func__)]
    if isinstance(value, functools.partial):
        return [(name, value.func), *((f"{name}.{k}", v) for k, v in enumerate(value.args)), *value.keywords.items()]
    if isinstance(value, FunctionType):
        return [] if _is_installed(value.__code__.co_filename) else _of_function(value)
    if isinstance(value, (list, tuple, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        return [(f"{name}.{k}", v) for k, v in items] if len(value) <= _MANY else []
    if _is_own_object(value):
        call = getattr(type(value), "__call__", None)  # noqa: B004 - its code is wanted
        return [*vars(value).items(), *([(name, call)] if isinstance(call, FunctionType) else [])]
    return []


def _of_function(function: FunctionType) -> Iterator[Named]:
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        with contextlib.suppress(ValueError):  # an empty cell
            yield name, cell.cell_contents
    for name in dict.fromkeys(_names(function.__code__)):
        if name in function.__globals__:
            yield name, function.__globals__[name]
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    yield from zip(names[::-1], (function.__defaults__ or ())[::-1], strict=False)
    yield from (function.__kwdefaults__ or {}).items()


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for part in code.co_consts:
        if isinstance(part, CodeType):
            yield from _names(part)


def _is_own_object(value: Any) -> bool:
    """Is it an instance of a class that somebody wrote outside of installed packages?"""
    if isinstance(value, (type, ModuleType, FunctionType, torch.Tensor, torch.nn.Module)) or not hasattr(
        value, "__dict__"
    ):
        return False
    source = getattr(sys.modules.get(type(value).__module__), "__file__", None)
    return source is not None and not _is_installed(source)


def _is_installed(path: str) -> bool:
    return path.startswith(_INSTALLED) or path.startswith("<frozen")


@contextlib.contextmanager
def attributes_kept(holders: Iterable[Any]) -> Iterator[None]:
    """What code writes to attributes meanwhile is taken back: a traced tensor that is kept is of no use afterwards."""
    had = [(vars(holder), dict(vars(holder))) for holder in holders]
    try:
        yield
    finally:
        for now, before in had:
            _put_back(now, before)


def _put_back(now: dict[str, Any], before: Mapping[str, Any]) -> None:
    for name in [n for n in now if n not in before]:
        del now[name]
    now.update({name: value for name, value in before.items() if now.get(name) is not value or name not in now})
