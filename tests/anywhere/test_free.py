"""What may move and what may not: layers of weights freely, buffers only if they are asked for."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.axes.boundary import boundary
from nllcheck.axes.inside import inside_axes
from nllcheck.capture import capture
from nllcheck.capture.program import Leaf
from nllcheck.names import short_label
from nllcheck.structure.variants import variants
from nllcheck.target import Batch, Target, split_batch

X, Y = (torch.randn(8, 4, generator=torch.Generator().manual_seed(s)) for s in (1, 2))


class Sharpened(nn.Module):
    """The exponent comes from a layer whose outputs all start with one sign."""

    def __init__(self, bias: float) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.scores, self.power, self.head = nn.Linear(4, 5), nn.Linear(4, 1), nn.Linear(5, 1)
        nn.init.constant_(self.power.weight, 0.01)
        nn.init.constant_(self.power.bias, bias)

    def forward(self, x):
        w = torch.softmax(self.scores(x), -1) ** F.softplus(self.power(x))
        return self.head(w / w.sum(-1, keepdim=True))


def error(output, target):
    return ((output[:, 0] - target[:, 0]) ** 2).mean()


@pytest.mark.parametrize("bias", [-3.0, 3.0])
def test_a_layer_of_weights_is_free_whatever_the_sign_of_the_batch(bias):
    batch = split_batch((X, Y))
    graph = capture(Target("t", error, "error", Sharpened(bias), (batch,)), batch)
    free = [a for a in inside_axes(graph)[0] if a.mode == "set" and "power" in a.label]
    assert [a.domain for a in free] == [(-math.inf, math.inf)]


class Standardising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.net = nn.Linear(4, 1)
        self.register_buffer("centre", torch.tensor([0.4]))
        self.register_buffer("spread", torch.tensor([1.7]))

    def forward(self, x):
        return self.net(x)[:, 0]


def standardised(model, batch):
    inputs, target = batch
    return ((model(inputs) - (target[:, 0] - model.centre) / model.spread) ** 2).mean()


def test_a_buffer_is_no_axis_and_draws_no_alarm_unless_it_is_asked_for():
    report = nllcheck.check(standardised, model=Standardising(), batch=(X, Y), points=60)
    assert [f for f in report.findings if f.severity != "note"] == []
    assert not {"spread", "centre"} & {s.axis.label for s in report.sweeps}
    asked = nllcheck.check(standardised, model=Standardising(), batch=(X, Y), sweep={"spread": (-1, 1)}, points=60)
    assert {s.axis.label for s in asked.sweeps} == {"spread"}


def test_a_buffer_is_no_weight():
    batch = split_batch((X, Y))
    graph = capture(Target("t", standardised, "standardised", Standardising(), (batch,), "model"), batch)
    names = {graph.graph.nodes[n].name for n in boundary(graph.graph).all}
    assert {graph.graph.nodes[n].name for n in graph.graph.buffers} == {"spread", "centre"}
    assert not {"spread", "centre"} & names


@pytest.mark.parametrize("name", ["lengths", "input_lens", "frames", "durations"])
def test_lengths_go_by_many_names(name):
    leaves = [Leaf("x", "input", torch.zeros(3, 4)), Leaf(name, "target", torch.tensor([4, 2, 3]))]
    assert [one.value.tolist() for one in variants(leaves, has_model=False)] == [[1, 2, 3], [0, 2, 3]]


@pytest.mark.parametrize(("epsilon", "alarms"), [(0.0, 1), (1e-6, 0)])
def test_a_row_may_meet_a_row_of_a_tensor_with_another_number_of_rows(epsilon, alarms):
    def distance(x, centres):
        gaps = ((x[:, None] - centres) ** 2).sum(-1)
        return torch.sqrt(gaps + epsilon).min(1).values.mean()

    report = nllcheck.check_function(distance, {"x": X, "centres": Y[:3]}, points=60)
    found = [f for f in report.findings if f.severity != "note"]
    assert len([f for f in found if f.op == "sqrt" and f.phase == "backward"]) == len(found) == alarms
    assert all("first rows of x and centres are equal" in str(f.axis) for f in found)


@pytest.mark.parametrize(
    ("loss", "low"),
    [
        (lambda w, y: ((torch.relu(w) - y) ** 2).mean(), -math.inf),
        (lambda w, y: ((F.softplus(w[:, :2]).sum(1) - y[:, 0]) ** 2).mean(), -math.inf),
        (lambda w, y: ((torch.relu(w) - y) ** 2 / w).mean(), 0.0),
        (lambda w, y: (y * torch.exp(-w) + w).mean(), 0.0),
    ],
)
def test_a_positive_argument_that_is_only_squashed_is_a_raw_value(loss, low):
    tensors = {"w": X.abs() + 0.1, "y": Y}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("t", loss, "t", None, (batch,), "function", target_names=("y",)), batch)
    moved = [a for a in default_axes(graph)[0] if a.label.startswith("w[") and a.mode == "set"]
    assert moved and {a.domain for a in moved} == {(low, math.inf)}


class Mixtures(nn.Module):
    """Three mixtures of five normals a row: 3 x 15 numbers, of which the model or the loss takes pieces."""

    def __init__(self, opened: bool) -> None:
        super().__init__()
        self.head, self.opened = nn.Linear(2, 45), opened

    def forward(self, x):
        raw = self.head(x)
        if not self.opened:
            return raw
        mean, spread, weight = raw.view(len(x), 3, 15).split(5, -1)
        return mean, spread.exp(), weight.softmax(-1)


def of_pieces(mean, spread, weight, y):
    return (weight * ((y[:, :, None] - mean) / spread) ** 2).mean()


def of_a_view(out, y):
    mean, spread, weight = out.view(len(y), 3, 15).split(5, -1)
    return of_pieces(mean, spread.exp(), weight.softmax(-1), y)


def of_a_view_and_more(out, y):
    return of_a_view(out, y) + 1e-3 * (out**2).mean()


NAMED = {"mean": (0, 5), "spread": (5, 10), "weight": (10, 15)}


@pytest.mark.parametrize(
    ("loss", "opened", "named"), [(of_pieces, True, True), (of_a_view, False, True), (of_a_view_and_more, False, False)]
)
def test_channels_are_those_of_the_view_that_pieces_are_taken_of(loss, opened, named):
    """Unless something else reads the tensor behind it."""
    torch.manual_seed(0)
    batch = split_batch((torch.randn(4, 2), torch.randn(4, 3)))
    graph = capture(Target("t", loss, "t", Mixtures(opened), (batch,), "output"), batch)
    moved = [a for a in default_axes(graph)[0] if a.role == "output" and a.mode == "set"]
    found = {a.label.split(" (")[0]: a.channel for a in moved}
    assert found == NAMED if named else not set(found) & set(NAMED)


@pytest.mark.parametrize(
    ("label", "short"),
    [
        ("rho (raw[..., 16:19])", "rho"),
        ("mean (self.body(x)[..., 2])", "mean"),
        ("F.linear(x, (s.w * 0.5).t())[..., 0]", "F.linear(x, (s.w * 0.5).t())[..., 0]"),
        ("output × scale", "output × scale"),
        ("target = 0 throughout", "target = 0 throughout"),
    ],
)
def test_only_a_name_before_its_channel_is_short_for_it(label, short):
    assert short_label(label) == short


class Cell(nn.Module):
    """Two layers are summed, and their sum is scaled by its own spread; `shared` reads one of them once more."""

    def __init__(self, shared: bool) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.shared = shared
        self.a, self.b, self.out = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(3, 1)
        nn.init.constant_(self.a.bias, 9.0)

    def forward(self, x):
        b = self.b(torch.tanh(x))
        h = self.a(x) + b
        h = (h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True)
        return self.out(h + b if self.shared else h)


@pytest.mark.parametrize(("shared", "moved"), [(False, ["add"]), (True, ["linear", "linear"])])
def test_a_sum_that_alone_reads_two_layers_is_free_itself(shared, moved):
    batch = split_batch((X, Y))
    graph = capture(Target("t", error, "error", Cell(shared), (batch,)), batch)
    free = [a for a in inside_axes(graph)[0] if a.mode == "set"]
    assert [graph.graph.nodes[a.node].op for a in free] == moved
    assert {a.domain for a in free} == {(-math.inf, math.inf)}
