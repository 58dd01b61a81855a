"""An epsilon beside the target inside a log bends the density: below which epsilon does it no longer matter?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from torch import fx

from nllcheck import ops
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.samples.sample import Samples
from nllcheck.density.theta import thetas
from nllcheck.density.verdict import Measured, measured

LARGEST = 0.1  # a number above this is no epsilon
DECADES = 12  # that are tried downwards
LEVEL = 0.01  # nats between the samples' log Z that no longer matter
_VIEWS = ("reshape", "view", "expand", "unsqueeze", "squeeze", "clone", "_to_copy", "slice", "select", "permute")


def harmless(found: Measured) -> float:
    """The largest epsilon, by decades, at which Z is the same for all samples of the batch; NaN where there is none.

    The formula is evaluated anew with smaller epsilons, on the batch as it is, in float64.
    """
    places = _epsilons(found.samples)
    start = max((float(abs(node.args[1])) for node in places), default=0.0)  # type: ignore[arg-type]
    for k in range(1, DECADES + 1) if places else ():
        with _replaced(places, start * 10.0**-k):
            if _span(found) < LEVEL:
                return start * 10.0**-k
    return math.nan


def _epsilons(samples: Samples) -> list[fx.Node]:
    """`y + number` of the target that a log reads."""
    nodes: list[fx.Node] = list(samples.module.graph.nodes)
    target = f"moved_{samples.moved[samples.which]}"
    shown = {n for n in nodes if n.op == "placeholder" and n.name == target}
    for node in nodes:
        if ops.packet(str(node.target)) in _VIEWS and node.all_input_nodes[:1] and node.all_input_nodes[0] in shown:
            shown.add(node)
    return [n for n in nodes if ops.packet(str(n.target)) == "add" and _is_epsilon(n, shown)]


def _is_epsilon(node: fx.Node, shown: set[fx.Node]) -> bool:
    number = node.args[1] if len(node.args) > 1 else None
    small = isinstance(number, float) and 0 < abs(number) < LARGEST
    return small and node.args[0] in shown and any(ops.packet(str(u.target)) == "log" for u in node.users)


@contextmanager
def _replaced(places: list[fx.Node], epsilon: float) -> Iterator[None]:
    """The samples' own module with another epsilon, for a while."""
    before = [node.args for node in places]
    for node in places:
        node.args = (node.args[0], epsilon, *node.args[2:])
    try:
        yield
    finally:
        for node, args in zip(places, before, strict=True):
            node.args = args


def _span(found: Measured) -> float:
    """How far log Z differs between the batch's samples; infinite where it is not known."""
    try:
        samples = replace(found.samples)  # without what it has made of the formula as it was
        again = measured(samples, thetas(samples, ()), found.support, None)
    except UndecidedError:
        return math.inf
    values = again.reading.log_z[0][again.decided[0]]
    whole = 2 * values.numel() > int(found.samples.counted.sum())
    return float(values.max() - values.min()) if whole and values.numel() else math.inf
