"""The points to try on an axis: around the batch's own values, outwards, and over the dtype's number line."""

from __future__ import annotations

import math

import torch

from nllcheck.types import Axis

_ORDINAL = {
    torch.float64: torch.int64,
    torch.float32: torch.int32,
    torch.float16: torch.int16,
    torch.bfloat16: torch.int16,
}


def default_points(axis: Axis, dtype: torch.dtype, count: int = 1000) -> torch.Tensor:
    """Ascending distinct values (P,), P about `count`, in `dtype`, inside the axis' closed domain.

    Two fifths lie around the batch's own range (twice its width, and outwards by factors up to 1000), one
    fifth is even over [-128, 128] where exponentials and squashing functions break, the rest is uniform over
    the dtype's bit patterns, both signs, so that no magnitude is left out. Zero, one, their neighbours, the
    smallest and largest numbers and the domain's ends are always there.
    """
    part = max(4, count // 5)
    if axis.mode == "toward":
        return _way(dtype)
    if axis.mode == "scale":
        parts = [torch.linspace(0, 10, part, dtype=torch.float64), _geometric(1e-6, 1e6, part)]
        parts += [number_line(dtype, part)]
    else:
        parts = [_around(axis, 2 * part), torch.linspace(-128, 128, part, dtype=torch.float64)]
        parts += [number_line(dtype, 2 * part)]
    return _tidy(torch.cat([*parts, _special(dtype), _ends(axis)]), axis, dtype)


def _way(dtype: torch.dtype) -> torch.Tensor:
    """Shares of a way: even, and ever closer to its end, which is there itself."""
    close = 1.0 - 2.0 ** -torch.arange(1, 24, dtype=torch.float64)
    even = torch.linspace(0, 1, 9, dtype=torch.float64)
    return torch.unique(torch.cat([even, close]).to(dtype))


def number_line(dtype: torch.dtype, count: int) -> torch.Tensor:
    """`count` finite values uniform in bit pattern, from -max to max, as float64."""
    largest = to_ordinal(torch.finfo(dtype).max, dtype)
    steps = torch.linspace(-1, 1, count, dtype=torch.float64)
    return from_ordinals(torch.tensor([round(s * largest) for s in steps.tolist()]), dtype).double()


def to_ordinal(value: float, dtype: torch.dtype) -> int:
    """The rank of a float among its dtype's numbers: 0 for 0, +-1 for the smallest subnormals, and so on."""
    bits = int(torch.tensor(abs(value), dtype=dtype).view(_ORDINAL[dtype]).item())
    return bits if math.copysign(1.0, value) > 0 else -bits


def from_ordinal(rank: int, dtype: torch.dtype) -> float:
    """Inverse of `to_ordinal`."""
    value = torch.tensor(abs(rank), dtype=_ORDINAL[dtype]).view(dtype).item()
    return value if rank >= 0 else -value


def from_ordinals(ranks: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The same for many ranks (N,) int64 at once."""
    values = ranks.abs().to(_ORDINAL[dtype]).view(dtype)
    return torch.where(ranks < 0, -values, values)


def _around(axis: Axis, count: int) -> torch.Tensor:
    low, high = axis.observed
    if not (math.isfinite(low) and math.isfinite(high)):
        return torch.zeros(0, dtype=torch.float64)
    width = max(high - low, 0.1 * max(abs(low), abs(high)), 1e-3)
    near = torch.linspace(low - width, high + width, count // 2, dtype=torch.float64)
    outward = width * _geometric(1.0, 1e3, count // 4)
    return torch.cat([near, low - outward, high + outward, torch.tensor([low, high], dtype=torch.float64)])


def _geometric(low: float, high: float, count: int) -> torch.Tensor:
    return torch.logspace(math.log10(low), math.log10(high), count, dtype=torch.float64)


def _special(dtype: torch.dtype) -> torch.Tensor:
    info = torch.finfo(dtype)
    tiny = from_ordinal(1, dtype)
    ones = [1.0, 1.0 - info.eps / 2, 1.0 + info.eps]
    values = [0.0, tiny, info.tiny, info.eps, *ones, 2.0, info.max]
    return torch.tensor([*values, *(-v for v in values)], dtype=torch.float64)


def _ends(axis: Axis) -> torch.Tensor:
    """The finite ends of the domain, and a geometric approach to each: a correlation breaks just before 1."""
    low, high = axis.domain
    width = min(high - low, 1.0)
    steps = width * _geometric(1e-7, 0.1, 24)
    parts = [torch.cat([torch.tensor([d], dtype=torch.float64), d + side * steps])
             for d, side in ((low, 1.0), (high, -1.0)) if math.isfinite(d)]  # fmt: skip
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def _tidy(values: torch.Tensor, axis: Axis, dtype: torch.dtype) -> torch.Tensor:
    rounded = values.to(dtype)
    low = max(axis.domain[0], 0.0) if axis.mode == "scale" else axis.domain[0]
    inside = torch.isfinite(rounded) & (rounded >= low) & (rounded <= axis.domain[1])
    return torch.unique(rounded[inside] + 0.0)
