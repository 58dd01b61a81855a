"""A continuous likelihood that is unbounded: one sample's outputs lead its loss to minus infinity.

A density that may be as narrow as it likes has no highest value: mu on the target and sigma to 0, one component of a
mixture on one sample (Day 1969, "Estimating the components of a mixture of normal distributions"), a Dirichlet that
concentrates. The way there is looked for by minimising the loss of the sample that is lowest already, over its own
outputs alone, in float64; where it ends is evaluated in exact arithmetic.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from nllcheck.capture import LossGraph
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.samples.cut import samples_of
from nllcheck.density.samples.sample import Samples
from nllcheck.density.support import ROWS
from nllcheck.exact import certain, work_of
from nllcheck.judge.road import ROUNDS, Road, Slope, Station, descent, road_of
from nllcheck.judge.series import channel_names
from nllcheck.sweep.joint import Joint
from nllcheck.types import Axis, Density, Event, Judged

MOST = 64  # outputs of one sample
MOST_BOUNDS = 8
MOST_WORK = 3e8  # elements computed, forward
LIKELIHOODS = ("proper", "constant", "target-factor")
CONTINUOUS = ("real", "positive", "unit", "interval", "simplex", "angle", "sphere", "mixed")


def collapses(graph: LossGraph, joint: Joint, answer: Density) -> list[Judged]:
    """At most one remark: the outputs that lead the loss to minus infinity, how fast, and what stops them."""
    if not answer.claims or answer.name not in LIKELIHOODS or answer.support not in CONTINUOUS:
        return []
    if work_of(joint) * ROUNDS * MOST_BOUNDS > MOST_WORK:
        return []  # a batch of very many rows
    try:
        samples = samples_of(graph, by_rows=answer.support in ROWS)
        lowest, rows = _lowest(samples), _own_rows(samples)
        found = road_of(*_walked(samples, lowest, rows, *_start(samples, lowest, rows))) if rows else None
    except (UndecidedError, RuntimeError, IndexError, ValueError):  # the user's ops at values they never saw
        return []
    return [_told(graph, joint, samples, lowest, rows, found)] if found else []


def _own_rows(samples: Samples) -> list[int]:
    """Which placeholders hold numbers of each sample's own; what several samples share cannot serve one alone."""
    count = samples.count
    own = [k for k in range(samples.which) if samples.base[k].numel() % count == 0 and samples.base[k].dim()]
    own = [k for k in own if samples.base[k].shape[0] == count or samples.base[k].shape[: len(samples.shape)] ==
           samples.shape]  # fmt: skip
    width = sum(samples.base[k].numel() // count for k in own)
    return own if 0 < width <= MOST and count > 1 else []


def _lowest(samples: Samples) -> int:
    with torch.no_grad(), plain_kernels():
        nats = samples.nats(samples.base)
    return int(torch.where(samples.counted & torch.isfinite(nats), nats, math.inf).argmin())


def _placed(samples: Samples, sample: int, rows: list[int], x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The batch with one sample's outputs replaced by `x`."""
    tensors, at = list(samples.base), 0
    for k in rows:
        whole = tensors[k].reshape(samples.count, -1)
        new = x[at : at + whole.shape[1]].to(whole.dtype)
        tensors[k] = torch.cat([whole[:sample], new[None], whole[sample + 1 :]]).reshape(tensors[k].shape)
        at += whole.shape[1]
    return tuple(tensors)


def _start(samples: Samples, sample: int, rows: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
    """One sample's outputs in one row, all of them free to move."""
    start = torch.cat([samples.base[k].reshape(samples.count, -1)[sample] for k in rows])
    return start, torch.ones(len(start), dtype=torch.bool)


def _walked(
    samples: Samples, sample: int, rows: list[int], start: torch.Tensor, free: torch.Tensor
) -> tuple[list[Station], Slope]:
    """The way down of one sample's loss over those of its outputs that are `free`, and the loss' slope anywhere."""

    def loss(x: torch.Tensor) -> torch.Tensor:
        moved = start.masked_scatter(free, x)
        return samples.nats(_placed(samples, sample, rows, moved))[sample]

    def slope(row: torch.Tensor) -> torch.Tensor:
        x = row[free].detach().requires_grad_()
        with plain_kernels(), torch.enable_grad():
            return torch.zeros_like(row).masked_scatter(free, torch.autograd.grad(loss(x), x)[0])

    with plain_kernels(), torch.enable_grad():
        return [(start.masked_scatter(free, x), value) for x, value in descent(loss, start[free])], slope


def _told(graph: LossGraph, joint: Joint, samples: Samples, sample: int, rows: list[int], road: Road) -> Judged:
    names = [name for row in rows for name in _names(graph, samples, row)]
    held, floor = _held(samples, sample, rows, road)
    bounds = ", ".join(f"{names[k]} {'<=' if up else '>='} {edge:.4g}" for k, up, edge in held)
    edges = "the batch's own edge" if len(held) == 1 else "the batch's own edges"
    stop = f"; {bounds}, {edges}, would hold it at {floor:.4g}" if floor <= road.losses[0] else ""
    detail = (
        f"{names[road.channel]} {'grows' if road.grows else 'falls'} and its other outputs fit it, {road.rate}. On the "
        f"batch the lowest sample is at {road.losses[0]:.4g} nats{stop}"
    )
    exact = _exact(joint, samples, _placed(samples, sample, rows, road.end))
    event = Event("unbounded", "forward", samples.moved[rows[0]], None, math.nan, None, loss=exact, detail=detail)
    reason = f"the batch's loss is {exact:.4g} with that sample at {road.losses[2]:.4g} nats"
    if math.isnan(exact):
        return Judged(event, "legitimate", 1.0, f"found in float64: that sample is at {road.losses[2]:.4g} nats")
    return Judged(event, "legitimate", 1.0, f"exact arithmetic: {reason}", exact, math.nan, "exact")


Bound = tuple[int, bool, float]  # output, whether it is held from above, at which value


def _held(samples: Samples, sample: int, rows: list[int], road: Road) -> tuple[list[Bound], float]:
    """Bounds at the batch's edges that keep the sample's loss finite, and the lowest it can then be.

    Of a mixture every component needs one; inf where `MOST_BOUNDS` do not help or no lowest value was found.
    """
    columns = torch.cat([samples.base[row].reshape(samples.count, -1) for row in rows], 1)
    bounds: list[Bound] = []
    for _ in range(MOST_BOUNDS):
        edge = columns[:, road.channel].amax() if road.grows else columns[:, road.channel].amin()
        bounds.append((road.channel, road.grows, float(edge)))
        free = torch.tensor([k not in [b[0] for b in bounds] for k in range(columns.shape[1])])
        start = torch.where(free, columns[sample], torch.tensor([_edge_of(k, bounds) for k in range(len(free))]))
        stations, slope = _walked(samples, sample, rows, start, free)
        further = road_of(stations, slope, road.losses[0])
        if further is None:
            return bounds, stations[-1][1] if len(stations) <= ROUNDS else math.inf
        road = further
    return bounds, math.inf


def _edge_of(k: int, bounds: list[Bound]) -> float:
    return next((edge for one, _, edge in bounds if one == k), 0.0)


def _names(graph: LossGraph, samples: Samples, row: int) -> list[str]:
    """One name each of a sample's numbers in a placeholder."""
    width = samples.base[row].numel() // samples.count
    names = channel_names(graph, samples.moved[row])
    return names if len(names) == width else names[:1] * width


def _exact(joint: Joint, samples: Samples, tensors: tuple[torch.Tensor, ...]) -> float:
    """The batch's exact loss at these values; NaN where it is not known."""
    given = dict(zip(samples.moved, tensors, strict=True))
    base = tuple(given.get(node, value) for node, value in zip(joint.moved, joint.base, strict=True))
    here = Axis("", joint.moved[0], "output", "scale")  # by 1: the values as they are
    found = certain(replace(joint, base=base), here, 1.0)
    return found[0] if isinstance(found, tuple) else math.nan
