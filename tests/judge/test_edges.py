"""A verdict at the very edge of a selection, where other arithmetic may select another element."""

from __future__ import annotations

import math

import pytest
import torch

from nllcheck.check import check_function
from nllcheck.judge.verdict import EXACT, Reference, at_an_edge_only
from nllcheck.types import Axis, Event, Judged

WAY = Axis("output", 0, "output", "toward", observed=(0.0, 0.0))
NOTHING = Reference(math.nan, math.nan, math.nan, EXACT, "div", is_singular=True)


def of(loss):
    return Reference(loss, 1.0, 1.0, EXACT)


@pytest.mark.parametrize(
    ("inside", "verdict"),
    [(NOTHING, "limit"), (of(2.0), "defect"), (of(math.nan), "defect")],  # only what is certain changes the verdict
)
def test_what_has_no_value_beyond_the_edge_is_no_defect(inside, verdict):
    event = Event("nan", "forward", 0, WAY, 0.1, (0.01, 0.0101), region=((0.1, 1.0),))
    ruled = Judged(event, "defect", 1.0, "", math.nan, math.nan, EXACT, 1.2)
    assert at_an_edge_only(ruled, lambda axis, at: inside if at > 0.05 else of(1.2)).verdict == verdict


def test_a_pole_among_the_points_swept_makes_no_limit_of_a_loss_that_selects_nothing():
    """1 - cos(x - 2) is 0 in float32 around x = 2, and its exact value only there."""
    given = {"x": torch.tensor([0.3, 1.0, -2.0])}
    report = check_function(lambda x: -torch.log(1 - torch.cos(x - 2)).mean(), given, target=())
    assert [f.verdict for f in report.findings if f.kind == "inf" and f.op == "log"][:1] == ["defect"]
