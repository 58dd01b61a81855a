"""Trace -> events: each failure attributed to the op where it is born, with its region and exact threshold.

A value is bad when it is NaN or infinite. An op gives birth to a failure when its output is bad while its
inputs are not. Infinities that the user writes in on purpose (a `-inf` mask) do not count as bad until an op
makes something else of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import fx

from nllcheck import ops
from nllcheck.axes.points import from_ordinal, to_ordinal
from nllcheck.capture.plain import op_of
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Phase

_CARRIES_INTENT = ("view", "select", "choice", "join", "clamp")
_CARRIES_INTENT_OPS = ("add", "sub", "neg", "mul", "div", "max", "min", "maximum", "minimum", "log_softmax")


@dataclass(frozen=True)
class Births:
    """Where failures start, for P points and N watched ops (columns as in `Trace.names`); boolean tensors."""

    nan: torch.Tensor  # (P, N) the op's output holds a NaN
    inf: torch.Tensor  # (P, N) ... an infinity and no NaN
    born: torch.Tensor  # (P, N) bad output, sound inputs
    to_loss: torch.Tensor  # (P, N) a path of bad values leads from here to the loss
    to_gradient: torch.Tensor  # (P, N) ... to a gradient
    loss_state: torch.Tensor  # (P,) 0 finite, 1 inf, 2 nan
    gradient_state: torch.Tensor  # (P,)

    @property
    def bad(self) -> torch.Tensor:
        """(P, N) output not finite."""
        return self.nan | self.inf


@dataclass(frozen=True, slots=True)
class Culprit:
    """An op that gives birth to failures on one axis, in one phase, and the points where it does."""

    origin: int  # plain index of the forward op
    phase: Phase
    points: torch.Tensor  # (P,) bool


def state_of(low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """0 finite, 1 infinite, 2 NaN, elementwise from ranges (a NaN range bound means a NaN element)."""
    nan = torch.isnan(low) | torch.isnan(high)
    inf = torch.isinf(low) | torch.isinf(high)
    return torch.where(nan, 2, torch.where(inf, 1, 0))


def births(joint: Joint, trace: Trace) -> Births:
    """Find births, and follow the bad values to loss and gradient. Loops over ops, never over points."""
    column = {name: k for k, name in enumerate(trace.names)}
    states = state_of(trace.low, trace.high)
    nan, inf = states == 2, states == 1
    born, intended = _births_and_intent(joint, column, nan, inf, trace)
    to_loss, to_gradient = _reaches(joint, column, nan | inf, trace)
    gradient_state = state_of(trace.gradient_low, trace.gradient_high)
    return Births(nan, inf, born, to_loss, to_gradient, state_of(trace.loss, trace.loss), gradient_state)


def _births_and_intent(
    joint: Joint, column: dict[str, int], nan: torch.Tensor, inf: torch.Tensor, trace: Trace
) -> tuple[torch.Tensor, torch.Tensor]:
    born = torch.zeros_like(nan)
    intended = torch.zeros_like(nan)
    written = _written_infinities(joint)
    for node in joint.module.graph.nodes:
        k = column.get(node.name)
        if k is None:
            continue
        parents = [column[p.name] for p in _parents(node) if p.name in column]
        from_intent = _any(intended, parents) | (node.name in written)
        bad_parent = _any((nan | inf) & ~intended, parents)
        carried = inf[:, k] & from_intent & ~bad_parent if _carries_intent(node) else torch.zeros_like(bad_parent)
        intended[:, k] = carried
        born[:, k] = (nan[:, k] | inf[:, k]) & ~bad_parent & ~carried
    return born, intended


def _parents(node: fx.Node) -> list[fx.Node]:
    return list(node.all_input_nodes)


def _any(table: torch.Tensor, columns: list[int]) -> torch.Tensor:
    return table[:, columns].any(1) if columns else torch.zeros(table.shape[0], dtype=torch.bool)


def _carries_intent(node: fx.Node) -> bool:
    name = op_of(node)
    return ops.row(name).kind in _CARRIES_INTENT or name in _CARRIES_INTENT_OPS


def _written_infinities(joint: Joint) -> set[str]:
    """Ops that take an infinity from a constant: a mask value written in the source, or a mask tensor."""
    return {n.name for n in joint.module.graph.nodes if n.op == "call_function" and any(_infinite(joint, n))}


def _infinite(joint: Joint, node: fx.Node) -> Iterable[bool]:
    for arg in [*node.args, *node.kwargs.values()]:
        if isinstance(arg, float):
            yield math.isinf(arg)
        elif isinstance(arg, fx.Node) and arg.op == "get_attr":
            value = _attribute(joint.module, str(arg.target))
            yield value.is_floating_point() and bool(torch.isinf(value).any())


def _attribute(module: torch.nn.Module, path: str) -> torch.Tensor:
    value = module
    for part in path.split("."):
        value = getattr(value, part)
    return value  # type: ignore[return-value]


def _reaches(
    joint: Joint, column: dict[str, int], bad: torch.Tensor, trace: Trace
) -> tuple[torch.Tensor, torch.Tensor]:
    """From every bad value, does a path of bad values lead to the loss, to a gradient?"""
    loss, *gradients = joint.module.graph.output_node().args[0]  # type: ignore[union-attr, misc]
    to_loss = torch.zeros_like(bad)
    to_gradient = torch.zeros_like(bad)
    ends = {g.name for g in gradients if isinstance(g, fx.Node)}
    for node in reversed(list(joint.module.graph.nodes)):
        k = column.get(node.name)
        if k is None:
            continue
        users = [column[u.name] for u in node.users if u.name in column]
        to_loss[:, k] = bad[:, k] & (_any(to_loss, users) | (node is loss))
        to_gradient[:, k] = bad[:, k] & (_any(to_gradient, users) | (node.name in ends))
    return to_loss, to_gradient


def culprits(joint: Joint, trace: Trace, found: Births) -> list[Culprit]:
    """Births that reach the loss, or only the gradient while the loss is finite; one entry an op and phase."""
    sound = (found.loss_state == 0)[:, None]
    forward = found.born & found.to_loss
    backward = found.born & found.to_gradient & sound
    grouped: dict[tuple[int, Phase], torch.Tensor] = {}
    phases: tuple[tuple[torch.Tensor, Phase], ...] = ((forward, "forward"), (backward, "backward"))
    for table, phase in phases:
        for k in torch.nonzero(table.any(0)).flatten().tolist():
            op = joint.ops.get(trace.names[k])
            if op is None:
                continue
            key = (op.origin, phase)
            grouped[key] = grouped.get(key, torch.zeros(len(table), dtype=torch.bool)) | table[:, k]
    return [Culprit(origin, phase, points) for (origin, phase), points in sorted(grouped.items())]


def intervals(points: torch.Tensor, failing: torch.Tensor) -> list[tuple[int, int]]:
    """Maximal runs of failing points, as (first, last) positions."""
    edges = torch.diff(torch.cat([torch.tensor([0]), failing.int(), torch.tensor([0])]))
    starts = torch.nonzero(edges == 1).flatten().tolist()
    stops = torch.nonzero(edges == -1).flatten().tolist()
    return [(a, b - 1) for a, b in zip(starts, stops, strict=True)]


def fails_at(joint: Joint, trace: Trace, culprit: Culprit, value: float) -> bool:
    """Does the canonical evaluation at one value show the culprit's failure?"""
    one = run_one(joint, trace.axis, value, trace.names)
    return any((c.origin, c.phase) == (culprit.origin, culprit.phase) for c in culprits(joint, one, births(joint, one)))


def threshold(joint: Joint, trace: Trace, culprit: Culprit, good: float, bad: float) -> tuple[float, float] | None:
    """Bisect to adjacent floats (last good, first bad) with the canonical evaluation; None if it disagrees.

    Halves the number of representable values between the two, so about 30 evaluations in float32.
    """
    dtype = trace.points.dtype
    low, high = to_ordinal(good, dtype), to_ordinal(bad, dtype)
    if fails_at(joint, trace, culprit, good) or not fails_at(joint, trace, culprit, bad):
        return None
    while abs(high - low) > 1:
        middle = (low + high) // 2
        if fails_at(joint, trace, culprit, from_ordinal(middle, dtype)):
            high = middle
        else:
            low = middle
    return from_ordinal(low, dtype), from_ordinal(high, dtype)
