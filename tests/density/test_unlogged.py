"""A forgotten logarithm is told by measurement, and what only looks like one is not."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer
from torch import distributions as D
from torch.nn import functional as F

from nllcheck.check import check_function

N, K = 20, 4
MADE = torch.Generator().manual_seed(1)


def draw(*shape):
    return torch.randn(*shape, generator=MADE)


NUMBERS = {"out": draw(N, 2), "y": draw(N)}
MIXED = {"out": draw(N, 3 * K), "y": draw(N)}
PLACES = {"out": draw(N, 5), "y": torch.cat([draw(N, 2), (draw(N, 1) > 0).float()], 1)}
LABELS = {"out": draw(N, K), "y": torch.arange(N) % K}
DRAWN = {"out": draw(N, 4), "y": draw(N, 2)}


def normal(out, y):
    return torch.exp(-0.5 * ((y - out[:, 0]) / out[:, 1].exp()) ** 2) / (out[:, 1].exp() * math.sqrt(2 * math.pi))


def gaussian_nll(out, y):
    return -normal(out, y).mean()


def library_nll(out, y):
    return -D.Normal(out[:, 0], F.softplus(out[:, 1])).log_prob(y).exp().sum()


def mixture_nll(out, y):
    weight, mean, raw = out.chunk(3, -1)
    p = torch.softmax(weight, -1) * D.Normal(mean, raw.exp()).log_prob(y[:, None]).exp()
    return -p.sum(-1).mean()


def class_nll(out, y):
    return -torch.softmax(out, -1).gather(1, y[:, None]).mean()


def one_less_nll(out, y):
    return (1 - torch.softmax(out, -1).gather(1, y[:, None])).mean()


def pen_nll(out, y):
    p = D.Normal(out[:, :2], out[:, 2:4].exp()).log_prob(y[:, :2]).sum(-1).exp()
    return (-p + F.binary_cross_entropy_with_logits(out[:, 4], y[:, 2], reduction="none")).mean()


def elbo(out, y):
    mean, log_var = out.chunk(2, -1)
    z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
    p = D.Normal(z, 0.7).log_prob(y).sum(-1).exp()
    return (-p + 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(-1)).mean()


def wide_elbo(out, y):
    """Of a row of six numbers, over which exp(-loss) cannot be integrated at all."""
    mean, log_var = out[:, :2], out[:, 2:4]
    z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
    p = torch.exp(-0.5 * ((y - z.repeat(1, 3)) ** 2).sum(-1)) / (2 * math.pi) ** 3
    return (-p + 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(-1)).mean()


def with_its_log_nll(out, y):
    return -torch.log(normal(out, y)).mean()


def not_normalised_nll(out, y):
    return -torch.exp(-0.5 * ((y - out[:, 0]) / out[:, 1].exp()) ** 2).mean()


def correntropy(out, y):
    return -torch.exp(-0.5 * (y - out[:, 0]) ** 2).mean()


def without_half_nll(out, y):
    return (((y - out[:, 0]) / out[:, 1].exp()) ** 2 + out[:, 1]).mean()


CASES = {
    gaussian_nll: (NUMBERS, "Minus the loss is itself a density"),
    library_nll: (NUMBERS, "Minus the loss is itself a density"),
    mixture_nll: (MIXED, "Minus the loss is itself a density"),
    class_nll: (LABELS, "Minus the loss is itself a probability"),
    one_less_nll: (LABELS, "Minus the loss is itself a probability"),
    pen_nll: (PLACES, "sum(-1).exp()' (line"),
    elbo: (DRAWN, "Minus the loss is itself a density"),
    wide_elbo: ({"out": draw(N, 4), "y": draw(N, 6)}, "Minus the loss is itself a density"),
    with_its_log_nll: (NUMBERS, None),
    not_normalised_nll: (NUMBERS, None),
    correntropy: (NUMBERS, None),
    without_half_nll: (NUMBERS, None),
}


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_logarithm_is_missing_where_it_is(loss):
    tensors, words = CASES[loss]
    torch.manual_seed(0)
    found = answer(loss, tensors)
    assert (found.name == "unlogged") == (words is not None), found.text
    assert words is None or words in found.text


def test_it_is_one_error_at_the_line_of_the_formula():
    report = check_function(pen_nll, PLACES, target="y", points=9, effort="quick")
    (found,) = (f for f in report.findings if f.kind == "wrong-density")
    line = pen_nll.__code__.co_firstlineno + 1
    assert (found.rule, found.severity, found.site.line) == ("NLL717", "error", line)


def test_a_loss_that_claims_nothing_is_left_alone():
    def expected_reward(out, y):
        return -torch.softmax(out, -1).gather(1, y[:, None]).mean()

    report = check_function(expected_reward, LABELS, target="y", points=9, effort="quick")
    assert all(f.severity == "note" for f in report.findings if f.kind == "wrong-density")
