"""What code reads of a tensor past autograd: `.data`, numpy arrays, the shape of a selection. All bypass the tracer."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from nllcheck.capture.sites import is_of_torch

aten = torch.ops.aten

_ARRAYS = (torch.Tensor.numpy, torch.Tensor.__array__)
ASKED = aten.is_same_size.default  # of a tensor and itself: code that is not torch's has asked for its shape
_SHAPES = (
    torch.Tensor.shape.__get__,  # type: ignore[attr-defined]
    torch.Tensor.size, torch.Tensor.numel, torch.Tensor.nelement, torch.Tensor.__len__, torch.numel,
)  # fmt: skip
_METHODS = (torch.Tensor.__len__.__code__.co_filename, torch.overrides.__file__)
_SELECTIONS = (torch.nonzero, torch.Tensor.nonzero, torch.masked_select, torch.Tensor.masked_select, torch.where,
               torch.argwhere, torch.Tensor.argwhere)  # fmt: skip


class Reads(TorchFunctionMode):
    """While active, `x.data` is `x.detach()`, which the tracer sees, and an array holds the tensor's values.

    A traced tensor has no memory of its own, so that numpy would read whatever lies there. That a value was read is
    left in the graph, as `item` leaves it: the capture holds for the values read. So is, once something was selected,
    that code which is not torch's has asked for a shape.
    """

    def __init__(self) -> None:
        super().__init__()
        self.selects = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]
            return args[0].detach()
        if func in _ARRAYS and torch._is_functional_tensor(args[0]):
            return func(_read(args[0]), *args[1:], **(kwargs or {}))
        if func is torch.Tensor.fill_diagonal_:
            return _filled_diagonal(func, *args, **(kwargs or {}))
        self.selects = self.selects or _is_selection(func, args)
        if self.selects and func in _SHAPES and not is_of_torch(_caller(sys._getframe(1))):
            ASKED(args[0], args[0])
        return func(*args, **(kwargs or {}))


def _caller(frame: FrameType) -> FrameType:
    """Who calls a method of a tensor, some of which are written in Python."""
    while frame.f_code.co_filename in _METHODS and frame.f_back is not None:
        frame = frame.f_back
    return frame


def _is_selection(func: Any, args: Any) -> bool:
    """By a mask of any kind: how much it selects its values decide."""
    if func is torch.Tensor.__getitem__:
        places = args[1] if isinstance(args[1], tuple) else (args[1],)
        return any(isinstance(p, torch.Tensor) and p.dtype == torch.bool for p in places)
    return func in _SELECTIONS


def _filled_diagonal(func: Any, matrix: torch.Tensor, fill_value: float, wrap: bool = False) -> torch.Tensor:
    """By a view of the diagonal: the op itself has no form that writes nothing (torch 2.13), so a trace loses it."""
    if matrix.dim() != 2 or wrap:
        return func(matrix, fill_value, wrap)
    matrix.diagonal().fill_(fill_value)
    return matrix


def _read(value: torch.Tensor) -> torch.Tensor:
    """The plain tensor behind a functionalised one."""
    if value.numel():
        value.reshape(-1)[0].item()
    torch._sync(value)
    plain = torch._from_functional_tensor(value)
    return _read(plain) if torch._is_functional_tensor(plain) else plain.detach()
