"""Exact forms of what moves a window over its input: convolutions and averages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from flint import arb
from numpy.lib.stride_tricks import sliding_window_view

from nllcheck.exact import forms, reduce
from nllcheck.exact.ball import STILL, Array, Ball, UndecidedError, ball_of, mapped, slope_of

MOST = 4096  # places of one channel whose average over windows is looked up


def convolution(
    x: Any, weight: Any, bias: Any, stride: Sequence[int], padding: Sequence[int], dilation: Sequence[int],
    transposed: bool, output_padding: Sequence[int], groups: int,
) -> Ball:  # fmt: skip
    """(N, C, ...) with (O, C / groups, ...), as torch defines it; a transposed one as the plain one over an input with
    zeros between its values."""
    given, kernel = ball_of(x), ball_of(weight)
    size = kernel.shape[2:]
    if transposed:
        reach = [d * (k - 1) for d, k in zip(dilation, size, strict=True)]
        pads = [(r - p, r - p + o) for r, p, o in zip(reach, padding, output_padding, strict=True)]
        at = _padded(_spread(_places(given), stride), pads)
        kernel, stride = mapped(kernel, lambda w: _turned(w, groups)), [1] * len(size)
    else:
        at = _padded(_places(given), [(p, p) for p in padding])
    windows = _windows(at, size, stride, dilation)
    out = _summed(_taken(given, windows), kernel, groups, len(size))
    return out if bias is None else forms.add(out, mapped(ball_of(bias), lambda b: b.reshape(-1, *[1] * len(size))))


def _places(x: Ball) -> Array:
    """Where each value stands, counted from 1: 0 is a zero."""
    return np.arange(1, x.value.size + 1).reshape(x.shape)


def _padded(at: Array, pads: Sequence[tuple[int, int]]) -> Array:
    if any(p < 0 for pair in pads for p in pair):
        raise UndecidedError("no exact form of a transposed convolution that is cut")
    return np.pad(at, [(0, 0), (0, 0), *pads])


def _spread(at: Array, stride: Sequence[int]) -> Array:
    """Zeros between neighbours, stride - 1 of them."""
    size = [(n - 1) * s + 1 for n, s in zip(at.shape[2:], stride, strict=True)]
    out = np.zeros((*at.shape[:2], *size), dtype=at.dtype)
    out[(slice(None), slice(None), *(slice(None, None, s) for s in stride))] = at
    return out


def _turned(weight: Array, groups: int) -> Array:
    """(I, O / groups, ...) of a transposed convolution as (O, I / groups, ...), mirrored."""
    own = weight.reshape(groups, -1, *weight.shape[1:]).swapaxes(1, 2)
    own = own.reshape(-1, *own.shape[2:])
    return np.flip(own, axis=tuple(range(2, own.ndim)))


def _windows(at: Array, size: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Array:
    """(N, C, *out, *size)."""
    axes = tuple(range(2, at.ndim))
    wide = [d * (k - 1) + 1 for d, k in zip(dilation, size, strict=True)]
    views = sliding_window_view(at, wide, axis=axes)  # type: ignore[call-overload]
    steps = [slice(None, None, s) for s in (*stride, *dilation)]
    return np.asarray(views[(slice(None), slice(None), *steps)])


def _taken(x: Ball, at: Array) -> Ball:
    """The values at places, 0 where there are none."""
    return mapped(x, lambda a: np.concatenate([np.asarray([STILL], dtype=object), a.reshape(-1)])[at])


def _summed(windows: Ball, kernel: Ball, groups: int, rank: int) -> Ball:
    """(N, C, *out, *size) with (O, C / groups, *size) -> (N, O, *out)."""
    count, out = windows.shape[0], windows.shape[2 : 2 + rank]

    def rows(a: Array) -> Array:
        own = a.reshape(count, groups, -1, int(np.prod(out)), int(np.prod(a.shape[2 + rank :])))
        return own.transpose(0, 1, 3, 2, 4).reshape(count, groups, int(np.prod(out)), -1)

    weights = mapped(kernel, lambda w: w.reshape(groups, w.shape[0] // groups, -1).swapaxes(1, 2))
    found = reduce.matmul(mapped(windows, rows), weights)
    return mapped(found, lambda a: a.swapaxes(2, 3).reshape(count, kernel.shape[0], *out))


def average(target: Any, x: Any, *how: Any) -> Ball:
    """Means over windows. Which values a window holds, and what they are divided by, is read from what the op makes
    of one value at a time."""
    ball = ball_of(x)
    rank = 3 if "3d" in str(target) else 2
    size = ball.shape[-rank:]
    count = int(np.prod(size))
    if count > MOST:
        raise UndecidedError("no exact form of averages over windows of so large an input")
    shares = target(torch.eye(count, dtype=torch.float64).reshape(count, 1, *size), *how)
    table = shares.reshape(count, -1).T.numpy()  # (windows, count)
    flat = mapped(ball, lambda a: a.reshape(-1, count))
    sums = [_mean(flat, np.flatnonzero(row), row) for row in table]
    out = (*ball.shape[:-rank], *shares.shape[-rank:])
    slope = None if ball.slope is None else np.stack([slope_of(s) for s in sums], -1).reshape(out)
    return Ball(np.stack([s.value for s in sums], -1).reshape(out), slope)


def _mean(flat: Ball, places: Array, shares: Array) -> Ball:
    total = reduce.total(mapped(flat, lambda a: a[:, places]), 1)
    return total if not len(places) else forms.div(total, arb(round(1 / shares[places[0]])))
