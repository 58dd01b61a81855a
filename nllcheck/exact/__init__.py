"""The captured forward graph in ball arithmetic: the exact loss and its exact directional derivative.

The precision is raised until the answer is certain or the limit is reached; an op without an exact form makes
the answer "undecided", never a guess. Only the forward graph is evaluated: the derivative comes from first-order
jets through it, so that a singular backward formula cannot spoil the reference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from flint import arb, ctx
from torch import fx

from nllcheck.exact.ball import STILL, Ball, SingularError, UndecidedError, as_array, ball_of, beside, lift
from nllcheck.exact.meter import Meter
from nllcheck.exact.run import Exact, Still, reads_no_value
from nllcheck.memo import remembered
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.types import Axis

PRECISIONS = (128, 512, 2048)  # bits; tried in turn
ENOUGH = 40  # relative bits after which a value counts as known
MOST = 3_000_000  # scalar ball operations in one evaluation; larger graphs stay undecided
LARGE = 300_000  # in one evaluation, from which on it counts
IN_ALL = 12_000_000  # in the large evaluations of one check, about 16 s; what is asked later stays undecided
STEPS = (-300, -600)  # beside a point: 2^-300 and 2^-600 of its size away


class Certain(NamedTuple):
    """Loss and derivative at a point as floats, infinite where too large for float64.

    `left` and `right` are the derivatives on either side. Where they differ `slope` is NaN; a side on which the
    formula has no value is NaN and leaves `slope` to the other.
    """

    loss: float
    slope: float
    left: float
    right: float

    @property
    def is_kink(self) -> bool:
        """Do both sides have a finite derivative, each its own?"""
        return math.isnan(self.slope) and math.isfinite(self.left + self.right)

    @property
    def size(self) -> float:
        """The larger of the two one-sided derivatives, without its sign."""
        return max(abs(v) for v in (self.left, self.right) if not math.isnan(v))

    def nearest(self, computed: float) -> float:
        """The derivative nearest to a computed one: at a kink all between the two sides are as right."""
        low, high = sorted((self.left, self.right))
        return min(max(computed, low), high) if self.is_kink else self.slope


def evaluate(
    joint: Joint, axis: Axis, point: float, everywhere: bool = False, step: arb | None = None
) -> tuple[arb, arb]:
    """Exact (loss, derivative) at a point, or a `step` beside it, as balls at the current precision.

    The derivative is along the axis; with `everywhere` along a fixed generic direction over all moved
    values, which is finite only if every element of the gradient is. Raises UndecidedError.
    """
    starts = _starts(joint, axis, point, everywhere, step)
    moving = frozenset(k for k, s in enumerate(starts) if s.slope is not None)
    still = _still(joint, moving, ctx.prec)
    _spend(sum(_numel(n) for n in joint.forward.graph.nodes if not still.keeps(n)))
    runner = Exact(joint.forward, still)
    token = beside.set(step is not None)
    try:
        loss = runner.run(*starts)
    except UndecidedError:
        if runner.singular and reads_no_value(runner.reading):
            raise SingularError(runner.singular) from None
        raise
    finally:
        beside.reset(token)
    if runner.singular and not loss.value.item().is_finite():
        raise SingularError(runner.singular)
    return loss.value.item(), STILL if loss.slope is None else loss.slope.item()


def _spend(work: int) -> None:
    """Count a large evaluation, and refuse it where a check has had its share of them."""
    spent = _spent()
    spent[0] += work if work > LARGE else 0
    if work > LARGE and spent[0] > IN_ALL:
        raise UndecidedError(f"exact arithmetic has had its share of this check ({IN_ALL:,} operations)")


@remembered(1)
def _spent() -> list[int]:
    """Of a check, which forgets it at its end."""
    return [0]


@remembered(8)
def _still(joint: Joint, moving: frozenset[int], bits: int) -> Still:
    """What stays at `bits` of precision where only some of the inputs move."""
    return Still(joint.forward, moving)


def _starts(joint: Joint, axis: Axis, point: float, everywhere: bool, step: arb | None) -> list[Ball]:
    """The moved values with their direction, a step along it further."""
    which = joint.moved.index(axis.node)
    bases = [b.cpu() for b in joint.base]
    at = torch.tensor(point, dtype=bases[which].dtype)
    starts = []
    for i, (here, along) in enumerate(placements(joint, axis, bases, at)):
        direction = _generic(here, i) if everywhere else along
        starts.append(_start(here, direction, step))
    return starts


def _start(here: torch.Tensor, direction: torch.Tensor | None, step: arb | None) -> Ball:
    ball = ball_of(here)
    if direction is None:
        return ball
    slope = lift(lambda s: STILL if s.is_zero() else s, ball_of(direction).value)
    value = ball.value if step is None else as_array(ball.value + step * slope)
    return Ball(value, slope)


def _generic(value: torch.Tensor, seed: int) -> torch.Tensor:
    """A direction without symmetry, so that infinite contributions cannot cancel by chance."""
    generator = torch.Generator().manual_seed(seed + 1)
    return torch.rand(value.shape, generator=generator, dtype=torch.float64) + 0.5


@remembered(64)
def work_of(joint: Joint) -> int:
    """Scalar operations of one evaluation: about 1.3 microseconds each."""
    return sum(_numel(n) for n in joint.forward.graph.nodes)


@remembered(512)  # signs, verdicts and the numbers that are told ask about the same points
def certain(joint: Joint, axis: Axis, point: float, everywhere: bool = False) -> Certain | str | SingularError:
    """Loss and derivative as floats, or why they are undecided, or the op at whose pole the formula has no value.

    Where the jets give no derivative at the point itself (the square root of x*x at 0, a pole of the derivative)
    its limits from both sides are taken: see `sides`. A comparison decides as the program does, also at a tie:
    the branch that `where` takes there is the loss that is differentiated.
    """
    work = work_of(joint)
    if work > MOST:
        return f"exact arithmetic would take {work:,} operations, more than {MOST:,}"
    with Meter.running():
        return _answer(joint, axis, point, everywhere)


def _answer(joint: Joint, axis: Axis, point: float, everywhere: bool) -> Certain | str | SingularError:
    reason = "undecided"
    for bits in PRECISIONS:
        with ctx.workprec(bits):
            try:
                loss, slope = evaluate(joint, axis, point, everywhere)
            except SingularError as error:
                return error.with_traceback(None)
            except UndecidedError as error:
                reason = error.reason
                continue
            except Exception as error:  # a form that does not fit this use of its op: undecided, never a crash
                return f"exact arithmetic does not cover this graph ({type(error).__name__})"
            if _known(loss) and _known(slope):
                return Certain(_float(loss), *[_float(slope)] * 3)
            reason = "the exact value is singular or undefined here" if not loss.is_finite() else "no certain slope"
            if _known(loss) and slope.is_nan():  # more bits will not help
                return _from_sides(_float(loss), *sides(joint, axis, point, everywhere)) or reason
    return reason


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
        return _float(near)
    if abs(near) <= abs(far) * arb(2) ** -100:
        return 0.0
    return math.copysign(math.inf, near) if abs(near) > 1.5 * abs(far) else math.nan


def limit(joint: Joint, axis: Axis, point: float) -> float:
    """What the loss tends to from above at a point where the formula has no value: 0 for y log y at 0. NaN: nothing.

    Two evaluations, 2^-300 and 2^-600 of the point's size beside it, must agree.
    """
    size = arb(abs(point) or 1.0)
    with ctx.workprec(PRECISIONS[-1]), Meter.running():
        try:
            far, near = (evaluate(joint, axis, point, step=size * arb(2) ** power)[0] for power in STEPS)
        except UndecidedError:
            return math.nan
        return _float(near) if abs(near - far) < (1 + abs(near)) * arb(2) ** -60 else math.nan


def _from_sides(loss: float, left: float, right: float) -> Certain | None:
    """The derivative where both sides agree, or only one has one."""
    if math.isnan(left) and math.isnan(right):
        return None
    if math.isnan(left) or math.isnan(right):
        return Certain(loss, right if math.isnan(left) else left, left, right)
    return Certain(loss, left if math.isclose(left, right, rel_tol=2.0**-30) else math.nan, left, right)


def _known(value: arb) -> bool:
    if not value.is_finite():
        return False
    tiny = value.rad() < arb(2) ** -2000
    return bool(value.is_zero()) or value.rel_accuracy_bits() >= ENOUGH or bool(tiny)


def _float(value: arb) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, 1.0 if value > 0 else -1.0)


def _numel(node: fx.Node) -> int:
    value = node.meta.get("val")
    return int(value.numel()) if isinstance(value, torch.Tensor) else 1
