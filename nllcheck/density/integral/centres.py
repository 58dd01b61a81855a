"""Where a density may have narrow peaks: read from the loss' own numbers, where they are linear in the target.

A mixture computes `y - mu` of each component, or `(y - mu) / sigma`: the targets at which such a number is 0 are the
components' centres, however narrow and light these are and whatever the model's raw outputs mean.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nllcheck.density.integral.chart import Chart
from nllcheck.density.samples.numbers import numbers
from nllcheck.density.samples.sample import Samples
from nllcheck.density.theta import Theta

SEEDS = 6  # of the numbers that a model gives for a sample: peaks are climbed from the highest of them
GIVEN = 96  # that are tried as places of peaks at all: a mixture's components
LONG = 100.0  # spreads of the target that it is moved by where it has no ends: far roots come out sharp then
STRAIGHT = 1e-9  # relative bend, up to which a number is linear


@dataclass(frozen=True)
class Centres:
    """(K, M, d) chart coordinates at which several numbers a sample are 0, and by how much each coordinate must move
    for them to be 1: a component's scale, where it is (y - mu) / sigma that the loss computes."""

    place: torch.Tensor
    width: torch.Tensor


def centres(samples: Samples, theta: Theta, chart: Chart) -> Centres | None:
    """None where the loss computes no such numbers."""
    seen = chart.from_target(samples.rows)
    if seen.dim() != 2:  # an interval whose ends differ from setting to setting
        return None
    blocks = [_roots(samples, theta, chart, seen, j) for j in range(seen.shape[1])]
    if not all(blocks):
        return None
    if len(blocks) == 1:
        place, width = _different(torch.cat(blocks[0], -1))
        return Centres(place.T[..., None], width.T[..., None])
    last = [block[-1] for block in blocks]  # a later one is nearer to what the density reads
    if len({one.shape for one in last}) > 1:
        return None
    place, width = torch.stack(last, -1).movedim(2, 1)[:, :GIVEN]
    return Centres(place, width)


def _roots(samples: Samples, theta: Theta, chart: Chart, seen: torch.Tensor, j: int) -> list[torch.Tensor]:
    """(2, M, k) for each number of the loss that only coordinate `j` moves, and in a straight line: where it is 0, and
    how far it is from there to 1."""
    middle, step = seen.mean(0), torch.where(seen.std(0) > 0, seen.std(0), 1.0) if len(seen) > 1 else seen.abs()[0] + 1
    step = step * LONG if chart.name == "real" else step
    moves = torch.stack([torch.zeros_like(step), *torch.diag(step), *-torch.diag(step)])
    values = _numbers(samples, theta, chart.to_target(middle + moves))
    width, found = len(step), []
    for value in values:
        up, down = value[1 : 1 + width], value[1 + width :]
        slopes, bends = (up - down) / 2, (up + down - 2 * value[0]).abs()
        straight = (bends <= STRAIGHT * (up.abs() + down.abs())).all(0) & (slopes[j] != 0)
        alone = straight & (slopes.abs().sum(0) == slopes[j].abs())
        root = torch.stack([middle[j] - step[j] * value[0] / slopes[j], (step[j] / slopes[j]).abs()])
        own = (alone & torch.isfinite(root).all(0)).all(0)
        found += [root[..., own]] if int(own.sum()) > 1 else []
    return found


def _numbers(samples: Samples, theta: Theta, targets: torch.Tensor) -> list[torch.Tensor]:
    """(Q, M, k) of each node that reads the target and has k numbers a sample, at targets (Q, D) for all samples."""
    points, count = len(theta.axis), samples.count
    most = GIVEN * targets.shape[1]
    full = targets.reshape(-1, 1, 1, *samples.event).expand(-1, points, count, *samples.event)
    return [v.reshape(len(targets), points * count, -1) for v in numbers(samples, full, theta.tensors, most)]


def _different(roots: torch.Tensor) -> torch.Tensor:
    """(2, M, K) without the columns that repeat an earlier one: y - mu and (y - mu) / sigma have the same."""
    place = roots[0]
    near = (place[:, :, None] - place[:, None]).abs() <= 1e-6 * (place[:, :, None].abs() + 1e-6)
    again = near.all(0).triu(1).any(0)
    return roots[..., ~again][..., :GIVEN]


def given(samples: Samples, theta: Theta, chart: Chart) -> torch.Tensor:
    """(K, M, d) where peaks may be: the observed target, and the numbers that the model gives for the sample."""
    points, count = len(theta.axis), samples.count
    seen = chart.from_target(samples.rows)
    first = seen.expand(points, count, -1).reshape(points * count, -1)
    found = [first]
    for tensor in theta.tensors[: samples.which]:
        width = tensor[0].numel()
        if tensor.dim() > 1 and width % count == 0 and (tensor.shape[1] == count or len(samples.shape) > 1):
            rows = tensor.reshape(points * count, -1)
            found += [rows[:, k : k + 1].expand_as(first) for k in range(min(rows.shape[1], GIVEN))]
        elif width <= SEEDS:
            each = tensor.reshape(points, 1, -1).expand(points, count, width).reshape(points * count, -1)
            found += [each[:, k : k + 1].expand_as(first) for k in range(width)]
    return torch.stack(found[: 1 + GIVEN])
