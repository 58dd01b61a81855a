"""Mixtures of many components over several decades of scale: each is a density, however narrow and light they are."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer

LOG = 0.5 * math.log(2 * math.pi)


def on_a_line(weights, mu, raw, y):
    inside = weights - 0.5 * ((y[:, None] - mu) * torch.exp(-raw)) ** 2 - raw - LOG
    return -torch.logsumexp(inside, -1).mean()


def packed(out, y):
    logits, mu, raw = out.chunk(3, -1)
    return on_a_line(torch.log_softmax(logits, -1), mu, raw, y)


def unweighted(out, y):
    logits, mu, raw = out.chunk(3, -1)
    return on_a_line(logits, mu, raw, y)


def far_from_raw(out, y):
    """Centres that are none of the model's numbers."""
    logits, mu, raw = out.chunk(3, -1)
    return on_a_line(torch.log_softmax(logits, -1), 3 * torch.sinh(mu / 3), raw, y)


def plane(out, y):
    """As a sketch's pen moves: Graves 2013, eq. 24 to 26."""
    logits, m1, m2, r1, r2, raw = out.chunk(6, -1)
    rho = 0.95 * torch.tanh(raw)
    a, b = (y[:, :1] - m1) * torch.exp(-r1), (y[:, 1:] - m2) * torch.exp(-r2)
    inside = -(a * a + b * b - 2 * rho * a * b) / (2 * (1 - rho * rho)) - r1 - r2 - 0.5 * torch.log(1 - rho * rho)
    return -torch.logsumexp(inside - 2 * LOG + torch.log_softmax(logits, -1), -1).mean()


def batch(seed, rows, count, width, decades, extra=0):
    """`out` with logits, centres, log scales and `extra` numbers for each of `count` components."""
    made = torch.Generator().manual_seed(seed)
    logits, mu = 2 * torch.randn(rows, count, generator=made), 3 * torch.randn(rows, width, count, generator=made)
    raw = (torch.rand(rows, width, count, generator=made) - 0.7) * decades * math.log(10)
    more = torch.randn(rows, extra * count, generator=made)
    chosen = torch.multinomial(logits.softmax(-1), 1, generator=made)[:, None].expand(-1, width, -1)
    y = (mu.gather(-1, chosen) + raw.exp().gather(-1, chosen) * torch.randn(rows, width, 1, generator=made))[..., 0]
    return {"out": torch.cat([logits, mu.flatten(1), raw.flatten(1), more], -1), "y": y[:, 0] if width == 1 else y}


CASES = {
    (packed, 20, 1): "proper", (packed, 5, 1): "proper", (unweighted, 20, 1): "varies",
    (far_from_raw, 8, 1): "proper", (plane, 5, 2): "proper",
}  # fmt: skip


@pytest.mark.parametrize(("loss", "count", "width"), CASES)
def test_the_answer(loss, count, width):
    rows = 32 if width == 1 else 16
    found = answer(loss, batch(1, rows, count, width, 3.0 if width == 1 else 1.5, extra=width - 1))
    assert found.name == CASES[loss, count, width], found.text
    assert loss is unweighted or (found.undecided < 0.1 * found.samples and abs(found.high - 1) < 0.02)
