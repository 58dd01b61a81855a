"""Parameters that the density test tries: every axis that can be moved is, whatever stands before it."""

from __future__ import annotations

import torch
from helpers import captured

from nllcheck.axes import default_axes
from nllcheck.density.samples.cut import samples_of
from nllcheck.density.theta import thetas

ROWS, WIDTH = 6, 12  # of so many columns an axis moves two


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def tried(loss, tensors):
    graph = captured(loss, tensors)
    return thetas(samples_of(graph), default_axes(graph)[0])


def times(found):
    return {axis.label: int((found.axis == k).sum()) for k, axis in enumerate(found.axes)}


def test_each_column_of_a_table_of_numbers_is_moved():
    batch = {"mu": draw(0, ROWS, WIDTH), "y": draw(1, ROWS, WIDTH)}
    count = times(tried(lambda mu, y: (0.5 * (y - mu) ** 2).mean(), batch))
    assert len(count) == WIDTH // 2
    assert min(count.values()) > 0


def test_no_other_sample_is_moved_than_is_told():
    batch = {"mu": draw(0, ROWS, WIDTH), "y": draw(1, ROWS, WIDTH)}
    found = tried(lambda mu, y: (0.5 * (y - mu) ** 2).mean(), batch)
    changed = (found.tensors[0] != found.tensors[0][:1]).reshape(len(found.axis), -1)
    assert torch.equal(changed, found.axis >= 0)


def test_a_scale_behind_many_other_shared_axes_has_its_turn():
    batch = {"decoder": draw(2, ROWS + 3, WIDTH), "log_sigma": 0.1 * draw(3, WIDTH), "y": draw(4, ROWS, WIDTH)}

    def loss(decoder, log_sigma, y):
        return (0.5 * ((y - decoder.sum(0)) / log_sigma.exp()) ** 2 + log_sigma).sum(-1).mean()

    count = times(tried(loss, batch))
    assert any(n > 0 for label, n in count.items() if "log_sigma" in label)
