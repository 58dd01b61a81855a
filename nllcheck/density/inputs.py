"""What a loss without a target is a density of: the data that its model reads, as with a normalising flow."""

from __future__ import annotations

import re
from dataclasses import replace

from nllcheck import ops
from nllcheck.axes import whole_axis
from nllcheck.capture import LossGraph
from nllcheck.graphs import ancestors
from nllcheck.types import Axis, Graph

MOVED = 2  # parameters, for each takes a network's run over all targets again
_NLL = re.compile(r"(^|[_.:])(nll|neg\w*_?log_?lik\w*|log_?lik\w*|log_?probs?)(_|\d|$)", re.I)


def says_likelihood(loss_name: str) -> bool:
    """Is the loss called one, and no more can be meant than that of its inputs?"""
    return bool(_NLL.search(loss_name))


def of_inputs(graph: LossGraph) -> LossGraph | None:
    """The loss with the one tensor of data that the model reads in the target's place.

    None where a target is read, no model, or another number of such tensors; and where noise is drawn, since a bound
    on a likelihood is no density of its data.
    """
    plain = graph.graph
    reads = ancestors(plain, plain.loss)
    data = [k for k in _floats(plain) if k in reads and plain.nodes[k].name not in plain.weights]
    drawn = any(ops.row(plain.nodes[k].op).kind == "random" for k in reads)
    if reads & set(plain.targets) or not plain.weights or drawn or len(data) != 1:
        return None
    return replace(graph, graph=replace(plain, targets=(data[0],)))


def parameters(graph: LossGraph) -> tuple[Axis, ...]:
    """The largest parameters that the loss reads: what is left to move, since all layers read the data."""
    plain = graph.graph
    reads = ancestors(plain, plain.loss)
    own = [k for k in _floats(plain) if k in reads and plain.nodes[k].name in plain.weights]
    largest = sorted(own, key=lambda k: (-graph.values[k].numel(), k))[:MOVED]
    return tuple(whole_axis(graph, k, "weight") for k in largest)


def _floats(graph: Graph) -> list[int]:
    return [n.index for n in graph.nodes if n.op == "input" and "float" in n.dtype and n.index not in graph.buffers]
