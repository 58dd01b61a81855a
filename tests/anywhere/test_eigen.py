"""Eigenvectors where two eigenvalues meet, as of dead features: found, and true by the user's own code."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.sweep.factor import eigen, eigen_of_any, fitted, inverted, singular

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


def by_eigenvalues(x, goal):
    return (torch.log(torch.linalg.eigvalsh(x.T @ x / 8) + 1e-3) - goal[0]).abs().mean()


def by_singular_values(x, goal):
    return (torch.log(torch.linalg.svdvals(x) + 1e-3) - goal[0]).abs().mean()


def by_pseudo_inverse(x, goal):
    return F.mse_loss(x @ (torch.linalg.pinv(x) @ goal), goal)


def by_least_squares(x, goal):
    return F.mse_loss(x @ torch.linalg.lstsq(x, goal).solution, goal)


def by_complex_eigenvalues(x, goal):
    return torch.log(torch.linalg.eigvals(x[:3]).abs() + 1e-3).mean() + goal.mean()


def by_least_squares_of_a_vector(x, goal):
    return F.mse_loss(x @ torch.linalg.lstsq(x, goal[:, 0]).solution, goal[:, 0])


LOSSES = (by_eigenvectors, by_eigenvalues, by_singular_values, by_pseudo_inverse, by_least_squares,
          by_least_squares_of_a_vector,
          by_complex_eigenvalues)  # fmt: skip


@pytest.mark.parametrize("loss", LOSSES)
def test_a_matrix_that_overflows_does_not_end_the_sweeps(loss):
    report = nllcheck.check_function(loss, {"x": X, "goal": GOAL}, target="goal", points=24, effort="quick")
    assert report.facts.capture == "graph", report.notes


def test_values_of_what_is_not_finite_are_nan():
    a = torch.stack([torch.eye(3), torch.eye(3)])
    a[1, 0, 0] = torch.inf
    values, vectors = eigen(a)
    parts = (*singular(a), *eigen_of_any(a), inverted(a), fitted(a, a)[0])
    assert torch.equal(values[0], torch.ones(3)) and all(torch.isfinite(p[0]).all() for p in (vectors, *parts))
    assert all(torch.isnan(p[1]).all() for p in (values, vectors, *parts))
    assert torch.isnan(singular(a, compute_uv=False)[1][1]).all()
