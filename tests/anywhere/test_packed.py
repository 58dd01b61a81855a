"""A target that packs several quantities: each is moved by itself, and lies where its own values say."""

from __future__ import annotations

import math

import pytest
import torch

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.target import Batch, Target

G = torch.Generator().manual_seed(6)
MEAN = torch.randn(8, generator=G)
SCALE = 0.5 + torch.rand(8, generator=G)
EVENT = torch.tensor([1.0, 0, 1, 1, 0, 1, 0, 1])
CODE = torch.tensor([0.0, 0, 1, 0, 0, 0, 0, 0])
X = torch.randn(8, 2, generator=G)


def against_a_prior(x, y):
    mean, scale = torch.unbind(y, dim=-1)
    return ((x[:, 0] - mean) ** 2 / scale).mean()


def its_scale_alone(x, y):
    return (x[:, 0] ** 2 / y[..., 1]).mean()


def survival(x, y):
    time = y[:, 0]
    event = y[:, 1]
    return (x[:, 0].exp() * time - event * x[:, 0]).mean()


def read_as_a_whole_too(x, y):
    return against_a_prior(x, y) + 1e-3 * y.square().mean()


def shares(x, y):
    a, b = y.unbind(-1)
    return -(a / (a + b) * x[:, 0] + b / (a + b) * x[:, 1]).mean()


def between(x, y):
    low, high = y.unbind(-1)
    return ((x[:, 0] - low) ** 2 / (high - low)).mean()


def direction(x, y):
    e, n = y.unbind(-1)
    return ((x[:, 0] - e / torch.sqrt(e * e + n * n)) ** 2).mean()


def overlapping(x, y):
    return ((x - y[:, :2]) ** 2).mean() + y[:, 1].mean()


def chosen(x, y):
    action, gain = y[:, :1].long(), y[:, 1]
    return -(torch.log_softmax(x[:, [0, 1, 0]], 1).gather(1, action)[:, 0] * gain).mean()


def chosen_and_penalised(x, y):
    return chosen(x, y) + 1e-3 * y.square().mean()


COUNTS = torch.tensor([0.0, 2, 3, 1, 5, 0, 4, 2])
REALS, HALF = (-math.inf, math.inf), (0.0, math.inf)
WHOLE = {"y": (None, REALS)}
CASES = {
    against_a_prior: (MEAN, SCALE, {"mean (y[..., 0])": ((0, 1), REALS), "scale (y[..., 1])": ((1, 2), HALF)}),
    its_scale_alone: (MEAN, SCALE, {"y[..., 1]": ((1, 2), HALF)}),
    survival: (SCALE, EVENT, {"time (y[..., 0])": ((0, 1), HALF)}),  # a mask is not swept
    # All counts of a row can be 0, but ends of intervals are apart, and what has no end at 0 tends to another value.
    shares: (
        COUNTS,
        COUNTS.flip(0),
        {"y": (None, HALF), "a (y[..., 0])": ((0, 1), HALF), "b (y[..., 1])": ((1, 2), HALF)},
    ),
    between: (SCALE, SCALE + 2, {"low (y[..., 0])": ((0, 1), HALF), "high (y[..., 1])": ((1, 2), HALF)}),
    direction: (MEAN, MEAN.flip(0), {"e (y[..., 0])": ((0, 1), REALS), "n (y[..., 1])": ((1, 2), REALS)}),
    read_as_a_whole_too: (MEAN, SCALE, WHOLE),
    # What is made whole numbers of chooses: there is no entry beyond the batch's own.
    chosen: (EVENT + CODE, MEAN, {"y[..., 0]": ((0, 1), (0.0, 2.0)), "y[..., 1]": ((1, 2), REALS)}),
    chosen_and_penalised: (EVENT + CODE, SCALE, {"y": (None, (0.0, 2.0))}),
    overlapping: (MEAN, SCALE, WHOLE),
}


def axes_of(loss, *columns):
    tensors = {"x": X, "y": torch.stack(columns, -1)}
    batch = Batch(kwargs=tensors, whole=tensors)
    return default_axes(capture(Target("t", loss, "t", None, (batch,), "function", target_names=("y",)), batch))[0]


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_a_packed_target_moves_in_its_pieces(loss):
    *columns, wanted = CASES[loss]
    moved = [a for a in axes_of(loss, *columns) if a.role == "target" and a.mode == "set"]
    assert {a.label: (a.channel, a.domain) for a in moved} == wanted


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_a_piece_is_as_far_away_as_its_own_values_say(loss):
    *columns, _ = CASES[loss]
    packed = torch.stack(columns, -1)
    for axis in (a for a in axes_of(loss, *columns) if a.role == "target" and a.mode == "set"):
        value = packed[..., slice(*axis.channel)] if axis.channel else packed
        assert axis.observed == (float(value.min()), float(value.max()))
