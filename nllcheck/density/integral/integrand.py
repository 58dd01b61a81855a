"""exp(-loss) as a function of one sample's target in chart coordinates: what is integrated."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch.quasirandom import SobolEngine

from nllcheck.density.integral.chart import Chart
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.theta import Theta

CPU = torch.device("cpu")
LogFactor = Callable[[torch.Tensor], torch.Tensor]  # target (..., *event) -> log of a factor, (...)


def log_density(
    samples: Samples, theta: Theta, chart: Chart, factor: LogFactor | None
) -> Callable[[torch.Tensor], torch.Tensor]:
    """(Q, M, d) chart coordinates -> (Q, M) log density in them, with M = P * N."""
    points = len(theta.axis)

    def at(x: torch.Tensor) -> torch.Tensor:
        y = chart.to_target(x)
        value = -samples.losses(y.reshape(len(x), points, samples.count, *samples.event), theta.tensors)
        value = value.reshape(len(x), -1) + chart.log_jacobian(x)
        if factor is None:
            return value
        each = factor(y if samples.event else y[..., 0])
        return value + (each.sum(-1) if each.dim() > value.dim() else each)  # of a row: the product of its numbers'

    return at


def spread_evenly(width: int, count: int, seed: int) -> torch.Tensor:
    """(count, width) scrambled Sobol points inside the unit cube. They are made on the CPU: torch has no other."""
    with CPU:
        u = SobolEngine(width, scramble=True, seed=seed).draw(count, dtype=WIDE).clamp(1e-9, 1 - 1e-9)
    return u.to(torch.get_default_device())
