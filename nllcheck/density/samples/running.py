"""A cut graph run at many settings at once, as far as some of its nodes need it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, promoted
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.samples.prune import until
from nllcheck.density.samples.sample import WIDE
from nllcheck.sweep.joint import cut


def run_at(graph: LossGraph, moved: tuple[int, ...], values: Sequence[Tensor], wanted: tuple[int, ...]) -> list[Tensor]:
    """Plain nodes `wanted`, (S, ...) each in float64, at (S, ...) values of the nodes `moved`."""
    module = cut(graph, moved)
    names = by_origin(module, moved)
    if any(k not in names for k in wanted):
        raise ValueError("the loss does not read it")
    return run_to(module, [names[k] for k in wanted], values)


def by_origin(module: fx.GraphModule, moved: Sequence[int]) -> dict[int, fx.Node]:
    """Nodes of a cut graph by their plain index."""
    nodes = {n.name: n for n in module.graph.nodes}
    made = {(n.meta.get("custom") or {}).get("origin"): n for n in nodes.values()}
    return made | {i: nodes[f"moved_{i}"] for i in moved if f"moved_{i}" in nodes}


def run_to(module: fx.GraphModule, wanted: Sequence[fx.Node], values: Sequence[Tensor]) -> list[Tensor]:
    """The module run at (S, ...) values of its placeholders, as far as `wanted` needs it: (S, ...) each."""
    short = until(module, wanted)

    def at(*tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(Runner(short, WIDE, keep=False).run(*tensors))

    with torch.no_grad(), plain_kernels():
        return list(torch.func.vmap(at)(*(promoted(v, WIDE) for v in values)))
