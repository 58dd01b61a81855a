"""Which line of the user's code made an op: a frame walk at the moment the op is dispatched."""

from __future__ import annotations

import contextlib
import functools
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import replace
from types import CodeType, FrameType
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
import torch.utils._pytree as pytree

from nllcheck.capture.lines import Frame, Mark
from nllcheck.capture.mode import Watching, without_ops_of_functions

_TORCH = os.path.dirname(torch.__file__) + os.sep
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_FIXTURES = os.path.join(_PACKAGE, "_data") + os.sep
_LIBRARIES = tuple({sysconfig.get_paths()[k] + os.sep for k in ("stdlib", "purelib", "platlib")})
_ENTRY = os.path.join(_PACKAGE, "target.py")  # the frame that calls the user's code: nothing above it is theirs
_CALLING = ("_wrapped_call_impl", "_call_impl")  # of a module, around its `forward`
_INPLACE = re.compile(r"\.\w*[a-z0-9]_\(|[-+*/@]=")
_PAST = re.compile(r"^\s*[\w.]+\.(detach\(\)|data)\.\w*[a-z0-9]_\(")


class SiteMode(Watching):
    """While active, every op carries a `Mark` into the traced graph's `node.meta['custom']['mark']`."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0  # > 0 while the model's forward runs
        self.calls = 0  # completed calls of the model
        self.output = ""  # set while a model output is being handed over

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        mark = mark_here(self.depth > 0 or bool(self.output))
        fx_traceback.current_meta["custom"] = {"mark": replace(mark, output=self.output)}
        return func(*args, **(kwargs or {}))

    def hand_over(self, output: Any) -> Any:
        """Pass the model's output through one `clone` a tensor, so that it is a node of its own with a name."""
        self.calls += 1
        prefix = "output" if self.calls == 1 else f"output#{self.calls}"
        return pytree.tree_map_with_path(lambda path, leaf: self._named_clone(prefix, path, leaf), output)

    def _named_clone(self, prefix: str, path: Any, leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or not leaf.is_floating_point():
            return leaf
        self.output = ".".join([prefix, *(str(getattr(k, "idx", getattr(k, "key", k))) for k in path)])
        try:
            return leaf.clone()
        finally:
            self.output = ""

    @contextlib.contextmanager
    def watching(self, model: torch.nn.Module | None) -> Iterator[None]:
        """Count entries into the model's forward, so that ops know whether they belong to it."""
        hooks = [] if model is None else _depth_hooks(self, model)
        try:
            with without_ops_of_functions(), self:
                yield
        finally:
            self.depth = self.calls = 0
            _MET.clear()
            for hook in hooks:
                hook.remove()


def _depth_hooks(mode: SiteMode, model: torch.nn.Module) -> list[Any]:
    def enter(module: Any, args: Any) -> None:
        mode.depth += 1

    def leave(module: Any, args: Any, output: Any) -> Any:
        mode.depth -= 1
        return mode.hand_over(output) if mode.depth == 0 and output is not None else output

    if isinstance(model, torch.jit.ScriptModule):
        return []
    return [model.register_forward_pre_hook(enter), model.register_forward_hook(leave, always_call=True)]


def mark_here(in_model: bool) -> Mark:
    """The mark of the op being dispatched now: call it from inside a `__torch_dispatch__`."""
    frames, inplace, inside, within = _walk(sys._getframe(1).f_back)
    wanted = own_forward[-1] if own_forward else torch.is_grad_enabled()
    return Mark(frames, in_model, wanted, inplace, inside=inside, within=within)


own_forward: list[bool] = []  # while a custom function's `forward` runs: was the gradient wanted outside?


def _walk(frame: FrameType | None) -> tuple[tuple[Frame, ...], bool, tuple[str, ...], Frame | None]:
    """User frames from the innermost out to the entry; library frames only where there is no other.

    With whether the call was spelled in place, the names of the library functions inside the innermost user frame, and
    the innermost frame of an installed package there, torch left out.
    """
    own: list[Frame] = []
    inside: list[str] = []
    library: list[Frame] = []
    within: Frame | None = None
    inplace: bool | None = None
    while frame is not None and frame.f_code.co_filename != _ENTRY:
        kind = _kind_of(frame.f_code.co_filename)
        if kind != "machinery" and inplace is None:
            inplace = _is_inplace(frame)
        if kind == "own":
            own.append(freeze(frame))
        elif kind == "library":
            library.append(freeze(frame))
            inside += [] if own or frame.f_code.co_name in _CALLING else [frame.f_code.co_qualname]
            if within is None and not own and not frame.f_code.co_filename.startswith(_TORCH):
                within = library[-1]
        frame = frame.f_back
    if frame is None:  # nobody's code: what stands above is who called the tool
        return (), False, (), None
    return tuple(own) or tuple(library[:1]), bool(inplace), tuple(inside), within if own else None


def is_own(frame: FrameType) -> bool:
    """Is it a user's code?"""
    return _kind_of(frame.f_code.co_filename) == "own"


def is_of_torch(frame: FrameType) -> bool:
    """Is it torch's code, or what runs it?"""
    path = frame.f_code.co_filename
    return path.startswith(_TORCH) or _kind_of(path) == "machinery"


@functools.cache
def _kind_of(path: str) -> str:
    if path.startswith(_TORCH):
        parts = ("nn" + os.sep + "functional", "nn" + os.sep + "modules", "distributions")
        return "library" if path.startswith(tuple(_TORCH + p for p in parts)) else "machinery"
    if path.startswith(_PACKAGE) and not path.startswith(_FIXTURES):
        return "machinery"
    if path.startswith(_LIBRARIES) and not path.startswith(_FIXTURES):
        return "library" if "site-packages" in path else "machinery"
    return "machinery" if path.startswith("<frozen") else "own"


@functools.lru_cache(maxsize=4096)
def _positions(code: CodeType) -> tuple[Any, ...]:
    return tuple(code.co_positions())


_MET: dict[int, FrameType] = {}  # kept while a loss is watched: another call's frame could lie at the same address


def freeze(frame: FrameType) -> Frame:
    line = frame.f_lineno
    _MET[id(frame)] = frame
    positions = _positions(frame.f_code)
    at = positions[frame.f_lasti // 2] if 0 <= frame.f_lasti // 2 < len(positions) else (None,) * 4
    span = (at[0] or line, at[1] or line, -1 if at[2] is None else at[2], -1 if at[3] is None else at[3])
    return Frame(frame.f_code.co_filename, frame.f_code.co_name, span, id(frame))


def _is_inplace(frame: FrameType) -> bool:
    """Did the source spell an in-place call past the gradient: `x.clamp_(...)` or `x += y` under `no_grad`, or
    `x.detach().clamp_(...)`?"""
    past = _PAST if torch.is_grad_enabled() else _INPLACE
    return bool(past.search(linecache.getline(frame.f_code.co_filename, frame.f_lineno)))
