"""Of a large batch some samples are asked whether the loss is a likelihood: the answer is the whole batch's."""

import math

import pytest
import torch

import nllcheck
from nllcheck import stages
from nllcheck.axes import default_axes
from nllcheck.capture.attempt import captured
from nllcheck.capture.layout import layout_of
from nllcheck.capture.rows import on_some_rows
from nllcheck.density import density
from nllcheck.target import Batch, Target

ROWS = 700


def normal_nll(mu, sigma, y):
    return (torch.log(sigma) + ((y - mu) / sigma) ** 2 / 2).mean() + math.log(2 * math.pi) / 2


def dropped_constant_nll(mu, sigma, y):
    return (torch.log(sigma) + ((y - mu) / sigma) ** 2 / 2).mean()


def missing_half_nll(mu, sigma, y):
    return (torch.log(sigma) + ((y - mu) / sigma) ** 2).sum() / len(y)


def missing_log_nll(mu, sigma, y):
    return (sigma + ((y - mu) / sigma) ** 2 / 2).mean()


LOSSES = [normal_nll, dropped_constant_nll, missing_half_nll, missing_log_nll]


def test_it_is_said_how_many_were_asked():
    tensors = {"mu": torch.zeros(ROWS), "sigma": torch.ones(ROWS), "y": torch.linspace(-2, 2, ROWS)}
    report = nllcheck.check_function(normal_nll, tensors, target="y", points=5, effort="quick")
    assert "density test: made on 256 of the batch's 700 samples" in report.notes


def test_where_nothing_is_asked_no_rows_are_captured_for_it(monkeypatch):
    monkeypatch.setattr(stages, "on_some_rows", None)
    tensors = {"mu": torch.zeros(ROWS), "sigma": torch.ones(ROWS), "y": torch.linspace(-2, 2, ROWS)}
    report = nllcheck.check_function(normal_nll, tensors, target=(), points=5, effort="quick")
    assert any("the loss has no target; name it" in text for text in report.skipped)
    assert not any("density test: made on" in note for note in report.notes)


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss.__name__)
def test_some_samples_answer_for_all(loss):
    g = torch.Generator().manual_seed(0)
    tensors = {name: torch.randn(ROWS, generator=g) for name in ("mu", "y")}
    tensors["sigma"] = torch.linspace(0.2, 2.0, ROWS)
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target("t", loss, loss.__name__, None, (batch,), "function", target_names=("y",))
    graph, _ = captured(target, batch, 0)
    small = on_some_rows(target, batch, graph, 64, layout_of(batch))
    assert small.graph.nodes[0].shape[0] == 64 and [n.op for n in small.graph.nodes] == [
        n.op for n in graph.graph.nodes
    ]
    all_rows, some = (density(one, default_axes(graph)[0], loss.__name__) for one in (graph, small))
    assert (some.name, some.constant, some.support) == (all_rows.name, all_rows.constant, all_rows.support)
    assert some.batch_low == pytest.approx(all_rows.batch_low, rel=1e-4)
    assert some.batch_high == pytest.approx(all_rows.batch_high, rel=1e-4)
    assert 0 < some.samples < all_rows.samples


def test_a_loss_that_is_another_program_on_fewer_rows_is_asked_as_a_whole():
    def by_size(mu, y):
        return ((y - mu) ** 2).mean() if len(y) > 100 else (y - mu).abs().mean()

    tensors = {"mu": torch.zeros(ROWS), "y": torch.ones(ROWS)}
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target("t", by_size, "by_size", None, (batch,), "function", target_names=("y",))
    graph, _ = captured(target, batch, 0)
    assert on_some_rows(target, batch, graph, 64, layout_of(batch)) is None
