"""A joint graph as plain values and tensors, and back: for a process that knows neither the user's code nor his files.

`fx` itself pickles a graph as source text and traces that anew, which renames nodes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx

from nllcheck.capture.interpret import constants_of, put_on
from nllcheck.sweep.factor import FAILING
from nllcheck.sweep.joint import Joint

_OWN = {f"nllcheck.{function.__name__}": function for function in FAILING.values()}


@dataclass(frozen=True, slots=True)
class Name:
    """An argument that is another node's value."""

    text: str


@dataclass(frozen=True, slots=True)
class Step:
    """One fx node."""

    op: str
    name: str
    target: str
    args: Any
    kwargs: Any
    shape: tuple[int, ...] | None  # of its value at one point


@dataclass(frozen=True, slots=True)
class Packed:
    """A joint as far as a sweep needs it: without `forward` and `ops`, which exact arithmetic and detection read."""

    steps: tuple[Step, ...]
    constants: dict[str, torch.Tensor]
    moved: tuple[int, ...]
    base: tuple[torch.Tensor, ...]
    trained: tuple[bool, ...]


def packed(joint: Joint) -> Packed:
    """The joint as plain values."""
    nodes = list(joint.module.graph.nodes)
    return Packed(tuple(map(_step, nodes)), constants_of(joint.module), joint.moved, joint.base, joint.trained)


def _step(node: fx.Node) -> Step:
    target = _spelled(node.target) if node.op == "call_function" else str(node.target)
    value = node.meta.get("val", node.meta.get("tensor_meta"))
    shape = getattr(value, "shape", None)
    return Step(node.op, node.name, target, _plain(node.args), _plain(node.kwargs), shape and tuple(map(int, shape)))


def _plain(value: Any) -> Any:
    if isinstance(value, fx.Node):
        return Name(value.name)
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value] if isinstance(value, list) else tuple(_plain(v) for v in value)
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, dict) else value


def _spelled(target: Any) -> str:
    """`aten.log.default`, `operator.getitem`, `nllcheck.factored`."""
    if isinstance(target, torch._ops.OpOverload):
        return str(target)
    if target in _OWN.values():
        return f"nllcheck.{target.__name__}"
    home = "operator" if getattr(operator, target.__name__, None) is target else target.__module__
    return f"{home}.{target.__name__}"


def _found(text: str) -> Callable[..., Any]:
    """Raises AttributeError for what is neither an op of torch nor an operator."""
    if text in _OWN:
        return _OWN[text]
    first, *rest = text.split(".")
    return operator.attrgetter(".".join(rest))(operator if first == "operator" else getattr(torch.ops, first))  # type: ignore[no-any-return]


def unpacked(sent: Packed, device: torch.device) -> Joint:
    """The joint on `device`. Its nodes have the names, and its sweeps the bytes, of the one that was packed."""
    graph = fx.Graph()
    made: dict[str, fx.Node] = {}
    for step in sent.steps:
        made[step.name] = _node(graph, step, made)
    base = tuple(b.to(device) for b in sent.base)
    module = put_on(graph, sent.constants, device)
    return Joint(module, sent.moved, base, {}, sent.trained, fx.GraphModule({}, fx.Graph()))


def _node(graph: fx.Graph, step: Step, made: dict[str, fx.Node]) -> fx.Node:
    target = _found(step.target) if step.op == "call_function" else step.target
    args, kwargs = _linked(step.args, made), _linked(step.kwargs, made)
    node = graph.create_node(step.op, target, args, kwargs, name=step.name)
    if step.shape is not None:
        node.meta["val"] = torch.empty(step.shape, device="meta")
    return node


def _linked(value: Any, made: dict[str, fx.Node]) -> Any:
    if isinstance(value, Name):
        return made[value.text]
    if isinstance(value, (tuple, list)):
        return type(value)(_linked(v, made) for v in value)
    return {k: _linked(v, made) for k, v in value.items()} if isinstance(value, dict) else value
