"""Code that asks how many were selected: `if len(x) > 0`, `if mask.any()`, `x.sum() / len(x)`.

What is asked is a number of Python's, the batch's own, in everything that follows. Where some are selected the code is
taken to go the batch's way, and such numbers to be what was asked; the check of the captured graph against the user's
own code, with noise, bears it out or not. Where none is selected the code may do anything else: nothing fails there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.rowwise import Add, builder, shape_of

aten = torch.ops.aten

_OF_MASKS = ("any", "sum", "_to_copy", "gt", "ge", "lt", "le", "eq", "ne", "count_nonzero", "detach", "alias", "clone",
             "logical_not", "bitwise_not", "item", "_local_scalar_dense")  # fmt: skip
_BY_NUMBERS = (aten.div.Tensor, aten.mul.Tensor)


def mask_behind(read: fx.Node) -> fx.Node | None:
    """The mask of which a value that Python reads says only how many places it has (`mask.sum() == 0`), if so."""
    node = read
    while ops.packet(str(node.target)) in _OF_MASKS and len(node.all_input_nodes) == 1:
        node = node.all_input_nodes[0]
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor) and value.dtype == torch.bool and value.dim():
            return node
    return None


class Asks:
    """What has been asked of the masks of a graph: where one is asked about, what adds up its places has always one."""

    def __init__(self, graph: fx.Graph, device: torch.device) -> None:
        self.graph, self.device = graph, device
        self.instead: dict[fx.Node, fx.Node] = {}  # for which places count, (N,): those with the first where none does
        self.as_it_is: set[fx.Node] = set()  # what reads the places whether any counts or not
        self.numbers: list[Number] = []
        self.reads: list[tuple[str, Any]] = []  # the node that says whether any counts, and where that was asked

    def of(self, counts: fx.Node) -> fx.Node:
        """What stands for the places that count."""
        return self.instead.get(counts, counts)

    def settle(self, counts: fx.Node, asked: fx.Node) -> fx.Node:
        """From now on, and for what was added up before."""
        if counts in self.instead.values():
            return counts
        if counts not in self.instead:
            users = set(counts.users) - self.as_it_is
            with self.graph.inserting_before(counts.next):
                self.instead[counts], some = _at_least_one(builder(self.graph, counts), counts, self.device)
            for user in users:
                user.replace_input_with(counts, self.instead[counts])
            self.reads.append((some.name, (asked.meta.get("custom") or {}).get("mark")))
        return self.instead[counts]


def _at_least_one(add: Add, counts: fx.Node, device: torch.device) -> tuple[fx.Node, fx.Node]:
    """Which places count, (N,), the first one where none does; and whether any does."""
    some = add(aten.any.default, (counts,))
    places = add(aten.arange.default, (shape_of(counts)[0],), {"device": device})
    alone = add(aten.logical_and.default, (add(aten.eq.Scalar, (places, 0)), add(aten.logical_not.default, (some,))))
    return add(aten.logical_or.default, (counts, alone)), some


@dataclass(frozen=True, slots=True)
class Number:
    """A number that was asked of a selection: on the batch, and so many times the places that count."""

    value: int
    times: int
    counts: fx.Node


def numbers_of(asked: fx.Node, counts: fx.Node, selected: int) -> tuple[Number, ...]:
    """The rows of a padded tensor, and its elements; `selected`: its rows on the batch."""
    width = math.prod(shape_of(asked)[1:])
    return tuple(Number(selected * times, times, counts) for times in dict.fromkeys((1, width)))


def number_in(node: fx.Node, numbers: Sequence[Number]) -> Number | None:
    """With which of these numbers is something multiplied, or by which divided?"""
    value: Any = node.args[1] if node.target in _BY_NUMBERS and len(node.args) > 1 else None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return next((n for n in reversed(numbers) if is_number and n.value == value), None)


def put_number(add: Add, node: fx.Node, number: Number) -> None:
    """The number is computed anew at every point."""
    total = add(aten.mul.Scalar, (add(aten.sum.default, (number.counts,)), number.times))
    node.args = (node.args[0], add(aten._to_copy.default, (total,), {"dtype": node.meta["val"].dtype}))
