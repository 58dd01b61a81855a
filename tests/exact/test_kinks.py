"""Where a loss has no one slope, or no value: kinks, ends, poles and holes."""

from __future__ import annotations

import math

import pytest
import torch
from joints import joint_of

from nllcheck.detect.events import batch_axis
from nllcheck.exact import SingularError, certain, limit
from nllcheck.types import Axis

KINKS = [
    ("abs", lambda x: x.abs().sum(), 0.0, (-1.0, 1.0)),
    ("relu", lambda x: torch.relu(x).sum(), 0.0, (0.0, 1.0)),
    ("clamp", lambda x: x.clamp(min=1.0).sum(), 1.0, (0.0, 1.0)),
    ("maximum", lambda x: torch.maximum(x, 2 - x).sum(), 1.0, (-1.0, 1.0)),
    ("smooth", lambda x: (x * x).sum(), 1.5, (3.0, 3.0)),
    ("hypotenuse", lambda x: (x * x).sum().sqrt(), 0.0, (-1.0, 1.0)),
    ("norm", lambda x: 3 * torch.linalg.vector_norm(x), 0.0, (-3.0, 3.0)),
    ("guarded", lambda x: torch.where(x == 0, 1.0, x.sin() / torch.where(x == 0, 1.0, x)).sum(), 0.0, (0.0, 0.0)),
    ("branch", lambda x: torch.where(x > 2, 4 * x - 4, x * x).sum(), 2.0, (4.0, 4.0)),
    ("floored", lambda x: (x + 1 / x.abs().sqrt().clamp(min=0.5)).sum(), 0.25, (1.0, -3.0)),
    ("cusp", lambda x: x.abs().sqrt().sum(), 0.0, (-math.inf, math.inf)),
    ("end", lambda x: x.sqrt().sum(), 0.0, (math.nan, math.inf)),
    ("still", lambda x: (x + (x * 0).pow(2).sqrt()).sum(), 0.0, (1.0, 1.0)),
    ("flat", lambda x: (x * x).pow(1.5).sum(), 0.0, (0.0, 0.0)),
]


@pytest.mark.parametrize(("name", "loss", "at", "sides"), KINKS, ids=[k[0] for k in KINKS])
def test_derivatives_at_and_beside_a_kink_are_one_sided(name, loss, at, sides):
    joint = joint_of(loss, {"x": torch.tensor([0.25])})
    axis = Axis("x", joint.moved[0], "input")
    small = [torch.nextafter(torch.tensor(at), torch.tensor(s)).item() for s in (-9.0, 9.0)]
    if all(map(math.isfinite, sides)):
        assert tuple(certain(joint, axis, v).slope for v in small) == pytest.approx(sides, rel=1e-5, abs=1e-9)
    answer = certain(joint, axis, at)
    assert (answer.left, answer.right) == pytest.approx(sides, nan_ok=True)
    assert answer.is_kink == (all(map(math.isfinite, sides)) and sides[0] != sides[1])
    if sides[0] == sides[1]:
        assert answer.slope == pytest.approx(sides[0])


def test_an_average_over_no_label_has_no_value():
    tensors = {"a": torch.randn(4, 3), "t": torch.full((4,), -100)}
    joint = joint_of(lambda a, t: torch.nn.functional.cross_entropy(a, t), tensors, ["t"])
    answer = certain(joint, batch_axis(joint), 1.0)
    assert isinstance(answer, SingularError) and answer.reason == "nll_loss"


HOLES = [  # at 0: what the loss tends to there from all sides, if it does
    ("slope", lambda x: (torch.expm1(x) / x).sum(), 2.0),
    ("sine", lambda x: (x.sum() + 3) * x.norm().sin() / x.norm(), 3.0),
    ("two ways", lambda x: x.sum() ** 2 / x.sum(), 0.0),
    ("squash", lambda x: (x.square().sum() * x / x.norm()).exp().sum(), 2.0),
    ("direction", lambda x: (x / x.norm()).exp().sum(), math.nan),
    ("even", lambda x: (x[0] / x.norm()) ** 2, math.nan),
    ("side", lambda x: x.sum() / x.sum().abs(), math.nan),
    ("pole", lambda x: 1 / x.norm(), math.nan),
    ("logarithm", lambda x: x.norm().log(), math.nan),
]


@pytest.mark.parametrize(("name", "loss", "tends"), HOLES, ids=[h[0] for h in HOLES])
def test_a_hole_is_filled_where_all_ways_agree(name, loss, tends):
    joint = joint_of(loss, {"x": torch.tensor([0.25, -1.5])})
    axis = Axis("x", joint.moved[0], "input", mode="scale")
    assert isinstance(certain(joint, axis, 0.0), SingularError)
    filled = limit(joint, axis, 0.0, around=True)
    assert filled == pytest.approx(tends, nan_ok=True)
