"""Ways that move many elements at once: scores to where they are sure and right of every class, or of an empty mask.

There selections by a threshold are empty, overlaps are 0 of 0, and what is left of a probability is nothing.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import torch

from nllcheck.axes.goals import name_of, way_to
from nllcheck.axes.labels import label_of
from nllcheck.axes.masks import is_mask
from nllcheck.axes.view import View
from nllcheck.types import PLAUSIBLE, Axis, Move

MOST_MOVED = 1024  # elements of one way
MOST = 2  # ways in one check


def sure_axes(view: View, plain: Sequence[Axis]) -> list[Axis]:
    """The ways of every tensor of raw scores among the axes that are there already (`plain`)."""
    first = {a.node: a for a in reversed(plain) if a.mode == "set" and a.is_boundary and a.role != "target"}
    scores = [a for a in first.values() if a.domain == (-math.inf, math.inf) and _numel(view, a.node) <= MOST_MOVED]
    return list(itertools.islice((w for a in scores for w in (*_of_classes(view, a), *_of_nothing(view, a))), MOST))


def _numel(view: View, node: int) -> int:
    return math.prod(view.graph.nodes[node].shape)


def _of_classes(view: View, axis: Axis) -> Iterator[Axis]:
    """Labels of one class a row: the last dimension of the scores, or the second, holds the classes."""
    scores = view.values[axis.node]
    for target in sorted(view.graph.targets):
        labels = view.values[target]
        dim = _class_dim(scores, labels)
        if dim is None:
            continue
        one_hot = torch.zeros_like(scores).scatter(dim, labels.long().unsqueeze(dim), 1.0)
        moves = _moves(view, axis, PLAUSIBLE * (2 * one_hot - 1))
        yield _way(axis, f"{name_of(axis)} is sure and right of all {label_of(view.graph, target)}", target, moves)


def _class_dim(scores: torch.Tensor, labels: torch.Tensor) -> int | None:
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool or not labels.numel():
        return None
    for dim in dict.fromkeys((scores.dim() - 1, 1)):
        left = (*scores.shape[:dim], *scores.shape[dim + 1 :])
        if 0 < dim < scores.dim() and labels.shape == left and int(labels.min()) >= 0:
            return dim if int(labels.max()) < scores.shape[dim] else None
    return None


def _of_nothing(view: View, axis: Axis) -> Iterator[Axis]:
    """A mask of the scores' shape: nothing in it anywhere, and the scores sure of that."""
    for target in sorted(view.graph.targets):
        mask = view.values[target]
        if mask.shape != view.values[axis.node].shape or not mask.is_floating_point() or not is_mask(mask):
            continue
        name = label_of(view.graph, target)
        own = Axis(name, target, "target", selector=name, observed=(0.0, 1.0), domain=(0.0, 1.0))
        moves = _moves(view, axis, torch.full_like(view.values[axis.node], -PLAUSIBLE))
        moves += _moves(view, own, torch.zeros_like(mask))
        yield _way(axis, f"{name} = 0 throughout, and {name_of(axis)} is sure of it", target, moves)


def _way(axis: Axis, label: str, target: int, moves: tuple[Move, ...]) -> Axis:
    selector = f"{name_of(axis)}->{target}"
    return way_to(axis, goal="as labelled", label=label, selector=selector, moves=moves)


def _moves(view: View, axis: Axis, ends: torch.Tensor) -> tuple[Move, ...]:
    """Every element of a tensor to its end."""
    starts, name = view.values[axis.node].detach().double().reshape(-1).tolist(), name_of(axis)
    pairs = enumerate(zip(starts, ends.double().reshape(-1).tolist(), strict=True))
    return tuple(Move(axis.node, k, name, a, b, axis.observed, axis.domain) for k, (a, b) in pairs)
