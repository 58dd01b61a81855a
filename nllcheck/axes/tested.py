"""What targets are to be expected beyond the batch's own.

Who asks whether y < 1 expects a y beyond 1, whatever the batch at hand holds; and where there are counts there is a 0.
"""

from __future__ import annotations

import math

import torch

from nllcheck.types import Graph, Ref

NOWHERE = (math.nan, math.nan)


def beyond(graph: Graph, node: int, value: torch.Tensor, observed: tuple[float, float]) -> tuple[float, float]:
    """The range that a target with these values may have: what the loss asks about, and what its kind has."""
    return wider(counted(value), expected(graph, node, observed))


def wider(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """The range of both; where there is only one, that."""
    if one[0] != one[0] or other[0] != other[0]:
        return other if one[0] != one[0] else one
    return min(one[0], other[0]), max(one[1], other[1])


def expected(graph: Graph, node: int, observed: tuple[float, float]) -> tuple[float, float]:
    """The range beyond the batch's own that comparisons of the node with numbers speak of; (nan, nan) without any.

    Past such a number it goes as far as the batch is wide. A number inside the batch's range tells nothing new.
    """
    low, high = observed
    bounds = [n.args[1] for n in graph.nodes if n.op == "compare" and n.args[:1] == (Ref(node),) and len(n.args) > 1]
    limits = [float(b) for b in bounds if isinstance(b, (int, float)) and not isinstance(b, bool) and math.isfinite(b)]
    beyond = [b - (high - low) for b in limits if b <= low] + [b + (high - low) for b in limits if b >= high]
    return (min(low, *beyond), max(high, *beyond)) if beyond else NOWHERE


FEWEST = 3  # different whole numbers that make counts: 1 and 2 may name two kinds


def counted(value: torch.Tensor) -> tuple[float, float]:
    """From 0 to the largest of whole numbers that may well be counts; (nan, nan) for other values."""
    kinds = value.unique() if value.is_floating_point() else value.new_zeros(0)
    whole = kinds.numel() >= FEWEST and bool((torch.isfinite(kinds) & (kinds == kinds.round())).all())
    return (0.0, float(kinds.max())) if whole and float(kinds.min()) >= 0 else NOWHERE
