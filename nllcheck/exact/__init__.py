"""The captured forward graph in ball arithmetic: the exact loss and its exact directional derivative.

The precision is raised until the answer is certain or the limit is reached; an op without an exact form makes
the answer "undecided", never a guess. Only the forward graph is evaluated: the derivative comes from first-order
jets through it, so that a singular backward formula cannot spoil the reference.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from flint import arb, ctx

from nllcheck.exact.ball import SingularError, UndecidedError
from nllcheck.exact.beside import limit, sides
from nllcheck.exact.meter import Meter
from nllcheck.exact.point import ENOUGH, PRECISIONS, as_float, evaluate, numel
from nllcheck.memo import remembered
from nllcheck.sweep.joint import Joint
from nllcheck.types import Axis

__all__ = ["Certain", "SingularError", "certain", "evaluate", "limit", "work_of"]

MOST = 3_000_000  # scalar ball operations in one evaluation; larger graphs stay undecided


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


@remembered(64)
def work_of(joint: Joint) -> int:
    """Scalar operations of one evaluation: about 1.3 microseconds each."""
    return sum(numel(n) for n in joint.forward.graph.nodes)


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
                return Certain(as_float(loss), *[as_float(slope)] * 3)
            reason = "the exact value is singular or undefined here" if not loss.is_finite() else "no certain slope"
            if _known(loss) and slope.is_nan():  # more bits will not help
                return _from_sides(as_float(loss), *sides(joint, axis, point, everywhere)) or reason
    return reason


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
