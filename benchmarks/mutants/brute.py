"""What Z really is: dense trapezoids over fixed grids, without peaks, charts or panels of the tool's own."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn.functional import logsigmoid

from benchmarks.mutants.losses import Loss

W = torch.float64
SAME = 1e-3  # of log Z
MOVES = 0.5
KNOWN = 0.5  # share of the settings at which the grid must be fine enough
SUPPORTS = ("real", "positive", "unit", "angle", "count", "class", "simplex", "plane", "quadrant", "square")
Grid = tuple[torch.Tensor, torch.Tensor]  # targets (Q, ...) and the log of what each weighs


def grid_of(support: str) -> Grid:
    """Targets of a support and their weights; the ends lie so far out that no density is left there."""
    match support:
        case "real":
            t = torch.linspace(-60, 60, 24001, dtype=W)
            return torch.sinh(t) + 0.1, torch.log(torch.cosh(t) * 0.005)
        case "positive":
            t = torch.linspace(-200, 200, 20001, dtype=W)
            return torch.exp(t), t + math.log(0.02)
        case "above 1":
            t = torch.linspace(-200, 200, 20001, dtype=W)
            return 1 + torch.exp(t), t + math.log(0.02)
        case "unit":
            t = torch.linspace(-200, 32, 11601, dtype=W)
            y = torch.sigmoid(t)
            return y, torch.log(y) + torch.log1p(-y) + math.log(0.02)
        case "angle":
            t = torch.arange(4000, dtype=W) * (2 * math.pi / 4000)
            return t - math.pi, torch.full_like(t, math.log(2 * math.pi / 4000))
        case "count":
            return torch.arange(20000, dtype=W), torch.zeros(20000, dtype=W)
        case "class":
            return torch.arange(5), torch.zeros(5, dtype=W)
        case "plane":
            t = torch.linspace(-20, 20, 401, dtype=W)
            y, weight = torch.sinh(t), torch.log(torch.cosh(t) * 0.1)
            return torch.cartesian_prod(y, y), torch.cartesian_prod(weight, weight).sum(-1)
        case "square":
            t = torch.linspace(-80, 32, 801, dtype=W)
            y, weight = torch.sigmoid(t), logsigmoid(t) + logsigmoid(-t) + math.log(0.14)
            return torch.cartesian_prod(y, y), torch.cartesian_prod(weight, weight).sum(-1)
        case "quadrant":
            t = torch.linspace(-80, 80, 801, dtype=W)
            y, weight = torch.exp(t), t + math.log(0.2)
            return torch.cartesian_prod(y, y), torch.cartesian_prod(weight, weight).sum(-1)
        case "simplex":
            t = torch.linspace(-80, 80, 801, dtype=W)
            x = torch.cartesian_prod(t, t)
            logs = torch.log_softmax(torch.cat([x, torch.zeros_like(x[:, :1])], -1), -1)
            return torch.exp(logs), logs.sum(-1) + 2 * math.log(0.2)
    raise ValueError(support)


def outputs_of(loss: Loss) -> torch.Tensor:
    """(N, K) what a model might give on the batch."""
    made = torch.Generator().manual_seed(11)
    return 2 * torch.rand(len(loss.y), loss.outputs, generator=made) - 1


def truth(
    support: str, loss: Loss, fn: Callable[..., torch.Tensor], factor: Callable[[torch.Tensor], torch.Tensor] | None
) -> tuple[str, ...]:
    """'proper', 'constant' or 'varies', and 'diverges', from Z at 12 samples and at each of their outputs moved.

    Both if Z is infinite or does not exist at some settings; nothing (no word at all) where the grid is too coarse.
    """
    targets, weight = grid_of(support)
    first = outputs_of(loss)[:12].double()
    moved = first.repeat(1 + loss.outputs, 1, 1)
    for k in range(loss.outputs):
        moved[1 + k, :, k] += MOVES
    settings = moved.reshape(-1, loss.outputs)
    logs = torch.stack([_logs(fn, out, targets, weight, factor) for out in settings])
    log_z, open_ended, coarse = _summed(logs, weight)
    known = log_z[~open_ended & ~coarse]
    share = float(open_ended.double().mean())
    found = ["diverges"] if share > 0.1 else []
    if share > 0.9:
        return ("diverges",)
    if len(known) < KNOWN * len(log_z):
        return ()
    if float(known.max() - known.min()) > SAME:
        return (*found, "varies")
    return (*found, "proper" if float(known.abs().max()) < SAME else "constant")


def _logs(
    fn: Callable[..., torch.Tensor], out: torch.Tensor, targets: torch.Tensor, weight: torch.Tensor,
    factor: Callable[[torch.Tensor], torch.Tensor] | None,
) -> torch.Tensor:  # fmt: skip
    logs = -fn(out.expand(len(targets), -1), targets) + weight
    logs = logs if factor is None else logs + factor(targets).reshape(*logs.shape, -1).sum(-1)
    return logs.masked_fill(logs.isnan(), -math.inf)


def _summed(logs: torch.Tensor, weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(S, Q) -> (S,): log Z, whether it is none (something is left at an end of the grid), and whether every other
    point alone gives another Z."""
    total = torch.logsumexp(logs, 1)
    if bool((weight == 0).all()):
        is_long = logs.shape[1] > 5
        return (
            total,
            is_long & (logs[:, -1] - total > -14) | ~torch.isfinite(total),
            torch.zeros_like(total, dtype=bool),
        )
    side = math.isqrt(logs.shape[1])
    if side**2 == logs.shape[1] and side % 2:
        whole = logs.reshape(-1, side, side)
        edge = torch.cat([whole[:, [0, -1]].flatten(1), whole[:, :, [0, -1]].flatten(1)], 1)
        half = torch.logsumexp(whole[:, ::2, ::2].flatten(1), 1) + math.log(4)
    else:
        edge = logs[:, [0, -1]]
        half = torch.logsumexp(logs[:, ::2], 1) + math.log(2)
    turns = bool((weight == weight[0]).all())  # one turn of an angle has no ends
    left = torch.full_like(total, -math.inf) if turns else edge.amax(1) - total
    return total, (left > -9) | ~torch.isfinite(total), ((half - total).abs() > SAME) | (left > -30)
