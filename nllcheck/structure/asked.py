"""Values of a target that the loss itself asks about: who writes `y != 0` has readings of 0, in another batch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch

from nllcheck.axes.masks import is_mask
from nllcheck.capture.program import Leaf
from nllcheck.ops import is_transparent, packet
from nllcheck.structure.variants import Variant, is_padding
from nllcheck.types import Graph, Node, Ref

Question = tuple[str, float]  # "ne", 0.0: y != 0
_STEPS = {"eq": 0.0, "ne": 0.0, "gt": 0.0, "lt": 0.0, "ge": -1.0, "le": 1.0, "isnan": math.nan}  # to the other side


def questions_of(graph: Graph) -> dict[int, tuple[Question, ...]]:
    """Comparisons of each leaf with a number, and `isnan`, in the user's own code: a library asks for its support."""
    found: dict[int, dict[Question, None]] = {}
    for node in graph.nodes:
        name = packet(node.aten)
        if node.op == "compare" and not node.inside and name in _STEPS and isinstance(node.args[0], Ref):
            number = node.args[1] if len(node.args) > 1 else 0.0
            leaf = _shown(graph, node.args[0].index)
            if leaf.op == "input" and isinstance(number, (int, float)) and math.isfinite(number):
                found.setdefault(leaf.index, {})[name, float(number)] = None
    return {leaf: tuple(asked) for leaf, asked in found.items()}


def ignored_by(graph: Graph) -> dict[int, int]:
    """The label of each leaf that a library's loss leaves out: `ignore_index`."""
    found: dict[int, int] = {}
    for node in graph.nodes:
        if node.op == "nll_loss" and len(node.args) > 4 and isinstance(node.args[1], Ref):
            leaf, ignored = _shown(graph, node.args[1].index), node.args[4]
            if leaf.op == "input" and isinstance(ignored, int):
                found[leaf.index] = ignored
    return found


def unless_ignored(one: Variant, ignored: Mapping[int, int]) -> Variant:
    """A batch in which every label is left out is all padding: hardly one that a loader makes."""
    empty = one.leaf in ignored and bool((one.value == ignored[one.leaf]).all())
    return replace(one, likely=False) if empty else one


def _shown(graph: Graph, index: int) -> Node:
    """The value behind views and casts that keep all its elements."""
    node = graph.nodes[index]
    while is_transparent(node.op) and node.op != "select" and node.args and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
    return node


def asked_about(leaves: Sequence[Leaf], questions: Mapping[int, Sequence[Question]]) -> Iterator[Variant]:
    """The first element of a target where a question that all the batch answers alike is answered otherwise."""
    for i, leaf in enumerate(leaves):
        if leaf.role != "target" or not leaf.value.is_floating_point() or leaf.value.numel() < 2:
            continue
        for name, number in questions.get(i, ()):
            other = number + _STEPS[name]
            flat = leaf.value.flatten()
            value = torch.cat([flat.new_full((1,), other), flat[1:]])
            answers = _answers(name, value, number)
            if bool((answers[1:] != answers[0]).all()):
                yield Variant(f"{leaf.name}{_first(leaf.value)} = {other:g}", i, value.reshape(leaf.value.shape))


_SPELLED = {"eq": "=", "ne": "!=", "gt": ">", "lt": "<", "ge": ">=", "le": "<="}


def emptied(leaves: Sequence[Leaf], questions: Mapping[int, Sequence[Question]]) -> Iterator[Variant]:
    """A target of which some elements answer yes (`depth > 0`) without any that does: they get a value that is there
    beside them, as in a sample that has nothing to select."""
    for i, leaf in enumerate(leaves):
        if leaf.role != "target" or not leaf.value.is_floating_point() or is_mask(leaf.value):
            continue
        for name, number in questions.get(i, ()):
            yes = _answers(name, leaf.value, number)
            if name in _SPELLED and bool(yes.any()) and not bool(yes.all()):
                value = torch.where(yes, leaf.value[~yes][0], leaf.value)
                yield Variant(f"no {leaf.name} {_SPELLED[name]} {number:g}", i, value)


def blank_rows(
    leaves: Sequence[Leaf], questions: Mapping[int, Sequence[Question]], has_model: bool
) -> Iterator[Variant]:
    """Words, or a model's inputs, of which some answer yes (`words != 0`): a first row in which none does.

    Where the yes come first in every row the others are padding, and a row of it alone is hardly one of a loader's.
    """
    for i, leaf in enumerate(leaves):
        is_data = leaf.role == "input" and (has_model or not leaf.value.is_floating_point())
        if not is_data or leaf.value.dim() < 2 or leaf.value.dtype == torch.bool or is_mask(leaf.value):
            continue
        for name, number in questions.get(i, ()):
            yes = _answers(name, leaf.value, number)
            for asked, word in ((yes, name), (~yes, _OTHERWISE.get(name))):
                if word in _SPELLED and bool(asked.flatten(1).any(1).all()) and not bool(asked.all()):
                    first = torch.where(asked[:1], leaf.value[~asked][0], leaf.value[:1])
                    label = f"no {leaf.name} {_SPELLED[word]} {number:g} in its first row"
                    yield Variant(label, i, torch.cat([first, leaf.value[1:]]), likely=not is_padding(asked))


_OTHERWISE = {"eq": "ne", "ne": "eq", "gt": "le", "lt": "ge", "ge": "lt", "le": "gt"}


def _answers(name: str, value: torch.Tensor, number: float) -> torch.Tensor:
    return torch.isnan(value) if name == "isnan" else getattr(torch, name)(value, number)


def _first(value: torch.Tensor) -> str:
    return f"[{', '.join('0' * value.dim())}]"
