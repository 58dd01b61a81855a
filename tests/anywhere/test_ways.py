"""Ways to where two tensors coincide: also where the loss itself gives one of them the other's shape."""

from __future__ import annotations

import pytest
import torch

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.sweep.place import goal_of
from nllcheck.target import Batch, Target

OUT, Y = torch.arange(12.0), torch.linspace(-1, 1, 12)


@pytest.mark.parametrize(
    ("shape", "goal", "read", "met"),
    [
        ((2, 6), (2, 3, 2), lambda out, y: (out.view(2, 3, 2), y), True),
        ((12, 1), (12,), lambda out, y: (out.squeeze(1), y), True),
        ((12,), (12, 1), lambda out, y: (out, y.reshape(-1)), True),
        ((3, 4), (3, 4), lambda out, y: (out, y), True),
        ((3, 4), (4, 3), lambda out, y: (out.t(), y), False),
        ((12, 1), (12,), lambda out, y: (out, y), False),
    ],
)
def test_a_tensor_that_the_loss_reshapes_goes_to_the_one_of_that_shape(shape, goal, read, met):
    def loss(out, y):
        one, other = read(out, y)
        return (one - other).abs().mean()

    tensors = {"out": OUT.reshape(shape), "y": Y.reshape(goal)}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("t", loss, "loss", None, (batch,), "function", target_names=("y",)), batch)
    ways = [a for a in default_axes(graph)[0] if a.label == "out equals y"]
    assert len(ways) == met
    for way in ways:
        assert torch.equal(goal_of(way, tensors["out"], tensors["y"]).reshape(goal), tensors["y"])


@pytest.mark.parametrize(("start", "met"), [(0.0, False), (0.5, True)])
def test_a_number_that_goes_to_a_zero_is_0_by_name(start, met):
    tensors = {"one": torch.tensor(4.0), "other": torch.tensor(start), "y": Y}
    batch = Batch(kwargs=tensors, whole=tensors)

    def loss(one, other, y):
        return ((y - other) ** 2 / one).mean()

    graph = capture(Target("t", loss, "loss", None, (batch,), "function", target_names=("y",)), batch)
    assert ("one equals other" in {a.label for a in default_axes(graph)[0]}) == met
