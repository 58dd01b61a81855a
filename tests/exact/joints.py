"""A loss as the program that exact arithmetic runs."""

from __future__ import annotations

from collections.abc import Callable

import torch

from nllcheck.axes.boundary import boundary
from nllcheck.capture import capture
from nllcheck.sweep.joint import Joint, joint_graph
from nllcheck.target import Batch, Target


def joint_of(loss: Callable[..., torch.Tensor], tensors: dict[str, torch.Tensor], targets=()) -> Joint:
    batch = Batch(kwargs=dict(tensors), whole=dict(tensors))
    graph = capture(Target("t", loss, "loss", None, (batch,), "function", target_names=tuple(targets)), batch)
    moved = [n for n in boundary(graph.graph).all if "float" in graph.graph.nodes[n].dtype]
    return joint_graph(graph, moved, 0)
