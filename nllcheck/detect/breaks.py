"""The break map: for each axis and dtype the first value, going outwards from the batch, that is not survived.

The captured program is cast to each dtype as a whole (weights, constants and all), so float16 here is pure half
precision. Under "autocast" stands the mixed precision of a GPU: float32 weights, with float16 in the ops that torch's
lists name. What autocast hands on in float16, as a model's output, moves among the float16 numbers there.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch

from nllcheck.autocast import MixedStep
from nllcheck.axes.points import default_points
from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.detect.births import Bools
from nllcheck.detect.threshold import Question, Single, bisect_all
from nllcheck.engine.wire import packed, unpacked
from nllcheck.sweep import Swept
from nllcheck.sweep.joint import Joint, joint_graph
from nllcheck.sweep.mixed import mixed_values
from nllcheck.sweep.watch import Trace, UnsweepableError, affordable
from nllcheck.types import Axis, Break

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
AUTOCAST = MixedStep("float16", device="cuda")
POINTS = 160  # a dtype and axis, before bisection; fewer where they cost more elements than this:
WORK = 1e7
ENOUGH = 5e9  # elements for the whole map: of very large batches only the first axes are told
OVERHEAD = 1e4  # elements that are computed in the time that it takes to call an op: sections of a bisection worth it
_BISECTION = 200  # points that a bisection takes, about


def breaks(graph: LossGraph, swept: Swept) -> tuple[Break, ...]:
    """One entry an axis of the boundary and dtype, autocast among them; axes that scale, targets and the model's
    inside are left out."""
    parts = [p for p in swept.parts if p.trace.axis.role not in ("target", "hidden", "intermediate")]
    parts = [p for p in parts if p.trace.axis.mode == "set" and not math.isnan(p.trace.axis.observed[0])]
    left = ENOUGH
    found = []
    under = _Mixed(graph, swept)
    for part in parts:
        for dtype in DTYPES:
            left -= (POINTS + _BISECTION) * WORK / affordable(swept.joints[part.joint], WORK, 1, POINTS)
            found.append(_break(lambda k=part.joint: swept.joints[k], part.trace.axis, dtype, left > 0))  # type: ignore[misc]
        found.append(_break(lambda k=part.joint: under.joint(k), part.trace.axis, None, left > 0))  # type: ignore[misc]
        if graph.loss.device.type != "cpu" and left > 0:
            found += beside(swept.joints[part.joint], part.trace.axis, torch.device("cpu"))
    return tuple(found)


def beside(joint: Joint, axis: Axis, device: torch.device) -> list[Break]:
    """The thresholds on another device in the training dtype, where they differ from those on the joint's own.

    Denormals that are flushed and functions of another library move them: a fact, and nobody's defect.
    """
    dtype = joint.base[joint.moved.index(axis.node)].dtype

    def on(one: Joint) -> Break:
        return _break(lambda: one, axis, dtype, True)

    here, there = on(joint), on(unpacked(packed(joint), device))
    same = (here.below, here.above) == (there.below, there.above)
    return [] if same else [replace(there, dtype=f"{there.dtype} on the {device.type}")]


class _Mixed:
    """The joint graphs under autocast, each made when it is first asked for."""

    def __init__(self, graph: LossGraph, swept: Swept) -> None:
        self.graph, self.swept = graph, swept
        self.made: dict[int, Joint] = {}

    def joint(self, k: int) -> Joint:
        if not self.made:
            self.graph = mixed_values(self.graph, AUTOCAST)
        if k not in self.made:
            self.made[k] = joint_graph(self.graph, self.swept.joints[k].moved, self.graph.seed, AUTOCAST)
        return self.made[k]


def _break(joint: Callable[[], Joint], axis: Axis, dtype: torch.dtype | None, is_affordable: bool) -> Break:
    """`dtype` None: as the joint graph's own casts have it."""
    name = str(dtype).removeprefix("torch.") if dtype else "autocast"
    if not is_affordable:
        return Break(axis.label, name, axis.observed, None, None, math.inf, "the batch is too large")
    try:
        below, above = _edges(joint(), axis, dtype)
    except (UnsweepableError, RuntimeError) as error:  # an op without a kernel for this dtype
        return Break(axis.label, name, axis.observed, None, None, math.inf, str(error).splitlines()[0][:120])
    reach = min((reach_of(axis, v) for v in (below, above) if v is not None), default=math.inf)
    return Break(axis.label, name, axis.observed, below, above, reach)


def _edges(joint: Joint, axis: Axis, dtype: torch.dtype | None) -> tuple[float | None, float | None]:
    own = dtype or joint.base[joint.moved.index(axis.node)].dtype
    points = default_points(axis, own, affordable(joint, WORK, 24, POINTS)).to(joint.base[0].device)
    single = Single(joint, axis, (), dtype)
    failing = _fails(single.together(points))
    values, middle = points.tolist(), sum(axis.observed) / 2
    ways = [k for k, v in enumerate(values) if v <= middle][::-1], [k for k, v in enumerate(values) if v >= middle]
    rims = [_rim(values, failing, way) for way in ways]
    asked = [(Question(single, _fails), (good, bad)) for good, bad in filter(None, rims) if good is not None]
    pairs = iter(bisect_all(asked, own, OVERHEAD * len(joint.module.graph.nodes)))
    below, above = (rim if rim is None or rim[0] is None else next(pairs) or rim for rim in rims)
    return below and below[1], above and above[1]


def _rim(values: list[float], failing: Bools, way: list[int]) -> tuple[float | None, float] | None:
    """(last sound, first failing) value on the way outwards; nothing is sound where the first one fails."""
    first = next((i for i, k in enumerate(way) if failing[k]), None)
    if first is None:
        return None
    return (values[way[first - 1]] if first else None), values[way[first]]


def _fails(trace: Trace) -> Bools:
    sound = torch.isfinite(trace.loss) & torch.isfinite(trace.gradient_low) & torch.isfinite(trace.gradient_high)
    return (~sound).numpy()
