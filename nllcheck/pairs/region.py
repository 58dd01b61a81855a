"""Which points of a grid fail, said in a line: "|rho| > 0.99 and sigma < 3e-4", "a + b < -103".

Every line is tried on all points with the numbers that it prints, and those at which it is wrong are counted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nllcheck.pairs.claims import Bools, Claim, Floats, apart, both, either, on_x, on_y
from nllcheck.pairs.cover import cover
from nllcheck.pairs.curves import curved

PRICE = 8.0  # failing points that one sound point beyond an edge outweighs
ROUGH = 0.03  # of all points: where a line is wrong more often, it is none


def region(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> tuple[str, int]:
    """The simplest line that is right at every point of `fails` (N, M), and 0; else one that is right at nearly all,
    and at how many it is wrong; else "".

    `xs` (N,) and `ys` (M,) ascend.
    """
    if not fails.any():
        return "", 0
    grid = xs[:, None], ys[None, :]
    with np.errstate(all="ignore"):  # a logarithm of what is not positive is not right either
        for turned in (False, True):
            told = ~fails if turned else fails
            right = (c.text for c in _claims(names, xs, ys, told) if np.array_equal(c.holds(*grid), told))
            line = next(right, "")
            if line:
                return (f"everywhere but where {line}" if turned else line), 0
        rough = cover(names, xs, ys, fails, PRICE)
        wrong = int((rough.holds(*grid) != fails).sum()) if rough else fails.size
    return (rough.text, wrong) if rough and wrong <= ROUGH * fails.size else ("", 0)


def _claims(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    """What may be right, the simplest first."""
    if fails.all():
        yield Claim("everywhere on this map", lambda x, y: np.ones(np.broadcast(x, y).shape, bool))
    yield from _one_sided(names, xs, ys, fails)
    full = np.all(fails, 1), np.all(fails, 0)
    alone = on_x(names[0], xs, full[0]), on_y(names[1], ys, full[1])
    if any(alone):
        yield either([c for c in alone if c])
    yield from _across(names, xs, ys, fails)
    edges = cover(names, xs, ys, fails)
    yield from [edges] if edges else []
    every = np.ones(len(xs), bool), np.ones(len(ys), bool)
    outside = ~full[0], ~full[1]
    for whole, left in (((0,), (outside[0], every[1])), ((1,), (every[0], outside[1])), ((0, 1), outside)):
        own = [c for c in (alone[k] for k in whole) if c]
        rest = xs[left[0]], ys[left[1]], fails[np.ix_(*left)]
        if len(own) == len(whole) and rest[2].size:
            yield from (either([*own, claim]) for claim in _across(names, *rest))


def _across(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    """What needs both values."""
    yield from _product(names, xs, ys, fails)
    yield from apart(names, xs, ys, fails)
    yield from curved(names, xs, ys, fails)


def _one_sided(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    yield from [c for c in (on_x(names[0], xs, np.any(fails, 1)), on_y(names[1], ys, np.any(fails, 0))) if c]


def _product(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    a, b = on_x(names[0], xs, np.any(fails, 1)), on_y(names[1], ys, np.any(fails, 0))
    if a and b:
        yield both(a, b)
