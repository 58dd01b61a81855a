"""The exact float at which a failure begins: the vectorised sweep narrows, the canonical evaluation decides."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from nllcheck.axes.points import from_ordinal, from_ordinals, to_ordinal
from nllcheck.detect.births import Bools, Culprit, births, culprits
from nllcheck.memo import remembered
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, affordable, run_one, run_points
from nllcheck.types import Axis, Phase

SECTIONS = 256  # points tried at once when narrowing, fewer where they cost more elements than this:
_WORK = 4e6
_FRINGE = 1 << 12  # how far, in representable values, the two evaluations may disagree


@dataclass(frozen=True, slots=True)
class Single:
    """The canonical evaluation along one axis: each value run once, however many ask about it."""

    joint: Joint
    axis: Axis
    names: tuple[str, ...]
    dtype: torch.dtype | None = None  # other than the training dtype
    runs: dict[float, Trace] = field(default_factory=dict)

    def at(self, value: float) -> Trace:
        if value not in self.runs:
            self.runs[value] = run_one(self.joint, self.axis, value, self.names, self.dtype)
        return self.runs[value]

    def together(self, values: torch.Tensor) -> Trace:
        """Many values (P,) at once, by the vectorised sweep."""
        return run_points(self.joint, self.axis, values, self.names, self.dtype)


@dataclass(frozen=True, slots=True)
class Question:
    """Something that is or is not so at a point: `shows(trace)` answers for every point of a trace."""

    single: Single
    shows: Callable[[Trace], Bools]

    def at(self, value: float) -> bool:
        """The canonical answer at one value."""
        return bool(self.shows(self.single.at(value))[0])


def failing_at(single: Single, culprit: Culprit) -> Question:
    """Does `culprit` fail?"""

    def shows(trace: Trace) -> Bools:
        found = _failures(single.joint, trace)
        return found.get((culprit.origin, culprit.phase), np.zeros(len(trace.points), dtype=bool))

    return Question(single, shows)


@remembered(8)
def _failures(joint: Joint, trace: Trace) -> dict[tuple[int, Phase], Bools]:
    """The points where each op fails: several questions are asked about one trace."""
    return {(c.origin, c.phase): c.points for c in culprits(joint, trace, births(joint, trace))}


Pair = tuple[float, float]
Span = tuple[int, int]  # the same as ranks among the numbers of the dtype
Ranks = npt.NDArray[np.int64]


def bisect(question: Question, good: float, bad: float, dtype: torch.dtype) -> Pair | None:
    """Adjacent floats (last good, first bad) between a sound and a failing value; None where the paths disagree."""
    return bisect_all([(question, (good, bad))], dtype)[0]


def bisect_all(asked: Sequence[tuple[Question, Pair]], dtype: torch.dtype) -> list[Pair | None]:
    """The same for several questions about one axis, which share their runs.

    First many sections at a time with the vectorised sweep, in the order of the dtype's numbers; then each pair is
    confirmed, and if need be bisected again, by single canonical evaluations.
    """
    if not asked:
        return []
    single = asked[0][0].single
    device = single.joint.base[0].device

    def shows(tried: Sequence[Ranks]) -> list[Bools]:
        ranks = np.unique(np.concatenate(tried))
        trace = single.together(from_ordinals(torch.from_numpy(ranks), dtype).to(device))
        return [
            question.shows(trace)[np.searchsorted(ranks, some)] if some.size else some.astype(bool)
            for (question, _), some in zip(asked, tried, strict=True)
        ]

    near = narrowed([pair for _, pair in asked], dtype, affordable(single.joint, _WORK, 4, SECTIONS), shows)
    found = [confirmed(question.at, pair, dtype) for (question, _), pair in zip(asked, near, strict=True)]
    # Some vector kernels overflow well before single ones do (sinh at 88.7 and 89.4): then these decide alone.
    return [p or confirmed(question.at, ends, dtype) for p, (question, ends) in zip(found, asked, strict=True)]


def narrowed(
    pairs: Sequence[Pair], dtype: torch.dtype, parts: int, shows: Callable[[Sequence[Ranks]], Sequence[Bools]]
) -> list[Pair]:
    """Neighbouring floats between each (good, bad), where the answer first turns, all pairs cut into `parts` at once.

    `shows`: the answers at the ranks (R,) that are tried of each pair; none of one that is narrow enough.
    """
    spans = [(to_ordinal(good, dtype), to_ordinal(bad, dtype)) for good, bad in pairs]
    while any(map(_is_open, spans)):
        tried = [_between(span, parts) for span in spans]
        spans = [_section(*each) for each in zip(spans, tried, shows(tried), strict=True)]
    return [(from_ordinal(good, dtype), from_ordinal(bad, dtype)) for good, bad in spans]


def _is_open(span: Span) -> bool:
    return abs(span[1] - span[0]) > 1


def _between(span: Span, parts: int) -> Ranks:
    """Ranks that cut a span into `parts`, from its first end to its second.

    What exceeds 64 bits on the way (a span over all doubles times a part) wraps round, and back again with the sum.
    """
    low, width = min(span), abs(span[1] - span[0])
    whole, rest = divmod(width, parts)
    k = np.arange(1, parts)
    found = np.unique(low + k * whole + k * rest // parts)
    found = found[(found != span[0]) & (found != span[1])]
    return found if span[1] > span[0] else found[::-1]


def _section(span: Span, tried: Ranks, shown: Bools) -> Span:
    ends = [span[0], *tried.tolist(), span[1]]
    first = int(shown.argmax()) if shown.any() else len(tried)
    return ends[first], ends[first + 1]


def confirmed(fails: Callable[[float], bool], pair: Pair, dtype: torch.dtype) -> Pair | None:
    """(last good, first bad) by single evaluations alone, where a pair is near already or each of them is dear."""
    low, high = (to_ordinal(value, dtype) for value in pair)
    told: dict[int, bool] = {}

    def failing(rank: int) -> bool:
        if rank not in told:
            told[rank] = fails(from_ordinal(rank, dtype))
        return told[rank]

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


def one_by_one(fails: Callable[[float], bool], good: float, bad: float, dtype: torch.dtype) -> Pair:
    """Adjacent floats (last good, first bad), for what cannot be asked at many values at once."""
    low, high = to_ordinal(good, dtype), to_ordinal(bad, dtype)
    while abs(high - low) > 1:
        middle = low + (high - low) // 2
        low, high = (low, middle) if fails(from_ordinal(middle, dtype)) else (middle, high)
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
