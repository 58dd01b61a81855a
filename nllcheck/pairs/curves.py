"""Lines across a grid, in the values, their sizes and their logarithms: products and quotients among them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from nllcheck.pairs.claims import Bools, Claim, Floats, either
from nllcheck.pairs.lines import SLOPES, shortest, shortest_up_to, stabbed

_SHAPES: dict[str, Callable[[Floats], Floats]] = {"": lambda v: v, "abs": np.abs, "log": np.log, "exp": np.exp}


def curved(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    """Lines in the values, their sizes, logarithms and exponentials; then two of them, one on either side."""
    if min(fails.shape) < 3 or not fails.any() or fails.all():
        return
    both = [(a, b) for a in _shapes(xs) for b in _shapes(ys)]
    lines = (_line(names, xs, ys, fails, *shapes, above) for shapes in both for above in (True, False))
    yield from filter(None, lines)
    yield from _oriented(names, xs, ys, fails)
    yield from (Claim(c.text, _swapped(c.holds)) for c in _oriented(names[::-1], ys, xs, fails.T))


def _oriented(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    """Lines that bound x by a function of y."""
    shapes = (*_shapes(ys), *(("exp",) if ys[0] < 0 else ()))
    yield from filter(None, (_line(names, xs, ys, fails, a, "exp", True) for a in _shapes(xs) if ys[0] < 0))
    yield from filter(None, (_two_lines(names, xs, ys, fails, "", b) for b in shapes))
    yield from _one_signed(names, xs, ys, fails)


def _swapped(holds: Callable[[Floats, Floats], Bools]) -> Callable[[Floats, Floats], Bools]:
    return lambda x, y: holds(y, x)


def _shapes(values: Floats) -> tuple[str, ...]:
    return ("log", "") if values[0] > 0 else ("", "abs") if values[0] < 0 < values[-1] else ("",)


def _two_lines(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools, a: str, b: str) -> Claim | None:
    """Sound between two lines: split where most columns are sound."""
    middle = int((~fails).sum(1).argmax())
    if not 0 < middle < len(xs) - 1:
        return None
    upper = _line(names, xs[middle:], ys, fails[middle:], a, b, True)
    lower = _line(names, xs[: middle + 1], ys, fails[: middle + 1], a, b, False)
    return either([lower, upper]) if upper and lower else None


def _line(
    names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools, a: str, b: str, above: bool, side: float = 1.0
) -> Claim | None:
    """Does it fail where a(x) > k * b(y) + c (or, not `above`, where it is less)? `side` is the sign that `xs` lost."""
    if not fails.any() or fails.all():
        return None
    sign = 1.0 if above else -1.0
    u, v = sign * _SHAPES[a](xs), _SHAPES[b](ys)
    good = np.where(fails, -np.inf, u[:, None]).max(0)  # (M,) a line must pass above it
    bad = np.where(fails, u[:, None], np.inf).min(0)  # ... and not above this
    slope = _proportional(v, good, bad) if "log" not in (a, b) else None
    slope = stabbed(v, good, bad, SLOPES) if slope is None else slope
    if slope is None:
        return None
    low, high = (good - slope * v).max(), (bad - slope * v).min()
    if a == b == "log":
        ends = sorted((float(np.exp(sign * low)), float(np.exp(sign * high))))
        return _power(names, ">" if above else "<", sign * slope, (ends[0], ends[1]), side)
    if not low < high:
        return None
    level = sign * shortest(low, high) + 0.0  # no -0
    return _sum(names, a, b, sign, sign * slope, level)


def _proportional(v: Floats, good: Floats, bad: Floats) -> float | None:
    """The slope of a line through 0, where one will do."""
    if not (v > 0).all():
        return None
    low, high = (good / v).max(), (bad / v).min()
    return shortest(low, high) if low < high and np.isfinite(low + high) else None


def _one_signed(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    """Products of a value of either sign, of which only one sign fails, with a positive one."""
    for sign in (1.0, -1.0):
        part = sign * xs > 0
        if ys[0] > 0 and not part.all() and part.sum() > 2 and not fails[~part].any():
            claim = _line(names, sign * xs[part], ys, fails[part], "log", "log", True, sign)
            yield from [claim] if claim else []


def _power(names: tuple[str, str], word: str, power: float, ends: tuple[float, float], side: float) -> Claim | None:
    """log(side * x) > power * log y + c (or <), as a product or quotient; `ends` are those that exp(c) may have."""
    if not 0 < ends[0] < ends[1] < np.inf:
        return None
    level = shortest(*ends) if word == ">" else shortest_up_to(ends[0], ends[1])
    other = names[1] if abs(power) == 1 else f"{names[1]}**{abs(power):g}"
    shown = word if side > 0 else {">": "<", "<": ">"}[word]
    text = f"{names[0]} {'/' if power > 0 else '*'} {other} {shown} {side * level:.9g}"
    sign = 1.0 if word == ">" else -1.0
    return Claim(text, lambda x, y: sign * side * x * y**-power > sign * level)


def _sum(names: tuple[str, str], a: str, b: str, sign: float, slope: float, level: float) -> Claim:
    """x > k y + c."""
    word = ">" if sign > 0 else "<"
    x, y = _said(names[0], a), _said(names[1], b)
    if abs(slope) == 1:
        text = f"{x} {'-' if slope > 0 else '+'} {y} {word} {level:.9g}"
    else:
        text = f"{x} {word} {slope:g} * {y}" + (f" {'+' if level > 0 else '-'} {abs(level):.9g}" if level else "")
    return Claim(text, lambda p, q: sign * (_SHAPES[a](p) - slope * _SHAPES[b](q)) > sign * level)


def _said(name: str, shape: str) -> str:
    return {"": name, "abs": f"|{name}|", "log": f"log({name})", "exp": f"exp({name})"}[shape]
