"""A case run as training runs it: the loss and its gradient, without any checker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks.detect.case import SEED, Case, Setup
from nllcheck.target import Batch, Target, evaluate, split_batch, style_of


@dataclass(frozen=True, slots=True)
class Program:
    """A case on one batch: call `loss()`; `leaves` are what training differentiates with respect to."""

    loss: Callable[[], Tensor]
    leaves: tuple[Tensor, ...]


def program(case: Case, setup: Setup, dtype: torch.dtype = torch.float32) -> Program:
    """Fresh copies in `dtype`; noise inside the loss is the same at every call."""
    tensors = {name: _cast(value, dtype) for name, value in setup.tensors.items()}
    if setup.model is None:
        leaves = [t for name, t in tensors.items() if t.is_floating_point() and name not in setup.targets]
        target = Target(case.id, case.loss, case.id, None, (), "function")
        batch = Batch(kwargs=tensors, whole=tensors)
    else:
        model = setup.model.to(dtype)
        leaves = list(model.parameters())
        target = Target(case.id, case.loss, case.id, model, (), style_of(case.loss))
        batch = split_batch((tensors["inputs"], tensors["targets"]))
    for leaf in leaves:
        leaf.requires_grad_()
    return Program(lambda: _seeded(target, batch), tuple(leaves))


def _seeded(target: Target, batch: Batch) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return evaluate(target, target.model, batch)


def _cast(value: Tensor, dtype: torch.dtype) -> Tensor:
    return value.detach().clone().to(dtype) if value.is_floating_point() else value


def loss_and_gradient(case: Case, setup: Setup, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    """The scalar loss and the flat gradient of everything that training moves; leaves without one count as 0."""
    run = program(case, setup, dtype)
    loss = run.loss()
    found = torch.autograd.grad(loss, run.leaves, allow_unused=True)
    flat = [torch.zeros_like(leaf) if g is None else g for g, leaf in zip(found, run.leaves, strict=True)]
    return loss.detach(), torch.cat([g.reshape(-1) for g in flat])


def is_broken(case: Case, setup: Setup) -> bool:
    """Is the float32 loss or an element of its gradient not finite here (or does the loss raise)?"""
    try:
        loss, gradient = loss_and_gradient(case, setup)
    except (RuntimeError, ValueError):
        return True
    return not (bool(torch.isfinite(loss)) and bool(torch.isfinite(gradient).all()))
