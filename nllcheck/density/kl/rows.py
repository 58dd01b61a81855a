"""Terms of a loss by the rows of what is drawn: those that have numbers for each, and those that all rows share."""

from __future__ import annotations

from torch import Tensor

from nllcheck.density.allowance import UndecidedError
from nllcheck.graphs import ancestors
from nllcheck.types import Graph


def by_rows(graph: Graph, noise: int, shape: tuple[int, ...], terms: dict[int, Tensor]) -> dict[int, Tensor]:
    """The terms (S, ...), what all rows share in equal parts: (S, rows). `shape`: the noise's own, rows in front.

    Raises UndecidedError where a term has other rows.
    """
    shape = _without_ones(shape)
    return {k: v if _has_rows(graph, noise, shape, k, v) else _spread(v, shape) for k, v in terms.items()}


def _has_rows(graph: Graph, noise: int, shape: tuple[int, ...], term: int, value: Tensor) -> bool:
    """Has it numbers for each row, as what reads the noise or the data, and parameters of the noise's own shape?"""
    data = {n.index for n in graph.nodes if n.op == "input" and n.name not in graph.weights}
    read, own = ancestors(graph, term), _without_ones(value.shape[1:])
    if noise in read:
        return True
    if read & data and own[:1] != shape[:1]:
        raise UndecidedError("a term without target has no number for each row of what is drawn")
    return bool(read & data) or (len(own) == len(shape) and own[0] == shape[0])


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without dimensions of one number, such as a single draw has, but for the last."""
    return (*(size for size in shape[:-1] if size != 1), *shape[-1:])


def _spread(term: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What is the same for all rows, as the log-determinant of a scale that they share: each takes its part."""
    if len(shape) < 2 and term[0].numel() > 1:
        raise UndecidedError("a term without target has other numbers than what is drawn")
    return (term.reshape(len(term), -1).sum(1, keepdim=True) / shape[0]).expand(len(term), shape[0])


def units_of(rows: int, parts: dict[int, Tensor]) -> int:
    """How many rows the terms can be told by: those of the noise, else of several of them together."""
    fewest = min(v[0].numel() for v in parts.values())
    units = rows if fewest % rows == 0 else fewest
    if rows % units or any(v[0].numel() % units for v in parts.values()):
        raise UndecidedError("a term without target is no sum over the rows of what is drawn")
    return units
