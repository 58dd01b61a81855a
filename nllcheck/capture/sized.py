"""Kernels that size their result by one argument, though under vmap only the other may have the dimension of points.

They resize it then and warn about that at every call, on stderr up to torch 2.14. Their values are right.
"""

from __future__ import annotations

from typing import Any

import torch

aten = torch.ops.aten


def log_sigmoid_backward(gradient: torch.Tensor, x: torch.Tensor, buffer: torch.Tensor) -> torch.Tensor:
    return aten.log_sigmoid_backward.default(_with_points_of(x, gradient), x, buffer)


def huber_loss(x: torch.Tensor, target: torch.Tensor, *rest: Any, **options: Any) -> torch.Tensor:
    return aten.huber_loss.default(_with_points_of(target, x), target, *rest, **options)


def _with_points_of(other: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.ones((), dtype=torch.bool, device=value.device), value, other)


def quiet(target: Any) -> Any:
    """What to call for an op that is run at many points."""
    if target is aten.log_sigmoid_backward.default:
        return log_sigmoid_backward
    return huber_loss if target is aten.huber_loss.default else target
