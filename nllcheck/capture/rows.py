"""A loss on some rows of its batch: the same program, captured again where the rows are fewer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.capture import LossGraph, replayed
from nllcheck.capture.attempt import captured
from nllcheck.capture.layout import Layout, parts_of
from nllcheck.target import Batch, Target


def on_rows(target: Target, batch: Batch, graph: LossGraph, rows: Sequence[int], layout: Layout) -> LossGraph | None:
    """The loss of `graph` captured on these rows: op for op the same program, or None."""
    return captured(target, rows_of(batch, rows, layout), graph.seed, graph)[0]


def on_other_rows(
    target: Target, batch: Batch, small: LossGraph, rows: Sequence[int], layout: Layout
) -> LossGraph | None:
    """The loss captured on as many rows before, on these: replayed, which takes a hundredth of the time, unless it
    reads a tensor's value, and may be another program here."""
    if small.branches:
        return on_rows(target, batch, small, rows, layout)
    return replayed(target, rows_of(batch, rows, layout), small)


def on_some_rows(target: Target, batch: Batch, graph: LossGraph, some: int, layout: Layout) -> LossGraph | None:
    """The same on `some` rows, evenly chosen from first to last."""
    last = layout.count - 1
    return on_rows(target, batch, graph, [round(last * k / (some - 1)) for k in range(some)], layout)


def rows_of(batch: Batch, rows: Sequence[int], layout: Layout) -> Batch:
    """The batch with these rows only; what has no rows stays."""

    def cut(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor):
            return leaf
        chosen = layout.cut(leaf, rows)
        return leaf if chosen is leaf else chosen.detach().requires_grad_(leaf.requires_grad)

    args, kwargs, targets, whole = pytree.tree_map(cut, parts_of(batch))
    return replace(batch, args=args, kwargs=kwargs, targets=targets, whole=whole)
