"""Axes inside the model: what can fail before the boundary is reached, and the raw values that lead there.

A normalisation without epsilon between two layers is out of reach of the model's output. The nearest values that
training can put anywhere are the linear layers, weights and inputs before it: the boundary, taken once more for
every op inside that has a pole.
"""

from __future__ import annotations

import math
from dataclasses import replace

from nllcheck import ops
from nllcheck.axes import _channel_axes, _is_float, _moves, depends_on, label_of, whole_axis
from nllcheck.axes.boundary import Boundary, boundary, raw_values_before
from nllcheck.axes.extent import value_bounds
from nllcheck.axes.goals import row_goals
from nllcheck.axes.selection import steering
from nllcheck.axes.view import View
from nllcheck.graphs import ancestors, refs
from nllcheck.types import Axis, Effort, Graph, Node, Ref

MOST: dict[Effort, int] = {"quick": 0, "default": 6, "thorough": 24}  # raw values that are moved
WORK: dict[Effort, float] = {
    "quick": 0.0,
    "default": 3e9,
    "thorough": 6e10,
}  # elements computed: large models get fewer
_PASS = 3 * 60 * 5  # forward and backward, at the fewest points, on the axes of one raw value
_HARMLESS = ("mean", "var", "remainder")  # their pole is a matter of shape, or seldom met


def inside_axes(graph: View, effort: Effort = "default") -> tuple[tuple[Axis, ...], tuple[str, ...]]:
    """Axes of the raw values before the model's own singular ops, and what was left out, in words."""
    edges = boundary(graph.graph)
    nodes = hidden(graph, edges)
    size = sum(math.prod(n.shape) for n in graph.graph.nodes)
    most = min(MOST[effort], int(WORK[effort] / (_PASS * size)))
    kept, left = nodes[:most], nodes[most:]
    axes = [axis for node in kept for axis in _axes_of(graph, node, edges, effort)]
    names = ", ".join(dict.fromkeys(label_of(graph.graph, n) for n in left[:3]))
    why = f"{len(left)} raw values inside the model were not swept ({names}): more --effort takes more of them"
    return tuple(a for a in axes if _moves(a)), ((why,) if left else ())


def hidden(graph: View, edges: Boundary) -> tuple[int, ...]:
    """The raw values that lead to a singular op upstream of the boundary, the nearest to the loss first."""
    inner = interior(graph.graph, edges)
    moving = depends_on(graph.graph, {n.index for n in graph.graph.nodes if n.op == "input"})
    moving -= _reparametrised(graph)
    risky = [n for n in graph.graph.nodes if n.index in inner & moving and _is_risky(graph.graph, n)]
    last = {(n.site.path, n.site.line, n.op) if n.site else n.index: n.index for n in risky}  # of an unrolled loop
    found = {raw for node in last.values() for raw in raw_values_before(graph.graph, node)}
    free = _summed(graph.graph, found) - set(edges.all) - steering(graph.graph)
    return tuple(sorted((n for n in free if _can_move(graph, n)), reverse=True))


def _summed(graph: Graph, raws: set[int]) -> set[int]:
    """A recurrent cell's input and state pass a layer each, and nothing reads but their sum: it takes any value, a
    constant row, too, to which neither of them leads alone."""
    found = set(raws)
    for node in (n for n in graph.nodes if n.op == "add"):
        parts = set(refs(node))
        if len(parts) == 2 and parts <= found and _readers(graph, parts) == {node.index}:
            found = (found - parts) | {node.index}
    return found


def _readers(graph: Graph, parts: set[int]) -> set[int]:
    return {n.index for n in graph.nodes if not parts.isdisjoint(refs(n))}


def _reparametrised(graph: View) -> set[int]:
    """What torch makes of weights alone (a spectral norm): it vanishes only with the weight, which moves, too."""
    leaves = [n.index for n in graph.graph.nodes if n.op == "input"]
    data = {n for n in leaves if graph.program.leaves[n].role in ("input", "target")}
    return {n.index for n in graph.graph.nodes if n.inside} - depends_on(graph.graph, data)


def interior(graph: Graph, edges: Boundary) -> frozenset[int]:
    """Nodes upstream of the boundary's raw outputs: they are computed before what the default axes move."""
    read = (r for output in edges.outputs for r in refs(graph.nodes[output]))
    return frozenset(ancestors(graph, *read))


def levels(graph: Graph, nodes: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """The nodes in groups of which none depends on another of its group: each can be cut at once."""
    depth: dict[int, int] = {}
    for node in sorted(nodes):
        before = [m for m in depth if node in depends_on(graph, {m})]
        depth[node] = 1 + max((depth[m] for m in before), default=-1)
    return tuple(tuple(n for n in depth if depth[n] == k) for k in range(max(depth.values(), default=-1) + 1))


def _is_risky(graph: Graph, node: Node) -> bool:
    if not ops.row(node.op).pole or node.op in _HARMLESS or not _is_float(node):
        return False
    second = node.args[1] if len(node.args) > 1 else None
    if node.op == "div":
        return isinstance(second, Ref) and graph.nodes[second.index].op not in ("constant", "full")
    return not (node.op == "pow" and isinstance(second, int) and second >= 0)


def _can_move(graph: View, node: int) -> bool:
    plain = graph.graph.nodes[node]
    leaves = graph.program.leaves
    fixed = plain.op == "input" and leaves[node].role not in ("weight", "input")
    return _is_float(plain) and math.prod(plain.shape) > 0 and not fixed


def _axes_of(graph: View, node: int, edges: Boundary, effort: Effort) -> list[Axis]:
    """All elements alike, their common scale, rows that vanish or coincide; in a thorough check each channel."""
    plain = graph.graph.nodes[node]
    whole = replace(whole_axis(graph, node, "hidden"), domain=_domain(graph, node))
    parts = _channel_axes(graph, node, "hidden", edges) if effort == "thorough" else []
    parts = [replace(a, domain=whole.domain) for a in parts if a.channel]
    scale = replace(whole, label=f"{whole.label} × scale", mode="scale", selector=f"{whole.selector}*scale")
    scaled = [replace(scale, observed=(1.0, 1.0), domain=(-math.inf, math.inf))] if math.prod(plain.shape) > 1 else []
    goals = row_goals(whole, plain) if whole.domain == (-math.inf, math.inf) else []
    return [whole, *parts, *scaled, *goals]


def _is_weight(graph: View, node: int) -> bool:
    return graph.graph.nodes[node].op == "input" and graph.program.leaves[node].role == "weight"


def _domain(graph: View, node: int) -> tuple[float, float]:
    """What is positive throughout may be so by its making (a spectral norm, counts): it stays so. Weights are free,
    and so is a layer of them: that all of its outputs have one sign is the batch's doing."""
    low, high = whole_axis(graph, node, "hidden").observed
    low = max(low, value_bounds(graph.graph, node)[0])
    plain = graph.graph.nodes[node]
    parts = [graph.graph.nodes[r] for r in refs(plain)] if plain.op == "add" else [plain]
    layers = [p.op == "linear" and any(_is_weight(graph, r) for r in refs(p)) for p in parts]
    if _is_weight(graph, node) or any(layers):
        return (-math.inf, math.inf)
    return (0.0, math.inf) if low >= 0 else (-math.inf, 0.0) if high <= 0 else (-math.inf, math.inf)
