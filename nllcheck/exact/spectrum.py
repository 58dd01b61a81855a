"""Exact forms of Fourier transforms and of the complex numbers that come of them: balls of `acb`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from flint import acb, arb

from nllcheck.exact import forms, special
from nllcheck.exact.ball import STILL, Array, Ball, ball_of, lift, mapped, slope_of


def is_complex(x: Ball) -> bool:
    """Is one of its numbers complex?"""
    return any(isinstance(v, acb) for v in x.value.flat)


def real(x: Any) -> Ball:
    """The real part."""
    return _part(ball_of(x), lambda v: v.real if isinstance(v, acb) else v)


def imag(x: Any) -> Ball:
    """The imaginary part."""
    return _part(ball_of(x), lambda v: v.imag if isinstance(v, acb) else STILL)


def _part(x: Ball, of: Any) -> Ball:
    return mapped(x, lambda a: lift(of, a))


def conjugate(x: Any) -> Ball:
    """With the other sign of the imaginary part."""
    return _part(ball_of(x), lambda v: v.conjugate() if isinstance(v, acb) else v)


def absolute(x: Any) -> Ball:
    """The length of a complex number, which has no derivative at 0; of a real one its size."""
    ball = ball_of(x)
    return special.hypot(real(ball), imag(ball)) if is_complex(ball) else forms.absolute(ball)


def angle(x: Any) -> Ball:
    """The argument of a complex number."""
    return special.atan2(imag(x), real(x))


def as_pairs(x: Any) -> Ball:
    """(..., 2): real and imaginary parts."""
    parts = real(x), imag(x)
    slope = None if ball_of(x).slope is None else np.stack([slope_of(p) for p in parts], -1)
    return Ball(np.stack([p.value for p in parts], -1), slope)


def of_pairs(x: Any) -> Ball:
    """Complex numbers of (..., 2)."""
    return mapped(ball_of(x), lambda a: lift(acb, a[..., 0], a[..., 1]))


def joined(re: Any, im: Any) -> Ball:
    """Complex numbers of their parts."""
    return forms.add(re, mapped(ball_of(im), lambda a: lift(lambda v: acb(0, v), a)))


def transform(x: Any, dims: Sequence[int], normalization: int, is_forward: bool) -> Ball:
    """The sum of x_n e^(-+ 2 pi i n k / N) along each dimension; divided by nothing (0), sqrt(N) (1) or N (2)."""
    ball = ball_of(x)
    for dim in dims:
        ball = mapped(ball, lambda a, dim=dim: _along(a, dim, is_forward))  # type: ignore[misc]
    return _normalised(ball, [ball.shape[d] for d in dims], normalization)


def of_real(x: Any, dims: Sequence[int], normalization: int, is_onesided: bool) -> Ball:
    """The transform of real numbers; of the last dimension only the first half, if `is_onesided`."""
    found = transform(x, dims, normalization, True)
    half = slice(found.shape[dims[-1]] // 2 + 1) if is_onesided else slice(None)
    at = tuple(half if k == dims[-1] % len(found.shape) else slice(None) for k in range(len(found.shape)))
    return mapped(found, lambda a: a[at])


def to_real(x: Any, dims: Sequence[int], normalization: int, size: int) -> Ball:
    """The inverse of that: `size` real numbers along the last of `dims`."""
    ball = transform(x, dims[:-1], 0, False)
    last = dims[-1] % len(ball.shape)
    whole = mapped(ball, lambda a: _mirrored(np.moveaxis(a, last, -1), size))
    found = real(mapped(whole, lambda a: np.moveaxis(_along(a, -1, False), -1, last)))
    return _normalised(found, [found.shape[d] for d in dims], normalization)


def _mirrored(half: Array, size: int) -> Array:
    """The second half is the first one mirrored, conjugated; what mirrors itself is real."""

    def at(k: int) -> Array:
        if 2 * k % size == 0:
            return lift(lambda v: acb(v).real, half[..., k])
        return half[..., k] if 2 * k < size else lift(lambda v: acb(v).conjugate(), half[..., size - k])

    return np.stack([at(k) for k in range(size)], -1)


def _normalised(x: Ball, sizes: Sequence[int], normalization: int) -> Ball:
    count = arb(int(np.prod(sizes)))
    return (
        x
        if not normalization
        else forms.div(x, Ball(np.asarray(count.sqrt() if normalization == 1 else count, dtype=object)))
    )


def _along(values: Array, dim: int, is_forward: bool) -> Array:
    rows = np.moveaxis(values, dim, -1)
    size = rows.shape[-1]
    found = np.empty((rows.size // size, size), dtype=object)
    for k, row in enumerate(rows.reshape(-1, size)):
        made = acb.dft([acb(v) for v in row], inverse=not is_forward)
        found[k] = made if is_forward else [v * size for v in made]
    return np.moveaxis(found.reshape(rows.shape), -1, dim)
