"""Digits lost: where loss or gradient stay finite but keep only a few of the dtype's bits, and the op that loses them.

The sweep in the training dtype is compared with the same points in float64. An error counts against the value
itself and against what a relative change of the axis by as much would do (backward error: Higham, Accuracy and
Stability of Numerical Algorithms, 2002, section 1.5), so that a loss or slope that passes through zero is no alarm.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from nllcheck.axes.reach import reach_of
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, promoted
from nllcheck.capture.trace import plain_kernels
from nllcheck.detect.births import Bools, intervals, origins
from nllcheck.detect.chain import values_at
from nllcheck.detect.events import ranges_at
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, place, placed, run_one, run_points
from nllcheck.types import Axis, ChainStep, Event, Phase

NEAR = 10.0  # precision is looked at up to this factor of the batch's range
GAP = 3  # sound points that do not end a run of failing ones: rounding errors jump
MOST_RUNS = 3  # runs looked at on one axis and quantity
SPREAD = 0.02  # by which values that were set alike are told apart
SHARE = 1 / 8  # an op counts as inaccurate from this share of the final error on
_BESIDE = tuple(range(-16, 17, 4))  # neighbours that are looked at, counted in floats
_SMALLEST = 2.0**10  # times the smallest normal number: below, rounding to subnormals is all there is


@dataclass(frozen=True)
class Bits:
    """Correct bits of loss and slope at P points, between 0 and those of the dtype; NaN where not comparable."""

    loss: torch.Tensor  # (P,) float64
    slope: torch.Tensor  # (P,)
    loss_size: torch.Tensor  # (P,) |loss|, and sum of |gradient|, as a share of what is typical on the batch's range
    slope_size: torch.Tensor  # (P,)


def bits_kept(trace: Trace, wide: Trace, batch: tuple[float, float]) -> Bits:
    """Compare a trace with the same points in float64. Sizes are relative to what is usual over the batch's range.

    `batch`: |loss| and sum of |gradient| on the batch itself; less than that is not usual.
    """
    most = bits_of(trace.loss.dtype)
    tiny = torch.finfo(trace.loss.dtype).tiny * _SMALLEST
    x = wide.points.abs()
    quantities = (
        (trace.loss, wide.loss, wide.loss.abs(), x * wide.slope.abs()),
        (trace.slope, wide.slope, wide.magnitude, x * _curvature(wide.points, wide.slope)),
    )
    kept, sizes = [], []
    for (computed, exact, size, movable), own in zip(quantities, batch, strict=True):
        typical = max(_typical(trace, size), own)
        error = (computed.double() - exact).abs()
        scale = torch.maximum(size, movable.clamp(max=typical))  # a zero that is passed is no loss of digits
        bits = -torch.log2((error / scale).clamp(min=2.0**-most))
        usable = torch.isfinite(computed) & torch.isfinite(exact) & (size > tiny)
        kept.append(torch.where(usable, bits.clamp(0, most), math.nan))
        sizes.append(size / typical)
    return Bits(*kept, *sizes)


def bits_of(dtype: torch.dtype) -> float:
    """Bits of a dtype's significand, the hidden one included: 24 for float32."""
    return 1.0 - math.log2(torch.finfo(dtype).eps)


def usual_floor(dtype: torch.dtype) -> float:
    """Bits below which a result counts as inaccurate: 10 of float32's 24 (a thousandth), 4 of float16's 11."""
    return math.floor(10 / 24 * bits_of(dtype))


def _typical(trace: Trace, size: torch.Tensor) -> float:
    """The median size over the batch's own range, where that holds enough points."""
    low, high = trace.axis.observed
    inside = (trace.points >= low) & (trace.points <= high) & torch.isfinite(size)
    chosen = size[inside if int(inside.sum()) >= 5 else torch.isfinite(size)]
    return float(chosen.median()) if chosen.numel() else 1.0


def _curvature(points: torch.Tensor, slope: torch.Tensor) -> torch.Tensor:
    """The larger difference quotient of the slope to either neighbour."""
    if points.numel() < 2:
        return torch.zeros_like(slope)
    steps = ((slope[1:] - slope[:-1]) / (points[1:] - points[:-1])).abs().nan_to_num(0.0, 0.0, 0.0)
    zero = steps.new_zeros(1)
    return torch.maximum(torch.cat([zero, steps]), torch.cat([steps, zero]))


def precision_events(graph: LossGraph, joint: Joint, trace: Trace, wide: Trace, floor: float) -> list[Event]:
    """At most one event for each op and phase that leaves fewer than `floor` bits near the batch's range."""
    near = np.array([reach_of(trace.axis, v) <= NEAR for v in trace.points.tolist()])
    kept = bits_kept(trace, wide, _on_batch(joint, trace.axis))
    found: dict[tuple[int, Phase], Event] = {}
    for phase, bits in _by_phase(kept):
        for run in _runs(near & (bits < floor).numpy())[:MOST_RUNS]:
            event = _in_run(graph, joint, trace, kept, run, phase, floor)
            if event and (event.node, "forward") not in found:
                found.setdefault((event.node, phase), event)
    return list(found.values())


def batch_precision(graph: LossGraph, joint: Joint, names: tuple[str, ...], floor: float) -> list[Event]:
    """What the batch itself loses: each moved tensor scaled by factors around 1, so that no coincidence counts."""
    found: dict[int, Event] = {}
    for node, base in zip(joint.moved, joint.base, strict=True):
        axis = Axis("batch", node, "output", mode="scale", observed=(1.0, 1.0))
        if node in graph.graph.targets or not base.is_floating_point():
            continue
        kept = _beside(joint, axis, 1.0, base.dtype)
        for phase, bits in _by_phase(kept):
            if _mostly(bits, floor):
                event = _told(graph, joint, axis, 1.0, phase, bits.numpy(), names)
                found.setdefault(event.node, replace(event, axis=None, on_batch=True)) if event else None
    return list(found.values())


def _by_phase(kept: Bits) -> tuple[tuple[Phase, torch.Tensor], ...]:
    return ("forward", kept.loss), ("backward", kept.slope)


def _runs(failing: Bools) -> list[tuple[int, int]]:
    """Runs of failing points, gaps of a few points bridged, single points left out; the longest first."""
    merged: list[tuple[int, int]] = []
    for a, b in intervals(failing):
        if merged and a - merged[-1][1] <= GAP + 1:
            merged[-1] = (merged[-1][0], b)
        else:
            merged.append((a, b))
    return sorted((r for r in merged if r[1] > r[0]), key=lambda r: r[0] - r[1])


def _in_run(
    graph: LossGraph, joint: Joint, trace: Trace, kept: Bits, run: tuple[int, int], phase: Phase, floor: float
) -> Event | None:
    bits, sizes = (kept.loss, kept.loss_size) if phase == "forward" else (kept.slope, kept.slope_size)
    inside = [*range(run[0], run[1] + 1)]
    ranked = sorted((k for k in inside if float(bits[k]) < floor), key=lambda k: _rank(trace, bits, k))
    chosen = next((k for k in ranked[:3] if _holds(joint, trace, float(trace.points[k]), phase, floor)), None)
    if chosen is None:
        return None
    value = float(trace.points[chosen])
    if not _spread_out(joint, trace.axis, value, phase, floor):
        return None  # all values being equal is what is special here, as in a variance of exactly 0
    event = _told(graph, joint, trace.axis, value, phase, bits[inside].numpy(), trace.names)
    region = ((float(trace.points[run[0]]), float(trace.points[run[1]])),)
    share, weight = len(inside) / trace.points.numel(), float(sizes[inside].max())
    return replace(event, region=region, share=share, weight=weight) if event else None


def _told(
    graph: LossGraph, joint: Joint, axis: Axis, witness: float, phase: Phase, bits: Any, names: tuple[str, ...]
) -> Event | None:
    node = _culprit(joint, axis, witness, phase, names)
    if node is None:
        return None
    one = run_one(joint, axis, witness, names)
    what: Any = "loss" if phase == "forward" else "gradient"
    worst, typical = abs(float(np.nanmin(bits))), abs(float(np.nanmedian(bits)))
    of = round(bits_of(one.loss.dtype))
    detail = f"the {what} keeps {worst:.0f} of {of} bits at worst and {typical:.0f} typically"
    return Event(
        kind="precision",
        phase=phase,
        node=node,
        axis=axis,
        witness=witness,
        threshold=None,
        reaches=(what,),
        loss=float(one.loss[0]),
        slope=float(one.slope[0]),
        chain=(ChainStep(node, graph.graph.nodes[node].op, "absorption", graph.graph.nodes[node].site),),
        ranges=ranges_at(joint, one),
        detail=detail,
    )


def _rank(trace: Trace, bits: torch.Tensor, k: int) -> tuple[bool, float, float]:
    """Values the batch's range holds first, then the nearest, then the worst."""
    value = float(trace.points[k])
    low, high = trace.axis.observed
    return not low <= value <= high, round(math.log2(reach_of(trace.axis, value))), float(bits[k])


def _holds(joint: Joint, trace: Trace, value: float, phase: Phase, floor: float) -> bool:
    """Do most values beside the point lose their digits, too? A single one may be a coincidence."""
    kept = _beside(joint, trace.axis, value, trace.points.dtype)
    bits = kept.loss if phase == "forward" else kept.slope
    return _mostly(bits, floor)


def _spread_out(joint: Joint, axis: Axis, value: float, phase: Phase, floor: float) -> bool:
    """Are the digits lost, too, where the moved elements differ from one another by a few percent?"""
    if axis.mode != "set":
        return True
    which = joint.moved.index(axis.node)
    base = joint.base[which]
    steps = torch.linspace(-1, 1, base.numel(), dtype=base.dtype, device=base.device)
    order = torch.randperm(base.numel(), generator=torch.Generator().manual_seed(0)).to(base.device)
    moved, along = place(axis, base, torch.tensor(value, dtype=base.dtype))
    spread = torch.where(along != 0, moved * (1 + SPREAD * steps[order].reshape(base.shape)), base)
    low, high = axis.domain
    changed = replace(joint, base=(*joint.base[:which], spread.clamp(low, high), *joint.base[which + 1 :]))
    around = Axis("spread", axis.node, axis.role, "scale", channel=axis.channel, observed=(1.0, 1.0))
    kept = _beside(changed, around, 1.0, base.dtype)
    return _mostly(kept.loss if phase == "forward" else kept.slope, floor)


def _mostly(bits: torch.Tensor, floor: float) -> bool:
    """Are more than half of the comparable values below the floor?"""
    known = bits[~torch.isnan(bits)]
    return bool((known < floor).double().mean() > 0.5) if known.numel() >= 3 else False


def _beside(joint: Joint, axis: Axis, value: float, dtype: torch.dtype) -> Bits:
    """Bits kept at a few values next to `value`, each rounded anew."""
    eps = torch.finfo(dtype).eps
    factors = torch.tensor([1 + j * eps for j in _BESIDE], dtype=torch.float64)
    points = torch.unique((value * factors).to(dtype)).to(joint.base[0].device)
    wide = run_points(joint, axis, points.double(), (), torch.float64)
    return bits_kept(run_points(joint, axis, points, ()), wide, _on_batch(joint, axis))


@functools.lru_cache(maxsize=64)
def _on_batch(joint: Joint, axis: Axis) -> tuple[float, float]:
    """|loss| and the sum of |gradient| along an axis, on the batch, in float64; 0 where not finite."""
    which = joint.moved.index(axis.node)
    bases = [promoted(b, torch.float64) for b in joint.base]
    with torch.no_grad(), plain_kernels():
        loss, *gradients = Runner(joint.module, torch.float64).run(*bases)
    _, along = placed(joint, axis, bases, torch.ones((), dtype=torch.float64, device=bases[which].device))
    felt = gradients[which] * along if gradients[which].shape == along.shape else along * 0
    sizes = float(loss.abs()), float(felt.abs().sum())
    return tuple(s if math.isfinite(s) else 0.0 for s in sizes)  # type: ignore[return-value]


def _culprit(joint: Joint, axis: Axis, point: float, phase: Phase, names: tuple[str, ...]) -> int | None:
    """The forward op where the error of the result arises: its output is off, what it reads is not."""
    errors = op_errors(joint, axis, point, names)
    ends = _ends(joint, axis, phase, names)
    final = max((errors[k] for k in ends), default=0.0)
    bad = errors[None, :] > SHARE * final
    born, to_loss, to_gradient = origins(joint, names, bad)
    reaching = born[0] & (to_loss if phase == "forward" else to_gradient)[0]
    ranked = sorted(np.nonzero(reaching)[0].tolist(), key=lambda k: -errors[k])
    return next((joint.ops[names[k]].origin for k in ranked if names[k] in joint.ops), None) if final > 0 else None


def _ends(joint: Joint, axis: Axis, phase: Phase, names: tuple[str, ...]) -> list[int]:
    """Columns of the loss, or of the axis' own gradient."""
    results: Any = joint.module.graph.output_node().args[0]
    end = results[0] if phase == "forward" else results[1 + joint.moved.index(axis.node)]
    return [k for k, name in enumerate(names) if name == getattr(end, "name", "")]


def op_errors(joint: Joint, axis: Axis, point: float, names: tuple[str, ...]) -> np.ndarray:
    """(N,) largest error of each op's output against float64, relative to its largest element."""
    computed = values_at(joint, axis, point, None)
    reference = values_at(joint, axis, point, torch.float64)
    return np.array([_error(computed[name], reference[name]) for name in names])


def _error(computed: object, reference: object) -> float:
    if isinstance(computed, (tuple, list)) and isinstance(reference, (tuple, list)):
        return max((_error(a, b) for a, b in zip(computed, reference, strict=True)), default=0.0)
    if not isinstance(computed, torch.Tensor) or not isinstance(reference, torch.Tensor) or not computed.numel():
        return 0.0
    if not computed.is_floating_point():
        return 0.0
    both = torch.isfinite(computed) & torch.isfinite(reference)
    size = float(torch.where(both, reference.double(), 0).abs().max())
    away = float(torch.where(both, computed.double() - reference, 0).abs().max())
    return away / size if size else float(away > 0)
