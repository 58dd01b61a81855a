"""Target -> LossGraph: the loss captured once, as a graph that every later stage runs in its own arithmetic."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import fx

from nllcheck.capture.interpret import constants_of, put_on, run_all
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.plain import plain_graph, terms_in
from nllcheck.capture.program import Program, program
from nllcheck.capture.trace import forward_graph
from nllcheck.target import Batch, Target
from nllcheck.types import Graph, Site


@dataclass(frozen=True)
class LossGraph:
    """The captured program: `graph` for words, `module` for numbers, node i of one being node i of the other."""

    graph: Graph
    module: fx.GraphModule
    values: tuple[Any, ...]  # every node's value on the batch, detached, in the training dtype
    program: Program
    seed: int

    @property
    def fx_nodes(self) -> list[fx.Node]:
        """The fx nodes in the order of `graph.nodes`."""
        return [n for n in self.module.graph.nodes if n.op != "output"]

    @property
    def loss(self) -> torch.Tensor:
        """The loss on the batch, a 0-d tensor."""
        return self.values[self.graph.loss]

    @property
    def uniform(self) -> frozenset[int]:
        """Nodes with one number a row, (N,) or (N, 1), whose rows are all equal on the batch."""
        columns = (
            (i, v) for i, v in enumerate(self.values) if isinstance(v, torch.Tensor) and v.shape[:1] == (v.numel(),)
        )
        return frozenset(i for i, v in columns if v.numel() and bool((v == v.reshape(-1)[0]).all()))

    @property
    def branches(self) -> tuple[tuple[int, Site | None], ...]:
        """Places where Python read a tensor's value: (node read, site). The capture holds for that value."""
        reads = [n for n in self.graph.nodes if n.op == "_local_scalar_dense"]
        return tuple((n.args[0].index, n.site) for n in reads)  # type: ignore[union-attr]


def capture(target: Target, batch: Batch, seed: int = 0, inputs_select: bool = False) -> LossGraph:
    """Trace model and loss on one batch. Raises what the user's code or torch's tracer raises.

    `inputs_select`: what a mask selects may change with the model's inputs, too, not with its weights alone.
    """
    prog = program(target, batch)
    module = forward_graph(prog, seed, inputs_select)
    values = _values(module, prog, seed)
    plain = plain_graph(module, prog.leaves, values)
    return LossGraph(replace(plain, terms=terms_in(plain, target.terms)), module, values, prog, seed)


def replayed(target: Target, batch: Batch, graph: LossGraph) -> LossGraph:
    """The captured program on another batch of the same shapes. It holds there if it reads no value (`branches`)."""
    prog = program(target, batch)
    return replace(graph, values=_values(graph.module, prog, graph.seed), program=prog)


def on_device(graph: LossGraph, device: torch.device) -> LossGraph:
    """The captured program as it computes on another device: with its numbers, and its draws of noise."""
    if graph.loss.device == device:
        return graph
    module = put_on(copy.deepcopy(graph.module.graph), constants_of(graph.module), device)
    leaves = tuple(replace(leaf, value=leaf.value.to(device)) for leaf in graph.program.leaves)
    prog = replace(graph.program, leaves=leaves)
    return replace(graph, module=module, values=_values(module, prog, graph.seed), program=prog)


def _values(module: fx.GraphModule, prog: Program, seed: int) -> tuple[Any, ...]:
    with quiet_numerics(seed), torch.no_grad():
        return tuple(_detached(v) for v in run_all(module, [leaf.value for leaf in prog.leaves]))


def _detached(value: Any) -> Any:
    return value.detach() if isinstance(value, torch.Tensor) else value
