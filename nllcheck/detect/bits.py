"""How many bits of a result are right: the training dtype against float64 at the same points.

An error counts against the value itself and against what a relative change of the axis by as much would do
(backward error: Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 1.5), so that a loss or slope
that passes through zero is no alarm. Where even float64 is left with rounding alone, the exact value is 0 as far as
anyone can tell, and there is nothing to compare with: so is the gradient of a bias that a batch norm takes away again.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import fx

from nllcheck.capture.interpret import Runner, promoted
from nllcheck.capture.numerics import plain_kernels
from nllcheck.memo import remembered
from nllcheck.ops import row, rule_name
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placed
from nllcheck.sweep.watch import Trace, run_points
from nllcheck.types import Axis

_BESIDE = tuple(range(-16, 17, 4))  # neighbours that are looked at, counted in floats
SPREAD = 0.02  # by which values that were set alike are told apart
NOISE = 2.0**6 * torch.finfo(torch.float64).eps  # of float64's error, for a dtype with an eps of 1: below is rounding
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
    kind = torch.finfo(trace.loss.dtype)
    tiny = kind.tiny * _SMALLEST
    x = wide.points.abs()
    quantities = (
        (trace.loss, trace.loss.abs(), wide.loss, wide.loss.abs(), x * wide.slope.abs()),
        (trace.slope, trace.magnitude, wide.slope, wide.magnitude, x * _curvature(wide.points, wide.slope)),
    )
    kept, sizes = [], []
    for (computed, seen, exact, size, movable), own in zip(quantities, batch, strict=True):
        typical = max(usual(trace, size), own)
        error = (computed.double() - exact).abs()
        scale = torch.maximum(size, movable.clamp(max=typical))  # a zero that is passed is no loss of digits
        bits = -torch.log2((error / scale).clamp(min=2.0**-most))
        usable = (
            torch.isfinite(computed)
            & torch.isfinite(exact)
            & (size > tiny)
            & (size > torch.maximum(error, seen.double()) * (NOISE / kind.eps))
        )
        kept.append(torch.where(usable, bits.clamp(0, most), math.nan))
        sizes.append(size / typical)
    return Bits(*kept, *sizes)


def bits_of(dtype: torch.dtype) -> float:
    """Bits of a dtype's significand, the hidden one included: 24 for float32."""
    return 1.0 - math.log2(torch.finfo(dtype).eps)


def usual_floor(dtype: torch.dtype) -> float:
    """Bits below which a result counts as inaccurate: 10 of float32's 24 (a thousandth), 4 of float16's 11."""
    return math.floor(10 / 24 * bits_of(dtype))


def usual(trace: Trace, size: torch.Tensor) -> float:
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


def mostly(bits: torch.Tensor, floor: float) -> bool:
    """Are more than half of the comparable values below the floor?"""
    known = bits[~torch.isnan(bits)]
    return bool((known < floor).double().mean() > 0.5) if known.numel() >= 3 else False


def beside(joint: Joint, axis: Axis, value: float, dtype: torch.dtype) -> Bits:
    """Bits kept at a few values next to `value`, each rounded anew."""
    eps = torch.finfo(dtype).eps
    factors = torch.tensor([1 + j * eps for j in _BESIDE], dtype=torch.float64)
    points = torch.unique((value * factors).to(dtype)).to(joint.base[0].device)
    wide = run_points(joint, axis, points.double(), (), torch.float64)
    return bits_kept(run_points(joint, axis, points, ()), wide, on_batch(joint, axis))


def felt(joint: Joint, axis: Axis, value: float, floor: float) -> bool:
    """Would a whole tensor's gradient feel the digits that its slope along itself lacks there (Cauchy-Schwarz)?

    The length of a vector that is normalised next has a slope of nothing but rounding, beside which it turns freely.
    """
    if axis.mode != "scale" or axis.channel is not None or axis.with_it:
        return True
    which = joint.moved.index(axis.node)
    bases = [promoted(b, torch.float64) for b in joint.base]
    point = torch.tensor([value], dtype=joint.base[which].dtype, device=bases[which].device)
    moved, along = placed(joint, axis, bases, point[0].double())
    _, gradients = _run_wide(joint, [*bases[:which], moved, *bases[which + 1 :]])
    slope, exact = (run_points(joint, axis, p, (), p.dtype).slope.double() for p in (point, point.double()))
    return not float((slope - exact).abs()) < 2.0**-floor * float(along.norm() * gradients[which].norm())


@remembered(64)
def on_batch(joint: Joint, axis: Axis) -> tuple[float, float]:
    """|loss| and the sum of |gradient| along an axis, on the batch, in float64; 0 where not finite."""
    which = joint.moved.index(axis.node)
    bases = [promoted(b, torch.float64) for b in joint.base]
    loss, gradients = _run_wide(joint, bases)
    _, along = placed(joint, axis, bases, torch.ones((), dtype=torch.float64, device=bases[which].device))
    felt = gradients[which] * along if gradients[which].shape == along.shape else along * 0
    sizes = float(loss.abs()), float(felt.abs().sum())
    return tuple(s if math.isfinite(s) else 0.0 for s in sizes)  # type: ignore[return-value]


def _run_wide(joint: Joint, bases: list[torch.Tensor]) -> tuple[torch.Tensor, list[torch.Tensor]]:
    """Loss and gradients in float64."""
    with torch.no_grad(), plain_kernels():
        loss, *gradients = Runner(joint.module, torch.float64).run(*bases)
    return loss, gradients


def spread(joint: Joint, axis: Axis, value: float) -> tuple[Joint, Axis]:
    """A joint whose batch has the swept elements near `value`, told apart, and an axis that scales them.

    A sweep sets them all alike, which is special for a variance or a distance; and for a layer's weights no training
    leads there: they have their own pattern, in that size.
    """
    which = joint.moved.index(axis.node)
    base = joint.base[which]
    moved, along = placed(joint, axis, joint.base, torch.tensor(value, dtype=base.dtype))
    apart = torch.where(along != 0, moved * _pattern(joint, which), base)
    apart = apart.clamp(*axis.domain)
    changed = replace(joint, base=(*joint.base[:which], apart, *joint.base[which + 1 :]))
    return changed, Axis("spread", axis.node, axis.role, "scale", channel=axis.channel, observed=(1.0, 1.0))


def _pattern(joint: Joint, which: int) -> torch.Tensor:
    """Factors a few percent around 1; of a layer's weights their own, of size 1 on average."""
    base = joint.base[which]
    size = base.square().mean().sqrt()
    if _is_of_layer(joint, which) and bool(size > 0):
        return base / size
    steps = torch.linspace(-1, 1, base.numel(), dtype=base.dtype, device=base.device)
    order = torch.randperm(base.numel(), generator=torch.Generator().manual_seed(0)).to(base.device)
    return 1 + SPREAD * steps[order].reshape(base.shape)


def _is_of_layer(joint: Joint, which: int) -> bool:
    """Is the moved tensor a matrix, or more, that a product with something else reads?"""
    holders = [n for n in joint.forward.graph.nodes if n.op == "placeholder"]
    return joint.base[which].dim() > 1 and _is_multiplied(holders[which])


def _is_multiplied(node: fx.Node) -> bool:
    kinds = {user: row(rule_name(str(user.target))).kind for user in node.users}
    return any(kind == "linear" or (kind == "view" and _is_multiplied(user)) for user, kind in kinds.items())
