"""Autocast in the break map, against torch's own autocast on a bare function."""

from __future__ import annotations

import math

import pytest
import torch

import nllcheck
from nllcheck import autocast
from nllcheck.autocast import MixedStep, mixed
from nllcheck.report import margins

# On a GPU these run in float32, whatever they are given; the rest stays in half. (torch's list, 2.10 to 2.13.)
WIDENED = {
    "exp": torch.exp,
    "log": lambda x: torch.log(x.abs() + 1),
    "pow": lambda x: x**2,
    "softmax": lambda x: torch.softmax(x, -1),
    "cross_entropy": lambda x: torch.nn.functional.cross_entropy(x, torch.zeros(4, dtype=torch.long)),
    "layer_norm": torch.nn.LayerNorm(2),
    "sum": torch.sum,
    "norm": torch.norm,
}
KEPT = {"mul": lambda x: x * x, "mean": torch.mean, "tanh": torch.tanh, "lgamma": lambda x: torch.lgamma(x.abs())}


@pytest.mark.parametrize("name", [*WIDENED, *KEPT])
@pytest.mark.parametrize("half", ["float16", "bfloat16"])
def test_a_gpus_list_of_float32_ops_on_a_cpu(name, half):
    layer = torch.nn.Linear(3, 2)
    with mixed(MixedStep(half, device="cuda"), "cpu"):
        output = layer(torch.ones(4, 3))
        found = (WIDENED | KEPT)[name](output)
    assert output.dtype == getattr(torch, half)
    assert found.dtype == (torch.float32 if name in WIDENED else output.dtype)
    found.sum().backward()
    assert layer.weight.grad.dtype == torch.float32


def test_every_op_of_the_list_is_on_torchs_own_list_for_gpus():
    below = {"_softmax", "_log_softmax", "native_group_norm", "nll_loss_forward"}  # what listed ops are made of
    for name in set(autocast._FLOAT32) - below:
        packet = getattr(torch.ops.aten, name)
        found = [getattr(packet, o).name() for o in packet.overloads() if autocast._takes_tensors(getattr(packet, o))]
        assert any(torch._C._dispatch_has_kernel_for_dispatch_key(n, "AutocastCUDA") for n in found), name


def test_afterwards_the_cpus_own_list_holds():
    with mixed(MixedStep("float16", device="cuda"), "cpu"):
        pass
    x = torch.ones(2, dtype=torch.float16)
    with torch.autocast("cpu", dtype=torch.float16):
        assert torch.exp(x).dtype == torch.float16


def exponential(output, target):
    return (torch.exp(output) - target).mean()


def squared(output, target):
    error = output - target
    return (error * error * error).mean()


LOSSES = {"a cast at the exponential": exponential, "products in half": squared}


class Head(torch.nn.Module):
    """A linear layer on rows of rows, which is captured as a product and a sum."""

    def __init__(self):
        super().__init__()
        self.out = torch.nn.Linear(3, 1)

    def forward(self, x):
        return self.out(x.transpose(0, 1))


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
@pytest.mark.parametrize("deep", [False, True])
def test_the_threshold_is_that_of_torchs_autocast(loss, deep):
    torch.manual_seed(0)
    model, x = (Head(), torch.randn(2, 5, 3)) if deep else (torch.nn.Linear(3, 1), torch.randn(8, 3))
    y = torch.zeros(model(x).shape, dtype=torch.float16)
    report = nllcheck.check(loss, model=model, batch=(x, y.float()), points=60)
    found = {b.dtype: b for b in report.breaks if b.axis == "output"}
    assert [b.dtype for b in report.breaks if b.axis == "output"][-1] == "autocast"
    edge = found["autocast"].above

    def fails(value):
        output = torch.full(y.shape, value, dtype=torch.float16, requires_grad=True)
        with mixed(MixedStep("float16", device="cuda"), "cpu"):
            value = loss(output, y.float())
        value.backward()
        return not (torch.isfinite(value) and torch.isfinite(output.grad).all())

    before = float(torch.nextafter(torch.tensor(edge, dtype=torch.float16), torch.tensor(0.0, dtype=torch.float16)))
    assert fails(edge) and not fails(before)
    assert f"autocast {margins.edges(found['autocast'])}" in margins.rows(report.breaks, "float32")[0]
    assert math.isfinite(found["autocast"].reach)
