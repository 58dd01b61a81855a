"""A joint graph sent to another process is the same there, our own function in it included."""

import pytest
import torch

from nllcheck.axes import default_axes
from nllcheck.capture.attempt import captured
from nllcheck.engine.wire import packed, unpacked
from nllcheck.sweep import planned
from nllcheck.sweep.watch import run_points
from nllcheck.target import Batch, Target

G = torch.Generator().manual_seed(0)
A, Y = torch.randn(6, 3, generator=G), torch.randn(6, generator=G)


def normal(a, y):
    return (a[:, 0] + ((y - a[:, 1]) / torch.exp(a[:, 0])) ** 2 / 2).mean()


def by_factor(a, y):
    root = torch.linalg.cholesky(a.T @ a + 0.1 * torch.eye(3))
    return -torch.log(torch.diagonal(root)).sum() + (root[:, 0].sum() - y).square().mean()


def by_eigenvalues(a, y):
    return torch.log(torch.linalg.eigvalsh(a.T @ a) + 0.1).sum() + (a[:, 0] - y).square().mean()


def by_singular_values(a, y):
    return torch.linalg.svdvals(a).sum() + (a[:, 0] - y).square().mean()


def plan_of(loss):
    tensors = {"a": A, "y": Y}
    batch = Batch(kwargs=tensors, whole=tensors)
    target = Target("t", loss, loss.__name__, None, (batch,), "function", target_names=("y",))
    graph, _ = captured(target, batch, 0)
    return planned(graph, default_axes(graph)[0], {}, count=33)


@pytest.mark.parametrize("loss", [normal, by_factor, by_eigenvalues, by_singular_values])
def test_a_joint_graph_arrives_as_it_was_sent(loss):
    plan = plan_of(loss)
    for lane in plan.lanes:
        joint = plan.joints[lane.joint]
        here = run_points(joint, lane.axis, lane.points, lane.names, lane.dtype)
        there = run_points(unpacked(packed(joint), torch.device("cpu")), lane.axis, lane.points, lane.names, lane.dtype)
        for one, other in zip(
            (here.loss, here.slope, here.magnitude), (there.loss, there.slope, there.magnitude), strict=True
        ):
            assert torch.equal(one.nan_to_num(7.0), other.nan_to_num(7.0))


def test_the_factor_is_that_of_torch_and_nan_where_torch_raises():
    plan = plan_of(by_factor)
    for lane in (lane for lane in plan.lanes if lane.axis.mode == "scale" and lane.dtype is None):
        trace = run_points(plan.joints[lane.joint], lane.axis, lane.points, ())
        for value, computed, slope in zip(lane.points.tolist(), trace.loss, trace.slope, strict=True):
            scale = torch.tensor(value, requires_grad=True)
            try:
                own = by_factor(A * scale, Y)
            except torch.linalg.LinAlgError:  # where the program raises there is no number
                assert not torch.isfinite(computed)
                continue
            (expected,) = torch.autograd.grad(own, scale)
            torch.testing.assert_close(computed, own.detach(), equal_nan=True, rtol=1e-4, atol=1e-5)
            if torch.isfinite(expected):
                torch.testing.assert_close(slope, expected, rtol=1e-3, atol=1e-3)
