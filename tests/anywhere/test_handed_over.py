"""What a model hands over: averages of shares, the data that it was given, differences that a shift drops out of."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nllcheck
from nllcheck.axes.boundary import boundary
from nllcheck.capture import capture
from nllcheck.sweep.program import extent
from nllcheck.target import Target, split_batch

X, Y = torch.randn(10, 4, generator=torch.Generator().manual_seed(3)), torch.arange(10) % 3


class Average(nn.Module):
    """Shares of two groups times what each group gives its three classes."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.group, self.given = nn.Linear(4, 1), nn.Parameter(torch.randn(2, 3))

    def shares(self, x):
        left = torch.sigmoid(self.group(x))
        return torch.cat([left, 1 - left], 1)

    def forward(self, x):
        return self.shares(x) @ torch.softmax(self.given, 1)


class ByTable(Average):
    """Nobody trains what a group gives."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.tensor([[0.6, 0.2, 0.2], [0.1, 0.4, 0.5]]))

    def forward(self, x):
        return self.shares(x) @ self.table


class WithData(Average):
    """Gives the data back beside the one score of each row."""

    def forward(self, x):
        return self.group(x)[:, 0], x.exp()


class GivesBack(Average):
    """One score for all rows: nothing but the loss reads the data."""

    def forward(self, x):
        return self.given[0, 0].tanh(), x


def label_nll(p, label):
    return -torch.log(p.gather(1, label[:, None])).mean()


def label_nll_held(p, label):
    return F.nll_loss(torch.log(p.clamp(1e-6, 1.0)), label)


def words_nll(p, words):
    return -(words * torch.log(p + 1e-6)).sum(1).mean()


def scored(score, data, target):
    return (torch.log(data[:, 0]) * score - target).square().mean()


class Shifted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.enc = nn.Linear(4, 3)


def gap(model, batch, eps=0.2):
    x, y = (model.enc(v) for v in batch)
    cost = ((x[:, None] - y) ** 2).sum(2) / eps
    return (torch.softmax(-cost, 1) * cost).sum(1).mean()


def counts():
    return torch.poisson(torch.full((10, 3), 3.0), generator=torch.Generator().manual_seed(1)) + 1


def alarms(report):
    return [f for f in report.findings if f.severity in ("error", "warning")]


SOUND = {
    "an average, floored": (label_nll_held, Average(), (X, Y)),
    "an average by a table": (label_nll, ByTable(), (X, Y)),
    "counts of shares": (words_nll, Average(), (X, counts())),
    "a shift that both sides have": (gap, Shifted(), (X, X.flip(0) + 0.3)),
}


@pytest.mark.parametrize(("loss", "model", "batch"), SOUND.values(), ids=SOUND)
def test_none_of_these_is_an_alarm(loss, model, batch):
    assert not alarms(nllcheck.check(loss, model=model, batch=batch))


def test_an_average_is_moved_by_what_leads_to_it():
    report = nllcheck.check(label_nll, model=Average(), batch=(X, Y))
    (found,) = [f for f in alarms(report) if f.op == "log"]
    assert found.verdict == "defect" and "output" not in str(found.axis).split("(")[0]


@pytest.mark.parametrize("model", [GivesBack(), WithData()], ids=["as it is", "computed"])
def test_data_that_a_model_gives_back_is_none_of_its_predictions(model):
    batch = split_batch((X.exp(), Y.float()))
    graph = capture(Target("t", scored, "loss", model, (batch,), "outputs"), batch).graph
    moved = boundary(graph)
    assert all(graph.nodes[n].shape[-1:] != (4,) for n in moved.outputs) and len(moved.targets) == 2


def test_what_autograd_keeps_for_its_shape_has_no_values():
    assert extent((torch.empty(2, device="meta"),)) is None


TURNS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])


def test_the_classes_of_a_table_are_its_rows():
    def path_nll(scores, label):
        return F.softplus((1 - 2 * TURNS[label]) * scores).sum(1).mean()

    report = nllcheck.check_function(path_nll, {"scores": X[:, :2], "label": Y}, target="label")
    assert not alarms(report)
