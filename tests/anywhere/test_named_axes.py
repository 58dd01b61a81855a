"""Parameters, biases and single features moved by name: the sweep is what the user's own code gives there."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

import nllcheck
from nllcheck.errors import NllcheckError
from nllcheck.sweep.place import noise_like


def draw(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.norm, self.head = nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.head(torch.tanh(self.norm(self.body(x))))


def loss(output, target):
    return -torch.log(torch.softmax(output, -1)[torch.arange(len(target)), target]).mean()


BATCH = (draw(5, 3), torch.tensor([0, 1, 1, 0, 1]))


def moved(net: Net, x: torch.Tensor, name: str, value: float) -> tuple[Net, torch.Tensor]:
    net, x = copy.deepcopy(net), x.clone()
    state = dict(net.named_parameters())
    with torch.no_grad():
        parts = [p for n, p in state.items() if f"{n}.".startswith(f"{name.partition('*')[0]}.")]
        if name.endswith("*noise"):
            for seed, part in enumerate(parts):
                part.add_(value * noise_like(part, seed))
        elif name.endswith("*scale"):
            for part in parts:
                part.mul_(value)
        elif name.startswith("input"):
            x[..., 1] = value
        else:
            state[name].fill_(value)
    return net, x


NAMES = ["head.weight*noise", "norm.weight*scale", "body.bias", "input[...,1]", "body*noise", "head*scale"]


@pytest.mark.parametrize("name", NAMES)
def test_a_named_axis_moves_what_it_names(name):
    torch.manual_seed(0)
    net = Net()
    report = nllcheck.check(loss, model=net, batch=BATCH, sweep={name: (-3, 300)}, points=31)
    (table,) = (t for t in report.sweeps if t.axis.requested)
    assert table.axis.selector == name
    for i in range(0, len(table.values), 50):
        other, x = moved(net, BATCH[0], name, table.values[i])
        own = float(loss(other(x), BATCH[1]).detach())
        assert own == pytest.approx(table.loss[i], rel=1e-4, abs=1e-5) or not math.isfinite(own + table.loss[i])


def test_a_failure_under_noise_is_found_and_its_reach_is_that_of_the_noise():
    torch.manual_seed(0)
    report = nllcheck.check(loss, model=Net(), batch=BATCH, sweep={"head.weight*noise": (0, 1000)}, points=31)
    found = [f for f in report.findings if f.op == "log" and f.kind in ("nan", "inf")]
    assert found and found[0].axis == "head.weight + noise"
    assert found[0].reach == pytest.approx(1 + found[0].threshold)


def test_a_variable_of_the_loss_comes_before_a_part_of_the_model():
    def named_alike(output, target):
        head = output * 2.0
        return -torch.log_softmax(head, -1)[torch.arange(len(target)), target].mean()

    torch.manual_seed(0)
    net = Net()
    report = nllcheck.check(named_alike, model=net, batch=BATCH, sweep={"head*scale": (0, 4)}, points=9)
    (table,) = (t for t in report.sweeps if t.axis.requested)
    for value, found in zip(table.values, table.loss, strict=True):
        assert found == pytest.approx(float(named_alike(net(BATCH[0]) * value, BATCH[1]).detach()), rel=1e-5)


def test_a_failure_of_a_whole_layer_is_judged_by_exact_arithmetic():
    torch.manual_seed(0)
    report = nllcheck.check(loss, model=Net(), batch=BATCH, sweep={"head*scale": (0, 3000)}, points=31)
    found = [f for f in report.findings if f.op == "log" and f.kind in ("nan", "inf") and f.phase == "forward"]
    assert [(f.axis, f.verdict, f.reference) for f in found] == [("head × scale", "defect", "exact")]
    sound, failing = (float(loss(*_run(found[0], v))) for v in (found[0].last_good, found[0].threshold))
    assert math.isfinite(sound) and math.isinf(failing)


def _run(finding, value):
    torch.manual_seed(0)
    net, x = moved(Net(), BATCH[0], "head*scale", value)
    return net(x).detach(), BATCH[1]


@pytest.mark.parametrize("name", ["heads*noise", "hea*noise", "head"])
def test_what_is_no_part_of_the_model_is_refused(name):
    with pytest.raises(NllcheckError, match=f"nothing named '{name.partition('*')[0]}'"):
        nllcheck.check(loss, model=Net(), batch=BATCH, sweep={name: (0, 1)})


def by_way_of_numpy(output, target):
    return loss(torch.tensor(output.detach().numpy()) + output - output.detach(), target)


def test_one_tensor_is_moved_by_name_op_by_op_too():
    torch.manual_seed(0)
    report = nllcheck.check(by_way_of_numpy, model=Net(), batch=BATCH, sweep=("head.weight*scale=0:3000:41",))
    assert report.facts.capture == "eager"
    assert [(f.op, f.axis) for f in report.findings if f.kind == "inf"] == [("log", "head.weight × scale")]


def test_several_tensors_at_once_need_a_graph():
    with pytest.raises(NllcheckError, match="one at a time"):
        nllcheck.check(by_way_of_numpy, model=Net(), batch=BATCH, sweep={"head*noise": (0, 1)}, points=5)


def test_an_unknown_way_to_move_is_refused():
    with pytest.raises(NllcheckError, match=r"no way '\*shake'"):
        nllcheck.check(loss, model=Net(), batch=BATCH, sweep={"head.weight*shake": (0, 1)})
