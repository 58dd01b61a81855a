"""What a loss draws."""

from __future__ import annotations

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import is_fixed
from nllcheck.ops import row


def noise_of(graph: LossGraph) -> tuple[int, ...]:
    """Random floating nodes from which the loss depends, and that depend on nothing themselves."""
    return tuple(
        i
        for i, (node, plain) in enumerate(zip(graph.fx_nodes, graph.graph.nodes, strict=True))
        if is_fixed(node)
        and row(plain.op).kind == "random"
        and "float" in plain.dtype
        and graph.graph.loss in depends_on(graph.graph, {i})
    )
