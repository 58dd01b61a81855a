"""The rows of a large batch that the sweeps look at: a loss over 128 x 32,000 logits is no other function on four rows.

What is swept on them is confirmed on the whole batch before it is told: see `detect/whole.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from nllcheck.axes import depends_on
from nllcheck.axes.boundary import boundary
from nllcheck.capture import LossGraph
from nllcheck.capture.layout import Layout, layout_of, layouts, tokens_in
from nllcheck.capture.rows import on_rows, rows_of
from nllcheck.target import Batch, Target
from nllcheck.types import Effort

LARGE = 3e5  # elements of the forward program from which on a batch is looked at in part, and how many the part has
FEWEST = 2  # rows
PAIR = (0, 1)
MANY, TESTED = 512, 256  # samples of a batch from which on the density test takes some, and how many
ALIKE = 3  # rows of a batch without a target that it takes
WIDE = 2048  # numbers of a target, each perhaps a sample, that it takes rows for where there are twice as many


@dataclass(frozen=True)
class Excerpt:
    """What is looked at of a batch: the loss on these `rows` of the `count` that there are; `layout` is theirs."""

    whole: LossGraph  # on all rows
    graph: LossGraph  # on these; the same where these are all
    batch: Batch  # these rows
    rows: tuple[int, ...]
    count: int
    layout: Layout
    steps: str = ""  # how many of their steps, in words, where not all

    @property
    def is_part(self) -> bool:
        """Are there more rows?"""
        return len(self.rows) < self.count

    @property
    def rule(self) -> str:
        """Which rows, in words."""
        where = "those that are not finite, those with the smallest and largest values, the others evenly spread"
        return f"{len(self.rows)} of the batch's {self.count:,} rows{self.steps} ({where})"


def excerpt_of(target: Target, batch: Batch, graph: LossGraph, effort: Effort) -> Excerpt:
    """The rows of a large batch that say most; all of a small one, in a thorough check, or of a loss that is another
    program on fewer rows."""
    layout = layout_of(batch)
    whole = Excerpt(graph, graph, batch, tuple(range(layout.count)), layout.count, layout)
    if effort == "thorough" or _work(graph) <= LARGE:
        return whole
    part = _part(whole, target, layouts(batch))
    return whole if part is None else _shorter(part, target)


def _shorter(part: Excerpt, target: Target) -> Excerpt:
    """Where few rows of tokens are still large, fewer of their steps."""
    if _work(part.graph) <= LARGE:
        return part
    few = _part(part, target, tokens_in(part.batch))
    if few is None:
        return part
    steps = len(few.rows)
    layout = replace(part.layout, inner=part.layout.inner and steps, steps=part.layout.steps and steps)
    told = f" and {steps} of their {few.count:,} steps"
    return replace(part, graph=few.graph, batch=few.batch, layout=layout, steps=told)


def _part(of: Excerpt, target: Target, guesses: Iterator[Layout]) -> Excerpt | None:
    """About as many rows as can be afforded, in whatever dimension the loss on them is the same program."""
    share = LARGE / _work(of.graph)
    return next((part for layout in guesses if (part := _cut(of, target, layout, share))), None)


def _cut(of: Excerpt, target: Target, layout: Layout, share: float) -> Excerpt | None:
    some = max(FEWEST, int(layout.count * share))
    if some >= layout.count:
        return None
    rows = _telling(of.graph, layout, some)
    small = on_rows(target, of.batch, of.graph, rows, layout)
    if small is None or not _is_alike(small, of.graph):
        return None
    batch, kept = rows_of(of.batch, rows, layout), replace(layout, count=len(rows))
    return Excerpt(of.whole, small, batch, tuple(rows), layout.count, kept)


Pair = Callable[[], LossGraph | None]


def pair_of(target: Target, part: Excerpt) -> Pair:
    """Gives the loss on the first two rows alone, captured when it is first asked for: op for op the same program;
    None where it is another one, or there are no more rows."""
    few = len(part.rows) <= len(PAIR)
    return functools.cache(lambda: None if few else on_rows(target, part.batch, part.graph, PAIR, part.layout))


def rows_tested(part: Excerpt, compared: int | None) -> int:
    """How many rows the density test is made on: of long rows few, since each of their numbers may be a sample; where
    there is no target, nor a node that is `compared` in its place, all rows ask about one density."""
    count = len(part.rows)
    targets = part.graph.graph.targets if compared is None else (compared,)
    if not targets:
        return min(count, ALIKE)
    numbers = max(part.graph.values[n].numel() for n in targets)
    rows = max(FEWEST, count * WIDE // numbers) if numbers > 2 * WIDE else count
    return min(rows, TESTED if count > MANY else count)


def _is_alike(small: LossGraph, graph: LossGraph) -> bool:
    """Is the loss finite on both, with no table of rows against rows in what moves, another thing with fewer?"""
    pairs = ((small.graph.nodes[k], graph.graph.nodes[k]) for k in _moving(graph))
    local = all(sum(a != b for a, b in zip(few.shape, many.shape, strict=False)) <= 1 for few, many in pairs)
    return local and bool(torch.isfinite(small.loss)) == bool(torch.isfinite(graph.loss))


def _work(graph: LossGraph) -> int:
    """Elements that the part of the program computes which a sweep runs again at every point."""
    return sum(math.prod(graph.graph.nodes[k].shape) for k in _moving(graph))


def _moving(graph: LossGraph) -> set[int]:
    return depends_on(graph.graph, set(boundary(graph.graph).all))


def _telling(graph: LossGraph, layout: Layout, some: int) -> list[int]:
    """`some` rows, ascending: those that stand out, and others evenly from first to last."""
    even = (round((layout.count - 1) * k / (some - 1)) for k in range(some))
    return sorted(list(dict.fromkeys([*_outstanding(graph, layout), *even]))[:some])


def _outstanding(graph: LossGraph, layout: Layout) -> Iterator[int]:
    """Rows with a value that is not finite, anywhere; a label that counts, where some are -100; then those with the
    extremes of what moves."""
    for value in graph.values:
        rows = _rows(value, layout)
        if rows is not None and not bool(torch.isfinite(rows).all()):
            yield int((~torch.isfinite(rows)).any(1).nonzero()[0])
    edges = boundary(graph.graph)
    for node in edges.targets:
        rows = _rows(graph.values[node], layout)
        if rows is not None and not rows.is_floating_point():
            yield int(rows.amax(1).argmax())
    for node in (*edges.outputs, *edges.inputs, *edges.targets):
        rows = _rows(graph.values[node], layout)
        if rows is not None:
            yield int(rows.amin(1).argmin())
            yield int(rows.amax(1).argmax())


def _rows(value: object, layout: Layout) -> torch.Tensor | None:
    """(count, K) a tensor of numbers by the batch's rows; None where it has none."""
    is_numbers = isinstance(value, torch.Tensor) and value.dtype != torch.bool and not value.is_complex()
    return layout.by_rows(value) if is_numbers else None  # type: ignore[arg-type]
