"""Targets that hold several things in a row: each column on its own support where no term reads two together."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer
from torch.nn import functional as F

N, K, T = 24, 2, 6
MADE = torch.Generator().manual_seed(3)


def draw(*shape):
    return torch.randn(*shape, generator=MADE)


PEN = (torch.rand(N, 1, generator=MADE) < 0.4).float()
STATE = torch.eye(3)[torch.randint(3, (N,), generator=MADE)]
COUNTS = torch.poisson(torch.full((N, 1), 3.0), generator=MADE)
TIMES = 0.2 + draw(N, 1).abs()
PLACE = draw(N, 2)
POINTS = {"out": draw(N, 1 + 6 * K), "y": torch.cat([PLACE, PEN], 1)}
STATES = {"out": draw(N, 3 + 6 * K), "y": torch.cat([PLACE, STATE], 1)}
WRITING = {"out": draw(N // T, T, 1 + 6 * K), "y": torch.cat([PLACE, PEN], 1).reshape(N // T, T, 3)}
COUNTED = {"out": draw(N, 3), "y": torch.cat([draw(N, 1), COUNTS], 1)}
KINDS = {"out": draw(N, 5), "y": torch.cat([draw(N, 1), torch.randint(3, (N, 1), generator=MADE).float()], 1)}
CENSORED = {"out": draw(N, 1), "y": torch.cat([TIMES, PEN], 1)}


def mixture(out, y, half=0.5):
    weight, mx, my, sx, sy, r = out.chunk(6, -1)
    rho = 0.9 * torch.tanh(r)
    zx, zy = (y[..., 0:1] - mx) / sx.exp(), (y[..., 1:2] - my) / sy.exp()
    away = (zx**2 + zy**2 - 2 * rho * zx * zy) / (2 * (1 - rho**2))
    log = -away - math.log(2 * math.pi) - sx - sy - half * torch.log(1 - rho**2)
    return -torch.logsumexp(F.log_softmax(weight, -1) + log, -1)


def bits(score, y):
    return F.binary_cross_entropy_with_logits(score, y, reduction="none")


def handwriting(out, y):
    return (mixture(out[..., 1:], y) + bits(out[..., 0], y[..., 2])).mean()


def without_its_half(out, y):
    return (mixture(out[..., 1:], y, 1.0) + bits(out[..., 0], y[..., 2])).mean()


def two_means(out, y):
    return mixture(out[..., 1:], y).mean() + bits(out[..., 0], y[..., 2]).mean()


def sketch(out, y):
    pen = -(y[..., 2:] * F.log_softmax(out[..., :3], -1)).sum(-1)
    return (mixture(out[..., 3:], y) + pen).mean()


def sketch_by_softmax(out, y):
    pen = -(y[..., 2:] * torch.softmax(out[..., :3], -1)).sum(-1)
    return (mixture(out[..., 3:], y) + pen).mean()


def mark_and_count(out, y, factorial=True):
    place = 0.5 * ((y[:, 0] - out[:, 0]) / out[:, 1].exp()) ** 2 + out[:, 1] + 0.5 * math.log(2 * math.pi)
    number = out[:, 2].exp() - y[:, 1] * out[:, 2]
    return (place + number + (torch.lgamma(y[:, 1] + 1) if factorial else 0)).mean()


def mark_and_rate(out, y):
    return mark_and_count(out, y, factorial=False)


def kind_and_size(out, y):
    size = 0.5 * ((y[:, 0] - out[:, 3]) / out[:, 4].exp()) ** 2 + out[:, 4] + 0.5 * math.log(2 * math.pi)
    return F.cross_entropy(out[:, :3], y[:, 1].long()) + size.mean()


def censored(out, y):
    rate = out[:, 0].exp()
    return (rate * y[:, 0] - y[:, 1] * torch.log(rate)).mean()


CASES = {
    "handwriting": (handwriting, POINTS, "proper"),
    "of sequences": (handwriting, WRITING, "proper"),
    "averaged apart": (two_means, POINTS, "proper"),
    "without its half": (without_its_half, POINTS, "varies"),
    "without its half, of sequences": (without_its_half, WRITING, "varies"),
    "sketch": (sketch, STATES, "proper"),
    "sketch by softmax": (sketch_by_softmax, STATES, "unlogged"),
    "kind and size": (kind_and_size, KINDS, "proper"),
    "place and number": (mark_and_count, COUNTED, "proper"),
    "place and number, without the factorial": (mark_and_rate, COUNTED, "target-factor"),
}


@pytest.mark.parametrize("name", CASES)
def test_the_answer_is_that_of_the_product(name):
    loss, tensors, told = CASES[name]
    found = answer(loss, tensors, nll=True)
    assert (found.name, found.support) == (told, "mixed"), found.text
    assert found.undecided < 0.1 * found.samples


def test_what_a_term_reads_together_is_not_taken_apart():
    assert answer(censored, CENSORED, nll=True).support != "mixed"


def test_z_of_the_product_is_that_of_its_parts():
    """Against sums over a fine grid of the place, and both bits, at the batch's own outputs."""
    few = {name: value[:6] for name, value in POINTS.items()}
    found = answer(without_its_half, few, nll=True)
    line = torch.linspace(-60, 60, 601, dtype=torch.float64)
    grid = torch.cartesian_prod(line, line)
    out = few["out"].double()[:, 1:]
    each = [torch.exp(-mixture(row.expand(len(grid), -1), grid, 1.0)).sum() * 0.04 for row in out]
    assert found.batch_low == pytest.approx(float(min(each)), rel=2e-2)
    assert found.batch_high == pytest.approx(float(max(each)), rel=2e-2)
