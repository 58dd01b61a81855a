"""Binary cross-entropy with logits: the traced program has torch's own value and the exact derivative."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from nllcheck.capture import capture
from nllcheck.sweep.joint import joint_graph
from nllcheck.target import Batch, Target

X = torch.tensor([[-90.0, -20.0, -3.0, 0.0], [2.0, 14.5, 40.0, 90.0]])
LABELS = {"zeros": torch.zeros(2, 4), "ones": torch.ones(2, 4), "soft": torch.full((2, 4), 0.25)}
GIVEN = {
    "plain": {},
    "weight": {"weight": torch.tensor([0.5, 1.0, 2.0, 3.0])},
    "pos_weight": {"pos_weight": torch.tensor([0.5, 1.0, 2.0, 3.0])},
    "sum": {"reduction": "sum"},
    "none": {"reduction": "none"},
}


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("labels", LABELS)
def test_the_value_is_torchs_own_and_the_derivative_exact(labels, given):
    def loss(x, y):
        return F.binary_cross_entropy_with_logits(x, y, **GIVEN[given]).sum()

    tensors = {"x": X, "y": LABELS[labels]}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("t", loss, "t", None, (batch,), "function", target_names=("y",)), batch)
    joint = joint_graph(graph, [0])
    value, gradient = joint.module(*joint.base)
    x = X.clone().requires_grad_()
    (own,) = torch.autograd.grad(loss(x, LABELS[labels]), x)
    exact = derivative(X.double(), LABELS[labels].double(), **GIVEN[given]).float()
    torch.testing.assert_close(value, loss(X, LABELS[labels]), rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, exact, rtol=1e-6, atol=1e-37)
    torch.testing.assert_close(own, exact, rtol=1e-6, atol=4e-7 if LABELS[labels].any() else 1e-37)


def derivative(x, y, weight=1.0, pos_weight=1.0, reduction="mean"):
    parts = weight * ((1 - y) * torch.sigmoid(x) - pos_weight * y * torch.sigmoid(-x))
    return parts / x.numel() if reduction == "mean" else parts
