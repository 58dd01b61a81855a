"""One evaluation of a graph in ball arithmetic: at a point of an axis, or a step beside it."""

from __future__ import annotations

import math

import torch
from flint import arb, ctx
from torch import fx

from nllcheck.exact.ball import STILL, Ball, SingularError, UndecidedError, as_array, ball_of, beside, lift
from nllcheck.exact.run import Exact, Still, reads_no_value
from nllcheck.memo import remembered
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.types import Axis

PRECISIONS = (128, 512, 2048)  # bits; tried in turn
ENOUGH = 40  # relative bits after which a value counts as known
LARGE = 300_000  # in one evaluation, from which on it counts
IN_ALL = 12_000_000  # in the large evaluations of one check, about 16 s; what is asked later stays undecided


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
    _spend(sum(numel(n) for n in joint.forward.graph.nodes if not still.keeps(n)))
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


def numel(node: fx.Node) -> int:
    """Elements of what a node gives."""
    value = node.meta.get("val")
    return int(value.numel()) if isinstance(value, torch.Tensor) else 1


def as_float(value: arb) -> float:
    """The nearest float, infinite where it is too large."""
    try:
        return float(value)
    except OverflowError:
        return math.copysign(math.inf, 1.0 if value > 0 else -1.0)
