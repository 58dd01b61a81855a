"""The way of a failure at one point: the first overflow, underflow or saturation, the birth, and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.utils._pytree as pytree

from nllcheck import ops
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner, promoted
from nllcheck.capture.numerics import plain_kernels
from nllcheck.detect.births import Births, Culprit
from nllcheck.graphs import ancestors, refs
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.sweep.watch import Trace
from nllcheck.types import Axis, ChainStep, Graph, Phase

Values = Mapping[str, Any]  # by fx node name


def values_at(
    joint: Joint, axis: Axis, point: float, dtype: torch.dtype | None, given: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Every value of the joint graph at one point, by fx node name, on the canonical path; some as `given`."""
    bases = [promoted(b, dtype) for b in joint.base]
    at = torch.tensor(point, dtype=dtype or bases[joint.moved.index(axis.node)].dtype)
    runner = Runner(joint.module, dtype, given=given)
    with torch.no_grad(), plain_kernels():
        runner.run(*(moved for moved, _ in placements(joint, axis, bases, at)))
    return {n.name: v for n, v in runner.env.items()}


def chain_at(
    graph: LossGraph, joint: Joint, axis: Axis, point: float, culprit: Culprit, one: Trace, states: Births
) -> tuple[ChainStep, ...]:
    """First the op where rounding first did harm before the birth, then the birth, the first NaN, and the end."""
    computed = values_at(joint, axis, point, None)
    reference = values_at(joint, axis, point, torch.float64)
    steps = _harm_before(graph.graph, joint, axis, point, culprit, (computed, reference))
    steps += _born(graph.graph, joint, culprit, one, states)
    end = "loss" if int(states.loss_state[0]) else "gradient"
    value = float(one.loss[0]) if end == "loss" else float(one.gradient_high[0])
    last = ChainStep(graph.graph.loss, graph.graph.nodes[graph.graph.loss].op, end, _loss_site(graph.graph), value)  # type: ignore[arg-type]
    return (*steps, last)


def _loss_site(graph: Graph) -> Any:
    """The line of the last op that has one: the loss itself may be a view without a line."""
    return next((n.site for n in reversed(graph.nodes[: graph.loss + 1]) if n.site), None)


def _harm_before(
    graph: Graph, joint: Joint, axis: Axis, point: float, culprit: Culprit, values: tuple[Values, Values]
) -> list[ChainStep]:
    """The first ancestor of the birth whose rounded value left the reference behind, and leads to it."""
    by_origin = {op.origin: op.name for op in reversed(joint.ops.values()) if op.phase == "forward"}
    before = sorted(i for i in ancestors(graph, culprit.origin) if i in by_origin and i != culprit.origin)
    harmed = [(i, h) for i in before if (h := harm_of(graph.nodes[i].op, *(v.get(by_origin[i]) for v in values)))]
    own = [op.name for op in joint.ops.values() if (op.origin, op.phase) == (culprit.origin, culprit.phase)]
    if any(_is_bad(values[1].get(name)) for name in own):  # float64 fails as well, and tells no cause from another
        nearest = [(i, h) for i in before if (h := _vanished(graph, i, by_origin, values[1]))][-1:]
        harmed = nearest or [(i, h) for i, h in harmed if h[0] != "absorption"]

    def leads(k: int) -> bool:
        given = {(name := by_origin[harmed[k][0]]): values[0][name]}
        there = values_at(joint, axis, point, torch.float64, given)
        return any(_is_bad(there[name]) for name in own)

    if not harmed:
        return []
    index, (what, value) = harmed[_first(len(harmed), leads)]
    return [ChainStep(index, graph.nodes[index].op, what, graph.nodes[index].site, value)]  # type: ignore[arg-type]


def _vanished(graph: Graph, node: int, names: Mapping[int, str], reference: Values) -> tuple[str, float] | None:
    """What float64, too, has rounded to a value that the op cannot have at a finite argument: exp(-1000) = 0."""
    found, read = reference.get(names[node]), [reference.get(names.get(r, "")) for r in refs(graph.nodes[node])]
    if not isinstance(found, torch.Tensor) or any(_is_bad(value) for value in read):
        return None
    end = next((e for e in ops.row(graph.nodes[node].op).saturates if bool((found == e).any())), None)
    return None if end is None else ("saturation" if end else "underflow", end)


def _first(count: int, leads: Callable[[int], bool]) -> int:
    """The first of so many for which it holds, if it does of all later ones; 0 where none is told apart."""
    if count == 1 or leads(0) or not leads(count - 1):
        return 0
    low, high = 0, count - 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if leads(middle) else (middle, high)
    return high


def _is_bad(value: Any) -> bool:
    return any(isinstance(v, torch.Tensor) and not bool(torch.isfinite(v).all()) for v in pytree.tree_leaves(value))


def harm_of(op: str, computed: Any, reference: Any) -> tuple[str, float] | None:
    """What rounding did to an op's output, if it did harm: (what, the offending element)."""
    if not isinstance(computed, torch.Tensor) or not computed.is_floating_point() or not computed.numel():
        return None
    rounded, exact = computed.double().reshape(-1), reference.double().reshape(-1)
    saturated = torch.zeros_like(rounded, dtype=torch.bool)
    for end in ops.row(op).saturates:
        saturated |= (rounded == end) & (exact != end)
    sound = torch.isfinite(exact)
    cases = (
        ("overflow", torch.isinf(rounded) & sound),
        ("underflow", (rounded == 0) & (exact != 0) & sound & (op not in ("add", "sub"))),
        ("absorption", (rounded == 0) & (exact != 0) & sound & (op in ("add", "sub"))),
        ("saturation", saturated),
    )
    for what, mask in cases:
        if bool(mask.any()):
            return what, float(rounded[mask][0])
    return None


def _born(graph: Graph, joint: Joint, culprit: Culprit, one: Trace, states: Births) -> list[ChainStep]:
    """The birth itself and, when the birth is an infinity, the first NaN that it leads to."""
    ops_of = [joint.ops.get(name) for name in one.names]
    here = [k for k, op in enumerate(ops_of) if op and op.origin == culprit.origin and bool(states.born[0, k])]
    if not here:
        return []
    k = here[0]
    born = _step(graph, culprit.origin, "nan" if bool(states.nan[0, k]) else "inf", one, k, ops_of[k].phase)  # type: ignore[union-attr]
    written = ops_of[k].written  # type: ignore[union-attr]
    steps = [replace(born, op=written[0], site=written[1]) if written else born]
    ends = states.to_loss[0] if culprit.phase == "forward" else states.to_gradient[0]
    later = [j for j in range(k + 1, len(one.names)) if bool(states.nan[0, j]) and bool(ends[j]) and ops_of[j]]
    if not bool(states.nan[0, k]) and later:
        steps.append(_step(graph, ops_of[later[0]].origin, "nan", one, later[0], ops_of[later[0]].phase))  # type: ignore[union-attr]
    return steps


def _step(graph: Graph, node: int, what: str, one: Trace, k: int, phase: Phase) -> ChainStep:
    low, high = float(one.low[0, k]), float(one.high[0, k])
    value = high if abs(high) == float("inf") or high != high else low
    return ChainStep(node, graph.nodes[node].op, what, graph.nodes[node].site, value, phase)  # type: ignore[arg-type]
