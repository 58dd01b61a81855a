"""A normalising layer behind what is drawn or moved: in training it writes its statistics, which no sweep may need."""

from __future__ import annotations

import torch
from torch import nn

from nllcheck.capture import capture
from nllcheck.capture.verify import disagreements
from nllcheck.target import Batch, Target


class Decoded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.last = nn.Linear(3, 4), nn.BatchNorm1d(4), nn.BatchNorm1d(2, affine=False)

    def forward(self, x):
        return self.last(self.norm(self.first(x))[:, :2])


def test_a_batch_norm_in_training_runs_at_many_points_at_once():
    torch.manual_seed(0)
    x, y = torch.randn(6, 3), torch.randn(6, 2)
    batch = Batch((x,), targets=y, whole=(x, y))
    target = Target("Decoded", nn.functional.mse_loss, "mse_loss", Decoded(), (batch,), "output")
    graph = capture(target, batch)
    assert not disagreements(graph)
    weight, *rest = (leaf.value for leaf in graph.program.leaves)
    many = torch.stack([weight, 2 * weight])
    losses = torch.func.vmap(lambda w: graph.module(w, *rest))(many)
    alone = [graph.program.call(w, *rest) for w in many]
    assert torch.allclose(losses, torch.stack(alone))
