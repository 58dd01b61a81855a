"""Variations of the batch: other masks, labels, counts and lengths that the same data could well have had."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch

from nllcheck.axes.masks import is_mask
from nllcheck.capture.program import Leaf

_LENGTHS = re.compile(r"(^|_|\.)(len|lens|lengths?|frames|steps|durations|counts?|sizes?|num)(_|$|\.|\d)", re.I)


@dataclass(frozen=True, slots=True)
class Variant:
    """Leaves with one of them changed. `likely`: would an ordinary loader deliver such a batch?"""

    label: str  # "target = 0 throughout"
    leaf: int
    value: torch.Tensor
    likely: bool = True
    unread: bool = False  # what is changed is masked out: it counts only if the loss does not read it


def variants(
    leaves: Sequence[Leaf], has_model: bool, tables: Mapping[int, int] = MappingProxyType({})
) -> tuple[Variant, ...]:
    """All variations of the tensors that look like masks, labels, counts or lengths. Never an invalid value: labels
    and counts stay within those of the batch, or of what they index, lengths within [0, longest].

    `tables`: how many entries a leaf chooses among, of those that index something.
    """
    data = [(i, leaf) for i, leaf in enumerate(leaves) if leaf.role in ("target", "input") and leaf.value.dim() > 0]
    found: list[Variant] = []
    for i, leaf in data:
        is_data = leaf.role == "target" or not has_model or leaf.value.dtype == torch.bool
        if is_data and leaf.value.numel() > 1:
            found += _of(i, leaf, leaves)
        elif _is_graph(leaf.value):
            found.append(_lone_node(i, leaf))
        if leaf.role == "target":
            found += _of_column(i, leaf)
            found += _of_index(i, leaf, tables.get(i, 0))
    masks = [leaf.value for _, leaf in data if is_mask(leaf.value)]
    for i, leaf in data:
        if leaf.role == "target" and leaf.value.is_floating_point() and not is_mask(leaf.value):
            found += _padded(i, leaf, masks)
    return tuple(found)


def _of(i: int, leaf: Leaf, leaves: Sequence[Leaf]) -> Iterator[Variant]:
    if is_mask(leaf.value):
        yield from _of_mask(i, leaf, has_rows=any(_rows(leaf) == _rows(o) for o in leaves if o is not leaf))
    elif _is_length(leaf, leaves):
        yield from _of_lengths(i, leaf)
    elif _is_label(leaf):
        for extreme in (leaf.value.min(), leaf.value.max()):
            yield Variant(f"{leaf.name} = {int(extreme)} throughout", i, torch.full_like(leaf.value, int(extreme)))
        yield from _alone(i, leaf)
    elif _is_one_hot(leaf):
        for k in (0, leaf.value.shape[-1] - 1):
            value = torch.zeros_like(leaf.value)
            value[..., k] = 1
            yield Variant(f"{leaf.name} = class {k} throughout", i, value)
    elif _is_count(leaf.value):
        yield Variant(f"{leaf.name} = 0 throughout", i, torch.zeros_like(leaf.value))


def _of_index(i: int, leaf: Leaf, entries: int) -> Iterator[Variant]:
    """The first and the last entry of a table: the steps of a schedule at which there is no noise, or no signal."""
    for k in (0, entries - 1) if entries else ():
        if not bool((leaf.value == k).any()):
            yield Variant(f"{leaf.name} = {k} throughout", i, torch.full_like(leaf.value, k))


def _is_graph(value: torch.Tensor) -> bool:
    """Zeros and ones, nodes by nodes: who is whose neighbour."""
    return value.dim() == 2 and value.shape[0] == value.shape[1] > 2 and is_mask(value)


def _lone_node(i: int, leaf: Leaf) -> Variant:
    """A node that nobody is next to, itself left out, too, unless every node has a loop: that was put there."""
    value, looped = leaf.value.clone(), bool(leaf.value.diagonal().all())
    value[0] = value[:, 0] = 0
    value[0, 0] = looped
    return Variant(f"node 0 of {leaf.name} without neighbours", i, value)


FEW = 8  # entries along a dimension that may each be a quantity of its own


def _of_column(i: int, leaf: Leaf) -> Iterator[Variant]:
    """A mask packed into one tensor with the data: an entry of the last dimension, or of the second, of zeros and ones
    beside others that are not. All 0, all 1."""
    value = leaf.value
    if not value.is_floating_point() or value.dim() < 2:
        return
    for dim, before in {1: ":, ", value.dim() - 1: "..., "}.items():
        masks = [k for k in range(value.shape[dim]) if is_mask(value.select(dim, k))] if value.shape[dim] <= FEW else []
        for k in masks if len(masks) < value.shape[dim] else ():
            for word in (0.0, 1.0):
                changed = value.clone()
                changed.select(dim, k).fill_(word)
                yield Variant(f"{leaf.name}[{before}{k}] = {word:g} throughout", i, changed)


def _rows(leaf: Leaf) -> int:
    return len(leaf.value) if leaf.value.dim() and leaf.role in ("target", "input") else -1


def _of_mask(i: int, leaf: Leaf, has_rows: bool) -> Iterator[Variant]:
    """All 0, all 1, and one row of each.

    Hardly a batch that a loader makes: a padding mask of length 0, a mask over classes that allows none, a
    selection of what was left out for a reason.
    """
    choosing = leaf.value.dtype == torch.bool or "mask" in leaf.name.lower()
    for word, new in (("0", torch.zeros_like(leaf.value)), ("1", torch.ones_like(leaf.value))):
        if leaf.value.dtype == torch.bool:
            word = str(bool(int(word)))
        likely = has_rows and not is_padding(leaf.value) and not (choosing and bool(new.any()))
        if not torch.equal(new, leaf.value):
            yield Variant(f"{leaf.name} = {word} throughout", i, new, likely)
        if leaf.value.dim() >= 2 and len(leaf.value) > 1:
            row = torch.cat([new[:1], leaf.value[1:]])
            yield Variant(f"the first row of {leaf.name} = {word} throughout", i, row, likely)


def is_padding(value: torch.Tensor) -> bool:
    """Does every row hold its ones (or its zeros) first, and some of them?"""
    if value.dim() < 2:
        return False
    ones = value.to(torch.int8)
    return any(bool((m.diff(dim=-1) <= 0).all()) and bool((m[..., 0] == 1).all()) for m in (ones, 1 - ones))


def _is_length(leaf: Leaf, leaves: Sequence[Leaf]) -> bool:
    value = leaf.value
    if value.dim() != 1 or value.is_floating_point() or value.dtype == torch.bool or int(value.min()) < 0:
        return False
    return bool(_LENGTHS.search(leaf.name)) and any(int(value.max()) in other.value.shape for other in leaves)


def _of_lengths(i: int, leaf: Leaf) -> Iterator[Variant]:
    """A sequence of one step is rare but fair; one of none is not."""
    for length, likely in ((1, True), (0, False)):
        value = leaf.value.clone()
        value[0] = length
        yield Variant(f"{leaf.name}[0] = {length}", i, value, likely)


def _is_label(leaf: Leaf) -> bool:
    value = leaf.value
    whole = not value.is_floating_point() and not value.is_complex() and value.dtype != torch.bool
    return whole and leaf.role == "target" and int(value.min()) >= 0 and int(value.max()) > int(value.min())


def _alone(i: int, leaf: Leaf) -> Iterator[Variant]:
    """One label for each row: the first row the only one of its class, its fellows moved to another that is there."""
    value = leaf.value
    fellows = value == value.reshape(-1)[0]
    if value.dim() == 1 and int(fellows.sum()) > 1:
        moved = torch.where(fellows, value[~fellows][0], value)
        moved[0] = value[0]
        yield Variant(f"{leaf.name}[0] the only one of its class", i, moved)


def _is_one_hot(leaf: Leaf) -> bool:
    """Rows of zeros with a single one, not all of the same class."""
    value = leaf.value
    if leaf.role != "target" or value.dtype == torch.bool or value.is_complex():
        return False
    if value.dim() < 2 or value.shape[-1] < 2 or not bool(((value == 0) | (value == 1)).all()):
        return False
    return bool((value.sum(-1) == 1).all()) and len(value.argmax(-1).unique()) > 1


def _is_count(value: torch.Tensor) -> bool:
    """Whole numbers from 0 on, with a 0 and more than one other value."""
    if not value.is_floating_point() or not bool(torch.isfinite(value).all()):
        return False
    return bool((value >= 0).all()) and bool((value == value.round()).all()) and len(value.unique()) > 2 and bool(
        (value == 0).any()
    )  # fmt: skip


def _padded(i: int, leaf: Leaf, masks: Sequence[torch.Tensor]) -> Iterator[Variant]:
    """What a loader puts at masked steps: a zero, seldom a NaN."""
    for mask in masks:
        out = (mask == 0).reshape(mask.shape + (1,) * (leaf.value.dim() - mask.dim()))
        if leaf.value.shape[: mask.dim()] != mask.shape or not bool(out.any()) or bool(out.all()):
            continue
        for word, fill, likely in (("0", 0.0, True), ("NaN", float("nan"), False)):
            value = torch.where(out, fill, leaf.value)
            yield Variant(f"{leaf.name} = {word} where it is masked out", i, value, likely, unread=True)
