"""A slope that overflows long before its value does is one finding with it; what has another cause is another."""

from __future__ import annotations

import torch
from torch.nn import functional as F

from nllcheck.check import check_function

BATCH = {
    "out": torch.randn(12, 2, generator=torch.Generator().manual_seed(0)),
    "y": torch.randn(12, generator=torch.Generator().manual_seed(1)),
}


def inverse_scale(out, y):
    inverse = 1 / F.softplus(out[:, 1])
    return (F.softplus(out[:, 0]) * y**2 + torch.log1p(inverse)).mean()


def two_divisions(out, y):
    inverse = 1 / F.softplus(out[:, 1])
    other = 1 / F.softplus(out[:, 0])
    return (torch.log1p(other) * y**2 + torch.log1p(inverse)).mean()


def divisions(loss):
    report = check_function(loss, BATCH, target="y", points=65)
    return [f for f in report.findings if f.op == "div" and f.severity != "note"]


def test_the_slope_and_the_value_are_one_offence():
    (found,) = divisions(inverse_scale)
    assert found.phase == "backward" and -45 < found.threshold < -43
    assert found.also[0].startswith("the loss itself from out[..., 1] = -88.7")


def test_divisions_on_two_lines_are_two():
    found = divisions(two_divisions)
    assert len({f.site.line for f in found}) == len(found) == 2
