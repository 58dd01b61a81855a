"""The sample that decides a failure: the same program on two rows of the batch, small enough for exact arithmetic.

A loss over 512 samples fails because one of them does. The program is captured again on that sample and one beside it
(a batch of one is a special case to many formulas); where it fails there as it does on the batch, exact arithmetic on
these two rows says what the failure is. A loss that cannot be had of two rows, or does not fail on them, is left alone.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.axes.excerpt import Excerpt, Pair, pair_of
from nllcheck.capture import LossGraph
from nllcheck.capture.layout import Layout
from nllcheck.capture.rows import on_other_rows
from nllcheck.detect.chain import values_at
from nllcheck.sweep.joint import Joint, joint_graph
from nllcheck.sweep.watch import run_one
from nllcheck.target import Target
from nllcheck.types import Axis, Event, Move

FEWEST = 5  # samples of a batch that is worth cutting
MADE_OF = {"zero row": [0], "constant row": [0], "equal row": [0], "equal rows": [0, 1]}  # the rows a goal is made of


@dataclass(frozen=True, slots=True)
class Sample:
    """The program on two rows of the batch, `row` being the one that fails, and the axis that moves the same there."""

    joint: Joint
    axis: Axis
    row: int
    count: int  # rows of the batch

    @property
    def name(self) -> str:
        return f"judged on sample {self.row} of the batch's {self.count}"


Sampler = Callable[[Event, Axis, Joint, Sequence[float]], Sample | None]


def sampler(target: Target, part: Excerpt, pair: Pair | None = None) -> Sampler:
    """`sample(event, axis, joint, places)`: the program cut to the sample that decides the event; None if none does.

    It must fail at one of the `places` on the axis, at all of which the batch does: at the threshold itself it may not,
    since torch rounds a long row otherwise than a short one (its vectorised kernels and the rest they leave).
    `pair` gives the loss on two rows where somebody else may ask for it, too.
    """
    first_on = pair or pair_of(target, part)

    @functools.lru_cache(maxsize=8)
    def joint_on(rows: tuple[int, int], moved: tuple[int, ...]) -> Joint | None:
        first = first_on()
        small = on_other_rows(target, part.batch, first, rows, part.layout) if first else None
        return joint_graph(small, moved, small.seed) if small and _is_sound(small, part.graph) else None

    def sample(event: Event, axis: Axis, joint: Joint, places: Sequence[float]) -> Sample | None:
        rows = _deciding(event, axis, joint, places[0], part.layout)
        if rows is None or axis.mode == "noise":
            return None
        try:
            small = joint_on((min(rows), max(rows)), joint.moved)
            way = _same_way(axis, joint, small, sorted(rows), part.layout) if small else None
            fails = small and way and any(_fails(small, way, at, event) for at in places)
        except Exception:  # on two rows the user's own code, or a derivative, may do what it does not on all
            return None
        return Sample(small, way, part.rows[rows[0]], part.count) if small and way and fails else None

    return sample


def _is_sound(small: LossGraph, graph: LossGraph) -> bool:
    """Is the loss finite on its own, if the batch's is? Two rows without a label that counts have no mean."""
    return bool(torch.isfinite(small.loss)) or not bool(torch.isfinite(graph.loss))


def _deciding(event: Event, axis: Axis, joint: Joint, at: float, layout: Layout) -> tuple[int, int] | None:
    """(the first row that fails at the op to blame, a row that does not); None where it has no rows, or all fail."""
    if layout.count < FEWEST:
        return None
    values, wide = values_at(joint, axis, at, None), values_at(joint, axis, at, torch.float64)
    for name, op in joint.ops.items():
        if op.origin == event.node and op.phase == event.phase:
            for own, reference in zip(_tensors(values[name]), _tensors(wide[name]), strict=True):
                bad = _bad_rows(own, reference, layout)
                if bad is not None and bool(bad.any()):
                    first = int(bad.nonzero()[0])
                    return first, int((~bad).nonzero()[0]) if bool((~bad).any()) else (first + 1) % layout.count
    return None


def _tensors(value: Any) -> list[torch.Tensor]:
    return [v for v in pytree.tree_leaves(value) if isinstance(v, torch.Tensor) and v.is_floating_point()]


def _bad_rows(own: torch.Tensor, reference: torch.Tensor, layout: Layout) -> torch.Tensor | None:
    """(count,) rows with a value that is not finite, though it is in float64 where that tells them apart."""
    bad = ~torch.isfinite(own)
    only_here = bad & torch.isfinite(reference)
    rows = layout.by_rows(only_here if bool(only_here.any()) else bad)
    return None if rows is None else rows.any(1)


def _same_way(axis: Axis, joint: Joint, small: Joint, rows: list[int], layout: Layout) -> Axis | None:
    """The axis on the two rows; None where it moves rows that are not among them."""
    if axis.mode != "toward":
        return axis
    if axis.goal in ("equal", "as labelled") or (
        axis.goal in MADE_OF and rows[: len(MADE_OF[axis.goal])] == MADE_OF[axis.goal]
    ):
        return axis
    if not axis.moves:
        return None
    bases = dict(zip(joint.moved, zip(joint.base, small.base, strict=True), strict=True))
    moves = [_moved(move, *bases[move.node], rows, layout) for move in axis.moves]
    kept = tuple(move for move in moves if move is not None)
    return replace(axis, moves=kept) if kept else None


def _moved(move: Move, base: torch.Tensor, small: torch.Tensor, rows: list[int], layout: Layout) -> Move | None:
    if base.shape == small.shape:
        return move
    kept = layout.cut(torch.arange(base.numel()).reshape(base.shape), rows).flatten()
    at = (kept == move.position).nonzero()
    return replace(move, position=int(at[0])) if len(at) else None


def _fails(joint: Joint, axis: Axis, at: float, event: Event) -> bool:
    """Does the program fail there in the same way?"""
    one = run_one(joint, axis, at, ())
    if event.phase == "forward" and "loss" in event.reaches:
        return not math.isfinite(float(one.loss[0]))
    return not (math.isfinite(float(one.gradient_low[0])) and math.isfinite(float(one.gradient_high[0])))
