"""Supports as charts: every target is a smooth image of R^d, so that one integrator serves all.

A pole at the boundary of a support (a Beta or Dirichlet below 1) becomes an exponential tail in its chart, which
quadrature handles; the chart's own Jacobian goes into the integrand.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import logsigmoid

FAR = 340.0  # exp(340) is 1e147: its square still fits float64
TINY = 1e-13
NEAR_ONE = 30.0  # 1 - sigmoid(30) is 1e-13, of which float64 keeps three digits


@dataclass(frozen=True, slots=True)
class Chart:
    """`to_target` maps x (..., d) to targets (..., D); `log_jacobian` (...,) is the log of its volume factor."""

    name: str
    low: float  # of every coordinate
    high: float
    to_target: Callable[[torch.Tensor], torch.Tensor]
    from_target: Callable[[torch.Tensor], torch.Tensor]
    log_jacobian: Callable[[torch.Tensor], torch.Tensor]
    is_closed: bool = False  # the limits are the support's own ends, not only the last floats that work


def _log_shares(x: torch.Tensor) -> torch.Tensor:
    """log softmax of x with a last entry of 0; ten times as fast as torch's own on rows this short."""
    full = torch.cat([x, torch.zeros_like(x[..., :1])], -1)
    high = full.amax(-1, keepdim=True)
    return full - (high + torch.log(torch.exp(full - high).sum(-1, keepdim=True)))


def _softmax(x: torch.Tensor) -> torch.Tensor:
    return torch.exp(_log_shares(x))


def _log_ratio(y: torch.Tensor) -> torch.Tensor:
    logs = torch.log(y.clamp(min=1e-30))
    return logs[..., :-1] - logs[..., -1:]


def _log_simplex_volume(x: torch.Tensor) -> torch.Tensor:
    return _log_shares(x).sum(-1)


def _logit(y: torch.Tensor) -> torch.Tensor:
    y = y.clamp(1e-13, 1 - 1e-13)
    return torch.log(y) - torch.log1p(-y)


def _flat(x: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(x[..., 0])


def _same(x: torch.Tensor) -> torch.Tensor:
    return x


def _on_circle(x: torch.Tensor) -> torch.Tensor:
    return torch.cat([torch.cos(x), torch.sin(x)], -1)


def _turn(y: torch.Tensor) -> torch.Tensor:
    return torch.atan2(y[..., 1:], y[..., :1])


CHARTS = {
    "real": Chart("real", -1e30, 1e30, _same, _same, _flat),
    "positive": Chart("positive", -FAR, FAR, torch.exp, lambda y: torch.log(y.clamp(min=1e-100)), lambda x: x.sum(-1)),
    "unit": Chart(
        "unit", -FAR, NEAR_ONE, torch.sigmoid, _logit, lambda x: (logsigmoid(x) + logsigmoid(-x)).sum(-1)
    ),
    "angle": Chart("angle", -math.pi, math.pi, _same, _same, _flat, is_closed=True),
    "circle": Chart("circle", -math.pi, math.pi, _on_circle, _turn, _flat, is_closed=True),
    "simplex": Chart("simplex", -FAR, FAR, _softmax, _log_ratio, _log_simplex_volume),
}  # fmt: skip


def between(low: torch.Tensor, high: torch.Tensor) -> Chart:
    """The numbers between two ends, (P, N) each, infinite where there is none; one coordinate each."""
    has_low, has_high = (bool(torch.isfinite(end).all()) for end in (low, high))

    def to_target(x: torch.Tensor) -> torch.Tensor:
        a, b = low.reshape(-1, 1), high.reshape(-1, 1)
        if has_low and has_high:
            return a + (b - a) * torch.sigmoid(x)
        return a + torch.exp(x) if has_low else b - torch.exp(-x)

    def from_target(y: torch.Tensor) -> torch.Tensor:
        a, b = low[..., None], high[..., None]
        if has_low and has_high:
            return _logit((y - a) / (b - a))
        return torch.log((y - a).clamp(min=TINY)) if has_low else -torch.log((b - y).clamp(min=TINY))

    def log_jacobian(x: torch.Tensor) -> torch.Tensor:
        if has_low and has_high:
            return (logsigmoid(x) + logsigmoid(-x)).sum(-1) + torch.log(high - low).reshape(-1)
        return x.sum(-1) if has_low else -x.sum(-1)

    lowest, highest = (-NEAR_ONE if has_low else -FAR), (NEAR_ONE if has_high else FAR)
    return Chart("interval", lowest, highest, to_target, from_target, log_jacobian)
