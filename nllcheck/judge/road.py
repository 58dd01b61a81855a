"""The way down of one sample's loss: a minimiser's stations, whether they end at minus infinity, how and by what."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch

DEEP = 30.0  # nats below the lowest sample of the batch: a scale of 1e-13 of today's
SHALLOW = 8.0
USUAL = 16.0  # within which the rate is read: further on the targets' own rounding counts
STEADY = 0.7  # share of the rate that is left at the end: a floor leaves nothing
PART = 0.1  # of the fall: an output that gains less is none that takes the loss down
ROUNDS = 60  # steps of the minimiser
HALVINGS = 12  # of one of them
STRIDE = 2.0
NOISE = 0.05  # nats
AT_ONCE = 12  # points at which the loss is asked for together: each takes a batch of its own
TINY = 1e-300

Station = tuple[torch.Tensor, float]  # outputs of a sample in one row, and its loss in nats there
Slope = Callable[[torch.Tensor], torch.Tensor]  # of a row of outputs, the same shape


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


def road_of(stations: list[Station], slope: Slope, level: float = math.inf) -> Road | None:
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


def _after(stations: list[Station], drop: float) -> Station:
    return next(s for s in stations if s[1] <= stations[0][1] - drop)


def _rate(one: Station, other: Station, k: int, follows: Literal["value", "logarithm"]) -> float:
    """Nats lost a unit of the k-th output, or of its logarithm."""
    ends = [s[0][k].abs().log() if follows == "logarithm" else s[0][k] for s in (one, other)]
    way = abs(float(ends[1] - ends[0]))
    return (one[1] - other[1]) / way if way else 0.0


def descent(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> list[Station]:
    """Stations on the way down, the start first, until `DEEP` is passed or nothing helps any more.

    Newton's step with the curvatures' absolute values (Dauphin et al. 2014), none longer than `STRIDE`: it fits the
    mean to its target however narrow the density has become.
    """
    found = [(x, float(loss(x)))]
    for _ in range(ROUNDS):
        step = _step(loss, found[-1][0])
        tried = ((found[-1][0] + step * 0.5**k) for k in range(HALVINGS))
        better = next((s for s in ((t, float(loss(t).detach())) for t in tried) if s[1] < found[-1][1] - 1e-6), None)
        if better is None:
            break
        found.append(better)
        if better[1] < found[0][1] - DEEP:
            break
    return found[: 1 + _sure(loss, found[1:])]


def _sure(loss: Callable[[torch.Tensor], torch.Tensor], stations: list[Station]) -> int:
    """How many come before float64 has no digits left: neighbouring floats then differ by more than is still to go."""
    if not stations:
        return 0
    near = torch.stack([x * (1 + k * 2.0**-51) for x, _ in stations for k in (-1, 1, 2)])
    with torch.no_grad():
        found = torch.func.vmap(loss, chunk_size=AT_ONCE)(near).reshape(len(stations), 3)
    away = (found - torch.tensor([[value] for _, value in stations], dtype=found.dtype)).abs()
    noisy = (away > NOISE).any(1)
    return int(noisy.int().argmax()) if bool(noisy.any()) else len(stations)


def _step(loss: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(loss(x), x, create_graph=True)
    eye = torch.eye(len(x), dtype=x.dtype)
    (curvature,) = torch.autograd.grad(slope, x, eye, is_grads_batched=True, materialize_grads=True)
    scale, ways = torch.linalg.eigh((curvature + curvature.T) / 2)
    along = ways.T @ slope.detach()
    return -ways @ (along / scale.abs().clamp(min=along.abs() / STRIDE).clamp(min=1e-300))
