"""View of a program -> axes: what can move, between which values, and the points to try."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from nllcheck import ops
from nllcheck.axes.boundary import Boundary, boundary
from nllcheck.axes.codes import within_codes
from nllcheck.axes.goals import goal_axes
from nllcheck.axes.labels import label_of, shown
from nllcheck.axes.masks import is_mask
from nllcheck.axes.pieces import alike, packed, pieces, slices
from nllcheck.axes.raw import argument_domain
from nllcheck.axes.selection import steering
from nllcheck.axes.sure import sure_axes
from nllcheck.axes.tested import NOWHERE, beyond, counted, wider
from nllcheck.axes.view import View
from nllcheck.graphs import refs
from nllcheck.names import domain_of_name, is_parameter_name
from nllcheck.types import Axis, Graph, Node, Ref

_REAL = (-math.inf, math.inf)
MANY = 8  # more channels than this are moved in groups
MOST_WEIGHTS = 6  # parameter tensors that reach the loss directly; the rest is listed as skipped


def default_axes(graph: View, steered: bool = False) -> tuple[tuple[Axis, ...], tuple[str, ...]]:
    """All axes that are swept without any option, and what was left out, in words.

    `steered`: also those on which a mask depends that selects elements, since each point is run by itself.
    """
    edges = boundary(graph.graph)
    axes: list[Axis] = []
    for node in edges.outputs:
        axes += _channel_axes(graph, node, "output", edges)
    weights = _heaviest(graph, edges.weights)
    for node in weights[:MOST_WEIGHTS]:
        axes += _weight_axes(graph, node)
    for node in edges.inputs:
        axes += _channel_axes(graph, node, "input", edges)
    for node in (n for n in edges.targets if _is_float(graph.graph.nodes[n])):
        is_given = node not in graph.graph.targets  # to the model, too: its columns mean different things
        axes += _channel_axes(graph, node, "target", edges) if is_given else [whole_axis(graph, node, "target")]
    axes += goal_axes(graph.graph, edges, [a for a in axes if _moves(a)])
    axes = within_codes(graph.graph, (part for a in axes for part in _apart(graph, a)))
    axes = [a for a in axes if a.role != "target" or not is_mask(_moved(graph, a))]
    axes = [a for a in axes if a.goal != "as labelled" or is_mask(graph.values[a.other])]
    axes = [a for a in axes if a.other < 0 or bool(torch.isfinite(graph.values[a.other]).all())]
    axes += sure_axes(graph, [a for a in axes if _moves(a)])
    axes += [whole_axis(graph, n, "intermediate") for n in named_intermediates(graph.graph, edges)]
    left = [str(graph.graph.nodes[n].name) for n in weights[MOST_WEIGHTS:]]
    told = f"{len(left)} parameters were not swept ({', '.join(left[:3])}, …): name one with --sweep"
    skipped = [told] if left else []
    fixed = frozenset() if steered else steering(graph.graph)
    names = dict.fromkeys(label_of(graph.graph, a.node) for a in axes if a.node in fixed)
    skipped += [f"{', '.join(names)} was not swept: what is selected depends on it"] if names else []
    free = (a for a in axes if _moves(a) and not fixed & {a.node, a.other, *(m.node for m in a.moves)})
    return tuple(free), tuple(skipped)


def _apart(graph: View, axis: Axis) -> list[Axis]:
    """A target that packs several quantities (time and event, mean and scale), one axis for each that the loss takes:
    what is ordinary for one of them lies far from all values of another. Alike ones may all be 0 together, too."""
    own = packed(graph.graph, axis.node) if axis.role == "target" and axis.mode == "set" else ()
    parts = [_piece(graph, axis, *ends) for ends in own] if len(own) <= MANY else []
    same = axis.domain[0] == 0 and {part.domain for part in parts} == {axis.domain}
    return [axis, *parts] if not parts or (same and alike([_moved(graph, part) for part in parts])) else parts


def _piece(graph: View, whole: Axis, start: int, stop: int) -> Axis:
    """A piece of a target, on the support that its own values suggest."""
    part = _part(graph, whole, start, stop)
    tested = beyond(graph.graph, part.node, _moved(graph, part), part.observed)
    return replace(part, domain=_target_domain(wider(part.observed, tested)), expected=tested)


def _moved(graph: View, axis: Axis) -> torch.Tensor:
    value = graph.values[axis.node]
    return value[..., slice(*axis.channel)] if axis.channel else value


def _heaviest(graph: View, nodes: tuple[int, ...]) -> list[int]:
    """Parameters by the size of their tensor: the large ones first, in a stable order."""
    return sorted(nodes, key=lambda n: (-math.prod(graph.graph.nodes[n].shape), n))


def _weight_axes(graph: View, node: int) -> list[Axis]:
    """All elements at one value; of what no layer multiplies with, such as a table of logits, larger and smaller as
    they are, too: a softmax of equal logits never says anything."""
    whole = whole_axis(graph, node, "weight")
    readers = [n for n in graph.graph.nodes if node in (shown(graph.graph, r).index for r in refs(n))]
    layered = all(ops.is_transparent(n.op) or ops.row(n.op).kind in ("linear", "norm") for n in readers)
    return [whole] if layered else [whole, *_scaled(whole, graph.graph.nodes[node])]


def _moves(axis: Axis) -> bool:
    return axis.observed[0] == axis.observed[0] or axis.mode == "set"


def _is_float(node: Node) -> bool:
    return "float" in node.dtype


def _channel_axes(graph: View, node: int, role: str, edges: Boundary) -> list[Axis]:
    """One axis a channel of the last dimension (in at most `MANY` groups), and one for the scale of all."""
    plain = graph.graph.nodes[node]
    if not _is_float(plain) or math.prod(plain.shape) == 0:
        return []
    width = plain.shape[-1] if plain.shape else 1
    whole = whole_axis(graph, node, role)
    whole = whole if role == "target" else replace(whole, domain=edges.domains.get(node, _REAL))
    own = _input_domain(graph, node, whole.observed) if role == "input" else _REAL
    whole = replace(whole, domain=_meet(whole.domain, own, whole.observed))
    if role == "input" and _is_structured(graph.values[node]):
        return _scaled(replace(whole, domain=_REAL), plain)
    if width == 1 or len(plain.shape) < 2:
        return [whole, *_scaled(whole, plain)]
    parts = [_part(graph, whole, start, stop) for start, stop in _groups(graph.graph, node, width)]
    return [*parts, *_scaled(whole, plain)]


def _is_structured(value: torch.Tensor) -> bool:
    """Triangular or symmetric square matrices: a factor or a covariance, of which no column can be overwritten."""
    if value.dim() < 2 or value.shape[-1] != value.shape[-2] or value.shape[-1] < 2:
        return False
    triangular = not bool(value.triu(1).any()) or not bool(value.tril(-1).any())
    return triangular or torch.equal(value, value.mT)


def _groups(graph: Graph, node: int, width: int) -> list[tuple[int, int]]:
    """Channels one by one; where there are many, the slices that the loss itself takes, else even groups."""
    own = slices(graph, node) if width > MANY else []
    if own and len(own) <= MANY and sum(stop - start for start, stop in own) == width:
        return own
    step = max(1, math.ceil(width / MANY))
    return [(start, min(start + step, width)) for start in range(0, width, step)]


def _scaled(whole: Axis, plain: Node) -> list[Axis]:
    if math.prod(plain.shape) == 1 or whole.domain not in (_REAL, (0.0, math.inf)):
        return []
    label = f"{whole.label} × scale"
    return [
        replace(whole, label=label, mode="scale", selector=f"{whole.selector}*scale", observed=(1.0, 1.0), domain=_REAL)
    ]


MANY_COUNTS = 16  # whole numbers from 0 on, so that there are none below


def _input_domain(graph: View, node: int, seen: tuple[float, float]) -> tuple[float, float]:
    """Counts stay counts; else by the argument's name and use. A batch of matrices called `r` is no correlation."""
    plain, value = graph.graph.nodes[node], graph.values[node]
    if value.numel() >= MANY_COUNTS and counted(value) == (0.0, seen[1]):
        return 0.0, math.inf
    return argument_domain(graph.graph, plain, seen) if len(plain.shape) <= 2 else _REAL


def _meet(bounds: tuple[float, float], named: tuple[float, float], seen: tuple[float, float]) -> tuple[float, float]:
    """The narrower of two domains, unless the batch's own values contradict the one guessed from the name."""
    if not (named[0] <= seen[0] and seen[1] <= named[1]):
        return bounds
    return max(bounds[0], named[0]), min(bounds[1], named[1])


def _part(graph: View, whole: Axis, start: int, stop: int) -> Axis:
    which = str(start) if stop == start + 1 else f"{start}:{stop}"
    name = f"{whole.selector}[..., {which}]"
    names = (n for *ends, n in pieces(graph.graph, whole.node) if ends == [start, stop] and n and n.strip("_"))
    alias = next(names, None)
    value = graph.values[whole.node][..., start:stop]
    return replace(
        whole,
        label=f"{alias} ({name})" if alias else name,
        selector=name.replace(" ", ""),
        channel=(start, stop),
        observed=_range(value),
    )


def whole_axis(graph: View, node: int, role: str) -> Axis:
    name = label_of(graph.graph, node)
    observed = _range(graph.values[node])
    named = domain_of_name(name) if role == "intermediate" else _REAL
    domain = _meet(_meet(_REAL, _bounds(graph.graph, node), observed), named, observed)
    tested = beyond(graph.graph, node, graph.values[node], observed) if role == "target" else NOWHERE
    if role == "target":
        domain = _target_domain(wider(observed, tested))
    return Axis(label=name, node=node, role=role, selector=name, observed=observed, domain=domain, expected=tested)  # type: ignore[arg-type]


def _bounds(graph: Graph, node: int) -> tuple[float, float]:
    return ops.row(graph.nodes[node].op).bounds or _REAL


def _target_domain(observed: tuple[float, float]) -> tuple[float, float]:
    """A target stays on the support its values suggest: [0, 1], the half line, or all reals."""
    if observed[0] >= 0:
        return (0.0, 1.0) if observed[1] <= 1 else (0.0, math.inf)
    return _REAL


def _range(value: torch.Tensor) -> tuple[float, float]:
    """Smallest and largest finite value; (nan, nan) where there is none."""
    value = value.detach()
    finite = value[torch.isfinite(value)] if value.is_floating_point() else value.double()
    if finite.numel() == 0:
        return (math.nan, math.nan)
    return float(finite.min()), float(finite.max())


def named_intermediates(graph: Graph, edges: Boundary) -> tuple[int, ...]:
    """Nodes that the user named like a distribution's parameter and that depend on what can move.

    Of several assignments to one name the last counts, and a plain view of the model's output (its channel)
    is an axis already.
    """
    moved = depends_on(graph, set(edges.all))
    named: dict[str, int] = {}
    for node in graph.nodes:
        wanted = node.name and node.site and is_parameter_name(node.name) and _is_float(node)
        if wanted and node.index in moved and node.index not in edges.all and not _is_channel(graph, node):
            named[str(node.name)] = node.index
    return tuple(sorted(named.values()))


def _is_channel(graph: Graph, node: Node) -> bool:
    while ops.is_transparent(node.op) and node.args and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
        if node.index in graph.outputs or node.op == "input":
            return True
    return False


def depends_on(graph: Graph, sources: set[int], around: int = -1) -> set[int]:
    """Indices of all nodes whose value depends on one of `sources` (themselves included), not only by way of the node
    `around`."""
    reached = set(sources) - {around}
    for node in graph.nodes:
        if node.index != around and any(r in reached for r in refs(node)) and not _by_shape_only(node):
            reached.add(node.index)
    return reached


def _by_shape_only(node: Node) -> bool:
    return ops.row(node.op).kind in ("create", "random") and node.aten.split(".")[1:2] != ["fill"]
