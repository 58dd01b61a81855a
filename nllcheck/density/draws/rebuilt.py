"""A changed forward program as a `LossGraph` of its own, and which of its nodes stand for which of the first."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import quiet_numerics
from nllcheck.capture.plain import plain_graph
from nllcheck.capture.program import Leaf
from nllcheck.types import Axis, Density


@dataclass(frozen=True)
class Rebuilt:
    """`origins`: of each node of `graph` the plain index of the one of the first program that it stands for."""

    graph: LossGraph
    origins: tuple[int, ...]

    def after(self, first: Rebuilt) -> Rebuilt:
        """With the origins in the program that `first` was made from."""
        return replace(self, origins=tuple(first.origins[k] for k in self.origins))

    def axes(self, axes: tuple[Axis, ...]) -> tuple[Axis, ...]:
        """Those of the first program's axes whose nodes are still there."""
        now = {k: i for i, k in reversed(list(enumerate(self.origins)))}
        return tuple(replace(a, node=now[a.node], other=now.get(a.other, -1)) for a in axes if a.node in now)

    def told(self, answer: Density) -> Density:
        """An answer on this program with the first one's nodes."""
        wrong = tuple(replace(d, node=self.origins[d.node]) for d in answer.divergences)
        return replace(answer, nodes=tuple(self.origins[k] for k in answer.nodes), divergences=wrong)


def with_leaf(graph: LossGraph, leaf: Leaf) -> LossGraph:
    """With one more tensor that the program starts from, which nothing reads yet."""
    return replace(graph, program=replace(graph.program, leaves=(*graph.program.leaves, leaf)))


def rebuilt(
    graph: LossGraph, new: fx.Graph, made: dict[fx.Node, fx.Node], given: dict[fx.Node, Tensor],
    targets: tuple[int, ...] | None = None,
) -> Rebuilt:  # fmt: skip
    """`new` holds every placeholder of `graph`, in their order. `made`: of its nodes (not placed ones: of none) the
    first program's; `given`: values of leaves and draws; `targets`: where others than the first program's are. Raises
    what the ops raise."""
    place = {n: i for i, n in enumerate(graph.fx_nodes)}
    new.eliminate_dead_code(is_impure_node=lambda n: n.op in ("placeholder", "output"))
    module = fx.GraphModule(graph.module, new)
    nodes = [n for n in new.nodes if n.op != "output"]
    leaves = [given.get(n, graph.values[place[made[n]]]) for n in nodes if n.op == "placeholder"]
    values = _run(module, leaves, {n.name: v for n, v in given.items()}, graph.seed)
    pairs = zip(graph.program.leaves, leaves, strict=True)
    program = replace(graph.program, leaves=tuple(replace(leaf, value=value) for leaf, value in pairs))
    plain = plain_graph(module, program.leaves, values)
    plain = replace(plain, targets=graph.graph.targets if targets is None else targets, weights=graph.graph.weights,
                    buffers=graph.graph.buffers)  # fmt: skip
    changed = replace(graph, graph=plain, module=module, values=values, program=program)
    return Rebuilt(changed, tuple(place[made[n]] for n in nodes))


def _run(module: fx.GraphModule, leaves: list[Tensor], given: dict[str, Tensor], seed: int) -> tuple[Any, ...]:
    runner = Runner(module, given=given)
    with quiet_numerics(seed), torch.no_grad():
        runner.run(*leaves)
    values = (runner.env[n] for n in module.graph.nodes if n.op != "output")
    return tuple(v.detach() if isinstance(v, Tensor) else v for v in values)
