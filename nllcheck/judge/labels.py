"""A cross entropy whose labels leave [0, 1] on the batch: a sure score lowers the loss of such a sample without end.

-t log p - (1 - t) log(1 - p) has its lowest value at p = t. With t = -1, 2 or 255 there is none: one of the two weights
is negative, and what it weighs has no bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent
from nllcheck.sweep.joint import Joint
from nllcheck.types import Event, Graph, Judged, Node, Ref

SLACK = 1e-3  # a label this far outside is rounding
LOGS = ("log", "log1p", "log2", "log10", "logsigmoid")
LIBRARY = "binary_cross_entropy_with_logits"


def off_labels(graph: LossGraph, joint: Joint) -> list[Judged]:
    """One verdict for each cross entropy that reads labels below 0 or above 1, masked ones left out."""
    pairs = ((product, graph.values[label]) for product, label in _weighed(graph.graph))
    outside = ((product, v, (v < -SLACK) | (v > 1 + SLACK)) for product, v in pairs if v.is_floating_point())
    felt = ((product, v, _felt(joint, product, out)) for product, v, out in outside if bool(out.any()))
    return [_told(product, value[out], value.numel()) for product, value, out in felt if bool(out.any())]


def _weighed(graph: Graph) -> Iterator[tuple[int, int]]:
    """(product, label): where 1 - label weighs what the model gives, in torch's function or written out."""
    moving = depends_on(graph, {n.index for n in graph.nodes if n.op == "input"} - set(graph.targets))
    products = [n for n in graph.nodes if n.op == "mul" and n.index in moving]
    complements = ((n.index, label) for n in graph.nodes if (label := _complemented(graph, n)) is not None)
    for complement, label in complements:
        for product in products:
            if complement in refs(product) and _is_entropy(graph, complement, product, label, products):
                yield product.index, label


def _complemented(graph: Graph, node: Node) -> int | None:
    """The t of 1 - t."""
    if node.op != "sub" or len(node.args) < 2 or not isinstance(node.args[1], Ref):
        return None
    one = node.args[0]
    filled = LIBRARY in node.inside and isinstance(one, Ref) and graph.nodes[one.index].op == "full"
    return node.args[1].index if one == 1 or filled else None


def _is_entropy(graph: Graph, complement: int, product: Node, label: int, products: list[Node]) -> bool:
    """Is (1 - t) * log(...) met by a t * log(...), or is it torch's own?"""
    if LIBRARY in product.inside:
        return True
    mates = [p for p in products if label in refs(p)]
    return _has_log(graph, product, complement) and any(_has_log(graph, p, label) for p in mates)


def _has_log(graph: Graph, product: Node, label: int) -> bool:
    return any(_behind(graph, r).op in LOGS for r in refs(product) if r != label)


def _behind(graph: Graph, index: int) -> Node:
    """What a value shows, sign and view apart."""
    node = graph.nodes[index]
    while (node.op == "neg" or is_transparent(node.op)) and len(refs(node)) == 1:
        node = graph.nodes[refs(node)[0]]
    return node


def _felt(joint: Joint, product: int, outside: torch.Tensor) -> torch.Tensor:
    """Which of these labels the loss reads: those of masked samples have a gradient of exactly 0."""
    runner = Runner(joint.forward)
    node = next((n for n in joint.forward.graph.nodes if (n.meta.get("custom") or {}).get("origin") == product), None)
    if node is None:
        return torch.zeros_like(outside)
    with plain_kernels(), torch.enable_grad():
        free = [b.detach().clone().requires_grad_(t) for b, t in zip(joint.base, joint.trained, strict=True)]
        loss = runner.run(*free)
        value = runner.env[node]
        if not (loss.requires_grad and value.requires_grad) or value.shape != outside.shape:
            return torch.zeros_like(outside)
        slope = torch.autograd.grad(loss, value, allow_unused=True, materialize_grads=True)[0]
    return outside & (slope != 0)


def _told(product: int, labels: torch.Tensor, count: int) -> Judged:
    low, high = float(labels.min()), float(labels.max())
    worst = low if -low > high - 1 else high
    detail = f"{len(labels)} of {count} labels on the batch lie outside [0, 1], such as {worst:.4g}"
    event = Event("unbounded", "forward", product, None, math.nan, None, on_batch=True, detail=detail)
    reason = f"with a label of {worst:.4g} one of the weights t and 1 - t is negative, and its logarithm has no bound"
    return Judged(event, "wrong-formula", 1.0, reason)
