"""Reparameterised samples in a graph: z = mu + sigma * noise with standard normal noise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent, row
from nllcheck.types import Node

MOST = 8
_NOISE = ("noise", "eps", "epsilon")
_PLAIN = ("mul", "add", "sub", "div", "neg", "clamp")  # beside the elementwise functions of one value


@dataclass(frozen=True, slots=True)
class Latent:
    """Plain indices of the nodes of one sample; `raw_mean` and `raw_scale` are what mu and sigma are functions of."""

    sample: int
    mean: int
    scale: int
    noise: int
    raw_mean: int
    raw_scale: int


def latents(graph: LossGraph) -> tuple[Latent, ...]:
    """The first `MOST` of them, in the order of the program."""
    found = [one for noise in noises(graph) for one in _drawn_with(graph, noise)]
    return tuple(found[:MOST])


def noises(graph: LossGraph) -> list[int]:
    """What is drawn, or given as a draw, from a standard normal: plain indices."""
    pairs = zip(graph.fx_nodes, graph.graph.nodes, strict=True)
    drawn = [p for n, p in pairs if is_fixed(n) and row(p.op).kind == "random" and "float" in p.dtype]
    return _given(graph) + [p.index for p in drawn if "randn" in p.aten or "normal" in p.aten]


def _given(graph: LossGraph) -> list[int]:
    """Arguments of a bare function that hold a draw: named as one, and about as wide as a standard normal one."""
    named = [n.index for n in graph.graph.nodes if n.op == "input" and "float" in n.dtype and n.name in _NOISE]
    wide = [i for i in named if i not in graph.graph.targets and graph.values[i].numel() > 2]
    return [i for i in wide if 0.5 < float(graph.values[i].double().square().mean().sqrt()) < 1.6]


def _drawn_with(graph: LossGraph, noise: int) -> Iterator[Latent]:
    nodes = graph.graph.nodes
    shown = _shown(nodes, noise)
    for total in (n for n in nodes if n.op == "addcmul" and len(n.args) == 3 and len(refs(n)) == 3):
        middle, *factors = refs(total)
        if len(set(factors) & shown) == 1:
            yield from _followed(graph, total.index, middle, next(r for r in factors if r not in shown), noise)
    for product in (n for n in nodes if n.op == "mul" and len(refs(n)) == 2 and set(refs(n)) & shown):
        scale = next((r for r in refs(product) if r not in shown), None)
        for total in (n for n in nodes if n.op == "add" and len(refs(n)) == 2 and product.index in refs(n)):
            mean = next(r for r in refs(total) if r != product.index) if len(set(refs(total))) == 2 else None
            if scale is not None and mean is not None and total.args[2:] == ():
                yield from _followed(graph, total.index, mean, scale, noise)


def _shown(nodes: tuple[Node, ...], noise: int) -> set[int]:
    """The noise and what shows it unchanged."""
    found = {noise}
    for node in nodes:
        if is_transparent(node.op) and refs(node)[:1] and refs(node)[0] in found:
            found.add(node.index)
    return found


def _followed(graph: LossGraph, sample: int, mean: int, scale: int, noise: int) -> Iterator[Latent]:
    """With what mu and sigma are made of, if these are two tensors that do not depend on one another."""
    raw_mean, raw_scale = _raw(graph, mean), _raw(graph, scale)
    apart = raw_mean not in depends_on(graph.graph, {raw_scale}) and raw_scale not in depends_on(
        graph.graph, {raw_mean}
    )
    same = graph.values[mean].numel() == graph.values[scale].numel() == graph.values[sample].numel()
    if apart and same:
        yield Latent(sample, mean, scale, noise, raw_mean, raw_scale)


def _raw(graph: LossGraph, index: int) -> int:
    """Up through functions of one tensor, element by element, to what they are functions of."""
    node = graph.graph.nodes[index]
    while len(set(refs(node))) == 1 and (is_transparent(node.op) or _is_function(node)):
        before = graph.values[refs(node)[0]]
        if not isinstance(before, torch.Tensor) or before.numel() != graph.values[index].numel():
            break
        node = graph.graph.nodes[refs(node)[0]]
    return node.index


def _is_function(node: Node) -> bool:
    return node.op in _PLAIN or row(node.op).kind == "elementwise"
