"""Exceptions that a value raises: a traced graph drops asserts and the validation of distributions' arguments.

The user's own code is run at a few values of each axis of the boundary, and what raises is bisected.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.distributions import Distribution

from nllcheck.axes.reach import reach_of
from nllcheck.capture.program import program
from nllcheck.eager.events import Offence, refusals
from nllcheck.eager.graph import Book
from nllcheck.eager.record import Record
from nllcheck.eager.run import Bench, axes_of, located
from nllcheck.target import Batch, Target
from nllcheck.types import Axis, Event, Graph, Judged

MOST = 8  # axes
WORK = 15_000  # ops run, bisections left out: of long programs fewer axes are tried
_FACTORS = (0.5, 1.5, 10.0)  # of the batch's range, beyond either end


@dataclass(frozen=True)
class Refusals:
    """Where the code raises, as verdicts on a graph of its own."""

    graph: Graph
    judged: tuple[Judged, ...] = ()


def raises(target: Target, batch: Batch, seed: int, has_branches: bool) -> Refusals:
    """Values of the boundary at which the loss raises; nothing is run unless the code could (it branches on a
    value, or makes a distribution)."""
    # No backward pass: a loss that is captured has none of its own that could raise.
    bench = Bench(Book(program(target, batch)), seed, validates=True, backward=False)
    with _counting() as made:
        base = bench.batch()
    if base.error is not None or not (has_branches or made):
        return Refusals(bench.book.graph)
    bench.book.add(base)
    bench.book.loss = bench.book.index[base.steps[base.loss_step].key]
    axes = [a for a, _ in axes_of(bench, []) if a.mode == "set" and a.role != "target" and _is_known(a)]
    dtype = base.steps[base.loss_step].value.dtype
    most = min(MOST, max(1, WORK // (3 * len(_FACTORS) * len(base.steps))))
    judged = [_verdict(bench, event, axis) for axis in axes[:most] for event in _on(bench, base, axis, dtype)]
    return Refusals(bench.book.graph, tuple(judged))


@contextlib.contextmanager
def _counting() -> Iterator[list[str]]:
    """The distributions that are made meanwhile."""
    made: list[str] = []
    plain = Distribution.__init__

    def counted(self: Distribution, *args: object, **kwargs: object) -> None:
        made.append(type(self).__name__)
        plain(self, *args, **kwargs)  # type: ignore[arg-type]

    Distribution.__init__ = counted  # type: ignore[method-assign,assignment]
    try:
        yield made
    finally:
        Distribution.__init__ = plain  # type: ignore[method-assign]


def _is_known(axis: Axis) -> bool:
    return not math.isnan(axis.observed[0])


def _on(bench: Bench, base: Record, axis: Axis, dtype: torch.dtype) -> list[Event]:
    points = sorted({v for v in _values(axis) if axis.domain[0] <= v <= axis.domain[1]})
    found = [_refused(bench, axis, v) if bench.refuses(base, axis, v) else set() for v in points]
    events: list[Event] = []
    for offence in sorted({o for one in found for o in one}, key=str):
        events += located(bench, axis, points, [offence in one for one in found], offence, dtype)
    return events


def _refused(bench: Bench, axis: Axis, value: float) -> set[Offence]:
    """What raises there; of the run, which holds every value of the program, only the ops are kept."""
    run = bench.at(axis, value)
    bench.book.add(run)
    return refusals(run)


def _values(axis: Axis) -> list[float]:
    low, high = axis.observed
    width = max(high - low, abs(low), abs(high), 1e-3)
    beyond = [end + side * f * width for f in _FACTORS for end, side in ((low, -1.0), (high, 1.0))]
    return [float(torch.tensor(v)) for v in (low, high, (low + high) / 2, 0.0, *beyond)]


def _verdict(bench: Bench, event: Event, axis: Axis) -> Judged:
    """Code that refuses a value a tenth further in float64, too, means it; else only rounding led there: a defect."""
    at = event.threshold[1] if event.threshold else event.witness
    reach = reach_of(axis, at)
    wide = bench.at(axis, _deeper(event), torch.float64)
    if wide.error is None and math.isfinite(wide.loss):
        return Judged(event, "defect", reach, f"in float64 the loss is {wide.loss:.7g}", wide.loss)
    return Judged(event, "limit", reach, "the code refuses the value in float64, too")


def _deeper(event: Event) -> float:
    if not event.threshold:
        return event.witness
    good, bad = event.threshold
    value = bad + math.copysign(0.1 * (abs(bad) or 1e-3), bad - good)
    return value if any(low <= value <= high for low, high in event.region) else bad
