"""Loss and gradient of the captured program as one graph, cut at the nodes that move.

Only the forward graph is the program; the backward half is derived from it here, and every backward op
carries the index of the forward op that it differentiates.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
from torch import fx
from torch.fx._lazy_graph_module import _LazyGraphModule

from nllcheck.autocast import MixedStep, mixed
from nllcheck.axes import depends_on
from nllcheck.axes.boundary import boundary
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, is_fixed
from nllcheck.capture.lines import site_of
from nllcheck.capture.mutation import out_of_place
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.plain import mark_of
from nllcheck.capture.tidy import is_kept, tidy
from nllcheck.capture.tracer import traced
from nllcheck.ops import row, rule_name
from nllcheck.sweep.bounds import keep_in_bounds, nan_where
from nllcheck.sweep.factor import with_failing_factors
from nllcheck.types import Phase, Site

_READ = torch.ops.aten._local_scalar_dense.default


@dataclass(frozen=True, slots=True)
class JointOp:
    """One op of the joint graph: which forward op it computes or differentiates."""

    origin: int  # index into Graph.nodes
    phase: Phase
    name: str  # the fx node's name
    written: tuple[str, Site | None] | None = None  # in a backward that somebody wrote: the op, and its line


@dataclass(frozen=True, eq=False)
class Joint:
    """`module(*moved) -> (loss, *gradients)`, with what the batch fixes folded in as constants."""

    module: fx.GraphModule
    moved: tuple[int, ...]  # plain indices of the placeholders
    base: tuple[torch.Tensor, ...]  # their values on the batch
    ops: dict[str, JointOp]  # by fx node name; constants and placeholders are not in it
    trained: tuple[bool, ...]  # which of them have a gradient: floating, and no target
    forward: fx.GraphModule  # `forward(*moved) -> loss`: the program itself, which exact arithmetic runs


class _Origins(Runner):
    """Replays the forward graph; before each op's gradient runs, its plain node is announced to the tracer.

    (The forward ops announce themselves: the tracer copies `custom` from the node being replayed.)
    """

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        origin = (n.meta.get("custom") or {}).get("origin")
        for tensor in _tensors(result) if n.op == "call_function" else ():
            if tensor.grad_fn is not None:
                tensor.grad_fn.register_prehook(lambda grads: _announce(origin))
        return result


def _tensors(result: Any) -> list[torch.Tensor]:
    parts = result if isinstance(result, (tuple, list)) else (result,)
    return [p for p in parts if isinstance(p, torch.Tensor)]


def _announce(origin: int | None) -> None:
    fx_traceback.current_meta["custom"] = {"origin": origin, "phase": "backward"}


def joint_graph(graph: LossGraph, moved: Sequence[int], seed: int = 0, step: MixedStep | None = None) -> Joint:
    """Cut the program at `moved` (plain indices) and derive loss and gradient with respect to them.

    A moved integer tensor gets no gradient. What does not depend on a moved node is a constant. With a `step` the
    casts of its autocast become ops of the joint graph.
    """
    around = mixed(step, graph.loss.device.type) if step else contextlib.nullcontext()
    sub, followed = cut(graph, tuple(moved)), cut(graph, tuple(moved), with_ways=True)
    base = tuple(graph.values[i] for i in moved)
    runner = _Origins(followed)

    def loss_and_gradients(*tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with around:
            loss = runner.run(*tensors)
        wanted = [t for t in tensors if t.requires_grad]
        if not loss.requires_grad:
            return (loss, *(torch.zeros_like(t) for t in tensors))
        one = torch.ones((), dtype=loss.dtype, device=loss.device)  # the same at all points, as `ones_like` is not
        found = iter(torch.autograd.grad(loss, wanted, one, allow_unused=True, materialize_grads=True))
        return (loss, *(next(found) if t.requires_grad else torch.zeros((), device=t.device) for t in tensors))

    data = {*graph.graph.targets, *boundary(graph.graph).targets}  # nobody trains data: its gradient does not count
    starts = [t.detach().clone().requires_grad_(_trains(t, i in data)) for i, t in zip(moved, base, strict=True)]
    with quiet_numerics(seed), fx_traceback.preserve_node_meta(), torch.enable_grad():
        module = traced(loss_and_gradients, *starts)
    fx_traceback.current_meta.pop("custom", None)
    trained = tuple(s.requires_grad for s in starts)
    once(tidy(out_of_place(module)))
    return Joint(with_failing_factors(module), tuple(moved), base, _ops(module), trained, sub)


def of_batch(joint: Joint, graph: LossGraph) -> Joint:
    """The same cut of the batch's own graph, where `joint` is one of some of its rows; else `joint` itself."""
    is_whole = all(b.shape == graph.values[i].shape for i, b in zip(joint.moved, joint.base, strict=True))
    return joint if is_whole else joint_graph(graph, joint.moved, graph.seed)


def _trains(tensor: torch.Tensor, is_data: bool) -> bool:
    return tensor.is_floating_point() and not is_data


def once(module: fx.GraphModule) -> None:
    """What a backward op computes anew, the same op of the same values, is read where it was computed first."""
    first: dict[Any, fx.Node] = {}
    for node in list(module.graph.nodes):
        key = (node.target, str(node.args), str(node.kwargs))
        if node.op != "call_function" or row(rule_name(str(node.target))).kind == "random":
            continue
        is_backward = (node.meta.get("custom") or {}).get("phase") == "backward"
        if first.setdefault(key, node) is not node and is_backward:
            node.replace_all_uses_with(first[key])
            module.graph.erase_node(node)
    module.recompile()


def _ops(module: fx.GraphModule) -> dict[str, JointOp]:
    found = {}
    for node in module.graph.nodes:
        note = node.meta.get("custom") or {}
        if node.op == "call_function" and "origin" in note:
            found[node.name] = JointOp(note["origin"], note["phase"], node.name, _written(node))
    return found


def _written(node: fx.Node) -> tuple[str, Site | None] | None:
    note = node.meta["custom"]
    mark = note.get("mark") if note["phase"] == "backward" else None
    return (rule_name(str(node.target)), site_of(mark.frames)) if mark else None


def cut(graph: LossGraph, moved: tuple[int, ...], with_ways: bool = False) -> fx.GraphModule:
    """The part of the forward graph that depends on `moved`, everything else a constant of the module.

    Places that it computes stay in bounds. `with_ways`: with a node for each truth value of it that Python reads, NaN
    where it is not what the batch gave, so that the code goes another way there than the captured one; and one that is
    NaN where it raises, for a place that is out of bounds.
    """
    nodes = graph.fx_nodes
    live = depends_on(graph.graph, set(moved))
    root = torch.nn.Module()
    part = fx.Graph()
    made: dict[fx.Node, fx.Node] = {}
    index = {n: i for i, n in enumerate(nodes)}
    places: dict[fx.Node, int] = {}  # whole numbers that the program computes
    for i in moved:
        made[nodes[i]] = part.placeholder(f"moved_{i}")

    def lookup(node: fx.Node) -> fx.Node:
        if node not in made:
            made[node] = _constant(part, root, index[node], graph.values[index[node]])
        return made[node]

    for i, node in enumerate(nodes):
        if node.target is _READ:
            if with_ways and i in live and _is_of_truth(node):
                _add_way(part, made[node.all_input_nodes[0]], bool(graph.values[i]), i)
        elif i in live and node not in made and node.op == "call_function" and not is_fixed(node):
            made[node] = part.node_copy(node, lookup)
            made[node].meta["custom"] = {"mark": mark_of(node), "origin": i, "phase": "forward"}
            if node.all_input_nodes:
                read = graph.graph.nodes[index[node.all_input_nodes[0]]].shape
                keep_in_bounds(made[node], read, places, with_ways)
            if graph.graph.nodes[i].dtype == "int64":
                places[made[node]] = i
    loss = lookup(nodes[graph.graph.loss])
    part.output(loss)
    module = _LazyGraphModule(root, part)  # run node by node: no code is wanted of it
    module.graph.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output") or is_kept(n))
    return module


def _is_of_truth(node: fx.Node) -> bool:
    """Is the value that Python reads here a truth value?"""
    value = node.all_input_nodes[0].meta.get("val")
    return isinstance(value, torch.Tensor) and value.dtype == torch.bool


def _add_way(part: fx.Graph, read: fx.Node, on_batch: bool, origin: int) -> None:
    nan_where(part, part.call_function(torch.ops.aten.logical_not.default, (read,)) if on_batch else read, origin)


def _constant(part: fx.Graph, root: torch.nn.Module, i: int, value: Any) -> Any:
    if not isinstance(value, torch.Tensor):
        return value
    root.register_buffer(f"fixed_{i}", value)
    return part.get_attr(f"fixed_{i}")
