"""Models that read what they predict, against the dependence that their architecture has."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.density.apart import with_data_apart
from nllcheck.density.itself import given_twice, reads_itself, with_root
from nllcheck.target import Target, split_batch, style_of

N, STEPS, CLASSES = 6, 5, 4
TOKENS = torch.randint(CLASSES, (N, STEPS), generator=torch.Generator().manual_seed(0))
NUMBERS = torch.randn(N, STEPS, generator=torch.Generator().manual_seed(1))
IMAGES = torch.randn(N, 1, 5, 5, generator=torch.Generator().manual_seed(2))


class Recurrent(nn.Module):
    def __init__(self, both_ways=False):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.cell = nn.Embedding(CLASSES, 6), nn.GRU(6, 6, batch_first=True, bidirectional=both_ways)
        self.head = nn.Linear(12 if both_ways else 6, CLASSES)

    def forward(self, tokens):
        return self.head(self.cell(self.table(tokens))[0])


class Masked(nn.Module):
    """Each output reads the inputs up to `last` places after its own."""

    def __init__(self, last):
        super().__init__()
        torch.manual_seed(0)
        self.weight, self.last = nn.Parameter(torch.randn(STEPS, STEPS)), last

    def forward(self, x):
        return torch.tanh(F.linear(x, self.weight.tril(self.last)))


class Pixels(nn.Module):
    """A PixelCNN's first layer: it reads the row above and, in its own, the pixels before; or the pixel itself, too."""

    def __init__(self, itself):
        super().__init__()
        torch.manual_seed(0)
        self.weight, mask = nn.Parameter(torch.randn(1, 1, 3, 3)), torch.ones(3, 3)
        mask[1, 1 + itself :], mask[2] = 0, 0
        self.register_buffer("mask", mask)

    def forward(self, x):
        return torch.tanh(F.conv2d(x, self.weight * self.mask, padding=1))


class Bottleneck(nn.Module):
    def __init__(self, drawn=False):
        super().__init__()
        torch.manual_seed(0)
        self.encode, self.decode, self.drawn = nn.Linear(STEPS, 2), nn.Linear(2, STEPS), drawn

    def forward(self, x):
        z = self.encode(x)
        return self.decode(z + torch.randn_like(z) if self.drawn else z)


def same_step_nll(model, batch):
    return F.cross_entropy(model(batch).transpose(1, 2), batch)


def next_step_nll(model, batch):
    return F.cross_entropy(model(batch[:, :-1]).transpose(1, 2), batch[:, 1:])


def next_output_nll(model, batch):
    return F.cross_entropy(model(batch)[:, :-1].transpose(1, 2), batch[:, 1:])


def normal_nll(model, batch):
    return -torch.distributions.Normal(model(batch), 1.0).log_prob(batch).mean()


def residual_flow_nll(model, batch):
    return -torch.distributions.Normal(0.0, 1.0).log_prob(batch + model(batch)).mean()


def residual_nll(model, batch):
    return -torch.distributions.Normal(batch[:, :-1] + model(batch)[:, :-1], 1.0).log_prob(batch[:, 1:]).mean()


def change_nll(model, batch):
    change = batch[:, 1:] - batch[:, :-1]
    return -torch.distributions.Normal(model(batch)[:, :-1], 1.0).log_prob(change).mean()


def scaled_nll(model, batch):
    scale = batch[:, :2].abs().mean(1, keepdim=True) + 0.1
    return -torch.distributions.Normal(model(batch / scale)[:, 1:-1] * scale, scale).log_prob(batch[:, 2:]).mean()


def output_nll(output, target):
    return F.cross_entropy(output.transpose(1, 2), target)


# loss, model, batch, what is read, what the density test says
CASES = {
    "a forgotten shift": (same_step_nll, Recurrent(), TOKENS, "causal", "reads-itself"),
    "a shift": (next_step_nll, Recurrent(), TOKENS, "no", "proper"),
    "a shift of outputs": (next_output_nll, Recurrent(), TOKENS, "no", "proper"),
    "both ways": (same_step_nll, Recurrent(True), TOKENS, "yes", "undecided"),
    "a mask with its diagonal": (normal_nll, Masked(0), NUMBERS, "causal", "reads-itself"),
    "a mask without": (normal_nll, Masked(-1), NUMBERS, "no", "proper"),
    "a pixel itself": (normal_nll, Pixels(True), IMAGES, "causal", "reads-itself"),
    "the pixels before": (normal_nll, Pixels(False), IMAGES, "no", "proper"),
    "an autoencoder": (normal_nll, Bottleneck(), NUMBERS, "yes", "undecided"),
    "a bound on a likelihood": (normal_nll, Bottleneck(drawn=True), NUMBERS, None, "proper"),
    "a flow without its determinant": (residual_flow_nll, Bottleneck(), NUMBERS, "yes", "undecided"),
    "what is added to the step before": (residual_nll, Masked(0), NUMBERS, "no", "proper"),
    "a change": (change_nll, Masked(0), NUMBERS, "no", "proper"),
    "a scale of the first steps": (scaled_nll, Masked(0), NUMBERS, "no", "proper"),
    "steps that are all the same": (output_nll, Recurrent(), (TOKENS * 0, TOKENS * 0), None, "proper"),
    "tokens as input and target": (output_nll, Recurrent(), (TOKENS, TOKENS.clone()), "causal", "reads-itself"),
    "next tokens as target": (output_nll, Recurrent(), (TOKENS[:, :-1], TOKENS[:, 1:]), None, "proper"),
}  # fmt: skip


def graph_of(loss, model, batch):
    whole = split_batch(batch)
    return capture(Target("model", loss, loss.__name__, model, (whole,), style_of(loss, model)), whole)


@pytest.mark.parametrize("name", CASES)
def test_what_is_read_is_what_the_architecture_reads(name):
    loss, model, batch, read, _ = CASES[name]
    graph = graph_of(loss, model, batch)
    apart = with_data_apart(graph)
    twice = with_root(graph, apart.graph) if apart else given_twice(graph)
    assert (reads_itself(twice) if twice and read else None) == read


@pytest.mark.parametrize("name", CASES)
def test_what_predicts_itself_is_called_no_density_of_the_data(name):
    loss, model, batch, _, said = CASES[name]
    graph = graph_of(loss, model, batch)
    answer = density(graph, default_axes(graph)[0], loss.__name__)
    assert answer.name == said, answer.text


@pytest.mark.parametrize("name", CASES)
def test_the_culprit_is_an_op_of_the_loss(name):
    loss, model, batch, _, said = CASES[name]
    if said == "reads-itself" and isinstance(batch, torch.Tensor):
        graph = graph_of(loss, model, batch)
        (culprit,) = density(graph, default_axes(graph)[0], loss.__name__).nodes
        assert graph.graph.nodes[culprit].site.function == loss.__name__
