"""The rows of a large batch that the sweeps look at: a loss over 128 x 32,000 logits is no other function on four rows.

What is swept on them is confirmed on the whole batch before it is told: see `detect/whole.py`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from nllcheck.axes import depends_on
from nllcheck.axes.boundary import boundary
from nllcheck.capture import LossGraph
from nllcheck.capture.rows import count_of, on_rows, rows_of
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
    """What is looked at of a batch: the loss on these `rows` of the `count` that there are."""

    whole: LossGraph  # on all rows
    graph: LossGraph  # on these; the same where these are all
    batch: Batch  # these rows
    rows: tuple[int, ...]
    count: int

    @property
    def is_part(self) -> bool:
        """Are there more rows?"""
        return len(self.rows) < self.count

    @property
    def rule(self) -> str:
        """Which rows, in words."""
        where = "those that are not finite, those with the smallest and largest values, the others evenly spread"
        return f"{len(self.rows)} of the batch's {self.count:,} rows ({where})"


def excerpt_of(target: Target, batch: Batch, graph: LossGraph, effort: Effort) -> Excerpt:
    """The rows of a large batch that say most; all of a small one, in a thorough check, or of a loss that is another
    program on fewer rows."""
    count = count_of(batch)
    whole = Excerpt(graph, graph, batch, tuple(range(count)), count)
    some = max(FEWEST, int(count * LARGE / max(1, _work(graph))))
    if effort == "thorough" or some >= count:
        return whole
    rows = _telling(graph, count, some)
    small = on_rows(target, batch, graph, rows)
    if small is None or not _is_alike(small, graph):
        return whole
    return Excerpt(graph, small, rows_of(batch, rows), tuple(rows), count)


Pair = Callable[[], LossGraph | None]


def pair_of(target: Target, part: Excerpt) -> Pair:
    """Gives the loss on the first two rows alone, captured when it is first asked for: op for op the same program;
    None where it is another one, or there are no more rows."""
    few = len(part.rows) <= len(PAIR)
    return functools.cache(lambda: None if few else on_rows(target, part.batch, part.graph, PAIR))


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
    """Is the loss finite on both, and no table of rows against rows in it, which is another thing with fewer?"""
    pairs = zip(small.graph.nodes, graph.graph.nodes, strict=True)
    local = all(sum(a != b for a, b in zip(few.shape, many.shape, strict=False)) <= 1 for few, many in pairs)
    return local and bool(torch.isfinite(small.loss)) == bool(torch.isfinite(graph.loss))


def _work(graph: LossGraph) -> int:
    """Elements that the part of the program computes which a sweep runs again at every point."""
    moving = depends_on(graph.graph, set(boundary(graph.graph).all))
    return sum(math.prod(n.shape) for n in graph.graph.nodes if n.index in moving)


def _telling(graph: LossGraph, count: int, some: int) -> list[int]:
    """`some` rows, ascending: those that stand out, and others evenly from first to last."""
    even = (round((count - 1) * k / (some - 1)) for k in range(some))
    return sorted(list(dict.fromkeys([*_outstanding(graph, count), *even]))[:some])


def _outstanding(graph: LossGraph, count: int) -> Iterator[int]:
    """Rows with a value that is not finite, anywhere; then those with the extremes of what moves."""
    for value in graph.values:
        rows = _rows(value, count)
        if rows is not None and not bool(torch.isfinite(rows).all()):
            yield int((~torch.isfinite(rows)).any(1).nonzero()[0])
    edges = boundary(graph.graph)
    for node in (*edges.outputs, *edges.inputs, *edges.targets):
        rows = _rows(graph.values[node], count)
        if rows is not None:
            yield int(rows.amin(1).argmin())
            yield int(rows.amax(1).argmax())


def _rows(value: object, count: int) -> torch.Tensor | None:
    """(count, K) a float tensor by the batch's rows; None where it has none."""
    if not isinstance(value, torch.Tensor) or not value.is_floating_point() or not value.dim() or not value.numel():
        return None
    return value.reshape(count, -1) if value.shape[0] % count == 0 else None
