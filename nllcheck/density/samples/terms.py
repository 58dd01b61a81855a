"""The loss as a sum of terms: the linear tail (mean, sum, weights, constants) undone, down to what is not linear.

Below the last non-linear op every loss is linear: `-(log_prob * mask).sum() / n + penalty`. The tail is walked from the
loss downwards; each node where the walk ends is a term. Its coefficient is split in two: what the reduction
contributes (the 1/n of a mean) and what the formula contributes (a minus, a half).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from nllcheck import ops
from nllcheck.density.samples.unreduced import PADDING


@dataclass(frozen=True)
class Term:
    """One summand: `reduced * factor * value`, summed over the value's elements (and weighted, see `Tail`)."""

    node: fx.Node  # where its adjoint is taken: the term itself, or for a constant the sum that it stands in
    factor: float  # what the formula multiplies it with
    reduced: float  # what the reduction multiplies it with: 1/n of a mean, 1 of a sum
    constant: float | None = None  # a plain number, standing in a sum of the node's shape
    shared: bool = False  # one number, added to every sample's part: in each sample's loss, whatever it sums
    summed: fx.Node | None = None  # what the innermost sum or mean around it goes over
    repeated: bool = False  # rows of it are added to rows of something larger, as a scale of each feature is


@dataclass(frozen=True)
class Tail:
    """A loss as terms, split by what they depend on (an op of the graph each)."""

    terms: tuple[Term, ...]
    on_target: frozenset[fx.Node]  # nodes that depend on the target
    on_model: frozenset[fx.Node]  # nodes that depend on what the model gives

    def reads_target(self, term: Term) -> bool:
        """Does the term depend on the target?"""
        return term.constant is None and term.node in self.on_target

    def reads_model(self, term: Term) -> bool:
        """Does the term depend on what the model gives?"""
        return term.constant is None and term.node in self.on_model


def dependents(graph: fx.Graph, sources: set[fx.Node]) -> frozenset[fx.Node]:
    """`sources` and every node that reads one of them, directly or not."""
    found = set(sources)
    for node in graph.nodes:
        if node.op == "call_function" and any(i in found for i in node.all_input_nodes) and not _asks_for_padding(node):
            found.add(node)
    return frozenset(found)


def _asks_for_padding(node: fx.Node) -> bool:
    """`target == ignore_index` with torch's own -100, which is no class: false whatever class the target is."""
    return ops.packet(str(node.target)) in ("eq", "ne") and node.args[1:] == (PADDING,)


def without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape without leading dimensions of one number: the numbers are in the same order with them."""
    lead = next((k for k, size in enumerate(shape) if size != 1), len(shape))
    return tuple(shape[lead:])
