"""A likelihood among other terms of the target is one; half of a density with a mistake in the other half is none."""

import math

import pytest
import torch
import torch.nn.functional as F

from nllcheck.axes import default_axes
from nllcheck.capture.attempt import captured
from nllcheck.density import density
from nllcheck.target import Batch, Target

G = torch.Generator().manual_seed(0)
OUT, Y = torch.randn(12, 4, generator=G), torch.rand(12, generator=G) + 0.2
CLASSES = torch.randint(4, (12,), generator=G)


def normal(out, y):
    return out[:, 1] + ((y - out[:, 0]) / torch.exp(out[:, 1])) ** 2 / 2 + math.log(2 * math.pi) / 2


def halved_nll(out, y):
    return 0.5 * F.cross_entropy(out, y)


def two_heads_nll(out, y):
    return F.cross_entropy(out, y) + 0.4 * F.cross_entropy(out.flip(-1) / 2, y)


def small_penalty_nll(out, y):
    return (normal(out, y) + 0.01 * ((y - out[:, 0]) * out[:, 2])).mean()


def nonnegative_penalty_nll(out, y):
    return (normal(out, y) + (y - out[:, 0]).abs() * torch.exp(out[:, 2])).mean()


def gamma_with_half_a_normaliser_nll(out, y):
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return (torch.lgamma(a) - torch.log(b) - (a - 1) * torch.log(y) + b * y).mean()


def kumaraswamy_without_b_nll(out, y):
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    y = y / 1.3
    return -(torch.log(a) + (a - 1) * torch.log(y) + (b - 1) * torch.log1p(-(y**a))).mean()


@pytest.mark.parametrize(
    ("loss", "y", "weight", "beside"),
    [
        (halved_nll, CLASSES, 0.5, 0),
        (two_heads_nll, CLASSES, 1.0, 1),
        (small_penalty_nll, Y, 1.0, 1),
        (nonnegative_penalty_nll, Y, 1.0, 1),
        (gamma_with_half_a_normaliser_nll, Y, None, 0),
        (kumaraswamy_without_b_nll, Y, None, 0),
    ],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_what_is_set_aside_was_meant_so(loss, y, weight, beside):
    batch = Batch(kwargs={"out": OUT, "y": y}, whole={"out": OUT, "y": y})
    target = Target("t", loss, loss.__name__, None, (batch,), "function", target_names=("y",))
    graph, _ = captured(target, batch, 0)
    answer = density(graph, default_axes(graph)[0], loss.__name__)
    assert (answer.name == "proper") == (weight is not None), answer.text
    assert len(answer.beside) == beside
    if weight is not None:
        assert answer.weight == weight


WIDE = Y.reshape(6, 2)


def halves_nll(out, y):
    mu, log_sigma = out[:, :2], out[:, 2:]
    return (log_sigma + ((y - mu) / torch.exp(log_sigma)) ** 2 / 2).mean()


def one_scale_nll(out, y):
    mu, log_sigma = out[:, :2], out[:, 2:3]
    return (log_sigma + ((y - mu) / torch.exp(log_sigma)) ** 2 / 2).mean()


def half_a_normaliser_nll(out, y):
    mu, log_sigma = out[:, :2], out[:, 2:]
    return (log_sigma / 2 + ((y - mu) / torch.exp(log_sigma)) ** 2 / 2).mean()


@pytest.mark.parametrize(
    ("loss", "name"), [(halves_nll, "constant"), (one_scale_nll, "constant"), (half_a_normaliser_nll, "varies")]
)
def test_a_slice_of_the_output_that_stands_by_itself_is_no_penalty(loss, name):
    batch = Batch(kwargs={"out": OUT[:6], "y": WIDE}, whole={"out": OUT[:6], "y": WIDE})
    target = Target("t", loss, loss.__name__, None, (batch,), "function", target_names=("y",))
    graph, _ = captured(target, batch, 0)
    assert density(graph, default_axes(graph)[0], loss.__name__).name == name
