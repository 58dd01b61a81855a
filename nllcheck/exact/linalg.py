"""Exact linear algebra on small matrices, batched, with first derivatives.

The derivatives are the textbook differentials (Giles, Collected matrix derivative results, 2008); the Cholesky one
is Murray, Differentiation of the Cholesky decomposition, 2016, equation 8.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb, arb_mat

from nllcheck.exact.ball import Array, Ball, UndecidedError, as_array, ball_of, mapped, slope_of
from nllcheck.exact.forms import mul, sub


def _each(function: Callable[..., Any], *arrays: Array) -> Any:
    """Apply a function of matrices (each (n, m)) over broadcast leading dimensions."""
    lead = np.broadcast_shapes(*(a.shape[:-2] for a in arrays))
    spread = [np.broadcast_to(a, lead + a.shape[-2:]) for a in arrays]
    found = {i: function(*(a[i] for a in spread)) for i in np.ndindex(*lead)}
    first = found[next(iter(found))]
    out = np.empty(lead + first.shape, dtype=object)
    for i, value in found.items():
        out[i] = value
    return out


def _where(mask: Array, values: Any, otherwise: arb) -> Array:
    out = np.empty(np.broadcast_shapes(mask.shape, np.shape(values)), dtype=object)
    out[...] = otherwise
    np.copyto(out, values, where=np.broadcast_to(mask, out.shape))
    return out


def _matrix(values: Array) -> arb_mat:
    return arb_mat([list(row) for row in values])


def _array(matrix: arb_mat) -> Array:
    out = np.empty((matrix.nrows(), matrix.ncols()), dtype=object)
    for i in range(matrix.nrows()):
        for j in range(matrix.ncols()):
            out[i, j] = matrix[i, j]
    return out


def _solved(a: Array, b: Array) -> Array:
    try:
        return _array(_matrix(a).solve(_matrix(b)))
    except ZeroDivisionError:
        raise UndecidedError("a matrix that cannot be told from a singular one") from None


def _transposed(a: Array) -> Array:
    return np.swapaxes(a, -1, -2)


def solve(a: Any, b: Any) -> Ball:
    """A^-1 B; its differential is A^-1 (dB - dA X)."""
    x, y = ball_of(a), ball_of(b)
    columns = y.value.ndim == x.value.ndim - 1 or y.value.ndim == 1
    right, along = (np.expand_dims(v, -1) if columns else v for v in (y.value, slope_of(y)))
    value = _each(_solved, x.value, right)
    slope = _each(_solved, x.value, along - np.matmul(slope_of(x), value))
    return Ball(value[..., 0], slope[..., 0]) if columns else Ball(value, slope)


def solve_triangular(a: Any, b: Any, upper: bool, left: bool = True, unitriangular: bool = False) -> Ball:
    """A^-1 B (or B A^-1) with the other triangle of A taken as zero."""
    x, y = ball_of(a), ball_of(b)
    keep = np.triu if upper else np.tril
    clean = Ball(*(_kept(v, keep, unitriangular and k == 0) for k, v in enumerate((x.value, slope_of(x)))))
    if left:
        return solve(clean, y)
    turned = solve(_t(clean), _t(y))
    return _t(turned)


def _t(ball: Ball) -> Ball:
    return Ball(_transposed(ball.value), _transposed(slope_of(ball)))


def _kept(values: Array, keep: Callable[..., Any], unit: bool) -> Array:
    mask = keep(np.ones(values.shape[-2:], dtype=bool))
    out = _where(mask, values, arb(0))
    if unit:
        n = out.shape[-1]
        out[..., range(n), range(n)] = arb(1)
    return out


def inverse(a: Any) -> Ball:
    """A^-1."""
    n = ball_of(a).shape[-1]
    return solve(a, Ball(_identity(n)))


def _identity(n: int) -> Array:
    return _where(np.eye(n, dtype=bool), arb(1), arb(0))


def slogdet(a: Any) -> tuple[Ball, Ball]:
    """Sign and log of |det A|; the differential of the log is trace(A^-1 dA). Both have no value where det A is 0."""
    x = ball_of(a)
    value = _scalars(lambda m: _matrix(m).det(), x.value)
    log = np.frompyfunc(lambda d: arb("nan") if d.is_zero() else abs(d).log(), 1, 1)(value)
    sign = np.frompyfunc(lambda d: d.sgn(), 1, 1)(value)
    return _ball(sign, None), _ball(log, _scalars(_log_slope, x.value, slope_of(x)))


def is_singular(a: Any) -> bool:
    """Is some determinant exactly 0, as with a row of zeros, whatever is known of the other elements?"""
    return any(d.is_zero() for d in _scalars(lambda m: _matrix(m).det(), ball_of(a).value).flat)


def det(a: Any) -> Ball:
    """det A; its differential is trace(adj(A) dA), which is det A trace(A^-1 dA) unless A is singular (Jacobi)."""
    x = ball_of(a)
    return _ball(_scalars(lambda m: _matrix(m).det(), x.value), _scalars(_slope, x.value, slope_of(x)))


def _scalars(function: Callable[..., arb], *arrays: Array) -> Any:
    """A number for each matrix."""
    return _each(lambda *m: np.array([[function(*m)]], dtype=object), *arrays)[..., 0, 0]


def _log_slope(a: Array, moved: Array) -> arb:
    return arb("nan") if _matrix(a).det().is_zero() else np.trace(_solved(a, moved))  # type: ignore[no-any-return]


def _slope(a: Array, moved: Array) -> arb:
    value = _matrix(a).det()
    return value * np.trace(_solved(a, moved)) if not value.is_zero() else _by_cofactors(a, moved)  # type: ignore[no-any-return]


def _by_cofactors(a: Array, moved: Array) -> arb:
    n = len(a)
    found = arb(0)
    for i, j in np.argwhere(np.array([[not v.is_zero() for v in row] for row in moved])):
        minor = np.delete(np.delete(a, i, 0), j, 1)
        found += (-1) ** int(i + j) * moved[i, j] * (_matrix(minor).det() if n > 1 else arb(1))
    return found


def _ball(value: Any, slope: Any) -> Ball:
    return Ball(as_array(value), None if slope is None else as_array(slope))


def cholesky(a: Any, upper: bool = False) -> Ball:
    """The lower factor L of A = L L^T; dL = L Phi(L^-1 dA L^-T), Phi halving the diagonal of the lower triangle."""
    x = ball_of(a)
    value = _each(_factor, x.value)
    half = _each(_solved, value, slope_of(x))
    inner = _each(_solved, value, _transposed(half))
    phi = _kept(inner, np.tril, False)
    n = phi.shape[-1]
    phi[..., range(n), range(n)] = phi[..., range(n), range(n)] / 2
    slope = np.matmul(value, phi)
    return Ball(_transposed(value), _transposed(slope)) if upper else Ball(value, slope)


def _factor(a: Array) -> Array:
    n = a.shape[-1]
    out = _where(np.zeros((n, n), dtype=bool), a, arb(0))
    for j in range(n):
        for i in range(j, n):
            rest = a[i, j] - sum((out[i, k] * out[j, k] for k in range(j)), arb(0))
            out[i, j] = _root(rest) if i == j else rest / out[j, j]
    return out


def _root(value: arb) -> arb:
    if not value > 0:
        raise UndecidedError("a matrix that cannot be told from one that is not positive definite")
    return value.sqrt()


def cross(x: Any, y: Any, dim: int = -1) -> Ball:
    """The vector product along a dimension of three."""

    def turned(value: Any, by: int) -> Ball:
        return mapped(ball_of(value), lambda a: np.roll(a, by, dim))

    return sub(mul(turned(x, -1), turned(y, 1)), mul(turned(x, 1), turned(y, -1)))
