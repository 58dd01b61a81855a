"""Trace -> events: each failure attributed to the op where it is born, with its region and exact threshold.

A value is bad when it is NaN or infinite. An op gives birth to a failure when its output is bad while its
inputs are not. Infinities that the user writes in on purpose (a `-inf` mask) do not count as bad until an op
makes something else of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.plain import op_of
from nllcheck.memo import remembered
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.watch import Trace
from nllcheck.types import Phase

Bools = npt.NDArray[np.bool_]
States = npt.NDArray[np.int8]

_CARRIES_INTENT = ("view", "select", "choice", "join", "clamp", "create")
_CARRIES_INTENT_OPS = ("add", "sub", "neg", "mul", "div", "max", "min", "maximum", "minimum", "log_softmax")


@dataclass(frozen=True)
class Births:
    """Where failures start, for P points, R rows of `Trace.patterns` and N watched ops (columns as in `Trace.names`).

    What holds of a pattern holds of every point that has it, so that millions of points cost little more than few.
    """

    nan: Bools  # (R, N) the op's output holds a NaN
    inf: Bools  # (R, N) ... an infinity and no NaN
    born: Bools  # (R, N) bad output, sound inputs
    to_loss: Bools  # (R, N) a path of bad values leads from here to the loss
    to_gradient: Bools  # (R, N) ... to a gradient
    row: npt.NDArray[np.int32]  # (P,) the row of a point
    loss_state: States  # (P,) 0 finite, 1 inf, 2 nan
    gradient_state: States  # (P,)


@dataclass(frozen=True, slots=True)
class Culprit:
    """An op that gives birth to failures on one axis, in one phase, and the points where it does."""

    origin: int  # plain index of the forward op
    phase: Phase
    points: Bools  # (P,)


@dataclass(frozen=True, slots=True, eq=False)
class _Layout:
    """The joint graph as column numbers: what each watched op reads, who reads it, what it may carry on."""

    parents: tuple[tuple[int, ...], ...]
    users: tuple[tuple[int, ...], ...]
    written: tuple[bool, ...]  # takes an infinity from a constant: a mask value in the source, or a mask tensor
    carries: tuple[bool, ...]  # hands an intended infinity on
    later: tuple[tuple[int, tuple[int, ...]], ...]  # a way that the code takes, and all ops that come after it
    loss: int  # column of the loss; -1 when it is not watched
    gradients: tuple[int, ...]


@remembered(64)
def _layout(joint: Joint, names: tuple[str, ...]) -> _Layout:
    column = {name: k for k, name in enumerate(names)}
    nodes = {n.name: n for n in joint.module.graph.nodes}
    watched = [nodes[name] for name in names]
    results: Any = joint.module.graph.output_node().args[0]
    loss, *gradients = results
    return _Layout(
        parents=tuple(tuple(column[p.name] for p in n.all_input_nodes if p.name in column) for n in watched),
        users=tuple(tuple(column[u.name] for u in n.users if u.name in column) for n in watched),
        written=tuple(any(_infinite(joint, n)) for n in watched),
        carries=tuple(carries_intent(op_of(n)) for n in watched),
        later=tuple(_later(joint, watched)),
        loss=column.get(loss.name, -1),
        gradients=tuple(column[g.name] for g in gradients if isinstance(g, fx.Node) and g.name in column),
    )


def _later(joint: Joint, watched: list[fx.Node]) -> Iterable[tuple[int, tuple[int, ...]]]:
    origins = [joint.ops[n.name].origin if n.name in joint.ops else -1 for n in watched]
    for k, node in enumerate(watched):
        if (node.meta.get("custom") or {}).get("way"):
            yield k, tuple(i for i, origin in enumerate(origins) if origin > origins[k])


def state_of(low: Any, high: Any) -> States:
    """0 finite, 1 infinite, 2 NaN, elementwise from ranges (a NaN range bound means a NaN element)."""
    low, high = np.asarray(low), np.asarray(high)
    nan = np.isnan(low) | np.isnan(high)
    return np.where(nan, 2, np.where(np.isinf(low) | np.isinf(high), 1, 0)).astype(np.int8)


def births(joint: Joint, trace: Trace) -> Births:
    """Find births, and follow the bad values to loss and gradient. Loops over ops, never over points."""
    layout = _layout(joint, trace.names)
    states = trace.patterns.numpy()
    nan, inf, born, to_loss, to_gradient = _followed(layout, states.tobytes(), len(states))
    gradient_state = state_of(_numpy(trace.gradient_low), _numpy(trace.gradient_high))
    loss = _numpy(trace.loss)
    row = trace.pattern.numpy()
    return Births(nan, inf, born, to_loss, to_gradient, row, state_of(loss, loss), gradient_state)


@remembered(32)  # a bisection meets the same two patterns again and again
def _followed(layout: _Layout, patterns: bytes, count: int) -> tuple[Bools, ...]:
    """`Births.nan` to `Births.to_gradient` from the bytes of `count` patterns."""
    states = np.frombuffer(patterns, dtype=np.int8).reshape(count, -1)
    nan, inf = states == 2, states == 1
    born = _born(layout, nan, inf)
    for way, after in layout.later:  # where the code goes another way, nobody knows of an op behind that it is run
        born[:, after] &= ~nan[:, [way]]
    return nan, inf, born, *_reaches(layout, nan | inf)


def _numpy(values: torch.Tensor) -> Any:
    return values.float().numpy() if values.dtype == torch.bfloat16 else values.numpy()


def _born(layout: _Layout, nan: Bools, inf: Bools) -> Bools:
    bad = nan | inf
    born, intended, alarming = np.zeros_like(nan), np.zeros_like(nan), np.zeros_like(nan)
    for k in np.nonzero(bad.any(0))[0]:
        parents = list(layout.parents[k])
        bad_parent = alarming[:, parents].any(1)
        if layout.carries[k]:
            from_intent = intended[:, parents].any(1) | layout.written[k]
            intended[:, k] = inf[:, k] & from_intent & ~bad_parent
        born[:, k] = bad[:, k] & ~bad_parent & ~intended[:, k]
        alarming[:, k] = bad[:, k] & ~intended[:, k]
    return born


def _reaches(layout: _Layout, bad: Bools) -> tuple[Bools, Bools]:
    """From every bad value, does a path of bad values lead to the loss, to a gradient?"""
    to_loss, to_gradient = np.zeros_like(bad), np.zeros_like(bad)
    for k in np.nonzero(bad.any(0))[0][::-1]:
        users = list(layout.users[k])
        to_loss[:, k] = bad[:, k] & (to_loss[:, users].any(1) | (k == layout.loss))
        to_gradient[:, k] = bad[:, k] & (to_gradient[:, users].any(1) | (k in layout.gradients))
    return to_loss, to_gradient


def origins(joint: Joint, names: tuple[str, ...], bad: Bools) -> tuple[Bools, Bools, Bools]:
    """For any notion of a bad output (P, N): where it is born, and from where it reaches the loss, a gradient."""
    layout = _layout(joint, names)
    return (_born(layout, bad, np.zeros_like(bad)), *_reaches(layout, bad))


def carries_intent(name: str) -> bool:
    """Does an op of this rule name hand an infinity on as it is?"""
    return ops.row(name).kind in _CARRIES_INTENT or name in _CARRIES_INTENT_OPS


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


def culprits(joint: Joint, trace: Trace, found: Births) -> list[Culprit]:
    """Births that reach the loss, or only the gradient while the loss is finite; one entry an op and phase."""
    sound = found.loss_state == 0
    grouped: dict[tuple[int, Phase], Bools] = {}
    for ends, phase in ((found.to_loss, "forward"), (found.to_gradient, "backward")):
        table = found.born & ends
        for k in np.nonzero(table.any(0))[0]:
            op = joint.ops.get(trace.names[k])
            if op is not None:
                key: tuple[int, Phase] = (op.origin, phase)  # type: ignore[assignment]
                grouped[key] = grouped.get(key, False) | table[:, k]
    at = {key: rows[found.row] & (sound | (key[1] == "forward")) for key, rows in grouped.items()}
    return [Culprit(*key, points) for key, points in sorted(at.items(), key=lambda g: g[0]) if points.any()]


def intervals(failing: Bools) -> list[tuple[int, int]]:
    """Maximal runs of failing points, as (first, last) positions."""
    edges = np.diff(np.concatenate([[0], failing.astype(np.int8), [0]]))
    starts, stops = np.nonzero(edges == 1)[0], np.nonzero(edges == -1)[0]
    return [(int(a), int(b) - 1) for a, b in zip(starts, stops, strict=True)]
