"""Clamps inside library functions that hold values of the batch while the gradient goes on as if nothing were."""

from __future__ import annotations

import math

import torch

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.clamps import LOWEST_LOG, Clamp, library_clamp
from nllcheck.detect.gates import Stuck
from nllcheck.graphs import refs
from nllcheck.types import Node, Ref


def clamped(graph: LossGraph) -> list[Stuck]:
    """Values of the batch beyond a clamp that no closed gate tells of.

    `gaussian_nll_loss` clamps under `no_grad`: the gradient passes on. `binary_cross_entropy` clamps its logarithms: a
    probability of exactly 0 or 1 on the wrong side costs 100, however wrong it is.
    """
    found = []
    for node, clamp in _clamps(graph):
        held = _held(graph, node, clamp)
        if held is not None and bool(held.any()):
            bound = float(node.args[1]) if node.op == "clamp" else LOWEST_LOG
            found.append(Stuck(node.index, int(held.sum()), held.numel(), bound))
    return found


def remarks(graph: LossGraph, told: set[int]) -> list[str]:
    """Clamps of libraries, each function once, with the share of the batch that they hold.

    `told`: nodes that a finding names.
    """
    said: dict[str, str] = {}
    for node, clamp in _clamps(graph):
        value = graph.values[refs(node)[0]]
        if node.index not in told:
            place = f", line {node.site.line}," if node.site else ""
            count = int(_beyond(graph, node).sum())
            said.setdefault(
                str(clamp), f"{clamp}{place} holds {count or 'none'} of {value.numel()} values on the batch"
            )
    return list(said.values())


def _beyond(graph: LossGraph, node: Node) -> torch.Tensor:
    """Elements on the far side of a bound."""
    value = graph.values[refs(node)[0]]
    low, high = (LOWEST_LOG, None) if node.op != "clamp" else (*node.args[1:], None, None)[:2]
    if node.op != "clamp":
        value = torch.minimum(torch.log(value), torch.log1p(-value))
    below, above = (graph.values[b.index] if isinstance(b, Ref) else b for b in (low, high))
    held = torch.zeros_like(value, dtype=torch.bool)
    held = held if below is None else held | (value < below)
    return held if above is None else held | (value > above)


def _clamps(graph: LossGraph) -> list[tuple[Node, Clamp]]:
    """Those of values that the model gives."""
    data = set(graph.graph.targets)
    leaves = {n.index for n in graph.graph.nodes if n.op == "input" and n.index not in data}
    moving = depends_on(graph.graph, leaves)
    pairs = ((n, library_clamp(n)) for n in graph.graph.nodes if n.index in moving)
    return [(n, c) for n, c in pairs if c is not None]


def _held(graph: LossGraph, node: Node, clamp: Clamp) -> torch.Tensor | None:
    value = graph.values[refs(node)[0]]
    if clamp.function == "F.gaussian_nll_loss" and isinstance(node.args[1], float):
        return value < node.args[1]
    if node.op == "binary_cross_entropy" and len(node.args) > 1 and isinstance(node.args[1], Ref):
        label, least = graph.values[node.args[1].index], math.exp(LOWEST_LOG)
        return ((value < least) & (label > 0)) | ((1 - value < least) & (label < 1))
    return None
