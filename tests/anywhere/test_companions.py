"""Criteria that the loss's code holds: their weights are moved, what they remember is theirs again afterwards."""

from __future__ import annotations

import copy
import functools

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nllcheck
from nllcheck.companions import held_by


class Centred(nn.Module):
    """Remembers in a buffer that it makes anew at every call, in one that it writes into, and in an attribute."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("center", torch.zeros(3))
        self.register_buffer("seen", torch.zeros(()))
        self.scale = None

    def forward(self, output, target):
        if self.scale is None:
            self.scale = output.detach().abs().mean()
        centred = output - self.center
        self.center = 0.9 * self.center + 0.1 * output.detach().mean(0)
        self.seen += 1
        return F.cross_entropy(centred / self.scale, target)


class Running:
    """A plain object that remembers."""

    def __init__(self) -> None:
        self.mean = None

    def __call__(self, output, target):
        new = output.mean()
        self.mean = new if self.mean is None else 0.9 * self.mean + 0.1 * new
        return F.mse_loss(output[:, 0], target.float()) + 0.1 * self.mean**2


class Learned(nn.Module):
    """A spread of its own, which training moves, without a floor."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = nn.Parameter(torch.tensor(0.7))

    def forward(self, output, target):
        return (torch.log(self.spread) + 0.5 * ((output[:, 0] - target) / self.spread) ** 2).mean()


class Teacher(nn.Module):
    """Asks for gradients, and gets none."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 3)

    def forward(self, output, target):
        with torch.no_grad():
            wanted = torch.log(self.head(output).exp().sum(-1))
        return F.mse_loss(output.sum(-1), wanted)


def batch():
    torch.manual_seed(0)
    return torch.randn(6, 4), torch.arange(6) % 3


def model():
    torch.manual_seed(0)
    return nn.Linear(4, 3)


def calling(criterion):
    def loss(output, target):
        return criterion(output, target)

    return loss


@pytest.mark.parametrize("kind", [Centred, Running, Learned, Teacher])
@pytest.mark.parametrize(
    "way", [calling, lambda c: c, lambda c: functools.partial(c)], ids=["closure", "itself", "partial"]
)
def test_what_a_criterion_holds_is_afterwards_what_it_was(kind, way):
    criterion = kind()
    before, numbers = dict(vars(criterion)), copy.deepcopy(vars(criterion))
    report = nllcheck.check(way(criterion), model=model(), batch=batch(), effort="quick")
    assert report.facts.capture == "graph", report.notes
    assert all(vars(criterion)[name] is value for name, value in before.items()) and len(vars(criterion)) == len(before)
    for name, tensor in [*numbers.get("_buffers", {}).items(), *numbers.get("_parameters", {}).items()]:
        assert torch.equal(getattr(criterion, name), tensor)
    first, again = (float(criterion(model()(batch()[0]), batch()[1])) for criterion in (criterion, kind()))
    assert kind is Teacher or first == again


def test_weights_of_a_criterion_are_moved_as_those_of_the_model_are():
    report = nllcheck.check(calling(Learned()), model=model(), batch=batch())
    found = [f for f in report.findings if "criterion.spread" in f.message]
    assert {f.op for f in found if f.kind in ("nan", "inf")} >= {"log"}


def test_what_gets_no_gradient_is_not_moved():
    report = nllcheck.check(calling(Teacher()), model=model(), batch=batch())
    assert not any("head" in table.axis.label for table in report.sweeps)


def test_a_penalty_on_the_model_itself_follows_its_weights():
    net = model()

    def loss(output, target):
        return F.cross_entropy(output, target) + 1e-2 * sum(p.square().sum() for p in net.parameters()).sqrt()

    net.weight.data.mul_(0.1)
    net.bias.data.zero_()
    report = nllcheck.check(loss, model=net, batch=batch())
    assert any(f.op == "sqrt" and f.phase == "backward" for f in report.findings)


def test_names_are_those_that_the_code_has():
    held = held_by(calling(Learned()))
    assert [one.name for one in held.modules] == ["criterion"] and not held.objects
    assert [type(one) for one in held_by(calling(Running())).objects] == [Running]
