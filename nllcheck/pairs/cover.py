"""A failing region as several edges: everything beyond one of them fails, and nothing else does.

The sound region is then what lies within all of them: a polygon in the values, their products or their logarithms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from nllcheck.pairs.claims import Bools, Claim, Floats, either
from nllcheck.pairs.lines import shortest, shortest_up_to

MOST = 4  # edges: more are no description
LEAST = 0.005  # of all points that an edge must gain
Measure = tuple[str, Callable[[Floats, Floats], Floats]]


def cover(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools, price: float = np.inf) -> Claim | None:
    """As few edges as cover what fails, the one that gains most first; None where no few do.

    A sound point beyond an edge costs as much as `price` failing ones gain.
    """
    x, y = xs[:, None], ys[None, :]
    ranked = [_Ranked(m, m[1](x, y)) for m in _measures(names, xs, ys)]
    sides = [(r, above) for r in ranked if not np.isnan(r.values).any() for above in (True, False)]
    left = fails
    kept: list[Claim] = []
    while left.any() and len(kept) < MOST:
        offers = [r.best(left, fails, above, price) for r, above in sides]
        gain, claim = max(offers, key=lambda offer: offer[0], default=(0.0, None))
        if claim is None or gain < LEAST * left.size:
            break
        kept.append(claim)
        left = left & ~claim.holds(x, y)
    return either(kept) if kept else None


@dataclass(frozen=True, eq=False)
class _Ranked:
    """A measure at every point of the grid."""

    measure: Measure
    values: Floats  # (N, M)

    @cached_property
    def order(self) -> npt.NDArray[np.intp]:
        return np.argsort(self.values, axis=None)

    def best(self, left: Bools, fails: Bools, above: bool, price: float) -> tuple[float, Claim | None]:
        """The edge that gains most, and what: failing points that nothing covers yet, less the price of sound ones."""
        order = self.order[::-1] if above else self.order
        values = self.values.ravel()[order]
        gains = np.cumsum(left.ravel()[order]) - np.nan_to_num(price * np.cumsum(~fails.ravel()[order]))
        gains = np.where(np.append(values[1:] != values[:-1], False), gains, -np.inf)  # an edge lies between values
        k = int(gains.argmax())
        if not gains[k] > 0:
            return 0.0, None
        return float(gains[k]), self._claim(values[k + 1], values[k], above)

    def _claim(self, good: float, bad: float, above: bool) -> Claim:
        text, of = self.measure
        if above:
            edge = shortest(good, bad)
            return Claim(f"{text} > {edge:.9g}", lambda x, y: of(x, y) > edge)
        least = shortest_up_to(bad, good)
        return Claim(f"{text} < {least:.9g}", lambda x, y: of(x, y) < least)


def _measures(names: tuple[str, str], xs: Floats, ys: Floats) -> Iterator[Measure]:
    """What an edge may bound, the simplest first."""
    a, b = names
    yield a, lambda x, y: x + 0 * y
    yield b, lambda x, y: y + 0 * x
    yield f"{a} - {b}", lambda x, y: x - y
    yield f"{a} + {b}", lambda x, y: x + y
    positive = xs[0] > 0, ys[0] > 0
    if not any(positive):
        yield f"|{a} - {b}|", lambda x, y: np.abs(x - y)
    yield from [(f"|{a}|", lambda x, y: np.abs(x) + 0 * y)] if not positive[0] else []
    yield from [(f"|{b}|", lambda x, y: np.abs(y) + 0 * x)] if not positive[1] else []
    if any(positive):
        yield f"{a} * {b}", lambda x, y: x * y
    if positive[1]:
        yield f"{a} / {b}", lambda x, y: x / y
    if positive[0] and not positive[1]:
        yield f"{b} / {a}", lambda x, y: y / x
    yield from ((text, lambda x, y, f=f: f(y, x)) for text, f in _logarithms(b, a, ys)) if not positive[0] else ()
    yield from _logarithms(a, b, xs) if not positive[1] else ()


def _logarithms(a: str, b: str, xs: Floats) -> Iterator[Measure]:
    """Against a raw value whose exponential is meant."""
    said = a if xs[0] > 0 else f"|{a}|"
    yield f"log({said}) - {b}", lambda x, y: np.log(np.abs(x)) - y
    yield f"log({said}) + {b}", lambda x, y: np.log(np.abs(x)) + y
