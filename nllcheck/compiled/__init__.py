"""The loss as `torch.compile` runs it, beside plain kernels: where the two disagree, and which is right.

Compiled code computes other numbers: half precision stays in float32 between fused ops, x * 0 may become 0 whatever x
is, and some vector functions are right to an absolute error only (erf and expm1 of tiny numbers on a CPU, torch 2.13).
Each axis of the boundary is walked once more by the program as training compiles it, at the batch's own shapes. This is
a loop over points, since what is fused, and with it what is rounded, changes with the shapes: a batch of points is
another program. A call takes less than a millisecond, so some points of each axis are taken, not all.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from nllcheck.axes.reach import reach_of, reaches
from nllcheck.capture import LossGraph
from nllcheck.compiled.programs import Programs
from nllcheck.detect.births import Bools, intervals
from nllcheck.detect.bits import bits_kept, on_batch
from nllcheck.detect.threshold import Pair, one_by_one
from nllcheck.diagnose.builtin import COMPILED
from nllcheck.diagnose.finding import base, where
from nllcheck.diagnose.severity import severity_of
from nllcheck.diagnose.texts import built
from nllcheck.diagnose.wording import number
from nllcheck.exact import Certain, certain
from nllcheck.sweep import Part, Swept
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import PLAUSIBLE, Axis, Event, Finding, Judged, Kind, Phase, VerdictName

MOST_RUNS = 3  # stretches looked at on one axis
POINTS = 120  # tried on each axis
BEYOND = 1e4  # times the batch's range: not tried, unless the value itself is below 200
_QUANTITIES: tuple[tuple[Phase, Any], ...] = (("forward", "loss"), ("backward", "gradient"))


@dataclass(frozen=True, slots=True)
class Both:
    """(loss, slope) at one point by compiled code, by plain kernels and exactly."""

    compiled: tuple[float, float]
    plain: tuple[float, float]
    exact: tuple[float, float]
    reference: str  # what `exact` was computed with
    size: float  # sum of |gradient| over what moves: what the slope cancels from


def as_compiled(graph: LossGraph, swept: Swept, floor: float, command: str) -> tuple[Finding, ...]:
    """One finding for each op, phase and kind of failure where compiled code departs, told nearest to the batch.

    `floor`: correct bits below which a finite value counts as wrong. Raises NllcheckError where nothing can be
    compiled on this machine.
    """
    found: dict[tuple[int, Phase, bool], Judged] = {}
    programs = [Programs(joint) for joint in swept.joints]
    for part in swept.parts:
        if part.wide is None or part.trace.axis.role == "target":
            continue
        for one in _disagreements(graph, programs[part.joint], part, floor):
            key = one.event.node, one.event.phase, one.event.kind == "precision"
            found[key] = min((found.get(key, one), one), key=lambda j: j.reach)
    return tuple(_finding(graph, one, command) for one in found.values())


def _disagreements(graph: LossGraph, programs: Programs, part: Part, floor: float) -> list[Judged]:
    joint, axis = programs.joint, part.trace.axis
    assert part.wide is not None
    kept = _tried(part.trace)
    if not len(kept):
        return []
    plain, wide = _thinned(part.trace, kept), _thinned(part.wide, kept)
    ran = [programs.at(axis, point) for point in plain.points.tolist()]
    loss, slope, sound = (torch.tensor(column) for column in zip(*ran, strict=True))
    gradient = torch.where(sound, 0.0, math.nan)
    own = replace(plain, loss=loss.to(plain.loss), slope=slope.to(plain.slope))
    own = replace(own, gradient_low=gradient, gradient_high=gradient)
    batch = on_batch(joint, axis)
    apart = (_sound(own, wide, batch, floor) != _sound(plain, wide, batch, floor)).any(0)
    found = []
    for run in _runs(plain, apart)[:MOST_RUNS]:
        points = plain.points[run[0] : run[1] + 1].tolist()
        point = min(points, key=lambda v: (reach_of(axis, v), abs(v)))
        judged = _judged(graph, programs, axis, point, floor)
        if judged:
            edge, region = _edge(programs, axis, plain, run, floor), ((points[0], points[-1]),)
            reach = reach_of(axis, edge[1]) if edge else judged.reach
            found.append(replace(judged, event=replace(judged.event, threshold=edge, region=region), reach=reach))
    return found


def _edge(programs: Programs, axis: Axis, plain: Trace, run: tuple[int, int], floor: float) -> Pair | None:
    """Adjacent floats where the two begin to part, going away from the batch; None inside its range."""
    points, (low, high) = plain.points.tolist(), axis.observed
    good, bad = (run[1] + 1, run[1]) if points[run[1]] < low else (run[0] - 1, run[0])
    if low <= points[bad] <= high or not 0 <= good < len(points):
        return None
    return one_by_one(lambda v: _is_apart(programs, axis, v, floor), points[good], points[bad], plain.points.dtype)


def _is_apart(programs: Programs, axis: Axis, value: float, floor: float) -> bool:
    """Is only one of the two right at a value, about the loss or the slope, by float64?"""
    one, wide = (run_one(programs.joint, axis, value, (), dtype) for dtype in (None, torch.float64))
    loss, slope, wide_loss, wide_slope = (t.item() for t in (one.loss, one.slope, wide.loss, wide.slope))
    own_loss, own_slope, _ = programs.at(axis, value)
    size = float(wide.magnitude[0])
    right = [_is_right(v, wide_loss, 0.0, floor) for v in (own_loss, loss)]
    steep = [_is_right(v, wide_slope, size, floor) for v in (own_slope, slope)]
    return right[0] != right[1] or steep[0] != steep[1]


def _tried(trace: Trace) -> torch.Tensor:
    """Positions of the points that are tried: near the batch, or wherever a range was asked for, evenly taken."""
    values = trace.points.double()
    near = torch.from_numpy(reaches(trace.axis, values) <= BEYOND) | (values.abs() <= PLAUSIBLE)
    near |= trace.axis.requested
    places = near.nonzero()[:, 0]
    return places[torch.linspace(0, len(places) - 1, min(POINTS, len(places))).round().long()]


def _thinned(trace: Trace, kept: torch.Tensor) -> Trace:
    columns = ("points", "loss", "slope", "magnitude", "gradient_low", "gradient_high", "pattern")
    return replace(trace, **{name: getattr(trace, name)[kept] for name in columns})


def _sound(trace: Trace, wide: Trace, batch: tuple[float, float], floor: float) -> Bools:
    """(2, P): are loss and gradient finite, and right to `floor` bits where float64 can tell?"""
    finite = torch.isfinite(trace.loss), torch.isfinite(trace.gradient_low) & torch.isfinite(trace.gradient_high)
    kept = bits_kept(trace, wide, batch)
    few = kept.loss < floor, kept.slope < floor
    return torch.stack([a & ~b for a, b in zip(finite, few, strict=True)]).numpy()


def _runs(trace: Trace, differs: Bools) -> list[tuple[int, int]]:
    """Stretches of at least two points, the nearest to the batch first: a lone point is the rim of a failure."""
    values = trace.points.tolist()
    wide = [(a, b) for a, b in intervals(differs) if b > a]
    return sorted(wide, key=lambda run: min(reach_of(trace.axis, values[k]) for k in run))


def _both(programs: Programs, axis: Axis, point: float) -> Both:
    joint = programs.joint
    one, wide = run_one(joint, axis, point, ()), run_one(joint, axis, point, (), torch.float64)
    answer, double = certain(joint, axis, point), (float(wide.loss[0]), float(wide.slope[0]))
    known = isinstance(answer, Certain)
    exact = (answer.loss, answer.nearest(double[1])) if isinstance(answer, Certain) else double
    plain = float(one.loss[0]), float(one.slope[0])
    reference = "exact" if known else "float64"
    return Both(programs.at(axis, point)[:2], plain, exact, reference, float(wide.magnitude[0]))


def _judged(graph: LossGraph, programs: Programs, axis: Axis, point: float, floor: float) -> Judged | None:
    """None where compiled and plain code agree after all, at the batch's own shapes."""
    both = _both(programs, axis, point)
    for k, (phase, what) in enumerate(_QUANTITIES):
        size = both.size if k else 0.0
        right = [_is_right(v[k], both.exact[k], size, floor) for v in (both.compiled, both.plain)]
        if right[0] == right[1]:
            continue
        wrong = (both.plain if right[0] else both.compiled)[k]
        node, example = _first_apart(graph, programs, axis, point, phase, floor)
        loss, slope = both.compiled
        event = Event(_kind(wrong), phase, node, axis, point, None, reaches=(what,), loss=loss, slope=slope,
                      detail=example)  # fmt: skip
        verdict: VerdictName = "legitimate" if right[0] else "silent" if math.isfinite(wrong) else "defect"
        return Judged(event, verdict, reach_of(axis, point), _reason(both, k), *both.exact, both.reference)
    return None


def _is_right(computed: float, exact: float, size: float, floor: float) -> bool:
    if not math.isfinite(computed) or not math.isfinite(exact):
        return computed == exact
    return abs(computed - exact) <= 2.0**-floor * max(abs(exact), size)


def _kind(value: float) -> Kind:
    return "nan" if math.isnan(value) else "inf" if math.isinf(value) else "precision"


def _reason(both: Both, k: int) -> str:
    said = "exact arithmetic" if both.reference == "exact" else both.reference
    what, told = ("loss", "slope")[k], [number(v[k]) for v in (both.compiled, both.plain, both.exact)]
    return f"the {what} is {told[0]} compiled, {told[1]} by plain kernels and {told[2]} in {said}"


def _first_apart(
    graph: LossGraph, programs: Programs, axis: Axis, point: float, phase: Phase, floor: float
) -> tuple[int, str]:
    """The op (plain index) at which the two part: its value differs, what it reads does not; with an example.

    The loss itself where no value that can be looked at differs.
    """
    module = programs.joint.forward if phase == "forward" else programs.joint.module
    compiled, plain = programs.values(module, axis, point)
    apart = {name for name, value in compiled.items() if bool(differs(value, plain[name], floor).any())}
    for node in module.graph.nodes:
        origin = (node.meta.get("custom") or {}).get("origin")
        if node.name in apart and origin is not None and not apart & set(_read(node, compiled)):
            return origin, _example(compiled[node.name], plain[node.name], floor)
    return graph.graph.loss, ""


def _read(node: fx.Node, told: Mapping[str, Any]) -> Iterable[str]:
    """The values that an op reads, through those (of several results, of no floats) that are not looked at."""
    for source in node.all_input_nodes:
        if source.name in told:
            yield source.name
        else:
            yield from _read(source, told)


def _example(compiled: torch.Tensor, plain: torch.Tensor, floor: float) -> str:
    """The element that differs most, in words."""
    a, b = compiled.double().reshape(-1), plain.double().reshape(-1)
    away = ((a - b).abs() / torch.maximum(a.abs(), b.abs())).nan_to_num(torch.inf)
    k = int(torch.where(differs(a, b, floor), away, -1).argmax())
    return f"a value is {number(float(a[k]))} compiled and {number(float(b[k]))} by plain kernels"


def differs(a: torch.Tensor, b: torch.Tensor, floor: float) -> torch.Tensor:
    """Elementwise: are the two further apart than 2^-floor of their size, or is only one of them finite?"""
    a, b = a.double(), b.double()
    same = (a == b) | (torch.isnan(a) & torch.isnan(b))
    near = (a - b).abs() <= 2.0**-floor * torch.maximum(a.abs(), b.abs())
    return ~(same | (near & torch.isfinite(a) & torch.isfinite(b)))


def _finding(graph: LossGraph, judged: Judged, command: str) -> Finding:
    hides = judged.verdict == "legitimate"
    severity = "note" if hides else severity_of(judged, None)
    measured = base(graph.graph, judged, severity, f"{command} --as-compiled" if command else "")
    again = measured.command.replace("nllcheck.check(...", "nllcheck.check(..., as_compiled=True")
    what, at = ("loss" if judged.event.phase == "forward" else "gradient"), where(judged.event)
    wrong = f"torch.compile gets the {what} wrong for {at}, plain kernels do not"
    hidden = f"Plain kernels get the {what} wrong for {at}, torch.compile does not and so hides it"
    example = judged.event.detail and f": they part at this {measured.op}, where {judged.event.detail}"
    return replace(measured, command=again, **built(COMPILED, f"{hidden if hides else wrong}{example}."))
