"""A point mass beside a density: one target that comes up again and again among others that do not, as rain of 0 mm."""

from __future__ import annotations

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.verdict import Measured
from nllcheck.graphs import refs

CONTINUOUS = ("real", "positive", "unit", "interval")
OFTEN = 0.05  # of the targets: one number that comes up so often, among others that do not, is a point mass


def point_mass(graph: LossGraph, found: Measured) -> float:
    """The share of the most frequent target where all others differ and the loss compares targets; else 0."""
    if found.support.name not in CONTINUOUS or found.samples.event:
        return 0.0
    shown = depends_on(graph.graph, {found.samples.moved[found.samples.which]})
    if not any(n.op == "compare" and set(refs(n)) & shown for n in graph.graph.nodes):
        return 0.0
    _, counts = found.samples.target.unique(return_counts=True)
    most, count = int(counts.max()), int(counts.sum())
    apart = most > max(2, OFTEN * count) and int((counts == 1).sum()) >= count - most
    return most / count if apart else 0.0
