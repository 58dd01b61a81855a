"""What Inductor makes of a program with its own settings, as training compiles it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import fx

from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.capture.plain import mark_of
from nllcheck.errors import NllcheckError
from nllcheck.sweep.fused import compiled
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.types import Axis


class Programs:
    """The programs of one joint graph, each compiled when it is first asked for.

    The loss is compiled forward and backward apart, with what the one saves for the other, as in training.
    """

    def __init__(self, joint: Joint) -> None:
        self.joint = joint
        self.made: dict[Any, Callable[..., Any]] = {}

    def at(self, axis: Axis, point: float) -> tuple[float, float, bool]:
        """Loss, slope, and whether every gradient is finite, at the batch's own shapes."""
        inputs, ways = self._placed(axis, point)
        loss, gradients = self._kept("trained", lambda: self._trained(inputs))(*inputs)
        pairs = [(g, way) for g, way in zip(gradients, ways, strict=True) if way is not None]
        sound = all(bool(torch.isfinite(g).all()) for g in gradients)
        return float(loss), sum(float((g * way).sum()) for g, way in pairs), sound

    def values(self, module: fx.GraphModule, axis: Axis, point: float) -> tuple[dict[str, Any], dict[str, Any]]:
        """Every floating value of a module at a point, compiled and by plain kernels, by fx node name."""
        inputs, _ = self._placed(axis, point)
        with torch.no_grad(), plain_kernels():
            shown, names = with_all_values(module)
            own = self._kept(module, lambda: compiled(shown, (), inputs))
            runner = Runner(module)
            runner.run(*inputs)
            return dict(zip(names, own(*inputs), strict=True)), {n.name: v for n, v in runner.env.items()}

    def _placed(self, axis: Axis, point: float) -> tuple[list[torch.Tensor], list[torch.Tensor | None]]:
        like = self.joint.base[self.joint.moved.index(axis.node)]
        pairs = placements(self.joint, axis, self.joint.base, torch.tensor(point, dtype=like.dtype, device=like.device))
        return [t.contiguous() for t, _ in pairs], [way for _, way in pairs]

    def _trained(self, inputs: list[torch.Tensor]) -> Callable[..., Any]:
        """`run(*inputs)` -> the loss and its gradient for every input."""
        program = compiled(with_stops(self.joint.forward), (), self._leaves(inputs))

        def run(*tensors: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
            leaves = self._leaves(tensors)
            loss = program(*leaves)
            if not loss.requires_grad:
                return loss, [torch.zeros_like(t) for t in leaves]
            wanted = [leaf for leaf in leaves if leaf.requires_grad]
            found = iter(torch.autograd.grad(loss, wanted, allow_unused=True, materialize_grads=True))
            return loss.detach(), [next(found) if t.requires_grad else torch.zeros_like(t) for t in leaves]

        return run

    def _leaves(self, tensors: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        pairs = zip(tensors, self.joint.trained, strict=True)
        return [t.detach().clone().requires_grad_(own) for t, own in pairs]

    def _kept(self, key: Any, make: Callable[[], Callable[..., Any]]) -> Callable[..., Any]:
        if key not in self.made:
            self.made[key] = make()
        return self.made[key]


def with_stops(source: fx.GraphModule) -> fx.GraphModule:
    """The program with the user's `no_grad` regions as detached values, for code that runs without our interpreter.

    Raises NllcheckError for values changed in place there, which have no such form.
    """
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    for node in source.graph.nodes:
        mark = mark_of(node) if node.op == "call_function" else None
        copies[node] = graph.node_copy(node, copies.__getitem__)
        if mark is not None and not mark.grad_enabled and _is_floating(node):
            if mark.inplace:
                raise NllcheckError("the loss changes values in place under no_grad")
            copies[node] = graph.call_function(torch.ops.aten.detach.default, (copies[node],))
    return fx.GraphModule(source, graph)


def with_all_values(source: fx.GraphModule) -> tuple[fx.GraphModule, tuple[str, ...]]:
    """The same program, giving every floating tensor that it computes, and their names."""
    graph = fx.Graph()
    copies: dict[fx.Node, fx.Node] = {}
    nodes = [n for n in source.graph.nodes if n.op != "output"]
    for node in nodes:
        copies[node] = graph.node_copy(node, copies.__getitem__)
    shown = [n for n in nodes if n.op == "call_function" and _is_floating(n)]
    graph.output(tuple(copies[n] for n in shown))
    return fx.GraphModule(source, graph), tuple(n.name for n in shown)


def _is_floating(node: fx.Node) -> bool:
    value = node.meta.get("val")
    return isinstance(value, torch.Tensor) and value.is_floating_point()
