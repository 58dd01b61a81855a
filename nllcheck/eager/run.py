"""Sweep, detect and judge by running the user's function once a point."""

from __future__ import annotations

import functools
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch

from nllcheck.axes import default_axes
from nllcheck.axes.points import default_points
from nllcheck.axes.reach import reach_of
from nllcheck.axes.spec import Spec, requested_axis, spec_points
from nllcheck.capture.interpret import promoted
from nllcheck.capture.program import Program, program
from nllcheck.detect.births import intervals
from nllcheck.detect.threshold import one_by_one
from nllcheck.eager.events import Offence, event_at, offences, refusals, state_of
from nllcheck.eager.graph import Book
from nllcheck.eager.pace import SECONDS, points_for, timed
from nllcheck.eager.record import Key, Record, record
from nllcheck.eager.refusal import placing, refusal_of, refused
from nllcheck.errors import NllcheckError
from nllcheck.judge.verdict import Reference, judged_by
from nllcheck.sweep.place import place
from nllcheck.target import Batch, Target
from nllcheck.types import Axis, Event, Graph, Judged, State, SweepTable

OF_NOTHING = "an average over no elements has no value"
_STATES: tuple[State, ...] = ("finite", "inf", "nan")


@dataclass(frozen=True)
class Outcome:
    """What the report needs of a loss that was run by hand."""

    graph: Graph
    judged: tuple[Judged, ...]
    sweeps: tuple[SweepTable, ...]
    loss: torch.Tensor
    skipped: tuple[str, ...]


@dataclass
class Bench:
    """The program, its book, and runs at points of an axis."""

    book: Book
    seed: int
    validates: bool = False
    backward: bool = True

    @property
    def tensors(self) -> list[torch.Tensor]:
        return [leaf.value for leaf in self.book.program.leaves]

    def batch(self) -> Record:
        return self._record(self.tensors)

    def at(self, axis: Axis, value: float, dtype: torch.dtype | None = None) -> Record:
        """One run with the axis at `value`; in float64 where asked for and possible."""
        tensors = [promoted(t, dtype) for t in self.tensors]
        base = promoted(self.book.values[axis.node], dtype)
        point = torch.tensor(value, dtype=base.dtype)
        direction = place(axis, base, point)[1]
        if axis.node < len(tensors):
            tensors[axis.node] = place(axis, tensors[axis.node], point)[0]
            return self._record(tensors, axis.node, direction)
        return self._record(tensors, (self._key(axis), placing(axis, point)), direction)

    def refuses(self, base: Record, axis: Axis, value: float) -> bool:
        """Does the forward pass raise with the axis at `value`? `base`: the run on the batch itself."""
        tensors, point = self.tensors, torch.tensor(value, dtype=self.book.values[axis.node].dtype)
        if axis.node < len(tensors):
            tensors[axis.node] = place(axis, tensors[axis.node], point)[0]
            return refused(self.book.program, self.seed, tensors)
        position = next(i for i, step in enumerate(base.steps) if step.key == self._key(axis)) - base.leaves
        return refused(self.book.program, self.seed, tensors, (position, placing(axis, point)))

    def _key(self, axis: Axis) -> Key:
        return next(k for k, i in self.book.index.items() if i == axis.node)

    def _record(self, tensors: list[torch.Tensor], *moved: Any) -> Record:
        run = functools.partial(record, validates=self.validates, backward=self.backward)
        return run(self.book.program, self.seed, tensors, *moved)


def by_hand(target: Target, batch: Batch, specs: list[Spec], seed: int, points: int | None) -> Outcome:
    """Check a loss that could not be captured. Fewer points, boundary axes only, no sign counts."""
    bench = Bench(Book(program(target, batch)), seed)
    began = time.perf_counter()
    base = bench.batch()
    pace = time.perf_counter() - began
    if base.error is not None:
        raise refusal_of(base.error)
    bench.book.add(base)
    bench.book.loss = bench.book.index[base.steps[base.loss_step].key]
    loss = base.steps[base.loss_step].value
    axes = axes_of(bench, specs)
    dtype = loss.dtype
    known = {o: _event(bench, base, o, None, math.nan) for o in offences(base)}
    judged = [_on_batch(bench, base, event) for event in known.values()]
    tables, late = [], []
    count = points or points_for(len(axes), pace, lambda: timed(bench.batch))
    for axis, spec in axes:
        if time.perf_counter() - began > SECONDS and not spec:
            late.append(axis.label)
            continue
        values = spec_points(spec, dtype) if spec else default_points(axis, dtype, count)
        table, found = _swept(bench, axis, values, set(known), dtype)
        tables.append(table)
        judged += [_off_batch(bench, event, axis, dtype) for event in found]
    skipped: tuple[str, ...] = ("sign changes and intermediates: because the loss was run op by op, not as a graph",)
    skipped += (f"{', '.join(late)}: because {SECONDS:.0f} seconds were up; name one with --sweep",) if late else ()
    return Outcome(bench.book.graph, tuple(judged), tuple(tables), loss, skipped)


def _on_batch(bench: Bench, base: Record, event: Event) -> Judged:
    """The verdict on what the batch itself shows, by one run in float64; an average of nothing has no value."""
    event = replace(event, on_batch=True)
    wide = record(bench.book.program, bench.seed, [promoted(t, torch.float64) for t in bench.tensors])
    if wide.error is None and math.isfinite(wide.loss) and not any(map(state_of, wide.gradients)):
        return Judged(event, "defect", 1.0, f"in float64 the loss is {wide.loss:.7g}", wide.loss)
    if _is_of_nothing(bench, base, event):
        return Judged(event, "limit", 1.0, OF_NOTHING)
    return Judged(event, "undecided", 1.0, "float64 gives no number here either")


def _off_batch(bench: Bench, event: Event, axis: Axis, dtype: torch.dtype) -> Judged:
    """The verdict on what a value of an axis shows. A selection that is empty in float64, too, is no rounding, though
    at its very edge the two may select differently."""
    judged = judged_by(_reference(bench), event, axis, dtype)
    inside = max((end for part in event.region for end in part), key=lambda v: abs(v - event.witness), default=math.nan)
    if math.isnan(inside) or not _is_of_nothing(bench, bench.at(axis, inside, torch.float64), event):
        return judged
    return replace(judged, verdict="limit", reason=OF_NOTHING)


def _is_of_nothing(bench: Bench, run: Record, event: Event) -> bool:
    """Does the op that fails read a tensor without elements?"""
    read = [run.steps[p].value for s in run.steps if bench.book.index.get(s.key) == event.node for p in s.parents]
    return any(isinstance(value, torch.Tensor) and value.numel() == 0 for value in read)


def axes_of(bench: Bench, specs: list[Spec]) -> list[tuple[Axis, Spec | None]]:
    view = _View(bench.book.graph, tuple(bench.book.values), bench.book.program)
    if specs:
        return [(_alone(requested_axis(view, spec)), spec) for spec in specs]
    return [
        (axis, None)
        for axis in default_axes(view, steered=True)[0]
        if axis.is_boundary and axis.other < 0 and {m.node for m in axis.moves} <= {axis.node}
    ]


def _alone(axis: Axis) -> Axis:
    if axis.with_it:
        message = f"'{axis.selector}' moves several tensors, and this loss is run op by op, with one at a time"
        raise NllcheckError(message, hint="name one of its parameters", exit_code=4)
    return axis


@dataclass(frozen=True)
class _View:
    """The book's program as `axes.view.View`."""

    graph: Graph
    values: tuple[Any, ...]
    program: Program


def _swept(
    bench: Bench, axis: Axis, values: torch.Tensor, known: set[Offence], dtype: torch.dtype
) -> tuple[SweepTable, list[Event]]:
    points = values.tolist()
    shown = [_shown(bench, axis, v) for v in points]
    blamed = [one.blamed for one in shown]
    events = []
    for offence in sorted({o for found in blamed for o in found} - known, key=str):
        events += located(bench, axis, points, [offence in found for found in blamed], offence, dtype)
    losses, slopes, states = (tuple(getattr(s, field) for s in shown) for field in ("loss", "slope", "state"))
    return SweepTable(axis, tuple(points), losses, slopes, states), events


@dataclass(frozen=True, slots=True)
class _Shown:
    """What is kept of a run: its record holds every value of the program."""

    blamed: set[Offence]
    loss: float
    slope: float
    state: State


def _shown(bench: Bench, axis: Axis, value: float) -> _Shown:
    run = bench.at(axis, value)
    bench.book.add(run)
    state = _STATES[max((state_of(g) for g in run.gradients), default=0)]
    return _Shown(offences(run) | refusals(run), run.loss, run.slope, state)


def located(
    bench: Bench, axis: Axis, points: list[float], failing: list[bool], offence: Offence, dtype: torch.dtype
) -> list[Event]:
    """The event at the failing edge nearest to the batch."""
    import numpy as np

    def fails(value: float) -> bool:
        run = bench.at(axis, value)
        return offence in offences(run) | refusals(run)

    runs = intervals(np.array(failing))
    edges = [(a - 1, a) for a, _ in runs if a] + [(b + 1, b) for _, b in runs if b + 1 < len(points)]
    edges.sort(key=lambda e: (reach_of(axis, points[e[1]]), points[e[1]] < 0))
    pair = one_by_one(fails, points[edges[0][0]], points[edges[0][1]], dtype) if edges else None
    witness = pair[1] if pair else points[runs[0][0]]
    if reach_of(axis, witness) > 1e6 and abs(witness) > 1e3:
        return []
    event = _event(bench, bench.at(axis, witness), offence, axis, witness)
    region = tuple((points[a], points[b]) for a, b in runs[:6])
    return [replace(event, threshold=pair, region=region, share=sum(failing) / len(failing))]


def _event(bench: Bench, run: Record, offence: Offence, axis: Axis | None, witness: float) -> Event:
    """The event at a point of an axis."""
    wide = bench.at(axis, witness, torch.float64) if axis else None
    return replace(event_at(bench.book, run, offence, wide, witness), axis=axis)


def _reference(bench: Bench) -> Callable[[Axis, float], Reference]:
    """The user's function in float64, where it runs there."""

    def evaluate(axis: Axis, value: float) -> Reference:
        run = bench.at(axis, value, torch.float64)
        if run.error is not None:
            why = f"the function does not run in float64 ({type(run.error).__name__})"
            return Reference(math.nan, math.nan, math.nan, why_not=why)
        size = max((float(g.abs().max()) for g in run.gradients if g.numel()), default=0.0)
        bad = any(bool(torch.isnan(g).any()) for g in run.gradients)
        return Reference(run.loss, run.slope, math.nan if bad else size)

    return evaluate
