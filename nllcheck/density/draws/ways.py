"""Ways to compute a node with a single draw, to be tried."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import fx

from nllcheck import ops
from nllcheck.density.draws.cuts import Cut


@dataclass(frozen=True)
class One:
    """An argument: one draw of a value that is the same in all."""

    node: fx.Node
    cut: Cut


@dataclass(frozen=True)
class Way:
    """A way to compute a node: with what, and what its value is multiplied with and added to."""

    target: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    times: float = 1.0
    more: float = 0.0


def scaled(way: Way, count: int) -> tuple[Way, ...]:
    """What a sum over the draws, or the logarithm of one, lacks with a single draw."""
    name = ops.packet(str(way.target))
    times, more = {"sum": (float(count), 0.0), "logsumexp": (1.0, math.log(count))}.get(name, (1.0, 0.0))
    is_same = (times, more) == (1.0, 0.0)
    return (way,) if is_same else (way, Way(way.target, way.args, way.kwargs, times, more))


def shorter(args: tuple[Any, ...], count: int) -> Iterator[tuple[Any, ...]]:
    """With one size in a list `count` times smaller, or the first of several draws that are picked."""
    for i, sizes in enumerate(args):
        for k, size in enumerate(sizes) if isinstance(sizes, list | tuple) else ():
            if isinstance(size, int) and size > 0 and size % count == 0:
                yield (*args[:i], [*sizes[:k], size // count, *sizes[k + 1 :]], *args[i + 1 :])
    if args and isinstance(args[-1], int) and 0 < args[-1] < count:
        yield (*args[:-1], 0)
