"""Arrays of real balls with a first-order derivative: the numbers of the exact evaluation.

A ball is a midpoint with a rigorous error radius (Johansson, "Arb", IEEE Trans. Computers 2017); exponents do
not overflow. A `Ball` holds an array of them and, for each, its derivative along one direction.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from flint import acb, arb

Array = npt.NDArray[Any]  # of arb, dtype object
STILL = arb(0)  # the derivative of what does not move: known by identity, no factor makes anything else of it
NONE = arb("nan")  # the derivative where there is none: at a kink, at a tie
beside: ContextVar[bool] = ContextVar("beside", default=False)  # evaluated next to a point, not at it


class UndecidedError(Exception):
    """The question has no certain answer at this precision, or an op has no exact form."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason  # kept apart from `args`, to which the interpreter adds its own text


class SingularError(UndecidedError):
    """The formula has no value here: `reason` is the op that meets its pole with exact arguments."""


@dataclass(frozen=True, slots=True)
class Ball:
    """Values and derivatives, arrays of `arb` of the same shape; `slope` None means zero everywhere."""

    value: Array
    slope: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor that this stands for."""
        return self.value.shape


def ball_of(value: Any) -> Ball:
    """A float tensor (or a number) as exact balls: every float is a number without error."""
    if isinstance(value, Ball):
        return value
    if isinstance(value, arb):
        return Ball(as_array(value))
    if isinstance(value, torch.Tensor) and value.is_complex():
        pairs = torch.view_as_real(value.detach().resolve_conj()).cpu().double().numpy()
        return Ball(lift(acb, pairs[..., 0], pairs[..., 1]))
    plain = value.detach().cpu().double().numpy() if isinstance(value, torch.Tensor) else np.asarray(float(value))
    return Ball(_array(arb, plain))


def _array(make: Callable[[float], arb], plain: Any) -> Array:
    out = np.empty(plain.shape, dtype=object)
    out[...] = np.frompyfunc(lambda v: make(float(v)), 1, 1)(plain) if plain.shape else make(float(plain))
    return out


def unary(x: Ball, f: Callable[[arb], arb], df: Callable[[arb, arb], arb]) -> Ball:
    """Elementwise `f`; `df(x, f(x))` is its derivative."""
    if x.slope is None:
        return Ball(lift(f, x.value))

    def both(a: arb, s: arb) -> tuple[arb, arb]:
        y = f(a)
        return y, _times(df, s, a, y)

    return Ball(*_lifted(both, 2, x.value, x.slope))


def _times(df: Callable[..., arb], s: arb, *at: arb) -> arb:
    """df * s. What does not move keeps the derivative 0, whatever the factor.

    A derivative that comes out as 0 tells no more than that at the point itself: x*x is flat at 0, its square
    root is not. A pole of `df` then leaves the product open; next to the point it is 0.
    """
    return s if s is STILL or (s.is_zero() and beside.get()) else df(*at) * s


def lift(f: Callable[..., Any], *arrays: Array) -> Array:
    """Apply `f` elementwise over broadcast object arrays; always an array, also for 0-d."""
    return _lifted(f, 1, *arrays)[0]


def _lifted(f: Callable[..., Any], results: int, *arrays: Array) -> tuple[Array, ...]:
    """The same for an `f` with one or several results."""
    found = np.frompyfunc(f, len(arrays), results)(*arrays)
    return tuple(map(as_array, found if results > 1 else (found,)))


def binary(x: Ball, y: Ball, f: Callable[[arb, arb], arb], dx: Callable, dy: Callable) -> Ball:
    """Elementwise `f(x, y)` with partial derivatives `dx(x, y)` and `dy(x, y)`."""
    moving = [(partial, slope) for partial, slope in ((dx, x.slope), (dy, y.slope)) if slope is not None]
    if not moving:
        return Ball(lift(f, x.value, y.value))
    if len(moving) == 1:
        [(df, slope)] = moving
        return Ball(*_lifted(lambda a, b, s: (f(a, b), _times(df, s, a, b)), 2, x.value, y.value, slope))
    slopes = [slope for _, slope in moving]
    both = _lifted(
        lambda a, b, s, t: (f(a, b), _plus(_times(dx, s, a, b), _times(dy, t, a, b))), 2, x.value, y.value, *slopes
    )
    return Ball(*both)


def summed(x: Ball, y: Ball, f: Callable[[Any, Any], Any]) -> Ball:
    """Elementwise x + y or x - y, as `f` is `operator.add` or `operator.sub`."""
    value = as_array(f(x.value, y.value))
    if x.slope is None or y.slope is None:
        one = x.slope if y.slope is None else y.slope if f is operator.add else lift(_minus, y.slope)
        return Ball(value, None if one is None else np.broadcast_to(one, value.shape))
    return Ball(value, lift(_plus, x.slope, y.slope if f is operator.add else lift(_minus, y.slope)))


def _minus(a: arb) -> arb:
    return a if a is STILL else -a


def _plus(a: arb, b: arb) -> arb:
    return b if a is STILL else a if b is STILL else a + b


def slope_of(x: Ball) -> Array:
    """The derivative array, zeros written out."""
    return lift(lambda a: STILL, x.value) if x.slope is None else x.slope


def mapped(x: Ball, move: Callable[[Array], Array]) -> Ball:
    """Apply a rearrangement or linear reduction to value and derivative alike."""
    return Ball(as_array(move(x.value)), None if x.slope is None else as_array(move(x.slope)))


def as_array(value: Any) -> Array:
    """An object array, also from the scalar that numpy makes of a full reduction."""
    if isinstance(value, np.ndarray):
        return value
    out = np.empty((), dtype=object)
    out[()] = value
    return out


def decided(answer: bool, otherwise: bool) -> bool:
    """A comparison of balls that is certain one way or the other. Raises UndecidedError."""
    if answer or otherwise:
        return answer
    raise UndecidedError("a comparison of two values that are too close to tell apart")
