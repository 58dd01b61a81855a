"""What a sweep leaves behind: a few numbers a point, and for every op which points it was finite at."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from nllcheck.types import Axis

# loss, slope, magnitude, gradient_low, gradient_high: (P,); low, high: (P, N)
Row = Any
FINITE, INF, NAN = 0, 1, 2


@dataclass(frozen=True, eq=False)
class Trace:
    """One axis swept. P points, N watched ops (`names`, in program order); all tensors on the CPU.

    Ops fail on stretches of an axis, so neighbouring points share one row of `patterns`: of ten million points
    and a hundred ops a few kilobytes are kept, and not the gigabytes that every op's range at every point takes.
    """

    axis: Axis
    points: torch.Tensor  # (P,) values of the axis, in the dtype of the sweep, ascending
    loss: torch.Tensor  # (P,)
    slope: torch.Tensor  # (P,) directional derivative along the axis
    magnitude: torch.Tensor  # (P,) sum of |gradient| over the moved elements: what the slope cancels from
    gradient_low: torch.Tensor  # (P,) over all elements of all gradients; NaN if any element is
    gradient_high: torch.Tensor  # (P,)
    low: torch.Tensor  # (1, N) smallest element of each op's output where there is no NaN; NaN if there always is one
    high: torch.Tensor  # (1, N)
    patterns: torch.Tensor  # (R, N) int8: the worst of each op's elements, 0 finite, 1 infinite, 2 NaN
    pattern: torch.Tensor  # (P,) int32: the row of `patterns` that holds at a point
    names: tuple[str, ...]  # fx node names, parallel to N


def trace_of(axis: Axis, points: torch.Tensor, row: Row, names: tuple[str, ...]) -> Trace:
    """The trace of one chunk. Its tensors stay on the device of `row`, but `points` goes with them."""
    loss, slope, size, g_low, g_high, lows, highs = row
    low, high = lows.T, highs.T
    patterns, pattern = _patterns(low, high)
    ends = (_least(low)[None], -_least(-high)[None])
    return Trace(axis, points.to(loss.device), loss, slope, size, g_low, g_high, *ends, patterns, pattern, names)


def _patterns(low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`Trace.patterns` and `Trace.pattern` from ranges (N, P). Most ops are finite everywhere: one look at each."""
    failing = (~torch.isfinite(low.amin(1) - high.amax(1))).nonzero()[:, 0]
    if not len(failing):
        return low.new_zeros(1, len(low), dtype=torch.int8), low.new_zeros(low.shape[1], dtype=torch.int32)
    state = states(low[failing], high[failing])  # (F, P)
    new = torch.ones(low.shape[1], dtype=torch.bool, device=low.device)
    new[1:] = (state[:, 1:] != state[:, :-1]).any(0)
    patterns = torch.zeros(int(new.sum()), len(low), dtype=torch.int8, device=low.device)
    patterns[:, failing] = state[:, new].T
    return patterns, (new.cumsum(0) - 1).int()


def states(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """FINITE, INF or NAN, elementwise from ranges (a NaN bound means a NaN element)."""
    nan = torch.isnan(low) | torch.isnan(high)
    return torch.where(nan, NAN, torch.isinf(low) | torch.isinf(high)).to(torch.int8)


def _least(rows: torch.Tensor) -> torch.Tensor:
    """(N,) from (N, P): the smallest over the points, NaN left out unless there is nothing else."""
    least = rows.amin(1)
    if bool(torch.isnan(least).any()):
        sound = rows.nan_to_num(torch.inf, None, None).amin(1)
        least = torch.where(torch.isnan(rows).all(1), torch.nan, sound)
    return least


def on_cpu(trace: Trace) -> Trace:
    """The same with its tensors in the machine's own memory."""
    moved = {f.name: getattr(trace, f.name).cpu() for f in fields(Trace) if f.type == "torch.Tensor"}
    return replace(trace, **moved)


_COLUMNS = ("points", "loss", "slope", "magnitude", "gradient_low", "gradient_high", "pattern")


class Gathering:
    """Stretches of one axis, put together in any order into a trace of `count` points.

    The columns are made at once. Small tensors kept one after the other, between the large ones that every chunk makes
    and frees, would leave holes in the heap that nothing fits: gigabytes over a few hundred chunks.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.columns: dict[str, torch.Tensor] = {}
        self.parts: dict[int, Trace] = {}  # by their first point; their columns are views of `columns`

    def put(self, start: int, part: Trace) -> None:
        """`part` holds the points from `start` on."""
        if not self.columns:
            self.columns = {name: getattr(part, name).new_empty(self.count) for name in _COLUMNS}
        views: dict[str, Any] = {
            name: column[start : start + len(part.points)] for name, column in self.columns.items()
        }
        for name, view in views.items():
            view.copy_(getattr(part, name))
        self.parts[start] = replace(part, **views)

    def trace(self) -> Trace:
        """All of it; afterwards nothing can be put any more."""
        parts = [part for _, part in sorted(self.parts.items())]
        rows = 0
        for part in parts:
            part.pattern.add_(rows)
            rows += len(part.patterns)
        low, high = (torch.cat([getattr(part, end) for part in parts]).T for end in ("low", "high"))
        ends: dict[str, Any] = {"low": _least(low)[None], "high": -_least(-high)[None]}
        ends |= self.columns
        return replace(parts[0], **ends, patterns=torch.cat([part.patterns for part in parts]))


class Waiting:
    """Rows of chunks that follow one another, left on the device until they hold `most` bytes.

    To see which ops failed the processor has to wait for the device. Once in many chunks that costs nothing.
    """

    def __init__(self, found: Gathering, axis: Axis, names: tuple[str, ...], most: int) -> None:
        self.found, self.axis, self.names, self.most = found, axis, names, most
        self.rows: list[tuple[int, torch.Tensor, Row]] = []
        self.held = 0

    def put(self, start: int, points: torch.Tensor, row: Row) -> None:
        """The row of the chunk whose first point is at `start`."""
        self.rows.append((start, points, row))
        self.held += sum(column.numel() * column.element_size() for column in row)
        if self.held >= self.most:
            self.flush()

    def flush(self, apart: bool = False) -> None:
        """All that waits is put with what has been found: at once, or, where memory is short, chunk by chunk."""
        for some in [[one] for one in self.rows] if apart else [self.rows] * bool(self.rows):
            starts, points, rows = zip(*some, strict=True)
            row = rows[0] if len(rows) == 1 else tuple(map(torch.cat, zip(*rows, strict=True)))
            self.found.put(starts[0], trace_of(self.axis, torch.cat(points), row, self.names))
        self.rows, self.held = [], 0
