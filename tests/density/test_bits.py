"""Rows of zeros with a single 1: classes that exclude each other, or bits that happen to."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers import answer

G = torch.Generator().manual_seed(3)
TENSORS = {"x": torch.randn(8, 4, generator=G), "y": torch.eye(4)[torch.randint(4, (8,), generator=G)]}


def each_bit(x, y):
    p = torch.sigmoid(x).clamp(1e-7, 1 - 1e-7)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p))


def nll_of_bits(x, y):
    return each_bit(x, y).mean()


def nll_of_bits_a_row(x, y):
    return each_bit(x, y).sum(-1).mean()


def nll_of_hazards(x, y):
    kept = torch.ones(len(y))
    return (each_bit(x, y) * kept[:, None]).sum() / (kept.sum() * y.shape[1] + 1e-7)


def nll_with_logits(x, y):
    return F.binary_cross_entropy_with_logits(x, y)


def nll_of_classes(x, y):
    return -(y * F.log_softmax(x, -1)).sum(-1).mean()


def nll_of_logits(x, y):
    return -(y * x).sum(-1).mean()


def nll_of_bits_one_sided(x, y):
    return -(y * F.logsigmoid(x)).sum(-1).mean()


BITS = (nll_of_bits, nll_of_bits_a_row, nll_of_hazards, nll_with_logits)


@pytest.mark.parametrize("loss", BITS, ids=lambda f: f.__name__)
def test_a_probability_for_each_bit_is_a_likelihood(loss):
    found = answer(loss, TENSORS)
    assert (found.name, found.support) == ("proper", "binary")


def test_classes_stay_classes():
    found = answer(nll_of_classes, TENSORS)
    assert (found.name, found.support) == ("proper", "one-hot")


@pytest.mark.parametrize("loss", [nll_of_logits, nll_of_bits_one_sided], ids=lambda f: f.__name__)
def test_what_is_neither_stays_an_alarm(loss):
    assert answer(loss, TENSORS).name == "varies"


def nll_of_shares_as_bits(x, y):
    p = torch.softmax(x, -1)
    return -(y * torch.log(p) + (1 - y) * torch.log1p(-p)).sum(-1).mean()


def nll_of_shares_by_hand(x, y):
    p = x.exp() / x.exp().sum(-1, keepdim=True)
    return F.binary_cross_entropy(p, y)


@pytest.mark.parametrize("loss", [nll_of_shares_as_bits, nll_of_shares_by_hand], ids=lambda f: f.__name__)
def test_probabilities_that_exclude_each_other_are_none_of_bits(loss):
    assert answer(loss, TENSORS).name in ("varies", "undecided")
