"""Another device, played by this CPU: kernels whose last bit is another one, and sums in another order.

Below autograd, vmap and tracing, where a device's own kernels are: nothing above can tell the difference.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

aten = torch.ops.aten
UNARY = [
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "tanh",
    "sigmoid",
    "erf",
    "erfc",
    "rsqrt",
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "sinh",
    "cosh",
    "asinh",
    "acosh",
    "atanh",
    "lgamma",
    "digamma",
]
ROUNDED = (0.5, 1, 2, 3, -1, -2)  # powers that every device rounds from products, quotients or a square root
INTEGERS = {torch.float32: torch.int32, torch.float64: torch.int64}
INTEGERS |= dict.fromkeys((torch.float16, torch.bfloat16), torch.int16)


def nudged(value: torch.Tensor) -> torch.Tensor:
    """A neighbouring float, or the same, as the bits decide; whole numbers and what is not finite stay."""
    if value.dtype not in INTEGERS:
        return value
    bits = value.contiguous().view(INTEGERS[value.dtype])
    step = ((bits.long() * 2654435761) >> 7) % 3 - 1
    moved = (bits + step.to(bits.dtype)).view(value.dtype)
    return torch.where(torch.isfinite(moved) & (value != value.round()), moved, value)


def _unary(name: str) -> Any:
    plain = getattr(aten, name).out

    def kernel(x: torch.Tensor) -> torch.Tensor:
        wide = x.is_floating_point() or x.is_complex()
        return nudged(plain(x, out=torch.empty_like(x, dtype=x.dtype if wide else torch.get_default_dtype())))

    return kernel


def _power(x: torch.Tensor, exponent: float) -> torch.Tensor:
    found = aten.pow.Tensor_Scalar_out(x, exponent, out=torch.empty_like(x, dtype=torch.result_type(x, exponent)))
    return found if exponent in ROUNDED else nudged(found)


def _total(
    x: torch.Tensor, dim: Any = None, keepdim: bool = False, *, dtype: torch.dtype | None = None
) -> torch.Tensor:
    """The sum from the last element to the first."""
    like = aten.sum.dim_IntList(torch.empty_like(x, device="meta"), dim, keepdim, dtype=dtype)
    turned = x.flip(tuple(range(x.dim())))
    found = aten.sum.IntList_out(turned, dim, keepdim, dtype=dtype, out=torch.empty(like.shape, dtype=like.dtype))
    return found.flip(tuple(range(found.dim())))


def _softmax(name: str) -> Any:
    plain = getattr(aten, name).out
    return lambda x, dim, half: nudged(plain(x, dim, half, out=torch.empty_like(x)))


def _product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """A matrix product, its terms in another order."""
    out = torch.empty(a.shape[0], b.shape[1], dtype=a.dtype)
    return aten.mm.out(a.flip(1), b.flip(0), out=out)


KERNELS = {name: _unary(name) for name in UNARY}
KERNELS |= {name: _softmax(name) for name in ("_softmax", "_log_softmax")}
KERNELS |= {"pow.Tensor_Scalar": _power, "sum.dim_IntList": _total, "mm": _product}


@contextmanager
def another_device() -> Iterator[None]:
    """What runs on the CPU meanwhile runs through these kernels."""
    library = torch.library.Library("aten", "IMPL")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a kernel is replaced is what is wanted
        for name, kernel in KERNELS.items():
            library.impl(name, kernel, "CPU")
    try:
        yield
    finally:
        library._destroy()
