"""How many bits each source line keeps: its ops in the training dtype against float64, over the axes near the batch.

An op's error counts against the largest element of its output. Where that passes through zero (over the axis or the
elements), against what is usual on the axis: a difference that happens to vanish has lost nothing. Where even float64
is left with rounding alone, the exact value is 0 as far as anyone can tell (the gradient of a largest value that is
taken out and added again), and there is nothing to compare with. What an op has lost itself are the bits that its
inputs still had (Higham, Accuracy and Stability of Numerical Algorithms, 2002, 1.7).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import fx

from nllcheck.axes.reach import reaches
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import promoted
from nllcheck.capture.numerics import plain_kernels
from nllcheck.detect.bits import NOISE, bits_of
from nllcheck.sweep import Part, Swept
from nllcheck.sweep.compare import Difference, comparing
from nllcheck.sweep.heap import HEAP
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.place import placements
from nllcheck.sweep.watch import affordable, chunk_size
from nllcheck.types import Axis, LineBits, Phase

NEAR = 10.0  # times the batch's range
POINTS = 48  # looked at on an axis, fewer where they cost more elements than this:
WORK = 2e6
WORN = 0.5  # of the dtype's bits: where fewer are left is told as a stretch of the axis
_SMALLEST = 2.0**10  # times the smallest normal number: below, rounding to subnormals is all there is

Table = torch.Tensor  # (P, N) bits that N ops have right at P points; inf where there is nothing to compare
Key = tuple[tuple[str, int], Phase]  # a line of a file, forward or backward


@dataclass(frozen=True, slots=True)
class _Looked:
    """One axis looked at: points (P,), and the bits of every op and those of what it reads."""

    axis: Axis
    points: torch.Tensor
    joint: Joint
    names: tuple[str, ...]
    kept: Table
    given: Table


def line_bits(graph: LossGraph, swept: Swept, memory: int = 2**30) -> tuple[LineBits, ...]:
    """One entry for each source line and phase that the boundary axes reach, those that keep least first.

    None for a loss in float64: there is nothing to compare with. Holds at most about `memory` bytes at a time.
    """
    if graph.loss.dtype == torch.float64:
        return ()
    parts = [part for part in swept.parts if _is_told(part)]
    programs = {j: comparing(swept.joints[j], swept.names[j]) for j in {part.joint for part in parts}}
    looked = [found for part in parts for found in _looked(swept, part, programs[part.joint], memory)]
    lines: dict[Key, list[tuple[_Looked, int]]] = {}
    for one in looked:
        for k, name in enumerate(one.names):
            op = one.joint.ops.get(name)
            site = graph.graph.nodes[op.origin].site if op else None
            if op and site:
                lines.setdefault(((site.path, site.line), op.phase), []).append((one, k))
    told = [_told(graph, phase, ops) for (_, phase), ops in lines.items()]
    return tuple(sorted((t for t in told if t), key=lambda t: (t.worst, t.site.path, t.site.line, t.phase)))


def _is_told(part: Part) -> bool:
    axis = part.trace.axis
    moves = axis.is_boundary and axis.role not in ("target", "hidden") and axis.mode != "toward"
    return moves and part.wide is not None


def _looked(swept: Swept, part: Part, program: fx.GraphModule, memory: int) -> Iterator[_Looked]:
    joint, axis, names = swept.joints[part.joint], part.trace.axis, swept.names[part.joint]
    near = torch.from_numpy(reaches(axis, part.trace.points.double()) <= NEAR) & torch.isfinite(part.trace.loss)
    chosen = part.trace.points[near]
    count = min(len(chosen), affordable(joint, WORK, 8, POINTS))
    if count < 3:
        return
    points = chosen[torch.linspace(0, len(chosen) - 1, count).long()].to(joint.base[0].device)
    kept = _table(*_differences(joint, axis, points, program, memory))
    yield _Looked(axis, points.cpu(), joint, names, kept, _read(joint, names, kept))


def _differences(
    joint: Joint, axis: Axis, points: torch.Tensor, program: fx.GraphModule, memory: int
) -> tuple[Difference, list[int]]:
    """Of every output of every op, (P, M) each, in chunks that stay within `memory` bytes; and how many an op has."""
    wide = [promoted(b, torch.float64) for b in joint.base]
    counts: list[int] = []

    def at(point: torch.Tensor) -> torch.Tensor:
        moved = [t for bases in (joint.base, wide) for t, _ in placements(joint, axis, bases, point.to(bases[0].dtype))]
        ops = program(*moved)
        counts[:] = map(len, ops)
        return torch.stack([torch.stack(output) for op in ops for output in op])  # one tensor: see `watch.observed`

    run, found = torch.func.vmap(at, randomness="same"), []
    with torch.no_grad(), plain_kernels():
        for some in points.split(chunk_size(joint, memory // 2, torch.float64)):  # beside it half as much again
            found.append(run(some))
            HEAP.tidy(memory // 2)
    return Difference(*torch.cat(found).cpu().unbind(-1)), counts


def _table(found: Difference, counts: list[int]) -> Table:
    """Of several outputs the worst."""
    return torch.stack([kept.amin(1) for kept in _kept(found).split(counts, dim=1)], dim=1)


def _kept(found: Difference) -> Table:
    """(P, M) bits that each output has right."""
    size = torch.maximum(found.low.abs(), found.high.abs())
    for k in ((found.high > 0).any(0) & (found.low < 0).any(0)).nonzero()[:, 0].tolist():
        own = size[:, k]
        size[:, k] = torch.maximum(own, own[torch.isfinite(own)].nanmedian())
    bits = torch.log2(size / found.error).clamp(min=0).minimum(1 - torch.log2(found.eps))
    known = torch.isfinite(found.error) & torch.isfinite(size) & (size > found.tiny * _SMALLEST)
    known &= size > found.error * NOISE / found.eps
    return torch.where(known, bits, math.inf)


def _read(joint: Joint, names: tuple[str, ...], kept: Table) -> Table:
    """(P, N) the fewest bits among what each op reads; what is given is exact."""
    column = {name: k for k, name in enumerate(names)}
    nodes = {n.name: n for n in joint.module.graph.nodes}
    given = torch.full_like(kept, math.inf)
    for name, k in column.items():
        read = [column[n.name] for n in nodes[name].all_input_nodes if n.name in column]
        if read:
            given[:, k] = kept[:, read].amin(1)
    return given


def _told(graph: LossGraph, phase: Phase, ops: list[tuple[_Looked, int]]) -> LineBits | None:
    """Worst and typical over all axes; the op that loses most, and the stretch where little is left, on the worst."""
    axes = {id(one): one for one, _ in ops}
    rows = {i: torch.stack([one.kept[:, k] for one, k in ops if id(one) == i], dim=1) for i in axes}
    least = {i: row.amin(1) for i, row in rows.items()}
    every = torch.cat([v[torch.isfinite(v)] for v in least.values()])
    if not every.numel():
        return None
    i = min(least, key=lambda i: float(least[i].min()))
    one, at = axes[i], int(least[i].argmin())
    own = [k for o, k in ops if o is one]
    lost = {k: float(one.given[at, k].clamp(max=_most(graph)) - one.kept[at, k]) for k in own}
    k = max(own, key=lambda k: lost[k])
    node = graph.graph.nodes[one.joint.ops[one.names[k]].origin]
    assert node.site
    return LineBits(
        site=node.site, phase=phase, op=node.op, worst=float(every.min()), typical=float(every.median()),
        lost=max(0.0, lost[k]), axis=one.axis.label, at=float(one.points[at]),
        stretch=_stretch(one.points, least[i] < WORN * _most(graph), at),
    )  # fmt: skip


def _most(graph: LossGraph) -> float:
    return bits_of(graph.loss.dtype)


def _stretch(points: torch.Tensor, worn: torch.Tensor, at: int) -> tuple[float, float] | None:
    """First and last of the neighbouring points around `at` that have little left."""
    if not bool(worn[at]):
        return None
    first = last = at
    while first > 0 and bool(worn[first - 1]):
        first -= 1
    while last < len(worn) - 1 and bool(worn[last + 1]):
        last += 1
    return float(points[first]), float(points[last])
