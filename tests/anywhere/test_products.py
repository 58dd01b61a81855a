"""Where training can put values: a product of two computed factors is no layer, whatever multiplies them."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.target import Target, split_batch


def root(raw):
    return raw[:, 2:].view(-1, 2, 2).tril() + torch.eye(2)


class Model(nn.Module):
    """A mean and a matrix, from one head."""

    def __init__(self, matrix) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.head, self.mix, self.matrix = nn.Linear(3, 6), nn.Parameter(torch.randn(2, 2)), matrix

    def forward(self, x):
        raw = self.head(x)
        return raw[:, :2], self.matrix(self, raw)


def covariance(model, raw):
    return root(raw) @ root(raw).mT


def covariance_and_floor(model, raw):
    return root(raw) @ root(raw).mT + 1e-3 * torch.eye(2)


def attention(model, raw):
    rows = raw[:, 2:].view(-1, 2, 2)
    return torch.softmax(rows @ rows.mT, -1) @ rows


def drawn(model, raw):
    return root(raw) @ torch.randn(len(raw), 2, 1)


def mixed(model, raw):
    return root(raw) @ model.mix


def mixed_by_made_weights(model, raw):
    return root(raw) @ (model.mix / model.mix.norm())


def shifted(model, raw):
    return root(raw) @ model.mix + torch.ones(2)


def loss(mean, matrix, y):
    return ((y - mean) ** 2).mean() + (matrix**2).mean()


COMPUTED, LAYERS = (covariance, covariance_and_floor, attention, drawn), (mixed, mixed_by_made_weights, shifted)


def outputs(matrix):
    batch = split_batch((torch.linspace(-1, 1, 12).view(4, 3), torch.zeros(4, 2)))
    graph = capture(Target("t", loss, "t", Model(matrix), (batch,), "output"), batch)
    return {graph.graph.nodes[a.node].shape for a in default_axes(graph)[0] if a.role == "output"}


@pytest.mark.parametrize("matrix", COMPUTED, ids=lambda f: f.__name__)
def test_a_product_of_computed_factors_moves_as_they_do(matrix):
    assert outputs(matrix) == {(4, 6)}


@pytest.mark.parametrize("matrix", LAYERS, ids=lambda f: f.__name__)
def test_a_product_with_parameters_is_a_layer(matrix):
    assert outputs(matrix) == {(4, 6), (8, 2)} or outputs(matrix) == {(4, 6), (4, 2, 2)}
