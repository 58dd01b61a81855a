"""The exact float at which a failure begins: the vectorised sweep narrows, the canonical evaluation decides."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from nllcheck.axes.points import from_ordinal, to_ordinal
from nllcheck.detect.births import Culprit, births, culprits
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, affordable, run_one, run_points
from nllcheck.types import Axis

_SECTIONS = 1024  # points tried at once when narrowing, fewer where they cost more elements than this:
_WORK = 4e6
_FRINGE = 1 << 12  # how far, in representable values, the two evaluations may disagree


@dataclass(frozen=True, slots=True)
class Question:
    """Something that is or is not so at a point: `shows(trace)` answers for every point of a trace."""

    joint: Joint
    axis: Axis
    names: tuple[str, ...]
    shows: Callable[[Trace], list[bool]]
    known: dict[float, bool] = field(default_factory=dict)
    dtype: torch.dtype | None = None  # other than the training dtype

    def at(self, value: float) -> bool:
        """The canonical answer at one value; asked once, remembered."""
        if value not in self.known:
            self.known[value] = self.shows(run_one(self.joint, self.axis, value, self.names, self.dtype))[0]
        return self.known[value]


def failing_at(joint: Joint, trace: Trace, culprit: Culprit) -> Question:
    """Does `culprit` fail? Asked on the axis of `trace`."""

    def shows(other: Trace) -> list[bool]:
        for found in culprits(joint, other, births(joint, other)):
            if (found.origin, found.phase) == (culprit.origin, culprit.phase):
                return found.points.tolist()
        return [False] * other.points.numel()

    return Question(joint, trace.axis, trace.names, shows)


def bisect(question: Question, good: float, bad: float, dtype: torch.dtype) -> tuple[float, float] | None:
    """Adjacent floats (last good, first bad) between a sound and a failing value; None where the paths disagree.

    First many sections at a time with the vectorised sweep, in the order of the dtype's numbers; then the pair is
    confirmed, and if need be bisected again, by single canonical evaluations.
    """
    low, high = to_ordinal(good, dtype), to_ordinal(bad, dtype)
    while abs(high - low) > 1:
        low, high = _narrow(question, low, high, dtype)
    return _confirm(question, low, high, dtype)


def _narrow(question: Question, low: int, high: int, dtype: torch.dtype) -> tuple[int, int]:
    span = high - low
    parts = affordable(question.joint, _WORK, 4, _SECTIONS)
    inner = sorted({low + span * i // parts for i in range(1, parts)} - {low, high}, reverse=span < 0)
    device = question.joint.base[0].device
    values = torch.tensor([from_ordinal(i, dtype) for i in inner], dtype=dtype, device=device)
    shown = question.shows(run_points(question.joint, question.axis, values, question.names, question.dtype))
    first = next((k for k, failing in enumerate(shown) if failing), len(inner))
    return (inner[first - 1] if first else low), (inner[first] if first < len(inner) else high)


def _confirm(question: Question, low: int, high: int, dtype: torch.dtype) -> tuple[float, float] | None:
    def failing(rank: int) -> bool:
        return question.at(from_ordinal(rank, dtype))

    step = 1 if high > low else -1
    widen = 1
    while failing(low) and widen <= _FRINGE:
        low, widen = low - step * widen, widen * 2
    widen = 1
    while not failing(high) and widen <= _FRINGE:
        high, widen = high + step * widen, widen * 2
    if failing(low) or not failing(high):
        return None
    while abs(high - low) > 1:
        middle = low + (high - low) // 2
        low, high = (low, middle) if failing(middle) else (middle, high)
    return from_ordinal(low, dtype), from_ordinal(high, dtype)


def simplest(good: float, bad: float, failing: tuple[float, float]) -> list[float]:
    """Round values just inside a failing interval, the shortest decimal first, the threshold itself last."""
    away = math.copysign(1.0, bad - good)
    found: list[float] = []
    for digits in (1, 2, 3, 4):
        value = _rounded_away(bad, away, digits)
        if failing[0] <= value <= failing[1] and abs(value - bad) <= 0.5 * max(abs(bad), 1e-300):
            found.append(value)
    return [*found, bad]


def _rounded_away(value: float, away: float, digits: int) -> float:
    if value == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - digits + 1)
    steps = value / unit
    rounded = math.ceil(steps) if away > 0 else math.floor(steps)
    return float(f"{rounded * unit:.{digits}g}")
