"""Gamma and Dirichlet samples as functions of their concentration: torch draws them by rejection.

How many random numbers a rejection takes depends on the concentration, so the sample jumps as that moves. Here it is
the quantile of uniform noise, which has the same distribution and moves smoothly. Its slope is torch's own, the
implicit one (Figurnov, Mohamed and Mnih 2018, "Implicit Reparameterization Gradients", eq. 5).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

STEPS = 8  # of Newton's method: enough for a concentration of 1e-3 to 1e6 at levels of 2^-25 to 1 - 2^-25
LARGE = 1e6  # beyond, the approximation of Wilson and Hilferty alone is closer than float32 tells
LOWEST = 2.0**-25  # a uniform number of float32 can be 0


@torch.library.custom_op("nllcheck::gamma_quantile", mutates_args=())
def gamma_quantile(level: Tensor, concentration: Tensor) -> Tensor:
    """The number below which a gamma variable of scale 1 lies with probability `level`, both (...), above 0."""
    return _floored(_log_quantile(level, concentration).exp(), concentration.dtype)


@torch.library.custom_op("nllcheck::dirichlet_quantile", mutates_args=())
def dirichlet_quantile(level: Tensor, concentration: Tensor) -> Tensor:
    """Shares (..., K) of gamma variables in their sum; within (0, 1), as torch's are."""
    shares = torch.softmax(_log_quantile(level, concentration), -1)
    return _floored(shares, concentration.dtype).clamp_(max=1 - torch.finfo(concentration.dtype).eps / 2)


@torch.library.custom_op("nllcheck::dirichlet_slope", mutates_args=())
def dirichlet_slope(shares: Tensor, concentration: Tensor, gradient: Tensor) -> Tensor:
    """What a gradient (..., K) of the shares is for the concentrations, as `torch.distributions.Dirichlet` has it."""
    total = concentration.sum(-1, keepdim=True).expand_as(concentration)
    slope = torch._dirichlet_grad(shares.contiguous(), concentration.contiguous(), total.contiguous())
    return slope * (gradient - (shares * gradient).sum(-1, keepdim=True))


def _floored(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.to(dtype).clamp_(min=torch.finfo(dtype).tiny)


def _log_quantile(level: Tensor, concentration: Tensor) -> Tensor:
    """The logarithm t of the quantile, by Newton's method for log P(a, e^t) = log level, or for what both leave to 1:
    concave functions of t, so from the far side of the root no step goes past it."""
    a, p = torch.broadcast_tensors(concentration.double(), level.double().clamp(LOWEST, 1 - LOWEST))
    a = a.where(a > 0, torch.nan)
    above = -torch.log1p(-p) - torch.lgamma(a)  # of the upper tail exp(-z) / Gamma(a) > 1 - level, where a < 1 < z
    upper = (p > 0.5) & ((a > 1) | (above > 1))
    t = torch.where(upper & (a <= 1), above.clamp(min=1).log(), _start(a, p))
    for _ in range(STEPS):
        z = t.exp()
        share = torch.where(upper, torch.special.gammaincc(a, z), torch.special.gammainc(a, z))
        wanted = torch.where(upper, 1 - p, p)
        step = (wanted.log() - share.log()) * share / torch.exp(a * t - z - torch.lgamma(a))
        t = t + torch.where((a < LARGE) & step.isfinite(), torch.where(upper, -step, step), 0)
    return t


def _start(a: Tensor, p: Tensor) -> Tensor:
    """The power series' first term, left of the root; of large concentrations Wilson and Hilferty (1931)."""
    first = (p.log() + torch.lgamma(a + 1)) / a
    root = 1 - 1 / (9 * a) + torch.special.ndtri(p) / (3 * a.sqrt())
    return torch.where((a > 1) & (root > 0.1), a.log() + 3 * root.clamp(min=0.1).log(), first)


def _gamma_back(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
    concentration, value = ctx.saved_tensors
    return None, gradient * torch._standard_gamma_grad(concentration, value)


def _dirichlet_back(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
    concentration, value = ctx.saved_tensors
    return None, dirichlet_slope(value, concentration, gradient)


def _kept(ctx: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    ctx.save_for_backward(inputs[1], output)


def _by_rows(op: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, int]]:
    """The batching rule of an op on the last dimension, or on elements."""

    def batched(info: Any, in_dims: tuple[int | None, ...], *args: Tensor) -> tuple[Tensor, int]:
        moved = [a.unsqueeze(0) if d is None else a.movedim(d, 0) for a, d in zip(args, in_dims, strict=True)]
        most = max(a.dim() for a in moved)
        alike = (a.reshape(a.shape[0], *(1,) * (most - a.dim()), *a.shape[1:]) for a in moved)
        return op(*torch.broadcast_tensors(*alike)), 0

    return batched


for _op in (gamma_quantile, dirichlet_quantile, dirichlet_slope):
    _op.register_fake(lambda *args: torch.empty_like(args[1]))
    _op.register_vmap(_by_rows(_op))
gamma_quantile.register_autograd(_gamma_back, setup_context=_kept)
dirichlet_quantile.register_autograd(_dirichlet_back, setup_context=_kept)


def gamma_sample(concentration: Tensor) -> Tensor:
    """In the place of `torch.distributions.gamma._standard_gamma`."""
    return gamma_quantile(_levels(concentration), concentration)


class DirichletSample:
    """In the place of `torch.distributions.dirichlet._Dirichlet`."""

    @staticmethod
    def apply(concentration: Tensor) -> Tensor:
        return dirichlet_quantile(_levels(concentration), concentration)


def _levels(like: Tensor) -> Tensor:
    return torch.rand(like.shape, device=like.device)
