"""What a sweep has to evaluate, cut into pieces that any process can do: in this one, in shards, on a cluster.

The cut depends on the program and the options alone, never on who does the work or on what else a machine is busy
with: vector kernels differ with the shape in the last bit, and every engine must give the same bytes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch

from nllcheck.sweep.joint import Joint
from nllcheck.sweep.trace import Gathering, Trace
from nllcheck.sweep.watch import chunk_size, elements, run_points
from nllcheck.types import Axis

WORK = 2e9  # elements computed in one piece: a few seconds of a CPU core, and what an interruption can cost

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Lane:
    """One axis swept in one dtype."""

    joint: int  # index into `Plan.joints`
    axis: Axis
    points: torch.Tensor  # (P,) on the device of the sweep
    names: tuple[str, ...]  # watched ops: those of the joint, or none
    dtype: torch.dtype | None  # None: the training dtype
    is_fused: bool = False  # by a compiled program: see `fused`


@dataclass(frozen=True, slots=True)
class Piece:
    """Points [start, stop) of a lane: evaluated, written and lost as one."""

    lane: int
    start: int
    stop: int


@dataclass(frozen=True)
class Plan:
    """All lanes of a check, in the order in which they are gathered again."""

    joints: tuple[Joint, ...]
    names: tuple[tuple[str, ...], ...]  # watched ops of each joint
    lanes: tuple[Lane, ...]
    memory: int  # bytes

    @cached_property
    def pieces(self) -> tuple[Piece, ...]:
        return tuple(piece for k in range(len(self.lanes)) for piece in self._cut(k))

    def _cut(self, k: int) -> Iterator[Piece]:
        lane = self.lanes[k]
        joint, count = self.joints[lane.joint], lane.points.numel()
        chunk = chunk_size(joint, self.memory, lane.dtype)
        step = chunk * max(1, math.ceil(WORK / (chunk * elements(joint))))
        for start in range(0, count, step):
            yield Piece(k, start, min(start + step, count))

    def work(self, piece: Piece) -> int:
        """Elements computed, by which what is left is estimated."""
        return (piece.stop - piece.start) * elements(self.joints[self.lanes[piece.lane].joint])


# Evaluates the pieces at these positions, in any order: (position in `Plan.pieces`, its trace).
Engine = Callable[[Plan, Sequence[int], Tell], Iterable[tuple[int, Trace]]]


def evaluate(plan: Plan, piece: Piece) -> Trace:
    """One piece, here and now."""
    lane = plan.lanes[piece.lane]
    points = lane.points[piece.start : piece.stop]
    joint = plan.joints[lane.joint]
    return run_points(joint, lane.axis, points, lane.names, lane.dtype, plan.memory, lane.is_fused)


def local(plan: Plan, wanted: Sequence[int], tell: Tell) -> Iterator[tuple[int, Trace]]:
    """The engine of a plain run: one piece after the other, in this process."""
    left = Remaining(plan, wanted, tell)
    for k in wanted:
        left.announce(k)
        yield k, evaluate(plan, plan.pieces[k])
        left.done(k)


class Remaining:
    """Says what is being swept and, once a piece is done, how long the rest will take."""

    def __init__(self, plan: Plan, wanted: Sequence[int], tell: Tell) -> None:
        self.plan, self.tell, self.count = plan, tell, len(wanted)
        self.finished = 0
        self.todo, self.did = sum(plan.work(plan.pieces[k]) for k in wanted), 0
        self.since = time.monotonic()

    def announce(self, k: int) -> None:
        label = self.plan.lanes[self.plan.pieces[k].lane].axis.label
        self.tell(f"sweeping {label} ({self.finished + 1} of {self.count}{self._estimate()})")

    def done(self, k: int) -> None:
        self.finished += 1
        self.did += self.plan.work(self.plan.pieces[k])

    def _estimate(self) -> str:
        if not self.did:
            return ""
        seconds = (time.monotonic() - self.since) * (self.todo - self.did) / self.did
        return f", {duration(seconds)} left" if seconds >= 1 else ""


def duration(seconds: float) -> str:
    """'8 s', '3 min', '2.5 h'."""
    return (
        f"{seconds:.0f} s"
        if seconds < 100
        else f"{seconds / 60:.0f} min"
        if seconds < 6000
        else f"{seconds / 3600:.1f} h"
    )


def gathered(plan: Plan, found: Iterable[tuple[int, Trace]]) -> tuple[Trace, ...]:
    """The pieces of an engine as one trace a lane."""
    lanes = [Gathering(lane.points.numel()) for lane in plan.lanes]
    for k, trace in found:
        piece = plan.pieces[k]
        lanes[piece.lane].put(piece.start, trace)
    return tuple(lane.trace() for lane in lanes)
