"""Exact forms of reductions, softmax families and products of matrices."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from flint import arb

from nllcheck.exact import forms
from nllcheck.exact.ball import Array, Ball, UndecidedError, as_array, ball_of, decided, lift, mapped, slope_of, unary


def _dims(dim: Any, rank: int) -> tuple[int, ...]:
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(rank))
    many = dim if isinstance(dim, (tuple, list)) else (dim,)
    return tuple(d % rank for d in many) if rank else ()


def total(x: Any, dim: Any = None, keepdim: bool = False) -> Ball:
    """Sum over `dim` (None: all)."""
    ball = ball_of(x)
    axes = _dims(dim, len(ball.shape))
    if not axes:
        return ball
    return mapped(ball, lambda a: _summed(a, axes, keepdim))


def _summed(values: Array, axes: tuple[int, ...], keepdim: bool) -> Array:
    return np.add.reduce(values, axis=axes, keepdims=keepdim, initial=arb(0))  # type: ignore[call-overload]


def slices(ball: Ball, axis: int) -> list[Ball]:
    """The ball's layers along an axis, each of length 1 there."""
    return [mapped(ball, functools.partial(np.take, indices=[i], axis=axis)) for i in range(ball.shape[axis])]


def _folded(ball: Ball, dim: Any, keepdim: bool, combine: Callable[[Any, Any], Ball]) -> Ball:
    """`combine` over all layers of each dimension in `dim`."""
    for axis in sorted(_dims(dim, len(ball.shape)), reverse=True):
        folded = functools.reduce(combine, slices(ball, axis))
        ball = folded if keepdim else mapped(folded, functools.partial(np.squeeze, axis=axis))
    return ball


def mean(x: Any, dim: Any = None, keepdim: bool = False) -> Ball:
    """Average over `dim`."""
    ball = ball_of(x)
    count = int(np.prod([ball.shape[d] for d in _dims(dim, len(ball.shape))])) if ball.shape else 1
    return forms.div(total(ball, dim, keepdim), float(count))


def largest(x: Any, dim: Any = None, keepdim: bool = False) -> Ball:
    """Maximum over `dim`, by pairwise certain choices."""
    return _folded(ball_of(x), dim, keepdim, forms.maximum)


def smallest(x: Any, dim: Any = None, keepdim: bool = False) -> Ball:
    """Minimum over `dim`."""
    return _folded(ball_of(x), dim, keepdim, forms.minimum)


def chosen(x: Any, fold: Callable[..., Ball], pair: Callable[..., Ball], *rest: Any) -> Any:
    """`max(x)`, `max(x, y)`, or `max(x, dim)`: (values, indices)."""
    if not rest:
        return fold(x)
    if isinstance(rest[0], (Ball, torch.Tensor)):
        return pair(x, rest[0])
    keep = len(rest) > 1 and bool(rest[1])
    return picked(*ordered(x, rest[0], fold is largest), rest[0], 0, keep)


def picked(values: Ball, indices: torch.Tensor, dim: int, k: int, keepdim: bool) -> tuple[Ball, torch.Tensor]:
    """The k-th of sorted values along a dimension, and where it came from."""
    first = mapped(values, functools.partial(np.take, indices=[k] if keepdim else k, axis=dim))
    index = indices.select(dim, k)
    return first, index.unsqueeze(dim) if keepdim else index


def place_of(x: Any, is_largest: bool, dim: int | None = None, keepdim: bool = False) -> torch.Tensor:
    """Where the largest (or smallest) value stands along `dim`, or in all; of equals the first."""
    ball = ball_of(x)
    flat = mapped(ball, np.ravel) if dim is None else ball
    _, index = picked(*ordered(flat, dim or 0, is_largest), dim or 0, 0, keepdim and dim is not None)
    return index.reshape([1] * len(ball.shape)) if keepdim and dim is None else index


def ordered(x: Any, dim: int, descending: bool = False) -> tuple[Ball, torch.Tensor]:
    """Sorted values and where they came from; equal values keep their order. Raises UndecidedError."""
    ball = ball_of(x)
    middle = np.vectorize(float, otypes=[float])(lift(lambda a: a.mid(), ball.value))
    order = torch.sort(torch.as_tensor(middle), dim=dim, descending=descending, stable=True).indices
    index = order.numpy()
    move = functools.partial(np.take_along_axis, indices=index, axis=dim)
    found = mapped(ball, move)
    low, high = (found.value.take(range(k, found.shape[dim] - 1 + k), axis=dim) for k in (0, 1))
    lift(lambda a, b: decided(bool(a >= b) if descending else bool(a <= b), False), low, high)
    return found, order


def topmost(
    x: Any, k: int, dim: int = -1, is_largest: bool = True, is_sorted: bool = True
) -> tuple[Ball, torch.Tensor]:
    """The k largest (or smallest) values along a dimension."""
    values, indices = ordered(x, dim, is_largest)
    return mapped(values, lambda a: a.take(range(k), axis=dim)), indices.narrow(dim, 0, k)


def logsumexp(x: Any, dim: Any, keepdim: bool = False) -> Ball:
    """log sum exp. Balls do not overflow, so no shift is needed; a row of -inf alone stays -inf."""
    return unary(total(exponential(x), dim, keepdim), lambda a: a.log(), lambda a, y: 1 / a)


def exponential(x: Any) -> Ball:
    """e^x, where a mask of -inf gives an exact 0."""
    return unary(ball_of(x), _exp_masked, lambda a, y: y)


def _exp_masked(x: arb) -> arb:
    """e^x with e^-inf = 0: a mask."""
    return arb(0) if x == arb.neg_inf() else x.exp()


def log_softmax(x: Any, dim: int, *_: Any) -> Ball:
    """x - logsumexp(x)."""
    return forms.sub(x, logsumexp(x, dim, True))


def softmax(x: Any, dim: int, *_: Any) -> Ball:
    """exp(x) / sum exp(x)."""
    e = exponential(x)
    return forms.div(e, total(e, dim, True))


def cumsum(x: Any, dim: int) -> Ball:
    """Running sum."""
    return mapped(ball_of(x), lambda a: np.add.accumulate(a, axis=dim))


def prod(x: Any, dim: Any = None, keepdim: bool = False) -> Ball:
    """Product over one dimension or all."""
    return _folded(ball_of(x), dim, keepdim, forms.mul)


def vector_norm(x: Any, order: float = 2, dim: Any = None, keepdim: bool = False, **_: Any) -> Ball:
    """The p-norm for p > 0; at 0 it has no derivative."""
    ball = ball_of(x)
    if order == 2:
        return unary(total(forms.mul(ball, ball), dim, keepdim), *forms.UNARY["sqrt"])
    if order == 1:
        return total(forms.absolute(ball), dim, keepdim)
    if order == float("inf"):
        return largest(forms.absolute(ball), dim, keepdim)
    if order <= 0:
        raise UndecidedError(f"no exact form of the norm of order {order}")
    return forms.power(total(forms.power(forms.absolute(ball), order), dim, keepdim), 1 / arb(order))


def distances(x: Any, y: Any, order: float = 2, *_: Any) -> Ball:
    """The norms of all differences between rows of x and rows of y: (..., n, m)."""
    left = mapped(ball_of(x), lambda a: np.expand_dims(a, -2))
    right = mapped(ball_of(y), lambda a: np.expand_dims(a, -3))
    return vector_norm(forms.sub(left, right), order, -1)


def variance(x: Any, dim: Any = None, correction: float = 1, keepdim: bool = False) -> Ball:
    """Mean square deviation with `correction` taken off the count."""
    ball = ball_of(x)
    count = int(np.prod([ball.shape[d] for d in _dims(dim, len(ball.shape))]))
    away = forms.sub(ball, mean(ball, dim, True))
    return forms.div(total(forms.mul(away, away), dim, keepdim), float(count - correction))


def deviation(x: Any, dim: Any = None, correction: float = 1, keepdim: bool = False) -> Ball:
    """The square root of the variance."""
    return unary(variance(x, dim, correction, keepdim), lambda a: a.sqrt(), lambda a, y: 1 / (2 * y))


def matmul(x: Any, y: Any) -> Ball:
    """Matrix product over the last two dimensions (or vectors), batched."""
    a, b = ball_of(x), ball_of(y)
    value = as_array(np.matmul(a.value, b.value))
    if a.slope is None and b.slope is None:
        return Ball(value)
    return Ball(value, as_array(np.matmul(slope_of(a), b.value) + np.matmul(a.value, slope_of(b))))


def addmm(bias: Any, x: Any, y: Any, beta: float = 1, alpha: float = 1) -> Ball:
    """beta * bias + alpha * x @ y."""
    return forms.add(forms.mul(bias, beta), forms.mul(matmul(x, y), alpha))
