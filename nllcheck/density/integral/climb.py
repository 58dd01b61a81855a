"""Peaks of log densities over one coordinate, many at once: climbed on grids that shrink around the highest point."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch

LogDensity = Callable[[torch.Tensor], torch.Tensor]  # (Q, M) chart coordinates -> (Q, M) log density there
CLIMBS = 6


def climb(
    log_density: LogDensity, starts: torch.Tensor, unit: torch.Tensor, low: float, high: float, rounds: int = CLIMBS
) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """From each start the next peak: ((places, heights), widths), all (K, M). A width is where the density halves."""
    steps = torch.logspace(-9, 5, 43, dtype=starts.dtype)
    offsets = torch.cat([-steps.flip(0), torch.zeros(1, dtype=starts.dtype), steps])
    centre = guess = starts.clamp(low, high)
    for _ in range(rounds):
        x = (centre + offsets[:, None, None] * unit).clamp(low, high)
        x = torch.cat([x, guess[None], ((guess + centre) / 2)[None]])
        value = _evaluated(log_density, x)
        top = value.argmax(0)
        centre, height = x.gather(0, top[None])[0], value.gather(0, top[None])[0]
        guess = _vertex(x[: len(offsets)], value[: len(offsets)], centre).clamp(low, high)
        unit = 10 * _width(x[: len(offsets)], value[: len(offsets)], centre, height, unit)
    return (centre, height), _width(x[: len(offsets)], value[: len(offsets)], centre, height, unit)


def widths_at(log_density: LogDensity, places: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """(K, M) how far from each place the density has fallen to a half: a peak's width where there is a peak.

    `unit` (M,): a first guess, any order of magnitude. Infinite where it falls nowhere.
    """
    steps = torch.logspace(-7, 4, 23, dtype=places.dtype)
    offsets = torch.cat([-steps.flip(0), steps])
    x = places + offsets[:, None, None] * unit
    value, height = _evaluated(log_density, x), _evaluated(log_density, places[None])[0]
    return _width(x, value, places, height, torch.full_like(unit, math.inf))


def _width(
    x: torch.Tensor, value: torch.Tensor, centre: torch.Tensor, height: torch.Tensor, unit: torch.Tensor
) -> torch.Tensor:
    """How far from the centre the density has fallen to about a half, both sides averaged; `unit` where it has not."""
    fallen = torch.where((height - value > 0.5) & (x != centre), (x - centre).abs(), math.inf)
    sides = [torch.where(side, fallen, math.inf).amin(0) for side in (x < centre, x > centre)]
    near, far = torch.minimum(*sides), torch.maximum(*sides)
    width = torch.where(torch.isfinite(far), (near * far).sqrt(), near)
    return torch.where(torch.isfinite(width), width, unit.expand_as(width)).clamp(1e-300, 1e30)


def _evaluated(log_density: LogDensity, x: torch.Tensor) -> torch.Tensor:
    """(Q, K, M) -> (Q, K, M); NaN counts as no density at all."""
    value = log_density(x.reshape(-1, x.shape[-1])).reshape(x.shape)
    return torch.where(torch.isnan(value) | (value == math.inf), -math.inf, value)


def _vertex(x: torch.Tensor, value: torch.Tensor, centre: torch.Tensor) -> torch.Tensor:
    """The top of the parabola through the highest point and its two neighbours."""
    k = value.argmax(0).clamp(1, len(x) - 2)
    (a, b, c), (fa, fb, fc) = ([t.gather(0, (k + d)[None])[0] for d in (-1, 0, 1)] for t in (x, value))
    left, right = (b - a) * (fb - fc), (b - c) * (fb - fa)
    found = b - 0.5 * ((b - a) * left - (b - c) * right) / (left - right)
    return torch.where(torch.isfinite(found), found, centre)
