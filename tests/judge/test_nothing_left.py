"""A gradient that is exactly 0 has no digits to lose: what both dtypes show of it is rounding."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import batch_norm

from nllcheck.capture import capture
from nllcheck.detect.bits import beside, felt, mostly, spread, usual_floor
from nllcheck.detect.precision import batch_precision
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.watch import watched_names
from nllcheck.target import Batch, Target
from nllcheck.types import Axis

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


def turned(proxies, x):
    """Cosines with one vector for each class: how long these vectors are makes no difference (but for the floor)."""
    unit = proxies / (proxies.square().sum(-1, keepdim=True) + 1e-6).sqrt()
    return torch.nn.functional.cross_entropy(8 * torch.nn.functional.normalize(x) @ unit.T, torch.arange(3))


def turned_and_shifted(proxies, x):
    """As much is lost of the only slope there is."""
    return (1e6 + 0.3 * proxies.diagonal() - 1e6).square().sum() * x[0, 0] ** 2


@pytest.mark.parametrize(("loss", "lost"), [(turned, False), (turned_and_shifted, True)])
def test_a_slope_along_a_tensor_is_measured_by_its_whole_gradient(loss, lost):
    tensors = {"proxies": torch.eye(3, 4), "x": X[:3, :4]}
    batch = Batch(kwargs=tensors, whole=tensors)
    joint = joint_graph(capture(Target("t", loss, "loss", None, (batch,), "function"), batch), [0])
    axis, floor = Axis("batch", 0, "output", mode="scale", observed=(1.0, 1.0)), usual_floor(torch.float32)
    assert mostly(beside(joint, axis, 1.0, torch.float32).slope, floor)
    assert felt(joint, axis, 1.0, floor) == lost


def product(w, x):
    return torch.tanh(x @ w).square().mean()


def turned_product(w, x):
    return torch.nn.functional.linear(x, w.T).tanh().square().mean()


def scales(w, x):
    return (x / w.exp()).square().mean() + w.mean()


@pytest.mark.parametrize(("loss", "is_layer"), [(product, True), (turned_product, True), (scales, False)])
def test_a_layers_weights_keep_their_pattern_where_a_sweep_sets_them_alike(loss, is_layer):
    """Weights that are all alike are an accident of the sweep, scales that are all alike are how training begins."""
    tensors = {"w": torch.randn(4, 4, generator=torch.Generator().manual_seed(2)), "x": X[:4, :4]}
    batch = Batch(kwargs=tensors, whole=tensors)
    joint = joint_graph(capture(Target("t", loss, "loss", None, (batch,), "function"), batch), [0])
    changed, _ = spread(joint, Axis("w", 0, "weight"), -3.0)
    found = changed.base[0] / -3.0
    assert torch.allclose(found, tensors["w"] / tensors["w"].square().mean().sqrt()) == is_layer
    assert bool(((found - 1).abs() < 0.05).all()) != is_layer
