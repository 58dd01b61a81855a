"""The pieces that a loss takes of a tensor's last dimension: `mu, rho = output.split([5, 5], -1)`, `output[..., 3]`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise, permutations

import torch

from nllcheck.axes.masks import is_mask
from nllcheck.graphs import refs
from nllcheck.ops import packet
from nllcheck.types import Graph, Node, Ref

Piece = tuple[int, int, str | None]  # [start, stop), and the variable that it is assigned to
Taken = tuple[int, int, Node]

_SPLITS = ("split", "split_with_sizes", "unsafe_split", "unsafe_split_with_sizes", "unbind")


def pieces(graph: Graph, node: int) -> tuple[Piece, ...]:
    """Every piece of the last dimension of `node`, in program order; of one that is only taken apart again its own."""
    return tuple((start, stop, name) for start, stop, name, _ in taken(graph, node))


def taken(graph: Graph, node: int) -> tuple[tuple[int, int, str | None, Node], ...]:
    """The same, each with the node that holds it."""
    shape = graph.nodes[node].shape
    width, last = (shape[-1] if shape else 0), len(shape) - 1
    users = [n for n in graph.nodes[node + 1 :] if n.args[:1] == (Ref(node),)]
    found = [(start, one) for user in users for start, _, one in _of(graph, user, width, last)]
    return tuple((start + a, start + b, name, k) for start, one in found for a, b, name, k in _again(graph, one, last))


def _again(graph: Graph, one: Node, last: int) -> tuple[tuple[int, int, str | None, Node], ...]:
    """The pieces of a piece. One that is all of it, as `pen[:, 0]` of a single column, has the piece's name."""
    width = one.shape[-1] if len(one.shape) > last else 1
    own = taken(graph, one.index) if _is_taken_apart(graph, one, last) else ()
    named = tuple((a, b, name or (one.name if b - a == width else None), node) for a, b, name, node in own)
    return named or ((0, width, one.name, one),)


def _is_taken_apart(graph: Graph, piece: Node, last: int) -> bool:
    """Is it only read in pieces of the same dimension?"""
    readers = [n for n in graph.nodes[piece.index + 1 :] if piece.index in refs(n)]
    same = len(piece.shape) - 1 == last
    return same and bool(readers) and all(any(True for _ in _of(graph, n, piece.shape[-1], last)) for n in readers)


def pieces_of(graph: Graph, user: Node, node: int) -> tuple[Piece, ...]:
    """What one reader takes of the last dimension of `node`; () if it takes all of it."""
    shape = graph.nodes[node].shape
    taken = _of(graph, user, shape[-1], len(shape) - 1) if shape else ()
    return tuple((start, stop, piece.name) for start, stop, piece in taken)


def slices(graph: Graph, node: int) -> list[tuple[int, int]]:
    """[start, stop) of every piece of the last dimension that somebody takes of `node`, in order, once each."""
    width = (graph.nodes[node].shape or (1,))[-1]
    return sorted({(start, stop) for start, stop, _ in pieces(graph, node) if stop - start < width})


def packed(graph: Graph, node: int) -> tuple[tuple[int, int], ...]:
    """The pieces of a tensor that is read in pieces alone, none of which overlap: what it packs. Else ()."""
    own, shape = slices(graph, node), graph.nodes[node].shape
    users = [n for n in graph.nodes if node in refs(n)]
    taken = all(any(True for _ in _of(graph, n, shape[-1], len(shape) - 1)) for n in users) if len(shape) > 1 else False
    apart = all(one[1] <= other[0] for one, other in pairwise(own))
    return tuple(own) if taken and apart else ()


def alike(values: Sequence[torch.Tensor]) -> bool:
    """Could the pieces of a tensor, of shapes (..., width), all have one value? Not ends of intervals, of which one
    lies beyond the other in every row, nor a mask and what it chooses."""
    apart = any(bool((a.amax(-1) < b.amin(-1)).all()) for a, b in permutations(values, 2))
    return len(values) > 1 and not apart and not any(is_mask(v) for v in values)


def _of(graph: Graph, user: Node, width: int, last: int) -> Iterator[Taken]:
    """What `user` takes: [start, stop), and the node that holds it."""
    name = packet(user.aten)
    if name in _SPLITS:
        sizes = 1 if name == "unbind" else user.args[1]
        if (user.args[-1] if len(user.args) == (2 if name == "unbind" else 3) else 0) in (last, -1):
            yield from _split(graph, user, _starts(sizes, width))
    elif user.aten.startswith("aten.slice."):
        dim, start, stop = (*user.args[1:4], None, None, None)[:3]
        if dim in (last, -1):
            yield from _within(int(start or 0) % (width + 1), min(int(width if stop is None else stop), width), user)
    elif user.aten == "aten.select.int" and user.args[1] in (last, -1):
        k = int(user.args[2]) % max(width, 1)  # type: ignore[arg-type]
        yield k, k + 1, user


def _within(start: int, stop: int, user: Node) -> Iterator[Taken]:
    if start < stop:
        yield start, stop, user


def _starts(sizes: object, width: int) -> list[int]:
    """Where each part of a split begins, and the end of the last."""
    if isinstance(sizes, int):
        return [*range(0, width, max(sizes, 1)), width]
    starts = [0]
    for size in sizes if isinstance(sizes, tuple) else ():
        starts.append(starts[-1] + int(size))  # type: ignore[arg-type]
    return starts


def _split(graph: Graph, split: Node, starts: list[int]) -> Iterator[Taken]:
    for taken in graph.nodes[split.index + 1 :]:
        if "getitem" in taken.aten and taken.args[:1] == (Ref(split.index),):
            k = int(taken.args[1])  # type: ignore[arg-type]
            yield starts[k], starts[k + 1], taken
