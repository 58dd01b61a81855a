"""What code reads of a tensor past autograd: `.data`, and numpy arrays. Both bypass the tracer."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

_ARRAYS = (torch.Tensor.numpy, torch.Tensor.__array__)


class Reads(TorchFunctionMode):
    """While active, `x.data` is `x.detach()`, which the tracer sees, and an array holds the tensor's values.

    A traced tensor has no memory of its own, so that numpy would read whatever lies there. That a value was read is
    left in the graph, as `item` leaves it: the capture holds for the values read.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func == torch.Tensor.data.__get__:  # type: ignore[attr-defined]
            return args[0].detach()
        if func in _ARRAYS and torch._is_functional_tensor(args[0]):
            return func(_read(args[0]), *args[1:], **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def _read(value: torch.Tensor) -> torch.Tensor:
    """The plain tensor behind a functionalised one."""
    if value.numel():
        value.reshape(-1)[0].item()
    torch._sync(value)
    plain = torch._from_functional_tensor(value)
    return _read(plain) if torch._is_functional_tensor(plain) else plain.detach()
