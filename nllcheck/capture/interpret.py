"""Run a captured graph node by node, with the user's grad modes, in any dtype."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import fx
from torch.fx.traceback import has_preserved_node_meta

from nllcheck import ops
from nllcheck.capture.plain import mark_of, op_of
from nllcheck.capture.sized import quiet

HALVES = (torch.float16, torch.bfloat16, torch.float32)


class _StraightThrough(torch.autograd.Function):
    """An in-place change under `no_grad`: the value changes, the gradient passes as if nothing happened."""

    @staticmethod
    def forward(ctx: Any, source: torch.Tensor, changed: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return changed.clone()

    @staticmethod
    def backward(ctx: Any, grad: torch.Tensor) -> tuple[torch.Tensor, None]:  # type: ignore[override]
        return grad, None


class Runner(fx.Interpreter):
    """An interpreter that keeps `no_grad` regions and, on request, a stand-in dtype for hard-coded floats."""

    def __init__(
        self,
        module: fx.GraphModule,
        dtype: torch.dtype | None = None,
        keep: bool = True,
        given: Mapping[str, Any] | None = None,
    ) -> None:
        """Without `keep` a value goes when nothing will read it any more; `env` has only the last ones then.

        `given`: values, by node, that stand in for what the nodes compute, rounded to its dtype.
        """
        super().__init__(module, garbage_collect_values=not keep)
        self.dtype = dtype
        self.given = given or {}

    def run_node(self, n: fx.Node) -> Any:
        result = self._run_node(n)
        if n.name not in self.given:
            return result
        return pytree.tree_map(lambda new, own: new.to(own.dtype), self.given[n.name], result)

    def _run_node(self, n: fx.Node) -> Any:
        mark = mark_of(n) if n.op == "call_function" else None
        if mark is None or mark.grad_enabled:
            return self._plain(n)
        with torch.no_grad():
            result = self._plain(n)
        return self._through(n, result) if mark.inplace else result

    def _plain(self, n: fx.Node) -> Any:
        """What is made of no float (`torch.ones(3)`, `arange(3) / 2`) has the default dtype unless told otherwise.

        The interpreter's own `run_node` prepares notes for a tracer, a third of the time: only where one wants them.
        """
        result = super().run_node(n) if has_preserved_node_meta() else self._unnoted(n)
        made = isinstance(result, torch.Tensor) and result.dtype in HALVES
        return promoted(result, self.dtype) if made else result

    def _unnoted(self, n: fx.Node) -> Any:
        args, kwargs = self.fetch_args_kwargs_from_env(n)
        return getattr(self, n.op)(n.target, args, kwargs)

    def _through(self, n: fx.Node, result: Any) -> Any:
        source = self.env.get(n.all_input_nodes[0]) if n.all_input_nodes else None
        if not (isinstance(source, torch.Tensor) and isinstance(result, torch.Tensor)):
            return result
        carries = source.requires_grad and source.shape == result.shape and torch.is_grad_enabled()
        return _StraightThrough.apply(source, result) if carries else result

    def get_attr(self, target: Any, args: Any, kwargs: Any) -> Any:
        value = super().get_attr(target, args, kwargs)
        return promoted(value, self.dtype)

    def call_function(self, target: Any, args: Any, kwargs: Any) -> Any:
        if (dtype := stand_in(kwargs.get("dtype"), self.dtype)) is not None:
            kwargs = {**kwargs, "dtype": dtype}
        return super().call_function(target if has_preserved_node_meta() else quiet(target), args, kwargs)


def promoted(value: Any, dtype: torch.dtype | None) -> Any:
    """Float tensors in `dtype`, complex ones with such parts; the rest, and all when `dtype` is None, as it is."""
    if dtype is None or not isinstance(value, torch.Tensor):
        return value
    return value.to(dtype) if value.is_floating_point() else value.to(_parts(dtype)) if value.is_complex() else value


def stand_in(written: Any, dtype: torch.dtype | None) -> torch.dtype | None:
    """What stands for a dtype that the program names, in a run in `dtype`; None where it stays, as double does."""
    if dtype is None or written not in (*HALVES, torch.complex64):
        return None
    return dtype if written in HALVES else _parts(dtype)


def _parts(dtype: torch.dtype) -> torch.dtype:
    """Complex numbers with parts of `dtype`: torch computes with those of single and double precision alone."""
    return torch.complex128 if dtype == torch.float64 else torch.complex64


def put_on(graph: fx.Graph, constants: Mapping[str, torch.Tensor], device: torch.device) -> fx.GraphModule:
    """A module of the graph with its constants, and what its ops make or move, on `device`. Changes the graph."""
    for node in graph.nodes:
        if isinstance(node.kwargs.get("device"), torch.device):
            node.kwargs = {**node.kwargs, "device": device}
    return fx.GraphModule({name: value.detach().to(device) for name, value in constants.items()}, graph)


def constants_of(source: fx.GraphModule) -> dict[str, Any]:
    """What the graph reads of its module, by name."""
    names = [str(n.target) for n in source.graph.nodes if n.op == "get_attr"]
    return {name: operator.attrgetter(name)(source) for name in names}


def run_all(module: fx.GraphModule, tensors: Sequence[torch.Tensor], dtype: torch.dtype | None = None) -> list[Any]:
    """Every node's value, in node order, `output` left out."""
    runner = Runner(module, dtype)
    runner.run(*(promoted(t, dtype) for t in tensors))
    return [runner.env[n] for n in module.graph.nodes if n.op != "output"]


def is_fixed(node: fx.Node) -> bool:
    """Does the node's value depend on its inputs by shape only (fresh zeros, fresh noise)?"""
    return node.op == "call_function" and ops.row(op_of(node)).kind in ("create", "random") and not _draws(node)


def _draws(node: fx.Node) -> bool:
    return ops.packet(str(node.target)) in ("native_dropout", "fill", "normal", "_standard_gamma", "_sample_dirichlet")
