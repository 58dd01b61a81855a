"""A log-likelihood whose minus was forgotten is told by measurement, and what only looks like one is not."""

from __future__ import annotations

import pytest
import torch
from helpers import answer
from torch import distributions as D
from torch.nn import functional as F

from nllcheck.check import check_function

N, K = 20, 4
MADE = torch.Generator().manual_seed(2)


def draw(*shape):
    return torch.randn(*shape, generator=MADE)


NUMBERS = {"out": draw(N, 2), "y": draw(N)}
POSITIVE = {"out": draw(N, 2), "y": draw(N).exp()}
COUNTS = {"out": draw(N, 1), "y": torch.poisson(torch.full((N,), 3.0), generator=MADE)}
LABELS = {"out": draw(N, K), "y": torch.arange(N) % K}
BITS = {"out": draw(N, 1), "y": torch.tensor([0.0, 1.0]).repeat(N // 2)}
MIXED = {"out": draw(N, 3 * K), "y": draw(N)}
PLACES = {"out": draw(N, 3), "y": torch.stack([draw(N), (draw(N) > 0).float()], 1)}
HEADS = {"out": draw(N, K), "y": draw(N, 2), "kind": torch.arange(N) % K}
DRAWN = {"out": draw(N, 4), "y": draw(N, 2)}


def normal_nll(out, y):
    return D.Normal(out[:, 0], out[:, 1].exp()).log_prob(y).mean()


def by_hand_nll(out, y):
    scale = out[:, 1].exp()
    return (-0.5 * ((y - out[:, 0]) / scale) ** 2 - torch.log(scale)).sum()


def gamma_nll(out, y):
    return D.Gamma(out[:, 0].exp(), out[:, 1].exp()).log_prob(y).mean()


def poisson_nll(out, y):
    return D.Poisson(out[:, 0].exp()).log_prob(y).sum()


def class_nll(out, y):
    return torch.log_softmax(out, -1).gather(1, y[:, None]).mean()


def bit_nll(out, y):
    return D.Bernoulli(logits=out[:, 0]).log_prob(y).mean()


def mixture_nll(out, y):
    weight, mean, raw = out.chunk(3, -1)
    each = torch.log_softmax(weight, -1) + D.Normal(mean, raw.exp()).log_prob(y[:, None])
    return torch.logsumexp(each, -1).mean()


def elbo(out, y):
    """The bound itself, which is to be made large."""
    return -bound(out, y)


def bound(out, y):
    mean, log_var = out.chunk(2, -1)
    z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
    kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(-1)
    return (kl - D.Normal(z, 0.7).log_prob(y).sum(-1)).mean()


def half_turned_elbo(out, y):
    """The likelihood without its minus, the divergence as it should be."""
    mean, log_var = out.chunk(2, -1)
    z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
    kl = 0.5 * (mean**2 + log_var.exp() - 1 - log_var).sum(-1)
    return (kl + D.Normal(z, 0.7).log_prob(y).sum(-1)).mean()


def two_heads_nll(out, y, kind):
    place = D.Normal(out[:, :2], 0.5).log_prob(y).sum(-1).mean()
    return F.cross_entropy(out, kind) + place


def pen_nll(out, y):
    place = D.Normal(out[:, 0], out[:, 1].exp()).log_prob(y[:, 0])
    return (place + F.binary_cross_entropy_with_logits(out[:, 2], y[:, 1], reduction="none")).mean()


def with_its_minus_nll(out, y):
    return -normal_nll(out, y)


def without_half_nll(out, y):
    """Wrong, and not by its sign."""
    return (((y - out[:, 0]) / out[:, 1].exp()) ** 2 + out[:, 1]).mean()


def squares_turned_nll(out, y):
    """Nothing that integrates to a constant, either way."""
    return -((y - out[:, 0]) ** 2 * out[:, 1].exp()).mean()


def shares_nll(out, y):
    """A probability whose logarithm was forgotten is no log-likelihood."""
    return -torch.softmax(out, -1).gather(1, y[:, None]).mean()


CASES = {
    "normal": (normal_nll, NUMBERS, "to 1 over all reals"),
    "up to a constant": (by_hand_nll, NUMBERS, "to sqrt(2 pi) whatever the parameters"),
    "gamma": (gamma_nll, POSITIVE, "to 1 over the positive numbers"),
    "poisson": (poisson_nll, COUNTS, "sums to 1 over 0, 1, 2"),
    "classes": (class_nll, LABELS, "sums to 1 over the classes"),
    "bits": (bit_nll, BITS, "sums to 1 over 0 and 1"),
    "mixture": (mixture_nll, MIXED, "to 1 over all reals"),
    "bound": (elbo, DRAWN, "to 1 over"),
    "half a bound": (half_turned_elbo, DRAWN, "is a log-likelihood itself"),
    "a column": (pen_nll, PLACES, "is a log-likelihood itself: exp of it integrates to 1"),
    "minus the bound": (bound, DRAWN, None),
    "with its minus": (with_its_minus_nll, NUMBERS, None),
    "without half": (without_half_nll, NUMBERS, None),
    "squares": (squares_turned_nll, NUMBERS, None),
    "shares": (shares_nll, LABELS, None),
}


@pytest.mark.parametrize("name", CASES)
def test_a_forgotten_minus_is_told_and_nothing_else(name):
    loss, tensors, words = CASES[name]
    found = answer(loss, tensors)
    assert (found.name == "log-likelihood") == (words is not None), found.text
    assert words is None or words in found.text


def test_of_two_targets_it_is_told_of_the_one():
    report = check_function(two_heads_nll, HEADS, target=["y", "kind"])
    found = next(f for f in report.findings if f.kind == "wrong-density")
    assert (found.rule, found.severity) == ("NLL718", "error")
    assert found.message.startswith("'place = D.Normal")


@pytest.mark.parametrize("name", ["normal", "classes", "mixture"])
def test_it_is_one_error_with_its_line(name):
    loss, tensors, _ = CASES[name]
    report = check_function(loss, tensors, target=["y"])
    found = [f for f in report.findings if f.kind == "wrong-density"]
    assert [(f.rule, f.severity, f.verdict) for f in found] == [("NLL718", "error", "wrong-formula")]
    assert found[0].site.line == loss.__code__.co_firstlineno + (3 if name == "mixture" else 1)
    assert not [f for f in report.findings if f.kind == "unbounded"]
