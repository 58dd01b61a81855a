"""Swept -> axes to failing points that no axis passes through, and a word on every op that could not be made to fail.

An op with a singular or overflowing domain is a candidate unless a sweep within reach shows it failing already, or
static bounds prove it safe there. Random points come first, since one run serves all candidates; what is left is
pushed towards its bad set by gradient steps through whatever precedes it. A hit is made small and becomes an axis, the
straight way from the batch's values to it, which is swept, judged and weighed like any other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import fx

from nllcheck.axes.excerpt import PAIR
from nllcheck.capture import LossGraph
from nllcheck.search.descend import descend
from nllcheck.search.distance import DISTANCES, ENDS, singular
from nllcheck.search.probe import Probe
from nllcheck.search.samples import samples
from nllcheck.search.shrink import on_line, share_failing, shrink
from nllcheck.search.space import Space, moves, space
from nllcheck.search.wanted import candidates, left_its_domain
from nllcheck.sweep import Swept
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.watch import affordable, watched_names
from nllcheck.types import Axis, Candidate, Move, Node


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a search may cost."""

    work: float  # elements computed by the random points, forward and backward
    points: int  # random points at most
    starts: int  # of a descent
    steps: int
    ops: int  # candidates that are descended to
    hits: int  # points that become axes


BUDGETS = {
    "quick": Budget(1e6, 128, 0, 0, 0, 3),
    "default": Budget(6e6, 512, 12, 30, 6, 4),
    "thorough": Budget(2e8, 8192, 64, 80, 40, 12),
}
FEWEST = 32  # random points: with fewer a graph counts as too large to search
OPEN = 0.1  # of the points around a hit: below it the hit stands alone
BEYOND = 1.25  # an axis goes this much further than its hit where that fails, too


def search(
    graph: LossGraph,
    swept: Swept,
    *,
    effort: str = "default",
    memory: int = 2**30,
    pair: Callable[[], LossGraph | None] = lambda: None,
) -> tuple[tuple[Axis, ...], tuple[Candidate, ...]]:
    """Failing points that the sweeps have not met, each as an axis that leads there, and what became of every
    candidate. Moves what the boundary axes move (targets stay), all tensors together, within reach of the batch; of one
    that is too large for that, its first two rows, on which `pair` is the loss.
    """
    budget = BUDGETS[effort]
    axes = [p.trace.axis for p in swept.parts]
    where = space(swept.joints[0], axes) if swept.joints and bool(torch.isfinite(graph.loss)) else None
    if where is None or any(a.requested for a in axes):
        return (), ()
    open_, told = candidates(graph, swept, where)
    count = affordable(where.joint, budget.work, 0, budget.points)
    if open_ and count < FEWEST and (small := pair()):
        where = _on_two_rows(where, small) or where
        count = affordable(where.joint, budget.work, 0, budget.points)
    if not open_ or count < FEWEST:
        return (), (*told, *(_large(graph.graph.nodes[i]) for i in open_))
    probe = Probe(where, watched_names(where.joint), memory, left_its_domain(swept))
    rows = torch.cat([where.base[None], samples(where, count - 1, graph.seed)])
    hits = _by_chance(probe, set(open_), rows)
    rest = [i for i in open_ if i not in hits]
    found, missed = _by_descent(graph, probe, rest, rows, budget)
    every = sorted({**found, **hits}.items(), key=lambda hit: hit[0])
    ways = [_axis(graph, probe, op, row, remark) for op, (row, remark) in every[: budget.hits]]
    seen = [Candidate(graph.graph.nodes[i].op, graph.graph.nodes[i].site, "found", w.label)
            for (i, _), w in zip(every, ways, strict=False)]  # fmt: skip
    return tuple(ways), (*told, *seen, *missed)


def _on_two_rows(where: Space, small: LossGraph) -> Space | None:
    """The same space of the first two rows; None where they are not rows of what moves."""
    joint = joint_graph(small, where.joint.moved, small.seed)
    sizes = [(len(a), len(b)) for a, b in zip(joint.base, where.joint.base, strict=True) if a.shape != b.shape]
    found = space(joint, where.axes)
    return replace(found, rows=PAIR) if found and sizes and all(a % len(PAIR) == 0 for a, _ in sizes) else None


Hit = tuple[torch.Tensor, str]  # a failing point (D,), and how it was found


def _by_chance(probe: Probe, wanted: set[int], rows: torch.Tensor) -> dict[int, Hit]:
    found = {}
    width = (probe.space.high - probe.space.low).clamp(min=1e-30)
    distance = ((rows - probe.space.base) / width).abs().amax(1)
    for op, bad in probe.failing(rows).items():
        if op in wanted and bad.any():
            at = torch.nonzero(torch.from_numpy(bad)).reshape(-1)
            nearest = at[distance.cpu()[at].argmin()]
            remark = f"found by a search: {_share(int(bad.sum()), len(rows))}"
            found[op] = (rows[nearest], remark)
    return found


RARE = 1e-3  # of the random points


def _share(failing: int, tried: int) -> str:
    said = f"{failing or 'none'} of {tried:,} random points within reach {'fails' if failing < 2 else 'fail'}"
    return f"rare, {said}" if failing < RARE * tried else said


def _by_descent(
    graph: LossGraph, probe: Probe, ops: list[int], rows: torch.Tensor, budget: Budget
) -> tuple[dict[int, Hit], list[Candidate]]:
    found: dict[int, Hit] = {}
    missed: list[Candidate] = []
    for op in ops:
        node = graph.graph.nodes[op]
        if len(missed) + len(found) >= budget.ops or op in found:
            missed += [] if op in found else [Candidate(node.op, node.site, "not searched", "beyond --effort")]
            continue
        index, kind = singular(node) or (0, "")
        argument = _fx_node(probe.space, node.args[index].index)
        if argument is None:
            continue
        distance = ENDS[kind] if op in probe.left else DISTANCES[kind]
        way = descend(probe.space, argument, distance, rows, budget.starts, budget.steps)
        bad = probe.fails(op, way.rows)
        if bad.any():
            remark = f"found by a search with gradient steps; {_share(0, len(rows))}"
            found[op] = (way.rows[int(bad.argmax())], remark)
        else:
            told = (
                f"best distance {way.best:.3g}" if way.best > 0 else "its argument gets there, but nothing fails first"
            )
            missed.append(Candidate(node.op, node.site, "not reached", told))
    return found, missed


def _fx_node(where: Space, index: int) -> fx.Node | None:
    """The node of the forward program that computes a plain node; None where it is fixed."""
    for node in where.joint.forward.graph.nodes:
        if (node.meta.get("custom") or {}).get("origin") == index:
            return node
        if node.op == "placeholder" and node.name == f"moved_{index}":
            return node
    return None


def _large(node: Node) -> Candidate:
    return Candidate(node.op, node.site, "not searched", "the graph is too large for a search")


def _axis(graph: LossGraph, probe: Probe, op: int, row: torch.Tensor, remark: str) -> Axis:
    """The way to a hit, made small; a little beyond it where that fails, too."""

    def fails(rows: torch.Tensor):  # type: ignore[no-untyped-def]
        return probe.fails(op, rows)

    where = probe.space
    small = shrink(where, row, fails)
    lone = share_failing(where, small, fails, graph.seed) < OPEN
    further = on_line(where, small, BEYOND)
    told = moves(where, graph.graph, small)
    constant = _is_constant(where, told)
    end = further if not lone and fails(further[None])[0] else small
    return Axis(
        label=_label(told, constant),
        node=told[0].node,
        role=next(a.role for a in where.axes if a.node == told[0].node),
        mode="toward",
        goal="found constant" if lone and constant else "found alone" if lone else "found",
        selector=f"{graph.graph.nodes[op].op}_{op}",
        observed=(0.0, 0.0),
        domain=(0.0, 1.0),
        moves=moves(where, graph.graph, end),
        remark=remark,
    )


def _is_constant(where: Space, told: tuple[Move, ...]) -> bool:
    """Is one whole tensor at one value, and nothing else moved? A model's output may well be so."""
    whole = int((where.owner == [a.node for a in where.axes].index(told[0].node)).sum())
    return not where.rows and len({(m.node, m.end) for m in told}) == 1 and 1 < whole == len(told)


MOST_TOLD = 3


def _label(told: tuple[Move, ...], constant: bool) -> str:
    if constant:
        return f"every element of {told[0].name.partition('[')[0]} = {told[0].end:.6g}"
    parts = [f"{m.name} = {m.end:.6g}" for m in told[:MOST_TOLD]]
    left = len(told) - len(parts)
    parts += [f"{left} more"] if left else []
    return " and ".join(filter(None, [", ".join(parts[:-1]), parts[-1]]))
