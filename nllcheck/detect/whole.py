"""Failures that some rows of a large batch have shown, tried on all of them: each threshold once more, by single runs.

A row that was not looked at can fail earlier, and what a mean over more rows hides can fail later, or not at all.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.detect import Located
from nllcheck.detect.births import Bools, Culprit
from nllcheck.detect.edges import with_edge
from nllcheck.detect.threshold import Pair, Question, Single, confirmed, failing_at
from nllcheck.sweep import Swept
from nllcheck.sweep.joint import Joint, of_batch
from nllcheck.sweep.watch import Trace
from nllcheck.types import Event, Phase

Key = tuple[int, Phase, int, str, bool]  # the op that fails, when; the node that moves, how, and whether upwards


def on_all_rows(found: list[Located], swept: Swept, graph: LossGraph) -> tuple[list[Located], tuple[str, ...]]:
    """The failures as the whole batch, `graph`, has them; what it does not show is left out and told.

    Of each op and phase, and of the axes of a node each way, the nearest ones are tried, until one holds that is nearer
    than what the rows show of the others.
    """
    joints: dict[int, Joint] = {}
    nearest: dict[Key, float] = {}
    told: dict[int, Located | None] = {}
    for i in sorted(range(len(found)), key=lambda i: _reach(found[i][0])):
        event, k = found[i]
        key = None if _is_settled(event) else _key(event)
        if key is None or _reach(event) >= nearest.get(key, math.inf):
            continue
        if k not in joints:
            joints[k] = of_batch(swept.joints[k], graph)
        there = _on_all(event, joints[k], swept.names[k])
        told[i] = (there, k) if there else None
        nearest[key] = min(nearest.get(key, math.inf), _reach(there) if there else math.inf)
    kept = [one for i, old in enumerate(found) if (one := told.get(i, old))]
    missing = [_place(found[i][0]) for i, one in sorted(told.items()) if one is None]
    text = f"fails on the rows looked at and not on the whole batch: {', '.join(dict.fromkeys(missing))}"
    return kept, (text,) if missing else ()


def _is_settled(event: Event) -> bool:
    """Has it no threshold that all rows could move?"""
    return event.kind not in ("nan", "inf") or event.axis is None or event.threshold is None or bool(event.axis.moves)


def _reach(event: Event) -> float:
    return math.inf if _is_settled(event) else reach_of(event.axis, event.threshold[1])  # type: ignore[arg-type,index]


def _key(event: Event) -> Key:
    assert event.axis and event.threshold
    good, bad = event.threshold
    return event.node, event.phase, event.axis.node, event.axis.mode, bad > good


def _place(event: Event) -> str:
    assert event.axis and event.threshold
    return f"{event.axis.label} = {event.threshold[1]:.6g}"


def _on_all(event: Event, joint: Joint, names: tuple[str, ...]) -> Event | None:
    """With its threshold on all rows; None where they do not fail."""
    assert event.axis
    single = Single(joint, event.axis, names)
    pair = _threshold(event, joint, single) or _begins(event, joint, single)
    return with_edge(_with_onset(event, single, pair), single, pair) if pair else None


def _with_onset(event: Event, single: Single, pair: Pair) -> Event:
    """With the value from which the gradient of all rows fails before the loss: a mean over more rows is less steep."""
    if event.onset is None or event.axis is None:
        return event
    question = Question(single, lambda t: ~torch.isfinite(t.gradient_low + t.gradient_high).numpy())
    if question.at(event.onset):
        return event
    dtype = single.joint.base[single.joint.moved.index(event.axis.node)].dtype
    edge = confirmed(question.at, (event.onset, pair[0]), dtype) if question.at(pair[0]) else None
    return replace(event, onset=edge[1] if edge else None)


def _threshold(event: Event, joint: Joint, single: Single) -> Pair | None:
    """The same floats where these decide, else the nearest that is found either way."""
    assert event.axis and event.threshold
    question = failing_at(single, Culprit(event.node, event.phase, np.zeros(0, dtype=bool)))
    good, bad = event.threshold
    dtype = joint.base[joint.moved.index(event.axis.node)].dtype
    if not question.at(good):
        failing = next((v for v in (bad, *_further(event)) if question.at(v)), None)
        return None if failing is None else confirmed(question.at, (good, failing), dtype)
    start = _sound(event)
    return None if question.at(start) else confirmed(question.at, (start, good), dtype)


def _begins(event: Event, joint: Joint, single: Single) -> Pair | None:
    """Where the batch fails all the same, though at an op of some other row first: 1 - rho**2 = 0 divides every row."""
    assert event.axis and event.threshold
    forward = event.phase == "forward" and "loss" in event.reaches

    def fails(trace: Trace) -> Bools:
        sound = torch.isfinite(trace.loss)
        return ~(sound if forward else sound & torch.isfinite(trace.gradient_low + trace.gradient_high)).numpy()

    question = Question(single, fails)
    good, bad = event.threshold
    failing = None if question.at(good) else next((v for v in (bad, *_further(event)) if question.at(v)), None)
    dtype = joint.base[joint.moved.index(event.axis.node)].dtype
    return None if failing is None else confirmed(question.at, (good, failing), dtype)


def _further(event: Event) -> Iterator[float]:
    """The failing values behind the threshold that the rows have shown."""
    assert event.threshold
    good, bad = event.threshold
    yield event.witness
    yield from (v for ends in event.region for v in ends if (v - bad) * (bad - good) > 0)


def _sound(event: Event) -> float:
    """The end of the batch's own range that lies towards the threshold."""
    assert event.axis and event.threshold
    low, high = event.axis.observed
    good, bad = event.threshold
    if not math.isfinite(low + high):
        return good
    return min(high, good) if bad > good else max(low, good)
