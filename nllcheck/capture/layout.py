"""Where the tensors of a batch hold its rows: in the first dimension, or in the second, behind steps of sequences."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck.target import Batch


@dataclass(frozen=True, slots=True)
class Layout:
    """Tensors of (count, ...).

    With `inner` some are (count * inner, ...): the labels of all steps in one dimension. With `steps` sequences are
    (steps, count, ...), states (layers, count, width), and labels of all steps (steps * count, ...).
    """

    count: int
    inner: int = 0
    steps: int = 0

    def cut(self, value: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """The tensor with these rows only; as it is where it has none."""
        place = self._place(value.shape)
        if place is None:
            return value
        sizes, dim = place
        index = torch.tensor(list(rows), device=value.device)
        if len(sizes) == 1:  # of a sparse tensor, too
            return value.index_select(dim, index)
        return value.unflatten(0, sizes).index_select(dim, index).flatten(0, 1)

    def by_rows(self, value: torch.Tensor) -> torch.Tensor | None:
        """(count, K) of what a program makes of rows, which may be several each; None where it has none."""
        if not value.dim() or not value.numel():
            return None
        place = self._place(value.shape)
        if place is None:
            return None if self.steps or value.shape[0] % self.count else value.reshape(self.count, -1)
        return value.unflatten(0, place[0]).movedim(place[1], 0).reshape(self.count, -1)

    def _place(self, shape: torch.Size) -> tuple[tuple[int, ...], int] | None:
        """What the first dimension falls into, and which dimension then are the rows."""
        first = shape[0] if shape else -1
        if self.steps and len(shape) > 1 and shape[1] == self.count and (first == self.steps or len(shape) == 3):
            return (first,), 1
        if self.steps and first == self.steps * self.count:
            return (self.steps, self.count), 1
        if self.inner and first == self.count * self.inner:
            return (self.count, self.inner), 0
        return ((first,), 0) if first == self.count else None


def layouts(batch: Batch) -> Iterator[Layout]:
    """How the batch may hold its rows, the likeliest first: which of them it is the program must tell.

    Besides `layout_of`: along either dimension of tokens, and of series of numbers (three dimensions).
    """
    yield layout_of(batch)
    yield from tokens_in(batch)
    yield from _along(batch, lambda t: t.is_floating_point() and t.dim() == 3)


def tokens_in(batch: Batch) -> Iterator[Layout]:
    """Along either dimension of whole numbers of more than two kinds: a table of 0 and 1 has no steps."""
    whole = (torch.int32, torch.int64)
    yield from _along(batch, lambda t: t.dtype in whole and t.dim() == 2 and t.numel() > 0 and bool((t > 1).any()))


def _along(batch: Batch, is_sequence: Callable[[torch.Tensor], bool]) -> Iterator[Layout]:
    """Where another tensor has as many steps or rows."""
    tensors = _tensors((batch.args, dict(batch.kwargs), batch.targets)) or _tensors(batch.whole)
    shapes = [t.shape for t in tensors]
    for first, second in dict.fromkeys(t.shape[:2] for t in tensors if is_sequence(t)):
        if any(shape[0] == first * second for shape in shapes):
            yield Layout(first, inner=second)
        held = sum(shape[0] in (first * second, second) or shape[:2] == (first, second) for shape in shapes)
        if held > 1 and first != second:
            yield Layout(second, steps=first)


def layout_of(batch: Batch) -> Layout:
    """Rows along the first dimension that most of the tensors share."""
    sizes = Counter(t.shape[0] for t in _tensors(parts_of(batch)))
    return Layout(max(sizes, key=lambda n: (sizes[n], n), default=0))


def _tensors(parts: Any) -> list[torch.Tensor]:
    """All of at least one dimension, as often as they occur."""
    return [t for t in pytree.tree_leaves(parts) if isinstance(t, torch.Tensor) and t.dim()]


def parts_of(batch: Batch) -> tuple[Any, ...]:
    """Whatever holds tensors."""
    return batch.args, dict(batch.kwargs), batch.targets, batch.whole
