"""Divergences of classes and bits that are drawn in a relaxed form, in every way that they are written."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import captured
from torch import distributions as D
from torch.nn import functional as F

from nllcheck.density.kl.divergences import divergences

N, L, K = 8, 3, 5
MADE = torch.Generator().manual_seed(0)
CLASSES = {"a": torch.randn(N, L * K, generator=MADE), "y": torch.randn(N, K, generator=MADE)}
BITS = {"a": torch.randn(N, K, generator=MADE), "y": torch.randn(N, K, generator=MADE)}
WARM = torch.tensor(0.7)
SHARES = torch.tensor([0.1, 0.1, 0.2, 0.2, 0.4])


def by_softmax(a):
    return F.gumbel_softmax(a, tau=0.7)


def at_once(a):
    return F.gumbel_softmax(a, tau=0.7, hard=True)


def by_library(a):
    return D.RelaxedOneHotCategorical(WARM, logits=a).rsample()


def of_probabilities(a):
    return D.RelaxedOneHotCategorical(WARM, probs=a.softmax(-1)).rsample()


def by_hand(a):
    u = torch.rand_like(a)
    return torch.softmax((F.log_softmax(a, -1) - torch.log(-torch.log(u + 1e-20) + 1e-20)) / 0.5, -1)


def classes(draw, term):
    def loss(a, y):
        a = a.view(-1, L, K)
        return (0.5 * (y - draw(a).sum(1)) ** 2).sum(-1).mean() + term(a).sum(-1).mean()

    return loss


def entropy(a):
    return -(a.softmax(-1) * a.log_softmax(-1)).sum(-1)


def to_equal(a):
    return math.log(K) - entropy(a)


def with_epsilon(a):
    q = a.softmax(-1)
    return (q * torch.log(q * K + 1e-20)).sum(-1)


def to_shares(a):
    return D.kl_divergence(D.OneHotCategorical(logits=a), D.OneHotCategorical(probs=SHARES))


def concrete(a):
    u = torch.rand_like(a)
    return torch.sigmoid((a + torch.log(u) - torch.log(1 - u)) / 0.6)


def bits_by_library(a):
    return D.RelaxedBernoulli(WARM, probs=torch.sigmoid(a)).rsample()


def bits(draw, term):
    def loss(a, y):
        return (0.5 * (y - draw(a)) ** 2).sum(-1).mean() + term(a).sum(-1).mean()

    return loss


def to_a_coin(a, other=1.0):
    return torch.sigmoid(a) * F.logsigmoid(a) + other * torch.sigmoid(-a) * F.logsigmoid(-a) + math.log(2)


def to_rare_bits(a):
    return D.kl_divergence(D.Bernoulli(logits=a), D.Bernoulli(torch.tensor(0.2)))


EQUAL = "from equal shares of 5 classes: never negative"
CASES = {
    "softmax": (classes(by_softmax, to_equal), CLASSES, "kl", EQUAL),
    "softmax, at once": (classes(at_once, to_equal), CLASSES, "kl", EQUAL),
    "library": (classes(by_library, to_equal), CLASSES, "kl", EQUAL),
    "library, of probabilities": (classes(of_probabilities, with_epsilon), CLASSES, "kl", EQUAL),
    "by hand": (classes(by_hand, with_epsilon), CLASSES, "kl", EQUAL),
    "to shares": (classes(by_softmax, to_shares), CLASSES, "kl", "from fixed shares: never negative"),
    "half of it": (classes(by_softmax, lambda a: 0.5 * to_equal(a)), CLASSES, "kl", "are 0.5 times"),
    "without log K": (classes(by_softmax, lambda a: -entropy(a)), CLASSES, "kl", "but for a constant"),
    "wrong sign": (classes(by_softmax, lambda a: -to_equal(a)), CLASSES, "reversed", "wrong sign"),
    "to shares, wrong sign": (classes(by_library, lambda a: -to_shares(a)), CLASSES, "reversed", "wrong sign"),
    "sure on purpose": (classes(by_softmax, lambda a: 0.1 * entropy(a)), CLASSES, None, ""),
    "an average of logarithms": (classes(by_softmax, lambda a: -a.log_softmax(-1).mean(-1)), CLASSES, None, ""),
    "bits": (bits(concrete, to_a_coin), BITS, "kl", "from equal shares of 2 classes: never negative"),
    "bits, library": (bits(bits_by_library, to_rare_bits), BITS, "kl", "from shares 0.2, 0.8"),
    "bits, wrong sign": (bits(concrete, lambda a: -to_a_coin(a)), BITS, "reversed", "wrong sign"),
    "bits, one half forgotten": (bits(concrete, lambda a: to_a_coin(a, 0.0)), BITS, "none", "other coefficients"),
    "bits, sign of a half": (bits(concrete, lambda a: to_a_coin(a, -1.0)), BITS, "none", "other coefficients"),
    "nothing drawn": (classes(lambda a: a.softmax(-1), lambda a: -to_equal(a)), CLASSES, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_term_is_what_it_is(name):
    loss, tensors, answer, words = CASES[name]
    torch.manual_seed(0)
    found = divergences(captured(loss, tensors))
    assert [d.name for d in found] == ([answer] if answer else [])
    assert all(words in d.text for d in found), found
