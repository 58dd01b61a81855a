"""What values a bare function's argument can have: by its name, its values, and what reads it."""

from __future__ import annotations

import math

from nllcheck import ops
from nllcheck.graphs import refs
from nllcheck.names import domain_of_name, is_parameter_name
from nllcheck.types import Graph, Node

EVIDENCE = 2  # elements that are all positive, so that a tensor of another name counts as positive
_SQUASHING = ("relu", "leaky_relu", "gelu", "softplus", "sigmoid", "logsigmoid", "softmax", "log_softmax")


def argument_domain(graph: Graph, plain: Node, seen: tuple[float, float]) -> tuple[float, float]:
    """By its name, else positive if the batch is, so that a scale is no real number.

    What is only read by functions that make something positive, a share or a score of any number is a raw value.
    """
    name = plain.name or ""
    by_name = is_parameter_name(name) or seen[0] <= 0 or math.prod(plain.shape) < EVIDENCE
    return domain_of_name(name) if by_name or _is_squashed(graph, plain) else (0.0, math.inf)


def _is_squashed(graph: Graph, plain: Node) -> bool:
    shown, read = {plain.index}, []
    for node in graph.nodes[plain.index + 1 :]:
        if shown & set(refs(node)):
            if ops.is_transparent(node.op):
                shown.add(node.index)
            else:
                read.append(node.op)
    return bool(read) and all(op in _SQUASHING for op in read)
