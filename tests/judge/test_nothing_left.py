"""A gradient that is exactly 0 has no digits to lose: what both dtypes show of it is rounding."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import batch_norm

from nllcheck.capture import capture
from nllcheck.detect.bits import usual_floor
from nllcheck.detect.precision import batch_precision
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.watch import watched_names
from nllcheck.target import Batch, Target

DRAWN = torch.Generator().manual_seed(0)
X, Y, OUT = (torch.randn(*size, generator=DRAWN) for size in ((32, 2000), (32, 8), (2000, 8)))


def normed(shift):
    """A bias with a batch norm behind it, whose mean takes it away (Ioffe and Szegedy 2015, section 3.2)."""
    return ((0.01 * torch.tanh(batch_norm(X + shift, None, None, training=True)) @ OUT - Y) ** 2).mean()


def cancelled(shift):
    """The same function of the layer's numbers in their own size, far from 0: digits are lost."""
    return ((1e4 + shift - 1e4) ** 2 * Y[0, 0] ** 2).mean()


@pytest.mark.parametrize(("loss", "lost"), [(normed, 0), (cancelled, 1)])
def test_only_a_gradient_with_digits_can_lose_them(loss, lost):
    tensors = {"shift": 0.01 * torch.randn(2000, generator=torch.Generator().manual_seed(1))}
    batch = Batch(kwargs=tensors, whole=tensors)
    graph = capture(Target("t", loss, "loss", None, (batch,), "function"), batch)
    joint = joint_graph(graph, [0])
    found = batch_precision(graph, joint, watched_names(joint), usual_floor(torch.float32))
    assert len({e.node for e in found}) == lost
