"""What code reads past autograd: `.data`, numpy arrays, parameters that do not train."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nllcheck.capture import capture
from nllcheck.capture.attempt import captured
from nllcheck.target import Batch, Target

X, EVENT = torch.linspace(-1.0, 2.0, 6), torch.tensor([0.0, 1.0, 1.0, 0.0, 0.0, 1.0])


def by_data(x, event):
    return ((x / x.data.abs().sum()) ** 2 * event).sum()


def by_array(x, event):
    seen = np.where(event.cpu().data.numpy() == 1)[0]
    return (x[seen] ** 2).sum()


def by_asarray(x, event):
    return (x**2).sum() * float(np.asarray(event).sum())


@pytest.mark.parametrize(("loss", "reads"), [(by_data, 0), (by_array, 1), (by_asarray, 1)])
def test_what_is_read_past_autograd_is_captured_and_said(loss, reads):
    tensors = {"x": X, "event": EVENT}
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target("loss", loss, "loss", None, (batch,), "function", target_names=("event",))
    graph, remarks = captured(target, batch, 0)
    assert graph is not None, remarks
    assert len(graph.branches) == reads


class Scaled(torch.nn.Module):
    """A trained table, and a range that was fixed when it was drawn: read as a number, as it may be."""

    def __init__(self, trains: bool) -> None:
        super().__init__()
        self.table = torch.nn.Parameter(X.clone(), requires_grad=trains)
        self.width = torch.nn.Parameter(torch.tensor([2.0]), requires_grad=False)

    def forward(self, index):
        return self.table[index] / self.width.item()


@pytest.mark.parametrize(("trains", "role"), [(True, "buffer"), (False, "weight")])
def test_a_parameter_that_does_not_train_is_fixed_unless_none_trains(trains, role):
    loss = torch.nn.functional.mse_loss
    batch = Batch((torch.arange(6),), targets=EVENT, whole=(torch.arange(6), EVENT))
    target = Target("Scaled", loss, "mse_loss", Scaled(trains), (batch,), "output")
    assert {leaf.name: leaf.role for leaf in capture(target, batch).program.leaves}["width"] == role
    assert (captured(target, batch, 0)[0] is not None) == trains
