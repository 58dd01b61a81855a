"""The captured program in plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from nllcheck.types.words import Zone


@dataclass(frozen=True, slots=True)
class Site:
    """A place in source code: the user's line that made an op."""

    path: str  # as Python names the file; reports shorten it against the working directory
    line: int  # 1-based
    function: str  # the function the line is in
    variable: str | None = None  # the name the line assigns the value to, if any
    source: str = ""  # the line's text, stripped at both ends
    span: tuple[int, int] | None = None  # columns of the expression within `source`, 0-based, end excluded


@dataclass(frozen=True, slots=True)
class Ref:
    """An argument that is another node's value."""

    index: int


Arg = Any  # Ref | float | int | bool | str | None | tuple[Arg, ...]; spelled out in `Node.args`


@dataclass(frozen=True, slots=True)
class Node:
    """One op of the forward graph, in rule words."""

    index: int  # position in `Graph.nodes`
    op: str  # the rule name: "log", "softmax", "sub"; "input" for a placeholder, "constant" for a fixed value
    args: tuple[Arg, ...]  # Ref, Python scalars, None, or tuples of these; normalised (rsub -> sub, ...)
    aten: str = ""  # "aten.log.default"
    site: Site | None = None
    zone: Zone = "loss"
    name: str | None = None  # the user's own name: a variable, a parameter ("head.weight"), "output", "target"
    shape: tuple[int, ...] = ()
    dtype: str = ""  # "float32"
    kwargs: tuple[tuple[str, Arg], ...] = ()
    inside: tuple[str, ...] = ()  # the library's functions that the op stands in, innermost first
    within: Site | None = None  # the line of an installed package that the op stands in, below the user's
    meant: str = ""  # the op that somebody wrote, where this is the last of those that stand for it


@dataclass(frozen=True, slots=True)
class Discarded:
    """A clamp, or the like, that is computed and then thrown away."""

    op: str
    guarded: int  # index of the value that it was meant for
    site: Site | None


@dataclass(frozen=True, slots=True)
class Graph:
    """The captured forward program as plain values; `loss` is the index of the scalar that is minimised."""

    nodes: tuple[Node, ...]
    loss: int
    outputs: tuple[int, ...] = ()  # the nodes that are the model's outputs
    targets: tuple[int, ...] = ()  # the nodes that are targets
    weights: frozenset[str] = frozenset()  # names of the leaves that are parameters
    discarded: tuple[Discarded, ...] = ()  # guards whose result nothing uses
    terms: tuple[tuple[str, int], ...] = ()  # what the loss sums, where it returns several: name and node
    buffers: tuple[int, ...] = ()  # the leaves that nobody trains
