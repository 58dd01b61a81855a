"""A continuous likelihood that is unbounded: one sample's outputs lead its loss to minus infinity.

A density that may be as narrow as it likes has no highest value: mu on the target and sigma to 0, one component of a
mixture on one sample (Day 1969, "Estimating the components of a mixture of normal distributions"), a Dirichlet that
concentrates. The way there is looked for by minimising the loss of the sample that is lowest already, over its own
outputs alone, in float64; where it ends is evaluated in exact arithmetic.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch

from nllcheck.capture import LossGraph
from nllcheck.capture.trace import plain_kernels
from nllcheck.density.cut import samples_of
from nllcheck.density.sample import Samples, UndecidedError
from nllcheck.density.support import ROWS
from nllcheck.exact import certain, work_of
from nllcheck.judge.series import channel_names
from nllcheck.sweep.joint import Joint
from nllcheck.types import Axis, Density, Event, Judged

DEEP = 30.0  # nats below the lowest sample of the batch: a scale of 1e-13 of today's
SHALLOW = 8.0
USUAL = 16.0  # within which the rate is read: further on the targets' own rounding counts
STEADY = 0.7  # share of the rate that is left at the end: a floor leaves nothing
PART = 0.1  # of the fall: an output that gains less is none that takes the loss down
ROUNDS = 60  # steps of the minimiser
HALVINGS = 12  # of one of them
STRIDE = 2.0
MOST = 64  # outputs of one sample
MOST_BOUNDS = 8
MOST_WORK = 3e8  # elements computed, forward
TINY = 1e-300
NOISE = 0.05  # nats
LIKELIHOODS = ("proper", "constant", "target-factor")
CONTINUOUS = ("real", "positive", "unit", "interval", "simplex", "angle", "sphere")


@dataclass(frozen=True)
class Road:
    """Two stations on the way down: one sample's outputs in one row, and its loss in nats at the start and at both."""

    middle: torch.Tensor
    end: torch.Tensor
    losses: tuple[float, float, float]
    channel: int  # the output that takes the loss down most on the second half of the way
    rate: str  # how the loss falls with it, in words

    @property
    def grows(self) -> bool:
        return bool(self.end[self.channel] > self.middle[self.channel])


def collapses(graph: LossGraph, joint: Joint, answer: Density) -> list[Judged]:
    """At most one remark: the outputs that lead the loss to minus infinity, how fast, and what stops them."""
    if not answer.claims or answer.name not in LIKELIHOODS or answer.support not in CONTINUOUS:
        return []
    if work_of(joint) * ROUNDS * MOST_BOUNDS > MOST_WORK:
        return []  # a batch of very many rows
    try:
        samples = samples_of(graph, by_rows=answer.support in ROWS)
        lowest, rows = _lowest(samples), _own_rows(samples)
        found = _road_of(*_walked(samples, lowest, rows, *_start(samples, lowest, rows))) if rows else None
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
        return [(start.masked_scatter(free, x), value) for x, value in _descent(loss, start[free])], slope


def _road_of(stations: list[Station], slope: Slope, level: float = math.inf) -> Road | None:
    """The way down from `level`, if it is deep, or if it is as steep at its end, where float64 gives out, as before."""
    stations = [s for s in stations if s[1] <= level] or stations[-1:]
    drop = stations[0][1] - stations[-1][1]
    quarter, half, three = (_after(stations, share * min(drop, USUAL)) for share in (0.25, 0.5, 0.75))
    if drop <= SHALLOW:
        return None
    k = _leading([s for s in stations if s[1] <= half[1]], slope)
    follows = _follows([s for s in stations if s[1] <= quarter[1]], k)
    early, late = _rate(quarter, half, k, follows), _rate(three, stations[-1], k, follows)
    if drop <= DEEP and not STEADY * early < late < early / STEADY:
        return None
    rate = (half[1] - three[1]) / max(float((three[0] - half[0])[k].abs()), TINY)  # further on float64 has few digits
    words = "like its logarithm" if follows == "logarithm" else f"linearly, by about {rate:.2g} nats a unit"
    return Road(half[0], stations[-1][0], (stations[0][1], half[1], stations[-1][1]), k, words)


def _leading(way: list[Station], slope: Slope) -> int:
    """Of the outputs that take the loss down, the one that moves most, or whose logarithm does.

    One may move far and change nothing. No step gains more by one output than in all: trapezoids overshoot.
    """
    (start, top), (end, bottom) = way[0], way[-1]
    slopes = [slope(x).nan_to_num(0.0, 0.0, 0.0) for x, _ in way]
    gains = torch.zeros_like(start)
    for ((x, high), one), ((y, low), other) in pairwise(zip(way, slopes, strict=True)):
        gains += ((one + other) / 2 * (x - y)).clamp(low - high, high - low)
    felt = gains >= PART * (top - bottom)
    sizes = [x.abs().clamp(min=TINY).log() for x in (start, end)]
    moved = torch.maximum((end - start).abs(), (sizes[1] - sizes[0]).abs())
    return int((moved * felt).argmax())


def _follows(stations: list[Station], k: int) -> Literal["value", "logarithm"]:
    """Does the loss go with the k-th output or with its logarithm? The straight line that leaves less tells."""
    x, loss = torch.stack([s[0][k] for s in stations]), torch.tensor([s[1] for s in stations], dtype=torch.float64)
    one_sign = bool((x > 0).all() | (x < 0).all())
    closer = one_sign and _left(torch.log(x.abs() + TINY), loss) < _left(x, loss)
    return "logarithm" if closer else "value"


def _left(x: torch.Tensor, y: torch.Tensor) -> float:
    """What the best straight line through the points leaves of y."""
    away, up = x - x.mean(), y - y.mean()
    slope = (away * up).sum() / (away**2).sum().clamp(min=TINY)
    return float(((up - slope * away) ** 2).sum())


Station = tuple[torch.Tensor, float]
Slope = Callable[[torch.Tensor], torch.Tensor]  # of a row of outputs, the same shape


def _after(stations: list[Station], drop: float) -> Station:
    return next(s for s in stations if s[1] <= stations[0][1] - drop)


def _rate(one: Station, other: Station, k: int, follows: Literal["value", "logarithm"]) -> float:
    """Nats lost a unit of the k-th output, or of its logarithm."""
    ends = [s[0][k].abs().log() if follows == "logarithm" else s[0][k] for s in (one, other)]
    way = abs(float(ends[1] - ends[0]))
    return (one[1] - other[1]) / way if way else 0.0


def _descent(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> list[Station]:
    """Stations on the way down, the start first, until `DEEP` is passed or nothing helps any more.

    Newton's step with the curvatures' absolute values (Dauphin et al. 2014), none longer than `STRIDE`: it fits the
    mean to its target however narrow the density has become.
    """
    found = [(x, float(loss(x)))]
    for _ in range(ROUNDS):
        step = _step(loss, found[-1][0])
        tried = ((found[-1][0] + step * 0.5**k) for k in range(HALVINGS))
        better = next((s for s in ((t, float(loss(t).detach())) for t in tried) if s[1] < found[-1][1] - 1e-6), None)
        if better is None or _is_noisy(loss, *better):
            break
        found.append(better)
        if better[1] < found[0][1] - DEEP:
            break
    return found


def _is_noisy(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor, value: float) -> bool:
    """Has float64 no digits left here? Neighbouring floats then differ by more than the way that is still to go."""
    return any(abs(float(loss(x * (1 + k * 2.0**-51)).detach()) - value) > NOISE for k in (-1, 1, 2))


def _step(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss(x), x, create_graph=True)
    eye = torch.eye(len(x), dtype=x.dtype)
    (curvature,) = torch.autograd.grad(slope, x, eye, is_grads_batched=True, materialize_grads=True)
    scale, ways = torch.linalg.eigh((curvature + curvature.T) / 2)
    along = ways.T @ slope.detach()
    return -ways @ (along / scale.abs().clamp(min=along.abs() / STRIDE).clamp(min=1e-300))


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
        further = _road_of(stations, slope, road.losses[0])
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
