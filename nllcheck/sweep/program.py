"""The joint graph as straight Python code that also hands out the range of every watched op.

An interpreter spends 25 microseconds on each op, more than a small op's own work, and a check runs a graph thousands
of times. The code that `fx` generates has none of that, and frees each value after its last use.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import fx

from nllcheck.capture.interpret import constants_of, promoted, stand_in
from nllcheck.capture.sized import quiet
from nllcheck.ops import packet
from nllcheck.sweep.joint import Joint
from nllcheck.sweep.trace import Row

Key = tuple[tuple[str, ...], torch.dtype | None]
_MADE: WeakKeyDictionary[fx.GraphModule, dict[Key, fx.GraphModule]] = WeakKeyDictionary()


def watching(joint: Joint, names: tuple[str, ...], dtype: torch.dtype | None) -> fx.GraphModule:
    """`module(*moved) -> ((loss, *gradients), ranges)`; `ranges` has a (low, high) for each of `names`, 0-d.

    `dtype` stands in for hard-coded floating dtypes and constants; None leaves them. To be run without gradients:
    it does not keep the user's `no_grad` regions apart.
    """
    made = _MADE.setdefault(joint.module, {})
    key = names, dtype
    if key not in made:
        made[key] = _built(joint.module, names, dtype)
    return made[key]


def _built(source: fx.GraphModule, names: tuple[str, ...], dtype: torch.dtype | None) -> fx.GraphModule:
    graph, watched = fx.Graph(), set(names)
    copies: dict[fx.Node, fx.Node] = {}
    ranges: dict[str, fx.Node] = {}
    for node in source.graph.nodes:
        if node.op == "output":
            results = fx.map_arg(node.args[0], copies.__getitem__)
            graph.output((tuple(results), tuple(ranges[name] for name in names)))
            continue
        copies[node] = copied(graph, node, copies, dtype)
        if node.name in watched:
            same = ranges.get(node.all_input_nodes[0].name) if _is_rearranged(node) else None
            ranges[node.name] = same or graph.call_function(extent, (copies[node],))
    return fx.GraphModule({name: promoted(value, dtype) for name, value in constants_of(source).items()}, graph)


def copied(graph: fx.Graph, node: fx.Node, copies: dict[fx.Node, fx.Node], dtype: torch.dtype | None) -> fx.Node:
    copy = graph.node_copy(node, copies.__getitem__)
    copy.target = quiet(copy.target)
    if (own := stand_in(copy.kwargs.get("dtype"), dtype)) is not None:
        copy.update_kwarg("dtype", own)
    return copy


_REARRANGED = {"view", "reshape", "_unsafe_view", "unsqueeze", "squeeze", "expand", "permute", "transpose", "t"}
_REARRANGED |= {"clone", "alias", "detach"}


def _is_rearranged(node: fx.Node) -> bool:
    """Has it the very elements of what it reads, so that these need no second look?"""
    name = str(node.target)
    return packet(name) in _REARRANGED and name != "aten.view.dtype" and bool(node.all_input_nodes)


def observed(
    joint: Joint,
    placed: Sequence[tuple[torch.Tensor, torch.Tensor | None]],
    names: tuple[str, ...],
    dtype: torch.dtype | None = None,
    moves: Sequence[torch.Tensor] = (),
) -> Row:
    """Loss, slope, magnitude and ranges with the moved tensors as given, each with the direction it moves in.

    `moves`: where directions are given for all, which of them count (0-d, of truth values).
    """
    (loss, *gradients), found = watching(joint, names, dtype)(*(tensor for tensor, _ in placed))
    pairs = zip(gradients, (direction for _, direction in placed), strict=True)
    moving = [(g, d) if g.shape == d.shape else (d, d * 0) for g, d in pairs if d is not None]
    along = [torch.where(d == 0, 0, g * d) for g, d in moving] or [loss * 0]  # what stays adds no 0 * inf
    along = [torch.where(*kept, 0) for kept in zip(moves, along, strict=True)] if moves else along
    low, high = extent(tuple(gradients)) or (loss * 0, loss * 0)
    ends = ([pair[end].to(loss) for pair in found] for end in (0, 1))  # some hold a number that stayed on the CPU
    # stacked here: vmap handles each tensor that it returns in Python
    lows, highs = (torch.stack(some) if some else loss.new_empty(0) for some in ends)
    slope, size = (sum(part.sum() for part in parts) for parts in (along, [a.abs() for a in along]))
    return loss, slope, size, low, high, lows, highs


def floats_of(value: Any) -> list[torch.Tensor]:
    """Every float tensor with elements of an op's output; of complex numbers both parts, so that what fails behind a
    Fourier transform is followed through it. What autograd keeps for its shape alone (meta) has none."""
    parts = value if isinstance(value, (tuple, list)) else (value,)
    plain = [p for p in parts if isinstance(p, torch.Tensor) and not p.is_meta]
    dense = [p for p in plain if p.layout == torch.strided and p.numel()]
    real = [part for p in dense for part in ((p.real, p.imag) if p.is_complex() else (p,))]
    return [p for p in real if p.is_floating_point()]


def extent(value: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """0-d smallest and largest element of a float tensor (or of all float tensors in a tuple); None if none."""
    tensors = floats_of(value)
    if not tensors:
        return None
    pairs = [extremes(t) for t in tensors]
    low, high = pairs[0]
    for other in pairs[1:]:
        low, high = torch.minimum(low, other[0]), torch.maximum(high, other[1])
    return low, high


def extremes(tensor: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Smallest and largest element, NaN if there is one. What is expanded is looked at once.

    On a GPU one `aminmax` reads the data once. On CPU its kernel is not vectorised, nor are those of `amin` and `amax`
    where elements lie apart: over 4,000 x 64 floats 466 us, 27 us each, and 775 us each of every fifth (torch 2.13,
    one core). So such a channel is copied first.
    """
    for dim in reversed(range(tensor.dim())):
        tensor = tensor.select(dim, 0) if tensor.stride(dim) == 0 else tensor
    if tensor.dim() == 0:
        return tensor, tensor
    if not tensor.is_cpu:
        return tuple(torch.aminmax(tensor.reshape(-1), dim=0))  # type: ignore[return-value]
    near = tensor if tensor.is_contiguous() else tensor.contiguous()
    return near.amin(), near.amax()
