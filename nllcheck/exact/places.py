"""Exact forms of ops that add to places, or pick by an order along a dimension."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from flint import arb

from nllcheck.exact import forms, reduce
from nllcheck.exact.ball import Array, Ball, UndecidedError, ball_of, lift, mapped, slope_of


def scatter_add(x: Any, dim: int, index: torch.Tensor, source: Any) -> Ball:
    """x with the entries of `source` added at `index` along `dim`."""
    given = mapped(ball_of(source), lambda a: a[tuple(slice(n) for n in index.shape)])
    return _added(ball_of(x), _flat(ball_of(x).shape, dim, index), given)


def index_add(x: Any, dim: int, index: torch.Tensor, source: Any, alpha: float = 1) -> Ball:
    """x with alpha times row i of `source` added to its row `index[i]`."""
    given = forms.mul(source, alpha)
    along = index.reshape([-1 if k == dim % len(given.shape) else 1 for k in range(len(given.shape))])
    return scatter_add(x, dim % len(given.shape), along.expand(given.shape), given)


def index_put(x: Any, indices: Sequence[torch.Tensor | None], values: Any, accumulate: bool = False) -> Ball:
    """x with `values` added at the places that the index arrays name."""
    into = ball_of(x)
    flat = torch.arange(into.value.size).reshape(into.shape)
    at = flat[tuple(slice(None) if i is None else i for i in indices)]
    return _added(into, at.numpy(), mapped(ball_of(values), lambda a: np.broadcast_to(a, at.shape)))


def scatter_reduce(x: Any, dim: int, index: torch.Tensor, source: Any, how: str, include_self: bool = True) -> Ball:
    """Sums, products, means and extremes of the entries of `source` that meet at one place."""
    into, given = ball_of(x), ball_of(source)
    if not include_self or how not in FOLDS:
        raise UndecidedError(f"no exact form of scatter_reduce ({how})")
    at = _flat(into.shape, dim, index).reshape(-1)
    given = mapped(given, lambda a: a[tuple(slice(n) for n in index.shape)].reshape(-1))
    flat = mapped(into, lambda a: a.reshape(-1))
    made = [_met(_one(flat, k), given, np.flatnonzero(at == k), how) for k in range(into.value.size)]
    value = np.concatenate([m.value for m in made]).reshape(into.shape)
    return Ball(value, np.concatenate([slope_of(m) for m in made]).reshape(into.shape))


FOLDS: dict[str, Callable[[Any, Any], Ball]] = {
    "sum": forms.add, "mean": forms.add, "prod": forms.mul, "amax": forms.maximum, "amin": forms.minimum,
}  # fmt: skip


def _met(own: Ball, given: Ball, places: Array, how: str) -> Ball:
    for k in places:
        own = FOLDS[how](own, _one(given, k))
    return forms.div(own, float(1 + len(places))) if how == "mean" else own


def _one(flat: Ball, k: int) -> Ball:
    return mapped(flat, lambda a: a[k : k + 1])


def _flat(shape: tuple[int, ...], dim: int, index: torch.Tensor) -> Array:
    """Where in the flattened tensor each entry of `index` along `dim` points."""
    flat = torch.arange(int(np.prod(shape))).reshape(shape)
    cut = flat[tuple(slice(None) if k == dim % len(shape) else slice(n) for k, n in enumerate(index.shape))]
    return cut.gather(dim, index).numpy()


def _added(into: Ball, at: Array, given: Ball) -> Ball:
    slope = None if into.slope is None and given.slope is None else _sums(slope_of(into), at, slope_of(given))
    return Ball(_sums(into.value, at, given.value), slope)


def _sums(into: Array, at: Array, given: Array) -> Array:
    found = into.reshape(-1).copy()
    for place, value in zip(at.reshape(-1), given.reshape(-1), strict=True):
        found[place] = found[place] + value
    return found.reshape(into.shape)


def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Ball, torch.Tensor]:
    """The k-th smallest along a dimension."""
    return reduce.picked(*reduce.ordered(x, dim), dim, k - 1, keepdim)


def running(x: Any, dim: int, pair: Callable[[Any, Any], Ball]) -> tuple[Ball, None]:
    """The largest (or smallest) value up to here, along a dimension; its place is not told."""
    ball, out = ball_of(x), list[Ball]()
    for part in reduce.slices(ball, dim):
        out.append(part if not out else pair(out[-1], part))
    slope = None if ball.slope is None else np.concatenate([slope_of(p) for p in out], axis=dim)
    return Ball(np.concatenate([p.value for p in out], axis=dim), slope), None


def rest(x: Any, y: Any, isfloored: bool) -> Ball:
    """x - y floor(x / y), or with the quotient cut towards 0 (fmod)."""
    whole = lift(floored if isfloored else cut, forms.div(x, y).value)
    return forms.sub(x, forms.mul(y, Ball(whole)))


def trunc(x: Any) -> Ball:
    """Cut towards 0."""
    return Ball(lift(cut, ball_of(x).value))


def floored(x: arb) -> arb:
    """The largest whole number up to x. Raises UndecidedError where it is too close to call."""
    value = x.floor()
    if value.unique_fmpz() is None:
        raise UndecidedError("a rounding to an integer that is too close to call")
    return value


def cut(x: arb) -> arb:
    """Towards 0."""
    return -floored(-x) if x < 0 else floored(x)
