"""A column of predictions against a row of targets: (N, 1) and (N,) are broadcast to N x N without a word."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from nllcheck.diagnose.builtin import PAIRED
from nllcheck.diagnose.texts import built
from nllcheck.diagnose.wording import is_library, sentence, spelled
from nllcheck.graphs import ancestors, refs
from nllcheck.types import Finding, Graph, Node, Ref

_SHAPED = ("aten.view.", "aten.reshape.", "aten.unsqueeze.")  # how a loss says that it wants a column
_CUT = ("aten.slice.", "aten.split", "aten.chunk.", "aten.narrow.")  # what leaves a column of a table without a word


def paired(graph: Graph, uniform: Collection[int] = ()) -> list[Finding]:
    """A warning at the first line of the loss where every prediction meets every target; none where that is meant,
    or where one side is `uniform`, so that all pairs say what each sample's own says.

    It is meant where the loss makes the column itself (`x[:, None]`, `x.unsqueeze(1)`, `x.view(-1, 1)`), where it
    compares (`x < y`), and where it takes all pairs elsewhere, too (`x - x.T`). It is not where the loss squeezes what
    comes out, nothing is squeezed, and that meets a target for each sample: a column was expected.
    """
    found = [n for n in graph.nodes if n.zone == "loss" and n.site and not is_library(n.site) and n.op != "compare"]
    pairs = [(node, sides) for node in found for sides in _sides(graph, node) if not {*sides} & {*uniform}]
    squeezed = _squeezed_in_vain(graph)
    for node in found:
        made = _column_and_row(graph, node) if node.index in squeezed else None
        if made and _meets_target(graph, squeezed[node.index], made[1]) and not {n.index for n in made} & {*uniform}:
            return [_finding(graph, node, made, "and squeeze leaves it so")]
    if not pairs or any(_is_of_pairs(graph, node) for node in found):
        return []
    node, (column, row) = pairs[0]
    read = graph.nodes[column], graph.nodes[row]
    return [_finding(graph, node, read, "every prediction is held against every target")]


def _squeezed_in_vain(graph: Graph) -> dict[int, int]:
    """What is squeezed in a dimension that is not 1, so that it stays as it is; and the squeeze."""
    squeezed = [n for n in graph.nodes if n.aten.startswith("aten.squeeze.dim")]
    return {refs(n)[0]: n.index for n in squeezed if graph.nodes[refs(n)[0]].shape == n.shape}


def _meets_target(graph: Graph, node: int, row: Node) -> bool:
    """Is it held elementwise against a target that has one number a sample, as the row has?"""
    beside = {r for n in graph.nodes if node in refs(n) for r in refs(n)} - {node}
    wide = [_narrow(graph, graph.nodes[r]) for r in beside]
    return any(n.shape == row.shape and _reads(graph, n, set(graph.targets)) for n in wide)


def _sides(graph: Graph, node: Node) -> Iterator[tuple[int, int]]:
    """(column, row) of an op that makes a square of them: one from the targets alone, the other from what the model
    reads (weights and constants may be as many as there are samples by chance)."""
    found = _column_and_row(graph, node)
    if found is None:
        return
    column, row = found
    of_target, of_data = ([_reads(graph, n, leaves) for n in (column, row)] for leaves in _leaves(graph))
    apart = of_target[0] != of_target[1] and of_data[of_target.index(False)]
    if apart and not _is_made(graph, column):
        yield column.index, row.index


def _column_and_row(graph: Graph, node: Node) -> tuple[Node, Node] | None:
    """The (N, 1) and the (N,) of which an op makes N x N."""
    read = [graph.nodes[k] for k in refs(node)]
    if len(read) != 2:
        return None
    column, row = sorted((_narrow(graph, n) for n in read), key=lambda n: -len(n.shape))
    size = len(row.shape) and row.shape[0]
    square = (size, size) == node.shape or all(n.shape == (size, size) for n in read)  # torch's losses expand first
    return (column, row) if square and size > 1 and (column.shape, row.shape) == ((size, 1), (size,)) else None


def _leaves(graph: Graph) -> tuple[set[int], set[int]]:
    """Targets, and what else is data."""
    given = {n.index for n in graph.nodes if n.op == "input" and n.name not in graph.weights}
    return set(graph.targets), given - {*graph.targets, *graph.buffers}


def _reads(graph: Graph, node: Node, leaves: set[int]) -> bool:
    return bool(ancestors(graph, node.index) & leaves)


def _is_of_pairs(graph: Graph, node: Node) -> bool:
    """A column against a row of shape (1, N)."""
    shapes = sorted(graph.nodes[k].shape for k in refs(node))
    return len(shapes) == 2 and len(shapes[0]) == 2 and shapes == [(1, shapes[1][0]), (shapes[1][0], 1)]


def _narrow(graph: Graph, node: Node) -> Node:
    """The value itself, where this is its expansion."""
    return graph.nodes[refs(node)[0]] if node.aten.startswith("aten.expand.") and refs(node) else node


def _is_made(graph: Graph, column: Node) -> bool:
    """Did the loss itself make this a column, or what it is computed from element by element?"""
    seen, stack = {column.index}, [column]
    while stack:
        node = stack.pop()
        if node.zone != "loss" or node.op in ("input", "linear", "matmul"):
            continue
        same = [n for n in map(graph.nodes.__getitem__, refs(node)) if n.shape == column.shape]
        if (node.aten.startswith(_SHAPED) or not same) and not node.aten.startswith(_CUT):
            return True
        stack += [n for n in same if n.index not in seen]
        seen |= {n.index for n in same}
    return False


def _finding(graph: Graph, node: Node, read: tuple[Node, Node], consequence: str) -> Finding:
    size = read[1].shape[0]
    one, other = (f"{spelled(graph, Ref(n.index))}, of shape {n.shape}," for n in read)
    text = f"{one} meets {other[:-1]}: broadcast to {size} x {size}, {consequence}"
    return Finding(
        kind="wrong-density",
        verdict="wrong-formula",
        severity="warning",
        phase="forward",
        op=node.op,
        site=node.site,
        reason="by the shapes; no value was needed to see it",
        on_batch=True,
        **built(PAIRED, sentence(text)),
    )
