"""Eigenvectors where two eigenvalues meet, as of dead features: found, and true by the user's own code."""

from __future__ import annotations

import torch
import torch.nn.functional as F

import nllcheck

DRAW = torch.Generator().manual_seed(2)
X, GOAL = torch.randn(8, 3, generator=DRAW), torch.randn(8, 3, generator=DRAW)


def by_eigenvectors(x, goal):
    value, vector = torch.linalg.eigh(x.T @ x / 8)
    return F.mse_loss(x @ vector @ torch.diag(value.clamp(min=1e-3) ** -0.5) @ vector.T, goal)


def test_two_dead_features():
    dead = torch.cat([torch.zeros(8, 2), X[:, 2:]], 1).requires_grad_()
    assert not torch.isfinite(torch.autograd.grad(by_eigenvectors(dead, GOAL), dead)[0]).all()
    tensors = {"x": X, "goal": GOAL}
    report = nllcheck.check_function(by_eigenvectors, tensors, target="goal", points=8, effort="quick")
    found = [f for f in report.findings if f.axis == "the first two columns of x are 0" and f.severity != "note"]
    assert [(f.phase, f.op) for f in found] == [("backward", "eigh")]
