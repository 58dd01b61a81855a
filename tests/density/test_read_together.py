"""What one sample's loss reads of its own target: all channels of an image, and once more for every draw."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.target import Batch, Target, split_batch

N, DRAWS = 4, 3


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def of_pixels(mu, raw, y):
    """(N, C, H, W): a mixture of two for each pixel, whose channels share the component (Salimans et al. 2017)."""
    each = -0.5 * (y[:, None] - mu) ** 2 - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(each.sum(2) + F.log_softmax(raw, 1), 1).sum()


def of_all(mu, raw, y):
    return of_pixels(mu, raw, y).log()


@pytest.mark.parametrize(("loss", "name"), [(of_pixels, "undecided"), (of_all, "not-samples")])
def test_the_channels_of_a_pixel_are_one_samples(loss, name):
    tensors = {"mu": draw(0, N, 2, 3, 4, 4), "raw": draw(1, N, 2, 4, 4), "y": draw(2, N, 3, 4, 4)}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("nll", loss, "nll", None, (batch,), "function", target_names=("y",)), batch)
    assert density(graph, default_axes(graph)[0], "nll").name == name


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.out = nn.Linear(6, 4), nn.Linear(2, 6)


def weighed(model, batch):
    """The bound of several draws: log of their mean weight (Burda et al. 2016, eq. 8)."""
    x = batch[0]
    mu, raw = model.first(x).chunk(2, -1)
    z = mu + torch.exp(raw) * torch.randn(DRAWS, *mu.shape)
    out = model.out(z)
    given = -F.binary_cross_entropy_with_logits(out, x.expand_as(out), reduction="none").sum(-1)
    prior, known = -0.5 * (z**2).sum(-1), (-0.5 * ((z - mu) / torch.exp(raw)) ** 2 - raw).sum(-1)
    return -(torch.logsumexp(given + prior - known, 0) - math.log(DRAWS)).mean()


def test_data_that_are_repeated_for_every_draw_are_compared_once():
    one = split_batch(((draw(3, N, 6) > 0).float(), torch.zeros(N)))
    graph = capture(Target("t", weighed, "weighed", Encoder(), (one,), style="model"), one)
    answer = density(graph, default_axes(graph)[0], "weighed")
    assert "mixes" not in answer.text, answer.text
