"""What loss and derivative tend to beside a point: from either side, and along another direction."""

from __future__ import annotations

import math

from flint import arb, ctx

from nllcheck.exact.ball import UndecidedError
from nllcheck.exact.meter import Meter
from nllcheck.exact.point import ENOUGH, PRECISIONS, as_float, evaluate
from nllcheck.sweep.joint import Joint
from nllcheck.types import Axis

STEPS = (-300, -600)  # beside a point: 2^-300 and 2^-600 of its size away


def sides(joint: Joint, axis: Axis, point: float, everywhere: bool = False) -> tuple[float, float]:
    """The derivative's limits at a point from the left and from the right; NaN where there is none.

    Jets at two tiny steps from the point, at which no comparison is a tie: where both agree that is the limit,
    where the nearer one is much larger (or the loss jumps) the derivative is infinite.
    """
    with ctx.workprec(PRECISIONS[-1]):
        try:
            here, _ = evaluate(joint, axis, point, everywhere)
        except UndecidedError:
            return math.nan, math.nan
        return _side(joint, axis, point, everywhere, here, -1), _side(joint, axis, point, everywhere, here, 1)


def _side(joint: Joint, axis: Axis, point: float, everywhere: bool, here: arb, way: int) -> float:
    size = abs(point) or 1.0
    steps = [way * arb(size) * arb(2) ** power for power in STEPS]
    try:
        (_, far), (loss, near) = (evaluate(joint, axis, point, everywhere, step) for step in steps)
    except UndecidedError:
        return math.nan
    if not (far.is_finite() and near.is_finite()):
        return math.nan
    jump = loss - here
    if not abs(jump) < (1 + abs(here)) * arb(2) ** -60:
        return math.copysign(math.inf, way * (1 if jump > 0 else -1))
    if abs(near - far) <= abs(near) * arb(2) ** -ENOUGH:
        return as_float(near)
    if abs(near) <= abs(far) * arb(2) ** -100:
        return 0.0
    return math.copysign(math.inf, near) if abs(near) > 1.5 * abs(far) else math.nan


def limit(joint: Joint, axis: Axis, point: float, around: bool = False) -> float:
    """What the loss tends to at a point where the formula has no value: 0 for y log y at 0. NaN: nothing.

    From above; `around`: from both sides, and along another direction, since x / |x| tends to something else from each.
    """
    size = arb(abs(point) or 1.0)
    ways = [(1, False), (-1, False), (1, True), (-1, True)] if around else [(1, False)]
    with ctx.workprec(PRECISIONS[-1]), Meter.running():
        try:
            first, *others = (_tends(joint, axis, point, size * side, everywhere) for side, everywhere in ways)
        except UndecidedError:
            return math.nan
        return as_float(first) if all(_is_same(one, first) for one in others) else math.nan


def _tends(joint: Joint, axis: Axis, point: float, size: arb, everywhere: bool) -> arb:
    """Two evaluations, 2^-300 and 2^-600 of the size beside the point, must agree. Raises UndecidedError."""
    far, near = (evaluate(joint, axis, point, everywhere, size * arb(2) ** power)[0] for power in STEPS)
    if not _is_same(far, near):
        raise UndecidedError("the loss tends to no value")
    return near


def _is_same(one: arb, other: arb) -> bool:
    return bool(abs(one - other) < (1 + abs(other)) * arb(2) ** -60)
