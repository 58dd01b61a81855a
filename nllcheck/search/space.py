"""What a search may move, as one flat vector: the elements of all movable tensors, each within a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nllcheck.axes import label_of
from nllcheck.bounds import Interval
from nllcheck.sweep.joint import Joint
from nllcheck.types import NEAR, PLAUSIBLE, Axis, Graph, Move


@dataclass(frozen=True, eq=False)
class Space:
    """D movable elements, tensor by tensor in the order of `joint.moved`."""

    joint: Joint
    axes: tuple[Axis, ...]  # one a movable tensor: its label, node, range on the batch and domain
    base: torch.Tensor  # (D,) the batch's values, in the joint's dtype
    low: torch.Tensor  # (D,) ends of the box, closed
    high: torch.Tensor
    owner: torch.Tensor  # (D,) position in `axes`
    rows: tuple[int, ...] = ()  # of the batch, where only these are searched

    @property
    def ranges(self) -> dict[int, Interval]:
        """The box, by node."""
        return {a.node: box(a) for a in self.axes}

    def tensors(self, rows: torch.Tensor) -> list[torch.Tensor]:
        """(S, D) -> every tensor of `joint.moved`, with S in front; what is not movable as the batch has it."""
        sizes = [int((self.owner == k).sum()) for k in range(len(self.axes))]
        parts = dict(zip((a.node for a in self.axes), rows.split(sizes, dim=1), strict=True))
        return [
            parts[n].reshape(-1, *b.shape) if n in parts else b.expand(len(rows), *b.shape)
            for n, b in zip(self.joint.moved, self.joint.base, strict=True)
        ]

    def within(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.minimum(torch.maximum(rows, self.low), self.high)


def space(joint: Joint, axes: Sequence[Axis]) -> Space | None:
    """The tensors that some axis sets to any value of its domain; None where there is none."""
    found: dict[int, Axis] = {}
    for axis in axes:
        if axis.mode == "set" and axis.is_boundary and axis.role != "target" and axis.node in joint.moved:
            old = found.setdefault(axis.node, axis)
            seen = min(old.observed[0], axis.observed[0]), max(old.observed[1], axis.observed[1])
            found[axis.node] = _whole(axis, seen)
    movable = tuple(found[n] for n in joint.moved if n in found and _has_box(found[n]))
    if not movable or len({joint.base[joint.moved.index(a.node)].dtype for a in movable}) > 1:
        return None
    bases = [joint.base[joint.moved.index(a.node)].reshape(-1) for a in movable]
    owner = torch.cat([torch.full((len(b),), k) for k, b in enumerate(bases)])
    low, high = (torch.tensor([box(a)[end] for a in movable], dtype=torch.float64) for end in (0, 1))
    base = torch.cat(bases)
    inside = torch.minimum(low[owner].to(base), base), torch.maximum(high[owner].to(base), base)
    return Space(joint, movable, base, *inside, owner)


def _whole(axis: Axis, seen: Interval) -> Axis:
    return Axis(axis.label, axis.node, axis.role, observed=seen, domain=axis.domain)


def _has_box(axis: Axis) -> bool:
    return math.isfinite(axis.observed[0] + axis.observed[1])


def box(axis: Axis) -> Interval:
    """Where a search may go: as far as a failure counts in full, and for raw values as far as any network may get."""
    (low, high), (least, most) = axis.observed, axis.domain
    size = max(NEAR * max(abs(low), abs(high)), PLAUSIBLE)
    if axis.domain == (0.0, math.inf):
        return min(low / NEAR, 1 / PLAUSIBLE), max(high * NEAR, PLAUSIBLE)
    start = -size if math.isinf(least) else least + (low - least) / NEAR
    stop = size if math.isinf(most) else most - (most - high) / NEAR
    return start, stop


def moves(where: Space, graph: Graph, row: torch.Tensor) -> tuple[Move, ...]:
    """The elements of the batch, whose `graph` it is, that differ from it at a point (D,)."""
    found = []
    for k in torch.nonzero(row != where.base).reshape(-1).tolist():
        owner = int(where.owner[k])
        axis = where.axes[owner]
        position = _position(where, graph, axis.node, k - int((where.owner < owner).sum()))
        name = label_of(graph, axis.node) + indices(position, graph.nodes[axis.node].shape)
        found.append(Move(axis.node, position, name, float(where.base[k]), float(row[k]), axis.observed, axis.domain))
    return tuple(found)


def _position(where: Space, graph: Graph, node: int, position: int) -> int:
    """Of an element of the tensor searched in that of the batch."""
    own, whole = where.joint.base[where.joint.moved.index(node)].numel(), math.prod(graph.nodes[node].shape)
    if own == whole or not where.rows:
        return position
    row, place = divmod(position, own // len(where.rows))
    return where.rows[row] * (own // len(where.rows)) + place


def indices(position: int, shape: tuple[int, ...]) -> str:
    """`[3, 1]`; nothing for a number."""
    found: list[int] = []
    for size in reversed(shape):
        position, k = divmod(position, size)
        found.insert(0, k)
    return f"[{', '.join(map(str, found))}]" if found and math.prod(shape) > 1 else ""
