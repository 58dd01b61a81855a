"""Losses that call parts of a model themselves: what moves are the parts' outputs, and not all their weights."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nllcheck
from nllcheck.axes.boundary import boundary
from nllcheck.axes.labels import label_of
from nllcheck.capture import capture
from nllcheck.target import Target, split_batch

X = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))


class Learned(nn.Module):
    """A loss with a parameter and no layer."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.zeros(4))

    def forward(self, mean, x):
        return (0.5 * torch.exp(-2 * self.raw) * (mean - x) ** 2 + self.raw).mean()


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 6))
        self.decoder, self.cell, self.filters = nn.Linear(3, 4), nn.GRUCell(4, 3), nn.Conv1d(1, 2, 3)
        self.norm, self.learned = nn.LayerNorm(4, elementwise_affine=False), Learned()

    def encode(self, x):
        return self.encoder(x).chunk(2, -1)


def by_methods(model, batch):
    x, _ = batch
    mean, raw = model.encode(x)
    out = model.decoder(mean + torch.exp(raw))
    return model.learned(out, x) + 0.5 * (mean**2 + torch.exp(2 * raw) - 2 * raw).sum(-1).mean()


def convolved(model, batch):
    x, _ = batch
    return torch.log(1 + model.filters(x[:, None]).exp()).mean()


def by_hand(model, batch):
    """The same layer, written as a product: a factor of the loss' own formula."""
    x, _ = batch
    return F.linear(x, model.encoder[0].weight).tanh().square().mean()


def compared(model, batch):
    x, _ = batch
    return (model.encoder[0](x) - model.encoder[0](-x)).square().mean()


def in_a_loop(model, batch):
    x, _ = batch
    state = torch.zeros(len(x), 3)
    losses = []
    for _ in range(12):
        state = model.cell(x, state)
        losses.append(((model.decoder(state) - x) ** 2).mean())
    return torch.stack(losses).mean()


def of_normed(model, batch):
    x, _ = batch
    return (model.norm(model.encoder[0](x)[:, :4]) ** 4).mean()


CASES = {
    by_methods: {"self.encoder(x)", "out", "learned.raw", "input"},
    convolved: {"model.filters(x[:, None])"},
    by_hand: {"encoder.0.weight", "input"},
    of_normed: {"model.encoder[0](x)"},
}


def moved(loss):
    batch = split_batch((X, torch.zeros(8)))
    graph = capture(Target("t", loss, loss.__name__, Coder(), (batch,), "model"), batch).graph
    return {label_of(graph, n) for n in boundary(graph).all}


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_what_moves(loss):
    assert moved(loss) == CASES[loss]


@pytest.mark.parametrize("loss", [in_a_loop, compared])
def test_of_layers_that_are_called_again_the_weights_move(loss):
    """Twelve steps are twelve values of each layer: none of them is the output, nor moves alone."""
    wanted = {in_a_loop: {"cell.weight_ih", "decoder.weight"}, compared: {"encoder.0.weight"}}
    assert wanted[loss] <= moved(loss)


def test_the_report_names_the_layer_as_the_loss_calls_it():
    report = nllcheck.check(by_methods, model=Coder(), batch=(X, torch.zeros(8)), effort="quick")
    assert report.facts.capture == "graph"
    assert "self.encoder(x)[..., 3]" in {t.axis.label for t in report.sweeps}
