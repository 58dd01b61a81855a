"""A verdict at the very edge of a selection, where other arithmetic may select another element."""

from __future__ import annotations

import math

import pytest
import torch

from nllcheck.judge.verdict import EXACT, Reference, judged_by
from nllcheck.types import Axis, Event

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
    judged = judged_by(lambda axis, at: inside if at > 0.05 else of(1.2), event, WAY, torch.float32)
    assert judged.verdict == verdict
