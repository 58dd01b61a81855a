"""Chunks that wait on the device for one look give the trace of chunks that are looked at one by one."""

from dataclasses import fields

import pytest
import torch
from test_wire import normal, plan_of

from nllcheck.sweep.trace import Gathering, Trace, Waiting
from nllcheck.sweep.watch import pointwise

CHUNK = 7


def traced(lane, joint, most, apart=False):
    at = torch.func.vmap(pointwise(joint, lane.axis, lane.dtype, lane.names))
    found = Gathering(lane.points.numel())
    waiting = Waiting(found, lane.axis, lane.names, most)
    with torch.no_grad():
        for start in range(0, lane.points.numel(), CHUNK):
            some = lane.points[start : start + CHUNK]
            waiting.put(start, some, at(some))
        waiting.flush(apart)
    return found.trace()


def states_of(trace):
    """What each op was at each point: how many points share a row is nobody's business."""
    return trace.patterns[trace.pattern.long()]


@pytest.mark.parametrize("most, apart", [(10_000, False), (2**40, False), (2**40, True)])
def test_when_they_are_looked_at_changes_nothing(most, apart):
    plan = plan_of(normal)
    for lane in plan.lanes:
        one_by_one = traced(lane, plan.joints[lane.joint], 0)
        late = traced(lane, plan.joints[lane.joint], most, apart)
        assert torch.equal(states_of(one_by_one), states_of(late))
        for field in fields(Trace):
            if field.type == "torch.Tensor" and field.name not in ("pattern", "patterns"):
                a, b = getattr(one_by_one, field.name), getattr(late, field.name)
                torch.testing.assert_close(a, b, rtol=0, atol=0, equal_nan=True)
