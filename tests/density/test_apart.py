"""Data that model and loss both read stand for the target of a loss that has none: of bounds, of next steps."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.apart import compared_with, conditions, with_data_apart
from nllcheck.judge.signs import is_discrete
from nllcheck.target import Target, split_batch

N, WIDTH = 8, 4
HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode, self.decode = nn.Linear(WIDTH, 4), nn.Linear(2, WIDTH)
        self.log_sigma = nn.Parameter(torch.zeros(WIDTH))

    def forward(self, x):
        mu, raw = self.encode(x.view(len(x), -1)).chunk(2, -1)
        return self.decode(mu + raw.exp() * torch.randn_like(mu)), mu, raw


class Inside(Autoencoder):
    """Returns its loss."""

    def forward(self, x):
        out, mu, raw = super().forward(x)
        return F.binary_cross_entropy_with_logits(out, x, reduction="sum") + closed(mu, raw)


class Plain(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 6), nn.Linear(6, WIDTH)

    def forward(self, x):
        return 0.3 * self.second(torch.tanh(self.first(x)))


class Steps(nn.Module):
    def __init__(self):
        super().__init__()
        self.table, self.head = nn.Embedding(3, 4), nn.Linear(4, 3)

    def forward(self, tokens):
        return self.head(self.table(tokens).cumsum(1))


def closed(mu, raw, sign=1.0):
    return -0.5 * (1 + 2 * raw - mu**2 - sign * torch.exp(2 * raw)).sum()


def of_bits(model, x):
    out, mu, raw = model(x)
    return F.binary_cross_entropy_with_logits(out, x.view(N, -1), reduction="sum") + closed(mu, raw)


def one_sign(model, x):
    out, mu, raw = model(x)
    return F.binary_cross_entropy_with_logits(out, x, reduction="sum") + closed(mu, raw, -1.0)


def scaled_nll(model, x):
    out, mu, raw = model(x)
    sigma = model.log_sigma.exp()
    return (0.5 * ((x - out) / sigma) ** 2 + sigma.log() + HALF_LOG_2PI).sum() + closed(mu, raw)


def unscaled_nll(model, x):
    out, mu, raw = model(x)
    return (0.5 * ((x - out) / model.log_sigma.exp()) ** 2).sum() + closed(mu, raw)


def returned(model, x):
    return model(x)


def residual_flow(model, x):
    z, slope = x + model(x), 1 - torch.tanh(model.first(x)) ** 2
    inner = 0.3 * (model.second.weight * slope[:, None]) @ model.first.weight
    return (0.5 * z**2 + HALF_LOG_2PI).sum(-1).mean() - torch.linalg.slogdet(torch.eye(WIDTH) + inner)[1].mean()


def next_token(model, x):
    tokens = (x > 0).long() + (x > 0.5).long()
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def next_token_by_probabilities(model, x):
    tokens = (x > 0).long() + (x > 0.5).long()
    probs = model(tokens[:, :-1]).softmax(-1)
    return F.nll_loss(probs.flatten(0, 1), tokens[:, 1:].flatten())


def _masked(scores, tokens):
    each = F.cross_entropy(scores.transpose(1, 2), tokens, reduction="none")
    return (each * (tokens != 0)).sum(1).mean()


def next_token_but_padding(model, x):
    tokens = (x > 0).long() + (x > 0.5).long()
    return _masked(model(tokens[:, :-1]), tokens[:, 1:])


def given_the_first(model, x):
    """A density of all columns: the first as it is, the others by what the first leads to."""
    out = model(torch.cat([x[:, :1]] * WIDTH, 1))
    return (0.5 * x[:, :1] ** 2 + HALF_LOG_2PI).sum() + (0.5 * (x[:, 1:] - out[:, 1:]) ** 2 + HALF_LOG_2PI).sum()


def asked(loss, model, batch, labels=None):
    torch.manual_seed(0)
    one = split_batch(batch if labels is None else (batch, labels))
    called = loss if labels is None else (lambda model, pair: loss(model, pair[0]))
    graph = capture(Target("t", called, loss.__name__, model(), (one,), style="model"), one)
    return graph, density(graph, default_axes(graph)[0], loss.__name__)


REAL = torch.randn(N, WIDTH, generator=torch.Generator().manual_seed(1))
BITS = (REAL > 0).float()
CASES = {
    "bits": (of_bits, Autoencoder, BITS, "proper", ["kl"]),
    "one sign": (one_sign, Autoencoder, BITS, "proper", ["none"]),
    "scale": (scaled_nll, Autoencoder, REAL, "proper", ["kl"]),
    "no scale": (unscaled_nll, Autoencoder, REAL, "varies", ["kl"]),
    "returned": (returned, Inside, BITS, "proper", ["kl"]),
    "flow": (residual_flow, Plain, REAL, "undecided", []),
    "tokens": (next_token, Steps, REAL, "proper", []),
    "probabilities": (next_token_by_probabilities, Steps, REAL, "unlogged", []),
    "padding": (next_token_but_padding, Steps, REAL, "proper", []),
    "pieces": (given_the_first, Plain, REAL, "proper", []),
}


@pytest.mark.parametrize("labels", [None, torch.arange(N) % 3], ids=["alone", "beside labels"])
@pytest.mark.parametrize("name", CASES)
def test_data_that_the_loss_compares_with_are_its_target(name, labels):
    loss, model, batch, expected, divergences = CASES[name]
    graph, answer = asked(loss, model, batch, labels)
    assert (answer.name, [d.name for d in answer.divergences]) == (expected, divergences), answer.text
    assert all(0 <= d.node < len(graph.graph.nodes) for d in answer.divergences)


def test_a_term_that_is_left_out_is_told_by_its_line_in_the_loss():
    _, answer = asked(of_bits, Autoencoder, BITS)
    assert answer.left_out and all("return -0.5 * (1 + 2 * raw" in told for told in answer.left_out)


def test_the_divided_program_gives_the_same_loss():
    graph, _ = asked(of_bits, Autoencoder, BITS)
    divided = with_data_apart(graph)
    assert torch.equal(divided.graph.loss, graph.loss)
    (target,) = divided.graph.graph.targets
    assert torch.equal(divided.graph.values[target], BITS)


def test_a_loss_that_reads_its_target_keeps_it():
    torch.manual_seed(0)
    one = split_batch((REAL, BITS))

    def loss(model, batch):
        x, y = batch
        return F.binary_cross_entropy_with_logits(model(x), y) + 0.1 * ((model(x) - x) ** 2).mean()

    graph = capture(Target("t", loss, "loss", Plain(), (one,), style="model"), one)
    assert compared_with(graph) is None
    assert with_data_apart(graph) is None


class Conditional(nn.Module):
    def __init__(self, reads_data):
        super().__init__()
        self.reads_data, self.layer = reads_data, nn.Linear(3 + WIDTH * reads_data, 2 * WIDTH)
        self.log_sigma = nn.Parameter(torch.full((WIDTH,), -3.0))

    def forward(self, x, labels):
        given = F.one_hot(labels, 3).float()
        return self.layer(torch.cat([given, x], 1) if self.reads_data else given)


def conditional_nll(model, batch):
    out = model(*batch)[:, :WIDTH]
    return (0.5 * ((batch[0] - out) / model.log_sigma.exp()) ** 2 + model.log_sigma + HALF_LOG_2PI).sum(-1).mean()


@pytest.mark.parametrize("reads_data", [True, False])
def test_labels_that_only_the_model_reads_are_conditions_and_bound_no_density(reads_data):
    torch.manual_seed(0)
    model, labels = Conditional(reads_data), torch.arange(N) % 3
    model.layer.weight.data[:, 3:] = 0.0
    batch = split_batch((model(REAL, labels)[:, :WIDTH].detach(), labels))  # near what the model expects
    graph = capture(Target("t", conditional_nll, "conditional_nll", model, (batch,), style="model"), batch)
    assert float(graph.loss) < 0
    assert conditions(graph.graph) == set(graph.graph.targets)
    assert is_discrete(graph) == ""
    assert density(graph, default_axes(graph)[0], "conditional_nll").name == "proper"


def test_a_label_that_is_also_compared_is_a_target():
    torch.manual_seed(0)

    def loss(model, batch):
        return F.cross_entropy(model(*batch)[:, :3], batch[1])

    batch = split_batch((REAL, torch.arange(N) % 3))
    graph = capture(Target("t", loss, "loss", Conditional(True), (batch,), style="model"), batch)
    assert conditions(graph.graph) == frozenset()
    assert is_discrete(graph) == "class"


def test_a_mask_made_of_the_labels_is_the_observed_labels_mask():
    torch.manual_seed(0)
    tokens = (REAL > 0).long() + (REAL > 0.5).long()
    batch = split_batch((tokens[:, :-1], tokens[:, 1:]))
    graph = capture(Target("t", _masked, "masked_nll", Steps(), (batch,), style="output"), batch)
    answer = density(graph, default_axes(graph)[0], "masked_nll")
    assert answer.name == "proper"
    assert "as observed" in answer.text


def test_what_is_optimised_before_a_frozen_model_is_no_data():
    torch.manual_seed(0)
    model = Plain().requires_grad_(False)
    picture = REAL.clone().requires_grad_()

    def loss(model, batch):
        x, y = batch
        return ((model(x) - y) ** 2).mean() + 0.1 * torch.sqrt((x[:, 1:] - x[:, :-1]) ** 2).sum()

    found = nllcheck.check(loss, model=model, batch=(picture, BITS), effort="quick", points=33).findings
    assert [f.rule for f in found if f.op == "sqrt" and f.severity != "note"] == ["NLL401"]
