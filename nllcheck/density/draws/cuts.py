"""Where a value has its draws, and what one of them is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, is_fixed
from nllcheck.capture.numerics import quiet_numerics

NEAR, LITTLE = 1e-9, 1e-12  # of the same numbers in another order of float64's operations


@dataclass(frozen=True)
class Cut:
    """`count` draws along `axis`: those of all samples one draw after the other, or not `whole`: those of each sample
    side by side. Where the dimension has the draws alone both are the same."""

    axis: int
    count: int
    whole: bool = True

    def one(self, value: Tensor) -> Tensor:
        """The value of the first draw, with a dimension that is `count` times shorter."""
        start, stop, step = self.first(value)
        return value[(*(slice(None) for _ in range(self.axis)), slice(start, stop, step))]

    def first(self, value: Tensor) -> tuple[int, int, int]:
        """Start, end and step of the first draw's numbers along the dimension."""
        size = value.shape[self.axis]
        return (0, size // self.count, 1) if self.whole else (0, size, self.count)

    def agreed(self, value: Tensor) -> Tensor:
        """The first draw in the place of all."""
        if self.whole:
            return self.one(value).repeat(*(self.count if d == self.axis else 1 for d in range(value.dim())))
        return self.one(value).repeat_interleave(self.count, self.axis)

    def is_in(self, value: Any) -> bool:
        """Has the value this dimension, and the same in all draws?"""
        is_long = isinstance(value, Tensor) and -1 < self.axis < value.dim() and value.shape[self.axis] > 1
        return is_long and value.shape[self.axis] % self.count == 0 and same(self.agreed(value), value)

    def moved(self, dims: int) -> Cut:
        """The same with another number of dimensions in front."""
        return replace(self, axis=self.axis + dims)


def cuts_between(old: Tensor, new: Tensor) -> Iterator[Cut]:
    """The cuts after which a value of the one shape has the other, if these differ in one dimension."""
    if old.dim() == new.dim() and old.numel() and new.numel():
        longer = [d for d in range(old.dim()) if old.shape[d] != new.shape[d]]
        if len(longer) == 1 and old.shape[longer[0]] % new.shape[longer[0]] == 0:
            count = old.shape[longer[0]] // new.shape[longer[0]]
            yield from (Cut(longer[0], count, whole) for whole in (True, False))


def same(one: Any, other: Any) -> bool:
    """Equal up to rounding; of two tensors also where both are NaN."""
    if not (isinstance(one, Tensor) and isinstance(other, Tensor)):
        return type(one) is type(other) and bool(one == other)
    first, second = (v.to(torch.float64) for v in (one, other))
    return one.shape == other.shape and torch.allclose(first, second, NEAR, LITTLE, equal_nan=True)


def is_drawn(node: fx.Node) -> bool:
    """Is it computed of nothing, as fresh noise is?"""
    return node.op == "call_function" and is_fixed(node)


def loss_with(graph: LossGraph, given: dict[str, Tensor]) -> Tensor:
    """The loss in float64 with some draws given, by their nodes' names, and all others as they were."""
    values = dict(zip(graph.fx_nodes, graph.values, strict=True))
    own = {n.name: v for n, v in values.items() if is_drawn(n) and isinstance(v, Tensor)}
    leaves = [v.to(torch.float64) if v.is_floating_point() else v for n, v in values.items() if n.op == "placeholder"]
    with quiet_numerics(graph.seed), torch.no_grad():
        return Runner(graph.module, torch.float64, given={**own, **given}).run(*leaves)  # type: ignore[no-any-return]
