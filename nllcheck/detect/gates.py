"""Gates: clamps, relus, maxima against a constant and small floors, and which of their elements are stuck.

A gate is *stuck* where it is closed and the loss would fall if its output moved back inside: a hinge at 0 is
satisfied, a rate clamped from below while the data asks for more is stuck.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import fx

from nllcheck import ops
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.capture.plain import mark_of
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placed
from nllcheck.types import Axis

FELT = 1e-6  # an element that the loss feels less than this, against the most felt one, is not held back
FLOOR = 1e-3  # a constant up to here that is added is meant as a floor
Bounds = tuple[Any, Any]
Dead = Literal["some", "axis", "all"]


@dataclass(frozen=True)
class Stuck:
    """A gate with the number of its elements that are stuck."""

    origin: int
    elements: int
    of: int
    bound: float  # one of the bounds that hold them


def stuck(
    joint: Joint, axis: Axis, point: float, dead: Dead = "some", weights: frozenset[int] = frozenset()
) -> list[Stuck]:
    """Gates of the program with stuck elements at one point of an axis, in program order.

    `dead`: what is known to get a gradient of exactly 0. Unless it is the whole axis, or everything that moves, an
    element counts only if a moved value that feeds it gets none: stable formulas such as
    `max(x, 0) + log1p(exp(-|x|))` have gates, too, but another path carries their gradient. `weights`: plain indices of
    moved values that are parameters; that some units of a relu layer rest on a batch is what it is for.
    """
    which = joint.moved.index(axis.node)
    runner = Runner(joint.forward)
    with plain_kernels(), torch.enable_grad():
        moved, _ = placed(joint, axis, joint.base, torch.tensor(point, dtype=joint.base[which].dtype))
        starts = [(moved if i == which else b).detach().clone() for i, b in enumerate(joint.base)]
        free = [s.requires_grad_() for s, trained in zip(starts, joint.trained, strict=True) if trained]
        loss = runner.run(*starts)
        gates = [(n, b) for n in joint.forward.graph.nodes if (b := _bounds(n)) and _has_gradient(runner.env.get(n))]
        if not gates or not loss.requires_grad:
            return []
        inner = [runner.env[n] for n, _ in gates]
        found = _gradients(loss, [*free, *inner])
        zero = [g == 0 for g in found[: len(free)]]
        owned = [i in weights for i, trained in zip(joint.moved, joint.trained, strict=True) if trained]
        held = [_held_elements(runner, n, b, g) for (n, b), g in zip(gates, found[len(free) :], strict=True)]
        caught = [(n, h) for (n, _), h in zip(gates, held, strict=True) if h is not None]
        if dead != "some":
            return [_stuck(runner, n, h) for n, h in caught if dead == "all" or _depends(joint, axis, n)]
        return [
            _stuck(runner, n, h)
            for n, h in caught
            if _is_whole(n, h) or _feeds_dead(runner.env[n.args[0]], h, free, _asked(runner, n, h, zero, owned))
        ]


def _asked(
    runner: Runner, gate: fx.Node, held: torch.Tensor, zero: list[torch.Tensor], owned: list[bool]
) -> list[torch.Tensor]:
    """What must be without a gradient for a gate to be stuck: any element; of a relu's features whole weights and
    whole rows; of a hidden layer's units whole weights, since other rows train them."""
    if not (_is_relu(gate) and _has_features(held)):
        return zero
    rests = torch.zeros_like if _is_hidden(runner, gate) else _samples
    return [z.all().expand_as(z) if own else rests(z) for z, own in zip(zero, owned, strict=True)]


def _is_hidden(runner: Runner, gate: fx.Node) -> bool:
    """Does what comes out of the gate go on into a layer whose weights move?"""
    after = {gate}
    for node in gate.graph.nodes:
        read = [n for n in node.all_input_nodes if n not in after]
        if len(read) == len(node.all_input_nodes):
            continue
        if ops.row(ops.rule_name(str(node.target))).kind == "linear" and any(
            _has_gradient(runner.env[n]) for n in read
        ):
            return True
        after.add(node)
    return False


def _is_whole(gate: fx.Node, held: torch.Tensor) -> bool:
    """A clamp that holds all of several values: whatever else has a gradient, what is behind this one has none."""
    return "clamp" in ops.packet(str(gate.target)) and held.numel() > 1 and bool(held.all())


def _depends(joint: Joint, axis: Axis, gate: fx.Node) -> bool:
    """Does the gate read what the axis moves? Asked on the batch, where nothing is saturated yet."""
    which = joint.moved.index(axis.node)
    runner = Runner(joint.forward)
    starts = [b.detach().clone() for b in joint.base]
    starts[which].requires_grad_()
    runner.run(*starts)
    source = runner.env[gate.args[0]]  # type: ignore[index]
    if not _has_gradient(source):
        return False
    _, along = placed(joint, axis, joint.base, torch.ones((), dtype=joint.base[which].dtype))
    return bool((_gradients(source.sum(), [starts[which]])[0] * along != 0).any())


def _gradients(of: torch.Tensor, at: list[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    return torch.autograd.grad(of, at, retain_graph=True, allow_unused=True, materialize_grads=True)


def _has_features(held: torch.Tensor) -> bool:
    """Several values a row? A relu on a single one, a rate, has no others to carry the row."""
    return held.dim() >= 2 and held.shape[-1] > 1


def _samples(dead: torch.Tensor) -> torch.Tensor:
    """Rows that are dead as a whole: some features of a row at 0 are what a relu is for."""
    return dead.all(-1, keepdim=True).expand_as(dead) if dead.dim() >= 2 else dead


def _feeds_dead(source: torch.Tensor, held: torch.Tensor, free: list[torch.Tensor], dead: list[torch.Tensor]) -> bool:
    """Does a moved value whose gradient is exactly 0 feed the held elements of a gate's input?"""
    if not source.requires_grad:
        return False
    feeds = _gradients((source * held).sum(), free)
    return any(bool(((f != 0) & d).any()) for f, d in zip(feeds, dead, strict=True))


def _has_gradient(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.requires_grad


def _bounds(node: fx.Node) -> Bounds | None:
    """Lower and upper bound of a gate, numbers or nodes; None for any other op, and for a clamp that autograd skips."""
    mark = mark_of(node)
    if node.op != "call_function" or (mark is not None and not mark.grad_enabled):
        return None
    args = (*node.args[1:], None, None)
    name = ops.packet(str(node.target))
    if name in ("clamp", "hardtanh"):
        low, high = (node.kwargs.get(k, a) for k, a in (("min", args[0]), ("max", args[1])))
        return (-1.0, 1.0) if name == "hardtanh" and low is None else (low, high)
    if _is_floor(node):
        return args[0], None
    return {"clamp_min": (args[0], None), "clamp_max": (None, args[0]), "relu": (0.0, None),
            "maximum": (args[0], None), "minimum": (None, args[0]), "hardsigmoid": (-3.0, 3.0)}.get(name)  # fmt: skip


def _is_floor(node: fx.Node) -> bool:
    """`x + 1e-8`: a floor in disguise, closed where x is too small to change the sum."""
    if ops.packet(str(node.target)) != "add" or len(node.args) < 2:
        return False
    added = node.args[1]
    return isinstance(added, float) and 0 < added <= FLOOR


def _held_elements(runner: Runner, node: fx.Node, bounds: Bounds, adjoint: torch.Tensor) -> torch.Tensor | None:
    """Closed elements whose output the loss would have moved back inside; None where there are none."""
    low, high = (_fixed(runner, b) for b in bounds)
    x = runner.env[node.args[0]].detach()  # type: ignore[index]
    if _is_floor(node):  # what is added swallows what it is added to
        x, low = x.abs(), low * torch.finfo(x.dtype).eps / 2
    below = torch.zeros_like(x, dtype=torch.bool) if low is None else (x < low) | ((x <= low) & _is_relu(node))
    above = torch.zeros_like(x, dtype=torch.bool) if high is None else x > high
    if below.shape != adjoint.shape or above.shape != adjoint.shape:  # bounds that spread the input
        return None
    matters = adjoint.abs() > FELT * adjoint.abs().max()
    held = matters & ((below & (adjoint < 0)) | (above & (adjoint > 0)))
    return held if bool(held.any()) else None


def _stuck(runner: Runner, node: fx.Node, held: torch.Tensor) -> Stuck:
    value = float(runner.env[node].detach()[held][0])
    return Stuck((node.meta.get("custom") or {})["origin"], int(held.sum()), held.numel(), value)


def _is_relu(node: fx.Node) -> bool:
    return ops.packet(str(node.target)) == "relu"


def _fixed(runner: Runner, bound: Any) -> Any:
    """A bound's value; None where there is none, or where it moves with the axis itself."""
    value = runner.env[bound] if isinstance(bound, fx.Node) else bound
    return None if _has_gradient(value) or (isinstance(value, float) and math.isinf(value)) else value
