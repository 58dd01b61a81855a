"""Intervals as supports: the ends at which the loss itself becomes a density.

Ends are sought among the numbers that the loss is made of (the bounds of a truncated normal, the 1 of (y + 1) / 2) and,
for a beginning that moves with a parameter (Pareto), among what it computes without the target.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import fx

from nllcheck.axes import depends_on
from nllcheck.capture import LossGraph
from nllcheck.density.allowance import SpentError, UndecidedError
from nllcheck.density.constancy import FEW, TOLERANCE, as_written
from nllcheck.density.samples.sample import Samples
from nllcheck.density.support import Support
from nllcheck.density.theta import thetas
from nllcheck.density.verdict import ENOUGH, Measured, measured

NEAREST = 4  # numbers tried as an end, a side
NODES = 4
MOST_TRIED = 2000  # samples of all intervals together
FEWEST = 6  # intervals


def ends(graph: LossGraph, found: Measured) -> Measured | None:
    """The loss measured on the first interval on which Z = 1 with every term; None if there is none."""
    samples = found.samples
    if samples.event or found.support.name not in ("real", "positive") or (found.reading.is_constant and _keeps(found)):
        return None
    if _is_too_little(found):
        return None
    here = thetas(samples, ())
    for support in itertools.islice(_intervals(graph, samples), max(FEWEST, MOST_TRIED // samples.count)):
        if _fits(_tried(replace(found, theta=here), support)):
            whole = _tried(found, support)
            return whole if _fits(whole) else None
    return None


def _is_too_little(found: Measured) -> bool:
    """Is Z below 1 over all reals, with every term? On a part of them it is no larger."""
    if found.support.name != "real" or found.factor is not None:
        return False
    fixed = tuple(value for _, value in found.samples.fixed)
    whole = as_written(found.integrals.log_z, found.integrals.error, found.free, fixed, found.decided)
    below = whole.log_z[0] < -found.integrals.error[0] - 4 * TOLERANCE
    return bool(below[found.decided[0]].double().mean() > FEW)


def _tried(found: Measured, support: Support) -> Measured | None:
    try:
        return measured(found.samples, found.theta, support, None)
    except SpentError:
        raise
    except (UndecidedError, RuntimeError):
        return None


def _keeps(found: Measured) -> bool:
    return not found.contested and all(found.reading.kept)


def _fits(tried: Measured | None) -> bool:
    if tried is None or tried.factor is not None:
        return False
    enough = bool(tried.decided[:, tried.samples.counted].double().mean() > ENOUGH)
    return enough and tried.reading.constant == "1" and _keeps(tried)


def _intervals(graph: LossGraph, samples: Samples) -> Iterator[Support]:
    """The candidates, the tightest first."""
    y = samples.target.double()
    numbers = _numbers(graph, samples)
    lows = sorted((n for n in numbers if n <= float(y.min())), reverse=True)[:NEAREST]
    highs = sorted(n for n in numbers if n >= float(y.max()))[:NEAREST]
    for low, high in itertools.product([*lows, -math.inf], [*highs, math.inf]):
        if (low, high) == (0.0, 1.0):
            yield Support("unit", "between 0 and 1, where the loss is normalised")
        elif (low, high) not in ((-math.inf, math.inf), (0.0, math.inf)):
            yield Support("interval", f"{_words(low, high)}, where the loss is normalised", ends=(low, high))
    for node in _beginnings(samples):
        yield Support("interval", "from a parameter on, where the loss is normalised", begins=node)


def _words(low: float, high: float) -> str:
    return f"from {low:g} on" if high == math.inf else f"up to {high:g}" if low == -math.inf else f"{low:g} to {high:g}"


def _numbers(graph: LossGraph, samples: Samples) -> set[float]:
    """0, and the plain numbers of the formula with either sign."""
    moving = depends_on(graph.graph, set(samples.moved))
    found = [0.0]
    for node in graph.graph.nodes:
        found += [float(a) for a in node.args if isinstance(a, (int, float))]
        value = graph.values[node.index]
        if node.index not in moving and isinstance(value, torch.Tensor) and value.numel() == 1:
            found.append(float(value))
    return {sign * n for n in found for sign in (1, -1) if math.isfinite(n)}


def _beginnings(samples: Samples) -> list[fx.Node]:
    """Nodes with one number a sample that no target reaches and no target lies below, the nearest first."""
    y = samples.target.double()
    found: list[tuple[float, fx.Node]] = []
    for node, value in samples.values.items():
        free = node in samples.tail.on_model and node not in samples.tail.on_target
        if free and isinstance(value, torch.Tensor) and value.is_floating_point() and value.numel() == samples.count:
            gap = y - value.reshape(-1)
            found += [(float(gap.mean()), node)] if bool((gap >= 0).all()) else []
    return [node for _, node in sorted(found, key=lambda f: f[0])[:NODES]]
