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

    It is meant where the loss makes the column itself (`x[:, None]`, `x.unsqueeze(1)`, `x.view(-1, 1)`).
    """
    found = (node for node in graph.nodes if node.zone == "loss" and node.site and not is_library(node.site))
    pairs = [(node, sides) for node in found for sides in _sides(graph, node) if not {*sides} & {*uniform}]
    return [_finding(graph, node, *sides) for node, sides in pairs[:1]]


def _sides(graph: Graph, node: Node) -> Iterator[tuple[int, int]]:
    """(column, row) of an op that makes a square of them, one of the two from the targets alone, the other not."""
    read = [graph.nodes[k] for k in refs(node)]
    if len(read) != 2:
        return
    column, row = sorted((_narrow(graph, n) for n in read), key=lambda n: -len(n.shape))
    size = len(row.shape) and row.shape[0]
    square = (size, size) == node.shape or all(n.shape == (size, size) for n in read)  # torch's losses expand first
    if not square or size < 2 or (column.shape, row.shape) != ((size, 1), (size,)):
        return
    from_targets = [bool(ancestors(graph, n.index) & set(graph.targets)) for n in (column, row)]
    if from_targets[0] != from_targets[1] and all(map(_varies, (column, row))) and not _is_made(graph, column):
        yield column.index, row.index


def _narrow(graph: Graph, node: Node) -> Node:
    """The value itself, where this is its expansion."""
    return graph.nodes[refs(node)[0]] if node.aten.startswith("aten.expand.") and refs(node) else node


def _varies(node: Node) -> bool:
    return node.op != "constant"


def _is_made(graph: Graph, column: Node) -> bool:
    """Did the loss itself make this a column?"""
    if column.zone != "loss" or column.op in ("input", "linear", "matmul"):
        return False
    same = [n for n in map(graph.nodes.__getitem__, refs(column)) if n.shape == column.shape]
    if column.aten.startswith(_SHAPED) or not same:
        return not column.aten.startswith(_CUT)
    return any(_is_made(graph, n) for n in same)


def _finding(graph: Graph, node: Node, column: int, row: int) -> Finding:
    size = graph.nodes[row].shape[0]
    one, other = (f"{spelled(graph, Ref(k))}, of shape {graph.nodes[k].shape}," for k in (column, row))
    text = f"{one} meets {other[:-1]}: broadcast to {size} x {size}, every prediction is held against every target"
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
