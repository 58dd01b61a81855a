"""What the density test measured, as curves to look at: Z against each axis that was moved."""

from __future__ import annotations

import torch

from nllcheck.density.verdict import Measured, start
from nllcheck.types import ZCurve

MOST_CURVES = 4
MOST_POINTS = 40  # of one curve


def curves(found: Measured) -> tuple[ZCurve, ...]:
    """Z along each axis, at the settings that were decided; the axis along which it changes most first."""
    drawn = [curve for k in range(len(found.theta.axes)) if (curve := _curve(found, k)) is not None]
    return tuple(sorted(drawn, key=lambda curve: min(curve.log_z) - max(curve.log_z))[:MOST_CURVES])


def _curve(found: Measured, k: int) -> ZCurve | None:
    """The settings that moved axis `k`, and the same samples as they are on the batch."""
    theta, log_z = found.theta, found.reading.log_z
    decided = found.decided & torch.isfinite(log_z)
    moved = (theta.axis == k) & decided
    still = torch.zeros_like(moved)
    still[0] = decided[0] & (theta.axis == k).any(0)
    if not bool(moved.any()):
        return None
    at = torch.where(still, start(found, k).to(theta.value), theta.value)
    rows = torch.stack([each[moved | still] for each in (at, log_z, found.integrals.error)])
    rows = rows[:, rows[0].argsort(stable=True)]
    chosen = torch.linspace(0, rows.shape[1] - 1, min(MOST_POINTS, rows.shape[1])).round().long()
    values, z, error = rows[:, chosen].tolist()
    axis = theta.axes[k]
    return ZCurve(axis.label, axis.observed, tuple(values), tuple(z), tuple(error))
