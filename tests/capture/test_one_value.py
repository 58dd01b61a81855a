"""A batch of one value, as a loader over data without labels gives it: [x], or (x,)."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nllcheck.capture import capture
from nllcheck.target import Target, split_batch

X = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))


def of_batch(model, batch):
    (x,) = batch
    return ((model(x) - x) ** 2).mean()


def of_output(output):
    return (output**2).mean()


@pytest.mark.parametrize("loss", [of_batch, of_output])
@pytest.mark.parametrize("stored", [(X,), [X]], ids=["tuple", "list"])
def test_it_is_the_models_input(loss, stored):
    torch.manual_seed(0)
    model, batch = nn.Linear(3, 3), split_batch(stored)
    style = "model" if loss is of_batch else "output"
    graph = capture(Target("t", loss, "loss", model, (batch,), style=style), batch)
    wanted = of_batch(model, stored) if loss is of_batch else of_output(model(X))
    assert float(graph.loss) == float(wanted)
    assert not graph.graph.targets
