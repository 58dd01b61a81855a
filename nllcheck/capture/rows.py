"""A loss on some rows of its batch: the same program, captured again where the rows are fewer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.capture import LossGraph, replayed
from nllcheck.capture.attempt import captured
from nllcheck.target import Batch, Target


def on_rows(target: Target, batch: Batch, graph: LossGraph, rows: Sequence[int]) -> LossGraph | None:
    """The loss of `graph` captured on these rows: op for op the same program, or None."""
    small, _ = captured(target, rows_of(batch, rows), graph.seed)
    same = small is not None and [n.op for n in small.graph.nodes] == [n.op for n in graph.graph.nodes]
    return small if same else None


def on_other_rows(target: Target, batch: Batch, small: LossGraph, rows: Sequence[int]) -> LossGraph | None:
    """The loss captured on as many rows before, on these: replayed, which takes a hundredth of the time, unless it
    reads a tensor's value, and may be another program here."""
    return on_rows(target, batch, small, rows) if small.branches else replayed(target, rows_of(batch, rows), small)


def on_some_rows(target: Target, batch: Batch, graph: LossGraph, some: int) -> LossGraph | None:
    """The same on `some` rows, evenly chosen from first to last."""
    last = count_of(batch) - 1
    return on_rows(target, batch, graph, [round(last * k / (some - 1)) for k in range(some)])


def count_of(batch: Batch) -> int:
    """Rows of a batch: the first dimension that most of its tensors share."""
    sizes = Counter(t.shape[0] for t in pytree.tree_leaves(_parts(batch)) if isinstance(t, torch.Tensor) and t.dim())
    return max(sizes, key=lambda n: (sizes[n], n), default=0)


def _parts(batch: Batch) -> tuple[Any, ...]:
    return batch.args, dict(batch.kwargs), batch.targets, batch.whole


def rows_of(batch: Batch, rows: Sequence[int]) -> Batch:
    """The batch with these rows only; what has no rows (see `count_of`) stays."""
    count, chosen = count_of(batch), list(rows)

    def cut(leaf: Any) -> Any:
        has_rows = isinstance(leaf, torch.Tensor) and leaf.dim() and leaf.shape[0] == count
        return leaf[chosen].detach().requires_grad_(leaf.requires_grad) if has_rows else leaf

    args, kwargs, targets, whole = pytree.tree_map(cut, _parts(batch))
    return replace(batch, args=args, kwargs=kwargs, targets=targets, whole=whole)
