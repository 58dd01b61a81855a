"""Digits lost: where loss or gradient stay finite but keep only a few bits, and the op that loses them."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from nllcheck.axes.reach import reach_of, reaches
from nllcheck.capture import LossGraph
from nllcheck.detect.adding import to_blame
from nllcheck.detect.births import Bools, intervals, origins
from nllcheck.detect.bits import Bits, beside, bits_kept, bits_of, felt, mostly, on_batch, spread
from nllcheck.detect.chain import values_at
from nllcheck.detect.events import ranges_at
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Axis, ChainStep, Event, Phase

NEAR = 10.0  # precision is looked at up to this factor of the batch's range
GAP = 3  # sound points that do not end a run of failing ones: rounding errors jump
MOST_RUNS = 3  # runs looked at on one axis and quantity
MOST_TRIED = 4  # ops of which each is put right to see whether that cures the result
SHARE = 1 / 8  # an op counts as inaccurate from this share of the final error on


def precision_events(graph: LossGraph, joint: Joint, trace: Trace, wide: Trace, floor: float) -> list[Event]:
    """At most one event for each op and phase that leaves fewer than `floor` bits near the batch's range."""
    near = reaches(trace.axis, trace.points.double()) <= NEAR
    kept = bits_kept(trace, wide, on_batch(joint, trace.axis))
    found: dict[tuple[int, Phase], Event] = {}
    for phase, bits in _by_phase(kept):
        for run in _runs(near & (bits < floor).numpy())[:MOST_RUNS]:
            event = _in_run(graph, joint, trace, kept, run, phase, floor)
            if event and (event.node, "forward") not in found:
                found.setdefault((event.node, phase), event)
    return list(found.values())


def batch_precision(graph: LossGraph, joint: Joint, names: tuple[str, ...], floor: float) -> list[Event]:
    """What the batch itself loses: each moved tensor scaled by factors around 1, so that no coincidence counts.

    Data are left alone. The axis tells whose slope it is; the verdict, which compares it, takes it away.
    """
    found: dict[int, Event] = {}
    for node, base, trained in zip(joint.moved, joint.base, joint.trained, strict=True):
        axis = Axis("batch", node, "output", mode="scale", observed=(1.0, 1.0))
        if not trained:
            continue
        kept = beside(joint, axis, 1.0, base.dtype)
        for phase, bits in _by_phase(kept):
            if mostly(bits, floor) and (phase == "forward" or felt(joint, axis, 1.0, floor)):
                event = _told(graph, joint, axis, 1.0, phase, bits.numpy(), names)
                found.setdefault(event.node, replace(event, on_batch=True)) if event else None
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
    if phase == "backward" and not felt(joint, trace.axis, value, floor):
        return None
    event = _told(graph, joint, trace.axis, value, phase, bits[inside].numpy(), trace.names)
    region = ((float(trace.points[run[0]]), float(trace.points[run[1]])),)
    share, weight = len(inside) / trace.points.numel(), float(sizes[inside].max())
    return replace(event, region=region, share=share, weight=weight) if event else None


def _told(
    graph: LossGraph, joint: Joint, axis: Axis, witness: float, phase: Phase, bits: Any, names: tuple[str, ...]
) -> Event | None:
    node = losing(joint, axis, witness, phase, names)
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


def losing(joint: Joint, axis: Axis, witness: float, phase: Phase, names: tuple[str, ...]) -> int | None:
    """The op (index) that loses the digits which the result lacks there; None where none is told from the others."""
    name = _culprit(joint, axis, witness, phase, names)
    return to_blame(joint, name, values_at(joint, axis, witness, None)) if name else None


def _rank(trace: Trace, bits: torch.Tensor, k: int) -> tuple[bool, float, float]:
    """Values the batch's range holds first, then the nearest, then the worst."""
    value = float(trace.points[k])
    low, high = trace.axis.observed
    return not low <= value <= high, round(math.log2(reach_of(trace.axis, value))), float(bits[k])


def _holds(joint: Joint, trace: Trace, value: float, phase: Phase, floor: float) -> bool:
    """Do most values beside the point lose their digits, too? A single one may be a coincidence."""
    kept = beside(joint, trace.axis, value, trace.points.dtype)
    bits = kept.loss if phase == "forward" else kept.slope
    return mostly(bits, floor)


def _spread_out(joint: Joint, axis: Axis, value: float, phase: Phase, floor: float) -> bool:
    """Are the digits lost, too, where the moved elements differ from one another by a few percent?"""
    if axis.mode != "set":
        return True
    kept = beside(*spread(joint, axis, value), 1.0, joint.base[joint.moved.index(axis.node)].dtype)
    return mostly(kept.loss if phase == "forward" else kept.slope, floor)


def _culprit(joint: Joint, axis: Axis, point: float, phase: Phase, names: tuple[str, ...]) -> str | None:
    """The op where the error of the result arises: its output is off, what it reads is not."""
    errors = op_errors(joint, axis, point, names)
    ends = _ends(joint, axis, phase, names)
    final = max((errors[k] for k in ends), default=0.0)
    bad = errors[None, :] > SHARE * final
    born, to_loss, to_gradient = origins(joint, names, bad)
    reaching = born[0] & (to_loss if phase == "forward" else to_gradient)[0]
    ranked = sorted((k for k in np.nonzero(reaching)[0].tolist() if names[k] in joint.ops), key=lambda k: -errors[k])
    if final == 0 or not ranked:
        return None
    tried = ranked[:MOST_TRIED] if len(ranked) > 1 else []
    cured = (k for k in tried if _error_with(joint, axis, point, names[k], [names[e] for e in ends]) < final / 2)
    return names[next(cured, ranked[0])]


def _error_with(joint: Joint, axis: Axis, point: float, right: str, ends: list[str]) -> float:
    """The error that is left at `ends` where the op `right` gives what float64 gives."""
    reference = values_at(joint, axis, point, torch.float64)
    computed = values_at(joint, axis, point, None, {right: reference[right]})
    return max(_error(computed[end], reference[end]) for end in ends)


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
