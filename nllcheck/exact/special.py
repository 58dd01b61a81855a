"""Exact forms of special functions, activations and rounding ops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from nllcheck.exact import forms, places, reduce
from nllcheck.exact.ball import Ball, UndecidedError, ball_of, binary, decided, lift, mapped, slope_of, unary


def _ndtr(x: arb) -> arb:
    return (-x / arb(2).sqrt()).erfc() / 2


def _mills(x: arb, y: arb) -> arb:
    return (-x * x / 2).exp() / (2 * arb.pi()).sqrt() / _ndtr(x)


def _erfcx(x: arb) -> arb:
    return (x * x).exp() * x.erfc()


def _i0e_slope(x: arb, y: arb) -> arb:
    return (-abs(x)).exp() * x.bessel_i(1) - x.sgn() * y


def _i1_slope(x: arb, y: arb) -> arb:
    return arb(0.5) if x.is_zero() else x.bessel_i(0) - y / x


def _i1e_slope(x: arb, y: arb) -> arb:
    return (-abs(x)).exp() * _i1_slope(x, x.bessel_i(1)) - x.sgn() * y


def _erfinv_slope(x: arb, y: arb) -> arb:
    return arb.pi().sqrt() / 2 * (y * y).exp()


def _ndtri(x: arb) -> arb:
    return arb(2).sqrt() * (2 * x - 1).erfinv()


def _sinc(x: arb) -> arb:
    return arb(1) if x.is_zero() else (arb.pi() * x).sin() / (arb.pi() * x)


# ATen name -> (f, derivative given x and f(x)); joined to `forms.UNARY` by the table in `__init__`
UNARY: dict[str, tuple[Callable[[arb], arb], Callable[[arb, arb], arb]]] = {
    "exp2": (lambda x: arb(2) ** x, lambda x, y: y * arb(2).log()),
    "special_ndtr": (_ndtr, lambda x, y: (-x * x / 2).exp() / (2 * arb.pi()).sqrt()),
    "special_log_ndtr": (lambda x: _ndtr(x).log(), _mills),
    "special_erfcx": (_erfcx, lambda x, y: 2 * x * y - 2 / arb.pi().sqrt()),
    "i0": (lambda x: x.bessel_i(0), lambda x, y: x.bessel_i(1)),
    "special_i0": (lambda x: x.bessel_i(0), lambda x, y: x.bessel_i(1)),
    "special_i0e": (lambda x: (-abs(x)).exp() * x.bessel_i(0), _i0e_slope),
    "special_i1": (lambda x: x.bessel_i(1), _i1_slope),
    "silu": (lambda x: x / (1 + (-x).exp()), lambda x, y: forms.sigmoid(x) * (1 + x * forms.sigmoid(-x))),
    "sinc": (_sinc, lambda x, y: arb(0) if x.is_zero() else ((arb.pi() * x).cos() - y) / x),
    "special_i1e": (lambda x: (-abs(x)).exp() * x.bessel_i(1), _i1e_slope),
    "erfinv": (lambda x: x.erfinv(), _erfinv_slope),
    "erf_inv": (lambda x: x.erfinv(), _erfinv_slope),
    "special_ndtri": (_ndtri, lambda x, y: (y * y / 2).exp() * (2 * arb.pi()).sqrt()),
    "sign": (lambda x: x.sgn(), lambda x, y: arb(0)),
    "sgn": (lambda x: x.sgn(), lambda x, y: arb(0)),
    "floor": (lambda x: places.floored(x), lambda x, y: arb(0)),
    "ceil": (lambda x: -places.floored(-x), lambda x, y: arb(0)),
    "round": (lambda x: _half_even(x), lambda x, y: arb(0)),
}


def hypot(x: Any, y: Any) -> Ball:
    """sqrt(x^2 + y^2)."""
    square = forms.add(forms.mul(x, x), forms.mul(y, y))
    return unary(square, *forms.UNARY["sqrt"])


def _half_even(x: arb) -> arb:
    """To the nearest integer, halves to even, as torch rounds."""
    down = places.floored(x + arb(0.5))
    is_half = bool((x + arb(0.5)).is_exact() and (x + arb(0.5) - down).is_zero())
    return down - 1 if is_half and int(float(down)) % 2 else down


def polygamma(order: int, x: Any) -> Ball:
    """The derivative of digamma of an order: (-1)^(n+1) n! zeta(n + 1, x), Abramowitz and Stegun 6.4.10."""
    if order == 0:
        return unary(ball_of(x), *forms.UNARY["digamma"])

    def at(n: int, a: arb) -> arb:
        return (-1) ** (n + 1) * arb(n).fac() * arb(n + 1).zeta(a)

    return unary(ball_of(x), lambda a: at(order, a), lambda a, y: at(order + 1, a))


def mvlgamma(x: Any, p: int) -> Ball:
    """p (p - 1) / 4 log(pi) + the sum of lgamma(x - j / 2) over j < p."""
    terms = [unary(forms.sub(x, j / 2), *forms.UNARY["lgamma"]) for j in range(p)]
    total = terms[0]
    for term in terms[1:]:
        total = forms.add(total, term)
    return unary(total, lambda a: a + arb(p * (p - 1)) / 4 * arb.pi().log(), lambda a, y: arb(1))


def atan2(y: Any, x: Any) -> Ball:
    """The angle of the point (x, y)."""
    return binary(
        ball_of(y),
        ball_of(x),
        lambda a, b: arb.atan2(a, b),
        lambda a, b: b / (a * a + b * b),
        lambda a, b: -a / (a * a + b * b),
    )


def leaky_relu(x: Any, slope: float = 0.01) -> Ball:
    """x, and slope * x where x is negative."""
    ball = ball_of(x)
    return forms.chosen(ball, forms.mul(ball, slope), lambda a, _: decided(bool(a >= 0), bool(a < 0)))


def elu(x: Any, alpha: float = 1, scale: float = 1, input_scale: float = 1) -> Ball:
    """scale * x, and scale * alpha * (e^(input_scale x) - 1) where x is negative."""
    ball = ball_of(x)
    pick = lift(lambda a: decided(bool(a > 0), bool(a <= 0)), ball.value)
    low = forms.mul(unary(forms.mul(ball, input_scale), *forms.UNARY["expm1"]), alpha)
    value = lift(lambda p, a, b: a if p else b, pick, ball.value, low.value)
    slope = lift(lambda p, a, b: a if p else b, pick, slope_of(ball), slope_of(low))
    return forms.mul(Ball(value, slope), scale)


def gelu(x: Any, approximate: str = "none") -> Ball:
    """x Phi(x); the tanh form has none here."""
    if approximate != "none":
        raise UndecidedError("no exact form of the tanh form of gelu")
    ball = ball_of(x)
    return forms.mul(ball, unary(ball, *UNARY["special_ndtr"]))


def hardtanh(x: Any, low: float = -1, high: float = 1) -> Ball:
    """x between its bounds."""
    return forms.clamp(x, low, high)


def logcumsumexp(x: Any, dim: int) -> Ball:
    """log of the running sum of e^x."""
    return unary(reduce.cumsum(reduce.exponential(x), dim), lambda a: a.log(), lambda a, y: 1 / a)


def cumprod(x: Any, dim: int) -> Ball:
    """Running product."""
    ball = ball_of(x)
    out: list[Ball] = []
    for part in reduce.slices(ball, dim):
        out.append(part if not out else forms.mul(out[-1], part))
    value = np.concatenate([p.value for p in out], axis=dim)
    return Ball(value, None if ball.slope is None else np.concatenate([slope_of(p) for p in out], axis=dim))


def layer_norm(x: Any, shape: Any, weight: Any, bias: Any, eps: float) -> tuple[Ball, Ball, Ball]:
    """(x - mean) / sqrt(var + eps) over the last dimensions, times weight, plus bias; with mean and 1 / deviation."""
    ball = ball_of(x)
    dims = tuple(range(-len(shape), 0))
    mean = reduce.mean(ball, dims, True)
    spread = reduce.variance(ball, dims, 0, True)
    inverse = unary(forms.add(spread, eps), *forms.UNARY["rsqrt"])
    out = forms.mul(forms.sub(ball, mean), inverse)
    out = out if weight is None else forms.mul(out, weight)
    return (out if bias is None else forms.add(out, bias)), mean, inverse


def median(x: Any, dim: int | None = None, keepdim: bool = False) -> Any:
    """The lower middle value; with a dimension also where it is."""
    ball = ball_of(x)
    if dim is None:
        flat = mapped(ball, lambda a: a.reshape(-1))
        return reduce.picked(*reduce.ordered(flat, 0), 0, (flat.shape[0] - 1) // 2, False)[0]
    return reduce.picked(*reduce.ordered(ball, dim), dim, (ball.shape[dim] - 1) // 2, keepdim)
