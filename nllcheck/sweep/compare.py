"""A joint graph in its own dtype and in float64 side by side: how far each op's value is off.

Both run in one program, so that a value goes with its last use: what a point holds at a time is what a sweep holds,
three times over for float32.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import fx

from nllcheck.capture.interpret import constants_of, promoted
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.program import copied, extremes, floats_of

_WIDE = "wide_"


class Difference(NamedTuple):
    """0-d float64: a tensor's largest error, smallest and largest element, and its dtype's eps and smallest normal."""

    error: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor
    eps: torch.Tensor
    tiny: torch.Tensor


def comparing(joint: Joint, names: tuple[str, ...]) -> fx.GraphModule:
    """`module(*moved, *moved in float64) -> differences`: for each of `names` a tuple, one for each float output."""
    graph, watched = fx.Graph(), set(names)
    own, wide = _inputs(graph, joint.module), _inputs(graph, joint.module, _WIDE)
    differ: dict[str, fx.Node] = {}
    for node in joint.module.graph.nodes:
        if node.op in ("placeholder", "output"):
            continue
        own[node] = copied(graph, node, own, None)
        wide[node] = copied(graph, node, wide, torch.float64)
        if node.op == "get_attr":
            wide[node].target = _WIDE + str(node.target)
        if node.name in watched:
            differ[node.name] = graph.call_function(difference, (own[node], wide[node]))
    graph.output(tuple(differ[name] for name in names))
    constants = constants_of(joint.module)
    twins = {_WIDE + name: promoted(value, torch.float64) for name, value in constants.items()}
    return fx.GraphModule(constants | twins, graph)


def _inputs(graph: fx.Graph, source: fx.GraphModule, prefix: str = "") -> dict[fx.Node, fx.Node]:
    return {n: graph.placeholder(prefix + str(n.target)) for n in source.graph.nodes if n.op == "placeholder"}


def difference(own: Any, wide: Any) -> tuple[Difference, ...]:
    """How far each float tensor of an op's output is from the same in float64."""
    pairs = zip(floats_of(own), floats_of(wide), strict=True)
    return tuple(_difference(a, b.double()) for a, b in pairs)


def _difference(own: torch.Tensor, wide: torch.Tensor) -> Difference:
    info, error = torch.finfo(own.dtype), (own.double() - wide).abs().amax()
    return Difference(error, *extremes(wide), torch.full_like(error, info.eps), torch.full_like(error, info.tiny))
