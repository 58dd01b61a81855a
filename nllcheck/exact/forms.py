"""Exact forms of elementwise ops: the formula that the op means, and its derivative."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from flint import arb

from nllcheck.exact.ball import NONE, STILL, Array, Ball, UndecidedError, ball_of, binary, decided, lift, summed, unary


def _softplus(x: arb) -> arb:
    return x + (-x).exp().log1p() if x > 0 else x.exp().log1p()


def sigmoid(x: arb) -> arb:
    """1 / (1 + e^-x)."""
    return 1 / (1 + (-x).exp())


def _sech2(x: arb, y: arb) -> arb:
    return 1 / x.cosh() ** 2


def _erf_slope(x: arb, y: arb) -> arb:
    return 2 * (-x * x).exp() / arb.pi().sqrt()


def _trigamma(x: arb, y: arb) -> arb:
    return arb(2).zeta(x)


# rule name -> (f, derivative of f given x and f(x))
UNARY: dict[str, tuple[Callable[[arb], arb], Callable[[arb, arb], arb]]] = {
    "neg": (lambda x: -x, lambda x, y: arb(-1)),
    "exp": (lambda x: x.exp(), lambda x, y: y),
    "expm1": (lambda x: x.expm1(), lambda x, y: x.exp()),
    "log": (lambda x: x.log(), lambda x, y: 1 / x),
    "log1p": (lambda x: x.log1p(), lambda x, y: 1 / (1 + x)),
    "log2": (lambda x: x.log() / arb(2).log(), lambda x, y: 1 / (x * arb(2).log())),
    "log10": (lambda x: x.log() / arb(10).log(), lambda x, y: 1 / (x * arb(10).log())),
    "sqrt": (lambda x: x.sqrt(), lambda x, y: 1 / (2 * y)),
    "rsqrt": (lambda x: x.rsqrt(), lambda x, y: -y / (2 * x)),
    "reciprocal": (lambda x: 1 / x, lambda x, y: -y * y),
    "square": (lambda x: x * x, lambda x, y: 2 * x),
    "tanh": (lambda x: x.tanh(), _sech2),
    "sigmoid": (sigmoid, lambda x, y: y * sigmoid(-x)),
    "softplus": (_softplus, lambda x, y: sigmoid(x)),
    "logsigmoid": (lambda x: -_softplus(-x), lambda x, y: sigmoid(-x)),
    "logit": (lambda x: (x / (1 - x)).log(), lambda x, y: 1 / (x * (1 - x))),
    "lgamma": (lambda x: x.lgamma(), lambda x, y: x.digamma()),
    "digamma": (lambda x: x.digamma(), _trigamma),
    "erf": (lambda x: x.erf(), _erf_slope),
    "erfc": (lambda x: x.erfc(), lambda x, y: -_erf_slope(x, y)),
    "sin": (lambda x: x.sin(), lambda x, y: x.cos()),
    "cos": (lambda x: x.cos(), lambda x, y: -x.sin()),
    "tan": (lambda x: x.tan(), lambda x, y: 1 + y * y),
    "asin": (lambda x: x.asin(), lambda x, y: 1 / (1 - x * x).sqrt()),
    "acos": (lambda x: x.acos(), lambda x, y: -1 / (1 - x * x).sqrt()),
    "atan": (lambda x: x.atan(), lambda x, y: 1 / (1 + x * x)),
    "sinh": (lambda x: x.sinh(), lambda x, y: x.cosh()),
    "cosh": (lambda x: x.cosh(), lambda x, y: x.sinh()),
    "asinh": (lambda x: x.asinh(), lambda x, y: 1 / (1 + x * x).sqrt()),
    "acosh": (lambda x: x.acosh(), lambda x, y: 1 / (x * x - 1).sqrt()),
    "atanh": (lambda x: x.atanh(), lambda x, y: 1 / (1 - x * x)),
}


def add(x: Any, y: Any, alpha: float = 1) -> Ball:
    """x + alpha * y."""
    if alpha in (1, -1):
        return summed(ball_of(x), ball_of(y), operator.add if alpha == 1 else operator.sub)
    a = arb(alpha)
    return binary(ball_of(x), ball_of(y), lambda p, q: p + a * q, lambda p, q: arb(1), lambda p, q: a)


def sub(x: Any, y: Any, alpha: float = 1) -> Ball:
    """x - alpha * y."""
    return add(x, y, -alpha)


def mul(x: Any, y: Any) -> Ball:
    """x * y."""
    return binary(ball_of(x), ball_of(y), lambda p, q: p * q, lambda p, q: q, lambda p, q: p)


def div(x: Any, y: Any) -> Ball:
    """x / y."""
    return binary(ball_of(x), ball_of(y), lambda p, q: p / q, lambda p, q: 1 / q, lambda p, q: -p / (q * q))


def power(x: Any, y: Any) -> Ball:
    """x ** y; a whole exponent also for a negative or zero base."""
    base, exponent = ball_of(x), ball_of(y)
    if exponent.slope is None:
        return binary(base, exponent, _power, lambda p, q: q * _power(p, q - 1), lambda p, q: arb(0))
    return binary(base, exponent, _power, lambda p, q: q * _power(p, q - 1), lambda p, q: _power(p, q) * p.log())


def _power(x: arb, y: arb) -> arb:
    if not y.is_integer():
        return x.sqrt() if y == arb(0.5) else x**y
    n = int(float(y))
    return arb(1) if n == 0 else x**n if n > 0 else 1 / x**-n


def absolute(x: Any) -> Ball:
    """|x|; at 0 it has no derivative."""
    return unary(ball_of(x), abs, lambda a, y: NONE if a.is_zero() else a.sgn())


def relu(x: Any) -> Ball:
    """max(x, 0)."""
    return chosen(ball_of(x), ball_of(0.0), lambda a, b: decided(bool(a > b), bool(a <= b)))


def maximum(x: Any, y: Any) -> Ball:
    """The larger of two."""
    return chosen(ball_of(x), ball_of(y), lambda a, b: decided(bool(a >= b), bool(a < b)))


def minimum(x: Any, y: Any) -> Ball:
    """The smaller of two."""
    return chosen(ball_of(x), ball_of(y), lambda a, b: decided(bool(a <= b), bool(a > b)))


def chosen(x: Ball, y: Ball, first: Callable[[arb, arb], bool]) -> Ball:
    """Elementwise x where `first(x, y)`, else y; value and derivative follow the choice, at a tie there is none."""
    pick = lift(first, x.value, y.value)
    value = lift(lambda p, a, b: a if p else b, pick, x.value, y.value)
    if x.slope is None and y.slope is None:
        return Ball(value)
    left = np.full(x.shape, STILL, dtype=object) if x.slope is None else x.slope
    right = np.full(y.shape, STILL, dtype=object) if y.slope is None else y.slope
    tie = lift(tied, x.value, y.value, left, right)
    return Ball(value, lift(lambda t, p, a, b: NONE if t else a if p else b, tie, pick, left, right))


def tied(x: arb, y: arb, x_slope: arb, y_slope: arb) -> bool:
    """Are the two equal without error, but on their way apart?"""
    return bool(x == y) and not bool(x_slope == y_slope)


def clamp(x: Any, low: Any = None, high: Any = None) -> Ball:
    """max(min(x, high), low); an end that is None or infinite does not bind."""
    out = ball_of(x)
    if low is not None and low != -np.inf:
        out = maximum(out, low)
    if high is not None and high != np.inf:
        out = minimum(out, high)
    return out


def logaddexp(x: Any, y: Any) -> Ball:
    """log(e^x + e^y)."""
    a, b = ball_of(x), ball_of(y)
    return binary(
        a,
        b,
        lambda p, q: p + _softplus(q - p),
        lambda p, q: sigmoid(p - q),
        lambda p, q: sigmoid(q - p),
    )


def xlogy(x: Any, y: Any) -> Ball:
    """x log y, and 0 where x is 0."""
    a, b = ball_of(x), ball_of(y)

    def value(p: arb, q: arb) -> arb:
        return arb(0) if p.is_zero() else p * q.log()

    return binary(a, b, value, lambda p, q: q.log(), lambda p, q: arb(0) if p.is_zero() else p / q)


COMPARE: dict[str, Callable[[arb, arb], bool]] = {
    "gt": lambda a, b: decided(bool(a > b), bool(a <= b)),
    "ge": lambda a, b: decided(bool(a >= b), bool(a < b)),
    "lt": lambda a, b: decided(bool(a < b), bool(a >= b)),
    "le": lambda a, b: decided(bool(a <= b), bool(a > b)),
    "eq": lambda a, b: decided(bool(a == b), bool(a != b)),
    "ne": lambda a, b: decided(bool(a != b), bool(a == b)),
}


def compared(name: str, x: Any, y: Any) -> Array:
    """Elementwise comparison, certain everywhere. Raises UndecidedError."""
    return lift(COMPARE[name], ball_of(x).value, ball_of(y).value)


def is_finite(x: Any) -> Array:
    """Is each a number? What has no value may be an infinity or none at all. Raises UndecidedError there."""

    def told(a: arb) -> bool:
        if not (a.is_finite() or a.is_exact()) or a.is_nan():
            raise UndecidedError("a value that is no number")
        return bool(a.is_finite())

    return lift(told, ball_of(x).value)
