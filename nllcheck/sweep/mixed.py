"""The captured program under autocast."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx

from nllcheck.autocast import MixedStep, mixed
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, is_fixed
from nllcheck.capture.numerics import plain_kernels, quiet_numerics
from nllcheck.ops import packet


class _Same(Runner):
    """Draws no noise anew: a fixed node keeps the value that it has in the captured program.

    Of a linear layer that was captured as a product and a sum, autocast casts the bias with the rest.
    """

    def __init__(self, graph: LossGraph) -> None:
        super().__init__(graph.module)
        nodes = dict(zip(graph.fx_nodes, zip(graph.graph.nodes, graph.values, strict=True), strict=True))
        self.fixed = {n: value for n, (_, value) in nodes.items() if is_fixed(n)}
        self.biases = {n for n, (plain, _) in nodes.items() if plain.op == "input" and str(plain.name).endswith("bias")}

    def run_node(self, n: fx.Node) -> Any:
        result = self.fixed[n] if n in self.fixed else super().run_node(n)
        halves = [self.env[i].dtype for i in n.all_input_nodes if i not in self.biases] if self._adds_bias(n) else []
        return result.to(halves[0]) if halves else result

    def _adds_bias(self, n: fx.Node) -> bool:
        return packet(str(n.target)) == "add" and any(i in self.biases for i in n.all_input_nodes)


def mixed_values(graph: LossGraph, step: MixedStep) -> LossGraph:
    """The same program with every node's value, and so its dtype, as it is under the step's autocast."""
    runner = _Same(graph)
    with quiet_numerics(graph.seed), torch.no_grad(), plain_kernels(), mixed(step, graph.loss.device.type):
        runner.run(*(leaf.value for leaf in graph.program.leaves))
    return replace(graph, values=tuple(runner.env[n] for n in graph.fx_nodes))
