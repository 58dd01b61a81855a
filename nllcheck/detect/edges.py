"""Where a failing run of an axis begins: its exact threshold, a simple witness, and what holds just before."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from nllcheck.axes.reach import reach_of
from nllcheck.detect.births import Bools, Culprit, births, culprits, intervals
from nllcheck.detect.threshold import Pair, Question, Single, bisect_all, simplest
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace
from nllcheck.types import Event, Phase

_EDGES = 4  # edges of failing runs that are asked about
_WITNESSES = 12  # values tried in a failing run that has no sound edge


def values_of(trace: Trace) -> npt.NDArray[np.float64]:
    """The axis' values (P,)."""
    return trace.points.double().numpy()


@dataclass(frozen=True, slots=True)
class Side:
    """A culprit on one side of the batch's range: the runs of failing points there, as (first, last) positions."""

    question: Question
    culprit: Culprit
    runs: list[tuple[int, int]]


def sides_of(trace: Trace, culprit: Culprit) -> list[list[tuple[int, int]]]:
    """The failing runs below, within and above the batch's range, as (first, last) positions; no empty side."""
    values, (low, high) = values_of(trace), trace.axis.observed
    sides: dict[int, list[tuple[int, int]]] = {}
    for a, b in intervals(culprit.points):
        side = 1 if values[a] > high else -1 if values[b] < low else 0
        sides.setdefault(side, []).append((a, b))
    return [runs for _, runs in sorted(sides.items())]


def thresholds(trace: Trace, sides: list[Side], sound: Bools) -> list[Pair | None]:
    """The failing edge nearest to the batch that the canonical evaluation confirms, of each side; all sides at once."""
    edges = [_edges(trace, side.runs, sound) for side in sides]
    found: list[Pair | None] = [None] * len(sides)
    for attempt in range(max(map(len, edges), default=0)):
        left = [k for k, pair in enumerate(found) if pair is None and attempt < len(edges[k])]
        pairs = bisect_all([(sides[k].question, edges[k][attempt]) for k in left], trace.points.dtype)
        for k, pair in zip(left, pairs, strict=True):
            found[k] = pair
    return found


def _edges(trace: Trace, runs: list[tuple[int, int]], sound: Bools) -> list[Pair]:
    """(good, failing) neighbours at the edges of the failing runs: those next to a sound point first, then
    the nearest to the batch."""
    values = values_of(trace)
    pairs = [pair for run in runs for pair in _at_ends(*run) if 0 <= pair[0] < len(values)]

    def rank(pair: tuple[int, int]) -> tuple[bool, float, float, bool, int]:
        at = values[pair[1]]
        return not sound[pair[0]], reach_of(trace.axis, at), abs(at), at < 0, abs(pair[0] - pair[1])

    ranked = sorted(pairs, key=rank)
    on_batch = any(reach_of(trace.axis, values[k]) <= 1.0 for a, b in runs for k in (a, b, (a + b) // 2))
    if on_batch and not any(sound[good] for good, _ in ranked):
        return []  # it fails everywhere: where another op takes the blame is no threshold
    return [(float(values[good]), float(values[bad])) for good, bad in ranked[:_EDGES]]


def _at_ends(first: int, last: int) -> Iterator[tuple[int, int]]:
    """(outside, inside) positions at both ends of a run: neighbours; and, since a single run may fail a little earlier
    or later than the sweep, one further out, and one further in."""
    for end, out in ((first, -1), (last, 1)):
        yield from ((end + out, end), (end + 2 * out, end))
        if last > first:
            yield end + out, end - out


def simple_witness(question: Question, trace: Trace, pair: Pair | None, run: tuple[int, int]) -> float | None:
    """A failing value: round and just inside the threshold; without a threshold the nearest to the batch."""
    values = values_of(trace)
    if pair:
        inside = (min(values[run[0]], pair[1]), max(values[run[1]], pair[1]))
        return next((v for v in simplest(*pair, inside) if question.at(v)), None)
    spread = range(run[0], run[1] + 1, max(1, (run[1] - run[0]) // _WITNESSES))
    middle = sum(trace.axis.observed) / 2
    tried = sorted((float(values[k]) for k in spread), key=lambda v: (reach_of(trace.axis, v), abs(v - middle), abs(v)))
    ends = (float(values[k]) for k in run)
    return next((v for v in [*tried[:_WITNESSES], *ends] if question.at(v)), None)


def with_edge(event: Event, single: Single, pair: Pair) -> Event:
    """The event with its threshold, and what is not finite just before it: there another op fails."""
    before = single.at(pair[0])
    states = births(single.joint, before)
    if not int(states.loss_state[0]) and not int(states.gradient_state[0]):
        return replace(event, threshold=pair, already=None, already_by=None)
    phase: Phase = "forward" if int(states.loss_state[0]) else "backward"
    others = [c.origin for c in culprits(single.joint, before, states) if c.phase == phase]
    already: Literal["loss", "gradient"] = "loss" if phase == "forward" else "gradient"
    return replace(event, threshold=pair, already=already, already_by=min(others, default=None))


def is_bystander(joint: Joint, culprit: Culprit, before: Trace, after: Trace) -> bool:
    """Was the op's output as bad before the threshold, and no harm, while another op's only became so?

    So is a logarithm of 0 in the branch that a `where` does not take.
    """
    if culprit.phase != "forward" or bool(births(joint, before).loss_state[0]):
        return False
    was, now = (_born_at(joint, one) for one in (before, after))
    return culprit.origin in was and bool(now - was)


def _born_at(joint: Joint, one: Trace) -> set[int]:
    """The forward ops that give birth to bad values at a single point; those that reach the loss, if it is bad."""
    states = births(joint, one)
    born = states.born[0] & (states.to_loss[0] | (states.loss_state[0] == 0))
    ops = (joint.ops.get(one.names[k]) for k in np.nonzero(born)[0])
    return {op.origin for op in ops if op is not None and op.phase == "forward"}
