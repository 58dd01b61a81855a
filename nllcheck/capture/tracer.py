"""A function run once, with every ATen op that it dispatches written down: `make_fx` without what a compiler needs.

The graph is that of `torch.fx.experimental.proxy_tensor.make_fx(..., tracing_mode="real")`. That imports Dynamo and
parts of Inductor at its first use, more than a second, and prepares every node for symbolic shapes.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.fx.traceback as fx_traceback
import torch.utils._pytree as pytree
from torch import fx
from torch.fx._lazy_graph_module import _LazyGraphModule
from torch.utils.weak import WeakTensorKeyDictionary

from nllcheck.capture.mode import Watching

aten = torch.ops.aten

_ABOUT_SHAPE = (aten.size.default, aten.stride.default, aten.storage_offset.default)


def traced(function: Callable[..., Any], *tensors: torch.Tensor) -> fx.GraphModule:
    """`module(*tensors)` returns what `function(*tensors)` does, a tensor or a tuple of tensors.

    What the function reads and was not given is a constant of the module; so is every number that it takes out of a
    tensor. A node carries the shape, strides and dtype of its value in `meta["val"]`, on the device "meta", and what
    `torch.fx.traceback.current_meta["custom"]` says at the time in `meta["custom"]`. Raises what the function raises.
    """
    record = Record()
    _active.append(record)
    for k, tensor in enumerate(tensors):
        record.keep(tensor, record.graph.placeholder(f"tensors_{k}"))
    caches = torch.is_autocast_cache_enabled()
    torch.set_autocast_cache_enabled(False)  # a cast that is found there was noted nowhere
    try:
        with record:
            result = function(*tensors)
    finally:
        _active.remove(record)
        torch.set_autocast_cache_enabled(caches)
    record.graph.output(record.nodes_for(result))
    return _LazyGraphModule(record.root, record.graph)


_active: list[Record] = []


def recording() -> Record | None:
    """What is being recorded now, the innermost."""
    return _active[-1] if _active else None


class Record(Watching):
    """Notes each op; `nodes` knows which node's value a tensor is."""

    def __init__(self) -> None:
        super().__init__()
        self.graph, self.root = fx.Graph(), torch.nn.Module()
        self.nodes = WeakTensorKeyDictionary()
        self.constants = WeakTensorKeyDictionary()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_left_whole(func, args):
            with self:
                return func.decompose(*args, **kwargs)
        func = aten.lift_fresh_copy.default if func is aten.lift_fresh.default else func  # a constant stays as it is
        known = self.nodes_for((args, kwargs))
        result = func(*args, **kwargs)
        self.keep(result, self.noted(func, *known))
        return result

    def noted(self, func: Any, args: Any, kwargs: Any) -> fx.Node:
        name = getattr(getattr(func, "overloadpacket", func), "__name__", None)
        return _marked(self.graph.create_node("call_function", func, args, kwargs, name))

    def keep(self, value: Any, node: fx.Node) -> None:
        """From now on the tensors of `value` are the node's."""
        node.meta["val"] = pytree.tree_map_only(torch.Tensor, _outline, value)
        if isinstance(value, torch.Tensor):
            self.nodes[value] = node
        for k, part in enumerate(value if isinstance(value, (tuple, list)) else ()):
            if isinstance(part, (torch.Tensor, tuple, list)):
                self.keep(part, self.noted(operator.getitem, (node, k), {}))

    def as_op(
        self, op: Any, outputs: Sequence[torch.Tensor], inputs: Sequence[torch.Tensor], kept: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        """The outputs as those of `op(*outputs, *inputs, *kept)`: other tensors, each with its node."""
        given = self.nodes_for((*outputs, *inputs, *kept))
        shown = tuple(aten.alias.default(t) for t in outputs)  # dispatched, so that the user's line is noted
        nodes = [self.nodes[t] for t in shown]
        if len(shown) == 1:
            nodes[0].target, nodes[0].args = op, given
            return shown
        with self.graph.inserting_before(nodes[0]):
            whole = self.graph.create_node("call_function", op, given, {}, op.__name__)
        whole.meta = {**nodes[0].meta, "val": tuple(n.meta["val"] for n in nodes)}
        for k, node in enumerate(nodes):
            node.target, node.args = operator.getitem, (whole, k)
        return shown

    def nodes_for(self, values: Any) -> Any:
        return pytree.tree_map_only(torch.Tensor, lambda t: self.nodes.get(t) or self.constant(t), values)

    def constant(self, tensor: torch.Tensor) -> fx.Node:
        if tensor not in self.constants:
            self.constants[tensor] = name = f"_tensor_constant{len(self.constants)}"
            self.root.register_buffer(name, tensor)
        node = _marked(self.graph.get_attr(self.constants[tensor]))
        node.meta["val"] = _outline(tensor)
        return node


def _marked(node: fx.Node) -> fx.Node:
    if "custom" in fx_traceback.current_meta:
        node.meta["custom"] = dict(fx_traceback.current_meta["custom"])
    return node


def _outline(tensor: torch.Tensor) -> torch.Tensor | None:
    if tensor.layout != torch.strided:
        return None
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _is_left_whole(func: Any, args: Any) -> bool:
    """Is it an op of other ops that autograd would have taken apart? Where there is no autograd (`inference_mode`)
    nothing has."""
    if func in _ABOUT_SHAPE or not func._can_decompose():
        return False
    first = next((a for a in pytree.tree_leaves(args) if isinstance(a, torch.Tensor)), None)
    key = torch._C._dispatch_key_for_device(first.device.type) if first is not None else None
    return key is None or not torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), key)
