"""Mixed precision as training runs it: what a step's autocast and gradient scaler were, and the same on this machine.

Which ops leave half precision depends on the device: on a GPU `exp` and `log` run in float32, on a CPU they stay in
half. A step of a GPU is therefore repeated on a CPU with the GPU's list of float32 ops.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

HALVES = {"float16": torch.float16, "bfloat16": torch.bfloat16}
# torch's "CUDA Ops that can autocast to float32" that a CPU does not, and the ATen ops that some of them become.
_FLOAT32 = (
    "acos", "asin", "cosh", "erfinv", "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt",
    "sinh", "tan", "pow", "softplus", "layer_norm", "native_layer_norm", "group_norm", "frobenius_norm",
    "nuclear_norm", "cosine_similarity", "dist", "pdist", "renorm", "logsumexp", "softmax", "log_softmax",
    "cumprod", "cumsum", "linalg_vector_norm", "linalg_matrix_norm", "sum", "norm", "_softmax", "_log_softmax",
    "native_group_norm", "nll_loss_forward",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class MixedStep:
    """How a training step was run: `dtype` a key of `HALVES`, `scale` the gradient scaler's factor (1: none)."""

    dtype: str
    scale: float = 1.0
    device: str = "cpu"  # where it ran: "cpu" or "cuda"


@contextlib.contextmanager
def mixed(step: MixedStep, here: str) -> Iterator[None]:
    """Autocast on the device `here` as it was on the step's own."""
    borrowed = _gpus_list() if step.device != "cpu" and here == "cpu" else contextlib.nullcontext()
    with borrowed, torch.autocast(here, dtype=HALVES[step.dtype], cache_enabled=False):
        yield


@contextlib.contextmanager
def _gpus_list() -> Iterator[None]:
    """While it is open, autocast on the CPU runs these ops in float32, as it does on a GPU."""
    with torch.library._scoped_library("aten", "IMPL") as library, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in _FLOAT32:
            packet = getattr(torch.ops.aten, name)
            for overload in (getattr(packet, o) for o in packet.overloads()):
                if _takes_tensors(overload) and not _is_cast_already(overload):
                    library.impl(overload, _in_float32(overload), "AutocastCPU")
        yield


def _takes_tensors(overload: Any) -> bool:
    """No overload of plain numbers, and none that writes into a tensor it is given."""
    arguments = overload._schema.arguments
    return any(str(a.type) == "Tensor" for a in arguments) and not any(a.alias_info for a in arguments)


def _is_cast_already(overload: Any) -> bool:
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(overload.name(), "AutocastCPU"))


def _in_float32(overload: Any) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast("cpu", enabled=False):
            return overload(*map(_widened, args), **{k: _widened(v) for k, v in kwargs.items()})

    return run


def _widened(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.dtype in HALVES.values() else value
