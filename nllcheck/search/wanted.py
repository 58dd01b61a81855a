"""Which ops are worth a search: those with a bad set that no sweep shows failing and no bound proves safe."""

from __future__ import annotations

from nllcheck.axes import depends_on
from nllcheck.bounds import bounds
from nllcheck.capture import LossGraph
from nllcheck.detect.births import births, culprits
from nllcheck.search.distance import proof, singular
from nllcheck.search.space import Space, box
from nllcheck.sweep import Swept
from nllcheck.types import NEAR, Candidate, Node, Phase, Ref

EDGED = ("sqrt", "pow", "acos", "asin", "acosh")  # finite at the end of their domain, where their slope is not


def candidates(graph: LossGraph, swept: Swept, where: Space) -> tuple[list[int], list[Candidate]]:
    """Ops (index) with a bad set that no sweep within reach shows failing, those before others first; and the ones
    that are proven safe. One that sweeps take out of its domain may still meet its end inside, where only the slope
    fails."""
    known = bounds(graph, where.ranges)
    moving = depends_on(graph.graph, set(where.ranges))
    nodes, failing = graph.graph.nodes, failing_within(swept)
    lines = {place_of(nodes[i]) for i, phase in failing if phase == "backward" or nodes[i].op not in EDGED}
    open_, safe = [], []  # an op of an unrolled loop is one candidate
    for op in swept.joints[0].ops.values():
        node = nodes[op.origin]
        wanted = singular(node)
        if op.phase != "forward" or wanted is None or place_of(node) in lines:
            continue
        argument = node.args[wanted[0]] if wanted[0] < len(node.args) else None
        if not isinstance(argument, Ref) or argument.index not in moving:
            continue
        why = proof(wanted[1], known[argument.index], graph.loss.dtype)
        if why:
            safe.append(Candidate(node.op, node.site, "safe", f"{why} within reach"))
        else:
            lines.add(place_of(node))
            open_.append(op.origin)
    return open_, safe


def left_its_domain(swept: Swept) -> frozenset[int]:
    """Ops that a sweep within reach takes out of their domain: of these a search is for a failing slope."""
    return frozenset(i for i, phase in failing_within(swept) if phase == "forward")


def place_of(node: Node) -> object:
    return node.op, node.site or node.index


def failing_within(swept: Swept) -> set[tuple[int, Phase]]:
    """Ops that fail on some boundary axis at a value that a search could use, or on the batch, each with the phase."""
    found: set[tuple[int, Phase]] = set()
    for part in swept.parts:
        axis = part.trace.axis
        if not axis.is_boundary or axis.role == "target":
            continue
        low, high = box(axis) if axis.mode == "set" else (1 / NEAR, NEAR) if axis.mode == "scale" else (0.0, 1.0)
        within = ((part.trace.points >= low) & (part.trace.points <= high)).numpy()
        joint = swept.joints[part.joint]
        seen = culprits(joint, part.trace, births(joint, part.trace))
        found |= {(c.origin, c.phase) for c in seen if (c.points & within).any()}
    return found
