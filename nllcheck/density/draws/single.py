"""Several draws of a latent variable: the loss with one of them in the place of all.

The average of -log p(y | z_k) - log p(z_k) + log q(z_k) over draws is a bound (Kingma and Welling 2014, eq. 7), and so
is -log of the mean of the weights p(y, z_k) / q(z_k) (Burda et al. 2016, eq. 8). Neither is the -log density of one
draw, and both are just that where the draws agree. With one draw in the place of all they are the plain bound, term
by term, of which all else is asked.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from torch import Tensor, fx

from nllcheck.capture import LossGraph
from nllcheck.capture.plain import op_of
from nllcheck.density.chain import drawn_in
from nllcheck.density.draws.cuts import Cut, is_drawn
from nllcheck.density.draws.rebuilt import Rebuilt
from nllcheck.density.draws.repeats import without_repeats
from nllcheck.density.draws.shrunk import shrunk

SHARE = 4  # of the memory: the rest is for what the ops need meanwhile
MOST = 12  # ways to read the draws that are tried
ONE_DRAW = "Of the several draws of one sample a single one stands for all here."


def with_one_draw(graph: LossGraph, memory: int = 2**30) -> Rebuilt | None:
    """The program with one draw where it takes several that are used alike; None where it does not, or where holding
    its values twice in float64 takes more than a part of `memory`, in bytes."""
    held = sum(v.numel() for v in graph.values if isinstance(v, Tensor))
    if not graph.graph.targets or not drawn_in(graph) or 2 * 8 * held > memory // SHARE:
        return None
    found = without_repeats(graph)
    while (fewer := _fewer(found.graph if found else graph)) is not None:
        found = fewer.after(found) if found else fewer
    return found


def _fewer(graph: LossGraph) -> Rebuilt | None:
    ways = itertools.product(itertools.islice(_readings(graph), MOST), (True, False))
    return next((made for starts, eager in ways if (made := shrunk(graph, starts, eager)) is not None), None)


def _readings(graph: LossGraph) -> Iterator[dict[fx.Node, Cut]]:
    """Where the draws may be: along a dimension of what is computed in a loop and stacked, or of what is drawn."""
    stacks = {n: cut for n in graph.fx_nodes if (cut := _stacked(graph, n)) is not None}
    for count in dict.fromkeys(c.count for c in stacks.values()):
        yield {n: c for n, c in stacks.items() if c.count == count}
    values = dict(zip(graph.fx_nodes, graph.values, strict=True))
    drawn = [graph.fx_nodes[k] for k in drawn_in(graph)]
    for cut in dict.fromkeys(c for n in drawn for c in _cuts_of(graph, values[n])):
        sizes = {values[n].shape[cut.axis] for n in drawn if cut in _cuts_of(graph, values[n])}
        all_drawn = [n for n, v in values.items() if (n in drawn or is_drawn(n)) and isinstance(v, Tensor)]
        starts = {n: cut for n in all_drawn if values[n].dim() > cut.axis and values[n].shape[cut.axis] in sizes}
        if starts and all(_is_free(n, c, values) for n, c in starts.items()):
            yield starts


def _stacked(graph: LossGraph, node: fx.Node) -> Cut | None:
    if node.op != "call_function" or op_of(node) not in ("stack", "cat"):
        return None
    parts, axis = list(node.args[0]), node.args[1] if len(node.args) > 1 else 0  # type: ignore[arg-type]
    whole = graph.values[graph.fx_nodes.index(node)]
    return Cut(int(axis) % whole.dim(), len(parts)) if len(parts) > 1 and len(set(parts)) == 1 else None  # type: ignore[arg-type]


def _cuts_of(graph: LossGraph, drawn: Tensor) -> list[Cut]:
    """Any dimension that is not the samples' own, the first where it is several times as long, and at last the first
    where there are as many draws as samples."""
    samples = {graph.values[k].shape[0] for k in graph.graph.targets if graph.values[k].dim()}
    alone = [Cut(d, size) for d, size in enumerate(drawn.shape) if size > 1 and (d or size not in samples)]
    times = [drawn.shape[0] // n for n in samples if n and drawn.dim() and not drawn.shape[0] % n]
    as_many = [Cut(0, size) for size in drawn.shape[:1] if size > 1 and size in samples and drawn.dim() > 1]
    return [*alone, *(Cut(0, k, whole) for k in times if k > 1 for whole in (True, False)), *as_many]


def _is_free(drawn: fx.Node, cut: Cut, values: dict[fx.Node, Any]) -> bool:
    """Is what meets the draws first the same for all of them? A sample's or a coordinate's own scale is not."""
    met = {n for r in drawn.users for n in r.all_input_nodes if n is not drawn and not is_drawn(n)}
    beside = ((v, cut.moved(v.dim() - values[drawn].dim())) for n in met if isinstance(v := values[n], Tensor))
    return all(own.axis < 0 or v.shape[own.axis] < 2 or own.is_in(v) for v, own in beside)
