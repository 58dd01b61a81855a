"""Eigenvectors where two eigenvalues meet, as of dead features: found, and true by the user's own code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import nllcheck

DRAW = torch.Generator().manual_seed(2)
X, GOAL = torch.randn(8, 3, generator=DRAW), torch.randn(8, 3, generator=DRAW)


def by_eigenvectors(x, goal):
    value, vector = torch.linalg.eigh(x.T @ x / 8)
    return F.mse_loss(x @ vector @ torch.diag(value.clamp(min=1e-3) ** -0.5) @ vector.T, goal)


def by_singular_values(x, goal):
    return torch.linalg.svdvals(x).sum() + F.mse_loss(x, goal)


@pytest.mark.parametrize("loss", [by_eigenvectors, by_singular_values], ids=lambda f: f.__name__)
def test_two_dead_features(loss):
    dead = torch.cat([torch.zeros(8, 2), X[:, 2:]], 1).requires_grad_()
    fails = not bool(torch.isfinite(torch.autograd.grad(loss(dead, GOAL), dead)[0]).all())
    report = nllcheck.check_function(loss, {"x": X, "goal": GOAL}, target="goal", points=8, effort="quick")
    found = [f for f in report.findings if f.axis == "the first two columns of x are 0" and f.severity != "note"]
    assert [f.phase for f in found] == ["backward"] * fails
    assert all(f.op in ("eigh", "svd") for f in found)
