"""Claims about two values: one beyond a bound, or between two; both together; how far they lie apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nllcheck.pairs.lines import shortest, shortest_up_to

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Claim:
    """A line of text and what it says of points; values as columns (N, 1) and rows (1, M) give (N, M)."""

    text: str
    holds: Callable[[Floats, Floats], Bools]


def either(claims: list[Claim]) -> Claim:
    def holds(x: Floats, y: Floats) -> Bools:
        return np.logical_or.reduce([np.broadcast_to(c.holds(x, y), np.broadcast(x, y).shape) for c in claims])

    return Claim(" or ".join(f"({c.text})" if " and " in c.text else c.text for c in claims), holds)


def both(a: Claim, b: Claim) -> Claim:
    sides = [f"({c.text})" if " or " in c.text else c.text for c in (a, b)]
    return Claim(" and ".join(sides), lambda x, y: a.holds(x, y) & b.holds(x, y))


def on_x(name: str, values: Floats, failing: Bools) -> Claim | None:
    found = _condition(name, values, failing)
    return found and Claim(found[0], lambda x, y: np.broadcast_to(found[1](x), np.broadcast(x, y).shape))


def on_y(name: str, values: Floats, failing: Bools) -> Claim | None:
    found = _condition(name, values, failing)
    return found and Claim(found[0], lambda x, y: np.broadcast_to(found[1](y), np.broadcast(x, y).shape))


def apart(names: tuple[str, str], xs: Floats, ys: Floats, fails: Bools) -> Iterator[Claim]:
    """How far the two lie apart, or together from 0."""
    if fails.all() or not fails.any():
        return
    a, b = names
    keys: tuple[tuple[str, Callable[[Floats, Floats], Floats]], ...] = (
        (f"|{a} - {b}|", lambda x, y: np.abs(x - y)),
        (f"|{a} + {b}|", lambda x, y: np.abs(x + y)),
        (f"{a}**2 + {b}**2", lambda x, y: x**2 + y**2),
    )
    for said, key in keys:
        bound = _bound(said, key(xs[:, None], ys[None, :]), fails)
        if bound:
            yield Claim(bound[0], lambda x, y, key=key, bound=bound: bound[1](key(x, y)))  # type: ignore[misc]


Condition = tuple[str, Callable[[Floats], Bools]]


def _condition(name: str, values: Floats, failing: Bools) -> Condition | None:
    """What failing values have in common: beyond a bound, beyond either of two, or between two."""
    if not failing.any() or failing.all():
        return None
    bound = _bound(name, values, failing)
    size = _bound(f"|{name}|", np.abs(values), failing) if values[0] < 0 < values[-1] else None
    if bound is None and size is not None:
        return size[0], lambda v: size[1](np.abs(v))
    return bound or _between(name, values, failing)


def _bound(said: str, key: Floats, failing: Bools) -> Condition | None:
    good, bad = key[~failing], key[failing]
    if good.max() < bad.min():
        edge = shortest(good.max(), bad.min())
        return f"{said} > {edge:.9g}", lambda v: v > edge
    if bad.max() < good.min():
        edge = shortest_up_to(bad.max(), good.min())
        return f"{said} < {edge:.9g}", lambda v: v < edge
    return None


def _between(name: str, values: Floats, failing: Bools) -> Condition | None:
    """One stretch inside, or all but one."""
    turned = ~failing if failing[0] and failing[-1] else failing
    at = np.nonzero(turned)[0]
    first, last = int(at[0]), int(at[-1])
    if first == 0 or last == len(values) - 1 or not turned[first : last + 1].all():
        return None
    low, high = shortest(values[first - 1], values[first]), shortest_up_to(values[last], values[last + 1])
    if turned is failing:
        return f"{low:.9g} < {name} < {high:.9g}", lambda v: (low < v) & (v < high)
    outer = shortest(values[last], values[last + 1])
    inner = shortest_up_to(values[first - 1], values[first])
    return f"{name} < {inner:.9g} or {name} > {outer:.9g}", lambda v: (v < inner) | (v > outer)
