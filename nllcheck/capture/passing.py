"""`binary_cross_entropy` that passes NaN on, where torch's own raises (on a GPU: ends the process) at the first.

A model whose values overflow hands NaN to the loss. The failure is where the NaN is born, and a sweep over many points
goes on. What else lies outside of [0, 1] raises as ever.
"""

from __future__ import annotations

import contextlib
import contextvars
import threading
import warnings
from collections.abc import Iterator

import torch
from torch import Tensor

MEAN, SUM = 1, 2  # torch's numbers for a reduction
_lock = threading.Lock()
_users: list[object] = []  # of the replaced kernel, over all threads
_held: list[torch.library.Library] = []
_checks = contextvars.ContextVar("checks", default=False)


@contextlib.contextmanager
def nan_passes(checks: bool | None = None) -> Iterator[None]:
    """Meanwhile NaN is passed on; with `checks` not even here, as in training (None: as around this). The kernels are
    torch's own again when the last thread has left."""
    token = _checks.set(_checks.get() if checks is None else checks)
    me = object()
    with _lock:
        _users.append(me)
        if not _held:
            _held.append(_registered())
    try:
        yield
    finally:
        with _lock:
            _users.remove(me)
            if not _users:
                _held.pop()._destroy()
        _checks.reset(token)


def _registered() -> torch.library.Library:
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is replaced
        for device in ("CPU", "CUDA"):
            library.impl("binary_cross_entropy", _binary_cross_entropy, device, allow_override=True)
    return library


def _binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: int = MEAN) -> Tensor:
    bad = torch.zeros_like(input, dtype=torch.bool) if _checks.get() else torch.isnan(input)
    shape = torch.broadcast_shapes(input.shape, target.shape)
    each = torch.empty_like(input) if shape == input.shape else input.new_empty(shape)  # many targets against one input
    torch.ops.aten.binary_cross_entropy.out(input.masked_fill(bad, 0.5), target, weight, 0, out=each)
    each.masked_fill_(bad, torch.nan)
    return each.mean() if reduction == MEAN else each.sum() if reduction == SUM else each
