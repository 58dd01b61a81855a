"""Sums over 0, 1, 2, ... with a certified tail."""

from __future__ import annotations

import math

import torch

from nllcheck.density.integral.integrand import LogFactor
from nllcheck.density.integral.line import Integrals
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.theta import Theta

BLOCK = 512
MOST_BLOCKS = 16
MOST_WORK = 6e7


def counted(samples: Samples, theta: Theta, factor: LogFactor | None) -> Integrals:
    """(P, N) log of the sum over all counts. Blocks are added until the terms fall geometrically to nothing.

    With the ratio r < 1 of the last two terms of a log-concave tail, what is left is below last * r / (1 - r). A tail
    that does not fall diverges.
    """
    points = len(theta.axis)
    kind = samples.base[samples.which].dtype
    log_z = torch.full((points, samples.count), -math.inf, dtype=WIDE)
    blocks = int(max(4, min(MOST_BLOCKS, MOST_WORK / (BLOCK * points * samples.count))))
    for k in range(blocks):
        y = torch.arange(k * BLOCK, (k + 1) * BLOCK).to(kind)
        targets = y.reshape(-1, *(1 for _ in range(2 + len(samples.event))))
        logs = -samples.losses(targets.expand(len(y), points, samples.count, *samples.event), theta.tensors)
        logs = logs if factor is None else logs + factor(y.to(WIDE))[:, None, None]
        log_z = torch.logaddexp(log_z, torch.logsumexp(logs.nan_to_num(-math.inf, math.inf, -math.inf), 0))
        rest, ratio = _rest(logs)
        if bool(((rest - log_z < -23) | (ratio >= 0)).all()):
            break
    error = torch.where(torch.isfinite(log_z), 1e-9 + 3 * torch.exp(rest - log_z), math.inf)
    steady = ratio - (logs[1] - logs[0]) > -1e-6  # of a peak further out the terms' ratio still falls
    diverges = (ratio >= -1e-6) & steady & (logs[-1] - log_z > -20)
    return Integrals(log_z, torch.where(ratio < 0, error, math.inf), diverges)


def _rest(logs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """log of what is left after the last term, and the log of the ratio of the last two terms."""
    ratio = logs[-1] - logs[-2]
    ratio = torch.where(torch.isneginf(logs[-1]), -math.inf, ratio)
    left = logs[-1] + ratio - torch.log1p(-torch.exp(ratio.clamp(max=-1e-9)))
    return torch.where(torch.isneginf(ratio), -math.inf, left), ratio
