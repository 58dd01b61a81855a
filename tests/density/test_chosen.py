"""Several targets, of which one is the data: masks, lengths and weights are known by what the loss does with them."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import softplus

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.samples.chosen import data_of, without_padding
from nllcheck.target import Batch, Target, split_batch

N, T = 6, 5
PAD = 1e6
LENGTHS = torch.tensor([5, 2, 3, 5, 1, 4])
WEIGHTS = 0.5 + torch.rand(N, T, generator=torch.Generator().manual_seed(3))
KEPT = torch.arange(T) < LENGTHS[:, None]


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


MODEL = {"mu": draw(0, N, T), "raw": 0.3 * draw(1, N, T)}
DATA = draw(2, N, T)


def graph_of(loss, tensors, targets):
    batch = Batch(kwargs=dict(tensors), whole=dict(tensors))
    return capture(Target("nll", loss, "nll", None, (batch,), "function", target_names=targets), batch)


def gaussian(mu, raw, y):
    return 0.5 * ((y - mu) / raw.exp()) ** 2 + raw + 0.5 * math.log(2 * math.pi)


def without_scale(mu, raw, y):
    return 0.5 * ((y - mu) / raw.exp()) ** 2


def masked(each):
    return lambda mu, raw, y, other: (each(mu, raw, y) * other).sum() / other.sum()


def by_where(mu, raw, y, other):
    return torch.where(other, gaussian(mu, raw, y), 0.0).sum() / other.sum()


def picked(each):
    return lambda mu, raw, y, other: each(mu[other], raw[other], y[other]).mean()


def by_length(each):
    def loss(mu, raw, y, other):
        kept = torch.arange(T) < other[:, None]
        return ((each(mu, raw, y) * kept).sum(1) / other).mean()

    return loss


def censored(mu, raw, y, other):
    return -(other * (mu - y.exp()) - (1 - other) * y.exp() * mu.exp()).mean()


def selected(mu, raw, y, other):
    """Seen or not is an outcome itself, of which the model gives the odds."""
    return torch.where(other, gaussian(mu, raw, y) + softplus(-mu), softplus(mu)).mean()


def two_outcomes(mu, raw, y, other):
    return gaussian(mu, raw, y).mean() + gaussian(mu, raw, other).mean()


# loss, what stands beside the data, and the answer
CASES = {
    "a mask of numbers": (masked(gaussian), KEPT.float(), "proper"),
    "a mask of booleans": (by_where, KEPT, "proper"),
    "a mask that keeps all": (masked(gaussian), torch.ones(N, T), "proper"),
    "a mask, no scale": (masked(without_scale), KEPT.float(), "varies"),
    "a row of weights": (masked(gaussian), WEIGHTS[:, :1], "proper"),
    "weights": (masked(gaussian), WEIGHTS, "proper"),
    "lengths": (by_length(gaussian), LENGTHS, "proper"),
    "full lengths": (by_length(gaussian), torch.full((N,), T), "proper"),
    "lengths, no scale": (by_length(without_scale), LENGTHS, "varies"),
    "picked by a mask": (picked(gaussian), KEPT, "proper"),
    "picked, no scale": (picked(without_scale), KEPT, "varies"),
    "an indicator of events": (censored, KEPT.float(), "undecided"),
    "a choice that is an outcome": (selected, KEPT, "undecided"),
    "a second outcome": (two_outcomes, draw(4, N, T), "proper"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_data_is_told_from_what_chooses(name):
    loss, other, expected = CASES[name]
    graph = graph_of(loss, {**MODEL, "y": DATA, "other": other}, ("y", "other"))
    data = data_of(graph)
    assert (data is None) == (expected == "undecided" or loss is two_outcomes)
    assert data is None or graph.graph.nodes[data].name == "y"
    assert density(graph, default_axes(graph)[0], "nll").name == expected


def test_padding_says_nothing_of_the_support():
    """Times of which none is negative, padded with a number that is."""

    def loss(mu, raw, y, other):
        return ((y * mu.exp() - mu) * other).sum() / other.sum()

    y = torch.where(KEPT, DATA.exp(), -PAD)
    graph = graph_of(loss, {**MODEL, "y": y, "other": KEPT.float()}, ("y", "other"))
    (data,) = [k for k in graph.graph.targets if graph.graph.nodes[k].name == "y"]
    assert float(without_padding(graph).values[data].min()) > 0
    found = density(graph, default_axes(graph)[0], "nll")
    assert (found.name, found.support) == ("proper", "positive")


def mixture_of_bits(normalised):
    def loss(weights, logits, y):
        each = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits.expand(len(y), 3, 4), y[:, None].expand(-1, 3, -1), reduction="none"
        ).sum(-1)
        return -torch.logsumexp((torch.log_softmax(weights, -1) if normalised else weights) + each, -1).mean()

    return loss


@pytest.mark.parametrize(("normalised", "expected"), [(True, "proper"), (False, "varies")])
def test_rows_of_bits_are_summed_over(normalised, expected):
    tensors = {"weights": draw(6, 3), "logits": draw(7, 3, 4), "y": (draw(8, N, 4) > 0).float()}
    graph = graph_of(mixture_of_bits(normalised), tensors, ("y",))
    assert density(graph, default_axes(graph)[0], "nll").name == expected


class Nodes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(T, 3)

    def forward(self, x):
        return torch.log_softmax(self.out(x), 1)


def known_nll(model, batch):
    """The nodes whose labels are known come last in the batch, after the labels (Kipf and Welling 2017)."""
    x, labels, known = batch
    return torch.nn.functional.nll_loss(model(x)[known], labels[known])


def test_the_numbers_of_known_nodes_pick_the_labels():
    torch.manual_seed(0)
    model, labels = Nodes(), torch.tensor([0, 1, 2, 2, 1, 0])
    batch = split_batch((draw(4, N, T), labels, torch.tensor([0, 1, 2, 4])))
    graph = capture(Target("nll", known_nll, "nll", model, (batch,), style="model"), batch)
    answer = density(graph, default_axes(graph)[0], "known_nll")
    assert (answer.name, answer.support) == ("proper", "class"), answer.text


def labels_nll(scores, y, below):
    kept = scores.detach().softmax(1).amax(1) < below
    return torch.nn.functional.cross_entropy(scores[kept], y[kept], reduction="sum") / len(y)


def gathered_nll(scores, y, below):
    kept = scores.detach().softmax(1).amax(1) < below
    return -scores.log_softmax(1)[kept].gather(1, y[kept][:, None]).sum() / len(y)


@pytest.mark.parametrize("loss", [labels_nll, gathered_nll])
@pytest.mark.parametrize(("below", "said"), [(1.1, "proper"), (0.7, "varies")])
def test_labels_of_those_that_the_scores_select_are_classes(loss, below, said):
    """Of a sample that is left out every class has a loss of 0: no likelihood, but one that nobody claims."""
    tensors = {"scores": draw(6, 8, 3), "y": torch.arange(8) % 3}

    def nll(scores, y):
        return loss(scores, y, below)

    graph = graph_of(nll, tensors, ("y",))
    answer = density(graph, default_axes(graph)[0], "nll")
    assert (answer.support, answer.name, answer.claims) == ("class", said, False), answer.text


def cox_with_ties(risk, time, event):
    """Breslow's ties by unique times: how many these are is fixed in the graph, as the batch has them."""
    order = torch.argsort(time)
    risk, time, event = risk[order], time[order], event[order]
    times = torch.unique(time)
    at = torch.searchsorted(times, time)
    deaths, told = (torch.zeros_like(times).index_add(0, at, each) for each in (event, event * risk))
    alive = risk.flip(0).logcumsumexp(0).flip(0)[torch.searchsorted(time, times)]
    return -(told - deaths * alive).sum() / event.sum().clamp(min=1)


def test_a_loss_that_does_not_run_at_other_targets_is_undecided_and_stays_a_graph():
    time, event = torch.tensor([1.0, 2.0, 2.0, 3.0, 5.0, 5.0]), torch.tensor([1.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    tensors = {"risk": draw(4, 6), "time": time, "event": event}
    graph = graph_of(cox_with_ties, tensors, ("time", "event"))
    found = density(graph, default_axes(graph)[0], "nll")
    assert found.name == "undecided"
    report = nllcheck.check_function(cox_with_ties, tensors, target=("time", "event"), effort="quick")
    assert report.facts.capture == "graph"
