"""The break map: for each axis and dtype the first value, going outwards from the batch, that is not survived.

The captured program is cast to each dtype as a whole (weights, constants and all), so float16 here is pure half
precision. Under "autocast" stands the mixed precision of a GPU: float32 weights, with float16 in the ops that torch's
lists name. What autocast hands on in float16, as a model's output, moves among the float16 numbers there.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache, cached_property, partial
from typing import Any

import torch

from nllcheck.autocast import MixedStep
from nllcheck.axes import depends_on
from nllcheck.axes.points import default_points, from_ordinals
from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.detect.births import Bools
from nllcheck.detect.threshold import SECTIONS, Pair, Ranks, confirmed, narrowed
from nllcheck.engine.wire import packed, unpacked
from nllcheck.sweep import Swept
from nllcheck.sweep.joint import Joint, joint_graph
from nllcheck.sweep.mixed import mixed_values
from nllcheck.sweep.survey import Survey
from nllcheck.sweep.watch import UnsweepableError, affordable
from nllcheck.types import Axis, Break

DTYPES = (torch.float32, torch.float16, torch.bfloat16, torch.float64)
AUTOCAST = MixedStep("float16", device="cuda")
POINTS = 160  # a dtype and axis, before bisection; fewer where they cost more elements than this:
WORK = 1e7
ENOUGH = 5e9  # elements for the whole map: of very large batches only the first axes are told
OVERHEAD = 1e4  # elements that are computed in the time that it takes to call an op: sections of a bisection worth it
_BISECTION = 200  # points that a bisection takes, about


def breaks(graph: LossGraph, swept: Swept, memory: int = 2**30) -> tuple[Break, ...]:
    """One entry an axis of the boundary and dtype, autocast among them; axes that scale, targets and the model's
    inside are left out."""
    parts = [p for p in swept.parts if p.trace.axis.role not in ("target", "hidden", "intermediate")]
    parts = [p for p in parts if p.trace.axis.mode == "set" and not math.isnan(p.trace.axis.observed[0])]
    under, left = _Mixed(graph, swept), ENOUGH
    found: dict[Axis, list[Break]] = {}
    groups = [(part.joint, _moves_in(swept.joints[part.joint], part.trace.axis)) for part in parts]
    for k, dtype in dict.fromkeys(groups):
        axes = [part.trace.axis for part, group in zip(parts, groups, strict=True) if group == (k, dtype)]
        cost = len(DTYPES) * (POINTS + _BISECTION) * WORK / affordable(swept.joints[k], WORK, 1, POINTS)
        told, left = axes[: max(0, int(left // cost))], left - len(axes) * cost
        found |= dict(zip(told, _rows(swept.joints[k], partial(under.joint, k), told, memory), strict=True))
    return tuple(row for part in parts for row in found.get(part.trace.axis) or _untold(part.trace.axis))


def _rows(joint: Joint, mixed: Callable[[], Joint], axes: Sequence[Axis], memory: int) -> list[list[Break]]:
    """For each axis its entries in every dtype."""
    if not axes:
        return []
    columns = [_column(lambda: joint, axes, dtype, memory) for dtype in DTYPES]
    columns.append(_column(mixed, axes, None, memory))
    rows = [list(row) for row in zip(*columns, strict=True)]
    if joint.base[0].device.type != "cpu":
        rows = [row + more for row, more in zip(rows, beside(joint, axes, torch.device("cpu"), memory), strict=True)]
    return rows


def _untold(axis: Axis) -> list[Break]:
    return [_at_no_value(axis, _name(dtype), "the batch is too large") for dtype in (*DTYPES, None)]


def beside(joint: Joint, axes: Sequence[Axis], device: torch.device, memory: int = 2**30) -> list[list[Break]]:
    """For each axis its thresholds on another device in the training dtype, where they are not those of the joint's.

    The axes move tensors of one dtype. Denormals that are flushed and functions of another library move thresholds: a
    fact, and nobody's defect.
    """
    dtype = _moves_in(joint, axes[0])
    here, there = (_column(on, axes, dtype, memory) for on in (lambda: joint, lambda: unpacked(packed(joint), device)))
    name = f"{_name(dtype)} on the {device.type}"
    pairs = zip(here, there, strict=True)
    return [[replace(b, dtype=name)] if (a.below, a.above) != (b.below, b.above) else [] for a, b in pairs]


class _Mixed:
    """The joint graphs under autocast, each made when it is first asked for."""

    def __init__(self, graph: LossGraph, swept: Swept) -> None:
        self.graph, self.swept = graph, swept
        self.made: dict[int, Joint] = {}

    @cached_property
    def cast(self) -> LossGraph:
        return mixed_values(self.graph, AUTOCAST)

    def joint(self, k: int) -> Joint:
        if k not in self.made:
            plain = self.swept.joints[k]
            self.made[k] = (
                joint_graph(self.cast, plain.moved, self.cast.seed, AUTOCAST) if self._casts(plain) else plain
            )
        return self.made[k]

    def _casts(self, joint: Joint) -> bool:
        """Does autocast change the dtype of anything that depends on what moves? If not, it is the same program."""
        nodes = {*joint.moved, *depends_on(self.graph.graph, set(joint.moved))}
        return any(_dtype(self.cast.values[i]) != _dtype(self.graph.values[i]) for i in nodes)


def _dtype(value: Any) -> Any:
    return getattr(value, "dtype", None)


def _column(joint: Callable[[], Joint], axes: Sequence[Axis], dtype: torch.dtype | None, memory: int) -> list[Break]:
    """An entry an axis; `dtype` None: as the joint graph's own casts have it."""
    _remark_on_complex_halves()
    try:
        made = joint()
        edges: dict[Axis, list[float | None]] = {}
        for own in dict.fromkeys(_moves_in(made, axis) for axis in axes):
            some = [axis for axis in axes if _moves_in(made, axis) == own]
            edges |= dict(zip(some, _edges(made, some, dtype, dtype or own, memory), strict=True))
    except (UnsweepableError, RuntimeError) as error:  # an op without a kernel for this dtype
        return [_at_no_value(axis, _name(dtype), str(error).splitlines()[0][:120]) for axis in axes]
    return [_entry(axis, _name(dtype), *edges[axis]) for axis in axes]


@cache
def _remark_on_complex_halves() -> None:
    """Torch's one remark on them, heard where Python can drop it: inside a program it goes to the terminal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.empty(0, dtype=torch.complex32)


def _moves_in(joint: Joint, axis: Axis) -> torch.dtype:
    return joint.base[joint.moved.index(axis.node)].dtype


def _name(dtype: torch.dtype | None) -> str:
    return str(dtype).removeprefix("torch.") if dtype else "autocast"


def _at_no_value(axis: Axis, name: str, why: str) -> Break:
    return Break(axis.label, name, axis.observed, None, None, math.inf, why)


def _entry(axis: Axis, name: str, below: float | None, above: float | None) -> Break:
    reach = min((reach_of(axis, v) for v in (below, above) if v is not None), default=math.inf)
    return Break(axis.label, name, axis.observed, below, above, reach)


def _edges(
    joint: Joint, axes: Sequence[Axis], dtype: torch.dtype | None, own: torch.dtype, memory: int
) -> list[list[float | None]]:
    """For each axis the first failing values below and above its middle, among the numbers of `own`."""
    survey = Survey(joint, axes, dtype, memory)
    points = [default_points(axis, own, affordable(joint, WORK, 24, POINTS)) for axis in axes]
    tried = zip(axes, points, survey.survived(list(enumerate(points))), strict=True)
    rims = [rim for axis, values, sound in tried for rim in _rims(axis, values.tolist(), ~sound)]  # two an axis
    open_ = [k for k, rim in enumerate(rims) if rim and rim[0] is not None]

    def fails(ranks: Sequence[Ranks]) -> list[Bools]:
        floats = [from_ordinals(torch.from_numpy(some.copy()), own) for some in ranks]
        return [~sound for sound in survey.survived([(k // 2, some) for k, some in zip(open_, floats, strict=True)])]

    def exact(k: int, pair: Pair) -> Pair | None:
        return confirmed(lambda value: not survey.survives(k // 2, value), pair, own)

    parts = affordable(joint, OVERHEAD * len(joint.module.graph.nodes) / max(1, len(open_)), 6, SECTIONS)
    near = narrowed([rims[k] for k in open_], own, parts, fails)  # type: ignore[misc]
    ends = [rim and rim[1] for rim in rims]
    for k, pair in zip(open_, near, strict=True):
        ends[k] = (exact(k, pair) or exact(k, rims[k]) or rims[k])[1]  # type: ignore[arg-type,index]
    return [ends[k : k + 2] for k in range(0, len(ends), 2)]


def _rims(axis: Axis, values: list[float], failing: Bools) -> list[tuple[float | None, float] | None]:
    """Downwards and upwards from the middle of the batch's range."""
    middle = sum(axis.observed) / 2
    ways = [k for k, v in enumerate(values) if v <= middle][::-1], [k for k, v in enumerate(values) if v >= middle]
    return [_rim(values, failing, way) for way in ways]


def _rim(values: list[float], failing: Bools, way: list[int]) -> tuple[float | None, float] | None:
    """(last sound, first failing) value on the way outwards; nothing is sound where the first one fails."""
    first = next((i for i, k in enumerate(way) if failing[k]), None)
    if first is None:
        return None
    return (values[way[first - 1]] if first else None), values[way[first]]
