"""Losses of several targets, a term for each: one density of all of them; and those that are none."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.density import density
from nllcheck.target import Batch, Target

N, T = 24, 6
MADE = torch.Generator().manual_seed(4)


def draw(*shape):
    return torch.randn(*shape, generator=MADE)


def labels(*shape):
    return torch.randint(3, shape, generator=MADE)


def normal(y, mean, log_scale):
    return 0.5 * ((y - mean) / log_scale.exp()) ** 2 + log_scale + 0.5 * math.log(2 * math.pi)


def class_and_box_nll(out, kind, box):
    return F.cross_entropy(out[:, :3], kind) + normal(box, out[:, 3:5], out[:, 5:7]).sum(-1).mean()


def class_and_box_without_its_log_nll(out, kind, box):
    squares = 0.5 * ((box - out[:, 3:5]) / out[:, 5:7].exp()) ** 2 + 0.5 * math.log(2 * math.pi)
    return F.cross_entropy(out[:, :3], kind) + squares.sum(-1).mean()


def two_classes_nll(out, kind, other):
    return F.cross_entropy(out[:, :3], kind) + F.cross_entropy(out[:, 3:6], other)


def two_classes_weighed_nll(out, kind, other):
    return F.cross_entropy(out[:, :3], kind) + 0.3 * F.cross_entropy(out[:, 3:6], other)


def two_numbers_nll(out, y, other):
    return (normal(y, out[:, 0], out[:, 1]) + normal(other, out[:, 2], out[:, 3])).mean()


def of_steps_nll(out, kind, y):
    return F.cross_entropy(out[..., :3].reshape(-1, 3), kind.reshape(-1)) + normal(y, out[..., 3], out[..., 4]).mean()


def censored_nll(out, time, event):
    rate = out[:, 0].exp()
    return (rate * time - event * torch.log(rate)).mean()


def policy_gradient_nll(out, kind, advantage):
    return (F.cross_entropy(out[:, :3], kind, reduction="none") * advantage).mean()


def masked_nll(out, y, mask):
    return (normal(y, out[:, 0], out[:, 1]) * mask).sum() / mask.sum()


OUT, STEPS = draw(N, 7), draw(N // T, T, 5)
CASES = {
    class_and_box_nll: ((OUT, labels(N), draw(N, 2)), "proper", "mixed"),
    class_and_box_without_its_log_nll: ((OUT, labels(N), draw(N, 2)), "varies", "mixed"),
    two_classes_nll: ((OUT, labels(N), labels(N)), "proper", "mixed"),
    two_classes_weighed_nll: ((OUT, labels(N), labels(N)), "proper", "mixed"),
    two_numbers_nll: ((OUT, draw(N), draw(N)), "proper", "mixed"),
    of_steps_nll: ((STEPS, labels(N // T, T), draw(N // T, T)), "proper", "mixed"),
    censored_nll: ((OUT, draw(N).abs() + 0.1, (draw(N) > 0).float()), "undecided", ""),
    policy_gradient_nll: ((OUT, labels(N), draw(N)), "undecided", ""),
    masked_nll: ((OUT, draw(N), (draw(N) > 0).float()), "proper", "real"),
}


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_answer_is_that_of_all_targets(loss):
    given, name, support = CASES[loss]
    names = loss.__code__.co_varnames[: loss.__code__.co_argcount]
    tensors = dict(zip(names, given, strict=True))
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target(loss.__name__, loss, loss.__name__, None, (batch,), "function", target_names=names[1:])
    graph = capture(target, batch)
    found = density(graph, default_axes(graph)[0], loss.__name__)
    assert (found.name, found.support) == (name, support), found.text
