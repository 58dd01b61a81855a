"""What a loss makes itself: constants without a stated dtype, and gradients of its own."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nllcheck.capture import capture
from nllcheck.capture.attempt import captured
from nllcheck.capture.interpret import run_all
from nllcheck.judge.series import read
from nllcheck.target import Target, split_batch, style_of


def batch():
    generator = torch.Generator().manual_seed(5)
    return split_batch(tuple(torch.randn(6, 4, generator=generator) for _ in range(2)))


def net():
    torch.manual_seed(5)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))


def target_of(loss):
    return Target("t", loss, loss.__name__, net(), (batch(),), style_of(loss))


def with_ones(output, target):
    return (target @ torch.ones(4) / 4 - output[:, 0]).pow(2).mean()


def with_shares(output, target):
    return (target @ (torch.arange(4) / 10) * output[:, 0]).sum()


def with_identity(output, target):
    return ((target @ torch.eye(4)).mean(1) - output[:, 0]).abs().mean()


def norm_of_slope(model, batch):
    point = (0.3 * batch[0] + 0.7 * batch[1]).requires_grad_()
    (slope,) = torch.autograd.grad(model(point).sum(), point, create_graph=True)
    return ((slope.pow(2).sum(1) + 1e-6).sqrt() - 1).pow(2).mean()


def squared_slope(model, batch):
    inputs, _ = batch
    inputs.requires_grad_(True)
    (slope,) = torch.autograd.grad(model(inputs).sum(), inputs, create_graph=True)
    return slope.pow(2).mean() + model(inputs).pow(2).mean()


@pytest.mark.parametrize("loss", [with_ones, with_shares, with_identity], ids=lambda f: f.__name__)
def test_constants_follow_the_dtype_of_the_run(loss):
    graph = capture(target_of(loss), batch())
    values = run_all(graph.module, [leaf.value for leaf in graph.program.leaves], torch.float64)
    floats = [v.dtype for v in values if isinstance(v, torch.Tensor) and v.is_floating_point()]
    assert set(floats) == {torch.float64}
    assert float(values[graph.graph.loss]) == pytest.approx(float(graph.loss), rel=1e-5)


@pytest.mark.parametrize("loss", [norm_of_slope, squared_slope], ids=lambda f: f.__name__)
def test_a_loss_that_takes_a_gradient_is_one_graph(loss):
    """`captured` has compared loss and gradient with the user's own code, on the batch and away from it."""
    graph, why = captured(target_of(loss), batch(), 0)
    assert graph is not None, why
    assert {n.site.path for n in graph.graph.nodes if n.site and n.zone == "loss"} == {__file__}


class Places(nn.Module):
    """Distances to learned units, weighted by a buffer's distances to the nearest."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.units = nn.Parameter(torch.randn(3, 4))
        self.register_buffer("place", torch.arange(3.0))

    def forward(self, x):
        gaps = ((x[:, None] - self.units) ** 2).sum(-1)
        near = torch.exp(-((self.place[gaps.argmin(1)][:, None] - self.place) ** 2))
        return (near * gaps).sum(1)


def first_moment(output, target):
    return (output * target[:, 0]).mean()


def test_what_has_no_gradient_reads_as_zeros():
    target = Target("t", first_moment, "first_moment", Places(), (batch(),), style_of(first_moment))
    graph = capture(target, batch())
    reading = read(graph, [leaf.value for leaf in graph.program.leaves], "batch")
    assert reading.loss == pytest.approx(float(graph.loss))
    assert any(g.abs().sum() > 0 for g in reading.gradients)
