"""A step of mixed precision, recorded by the guard and repeated: whose fault was it?"""

from __future__ import annotations

import json
import warnings
from types import SimpleNamespace

import pytest
import torch

from nllcheck import callbacks
from nllcheck.autocast import MixedStep
from nllcheck.errors import NllcheckError
from nllcheck.guard import Guard
from nllcheck.load.bundle import checked
from nllcheck.save import save

LOSSES = """
import torch

def mild(output, target):
    return ((output - target) ** 2).mean()

def cubed(output, target):
    error = output * 40  # stays in half
    power = error * error * error
    return (power.float() * 1e-6 + target).mean()

def small(output, target):
    scale = torch.sigmoid(output) * 1e-9
    return (1 / (scale + 1e-10)).log().mean() + target.mean()

def bad(output, target):
    return (torch.log(output - output) + target).mean()
"""
KWARGS = {"in_features": 3, "out_features": 2}
FLOAT16, BFLOAT16 = "float16", "bfloat16"
# loss, dtype, scale -> words of the message, op, severity
CASES = {
    "the scaler's search": ("mild", FLOAT16, 2.0**19, "the scaler's search, ignore", "", "note"),
    "overflow": ("cubed", FLOAT16, 1.0, "float16 range at this line: mul gives infinity", "mul", "error"),
    "overflow, scaled": ("cubed", FLOAT16, 2.0**16, "range at this line: mul gives infinity", "mul", "error"),
    "not in bfloat16": ("cubed", BFLOAT16, 1.0, "is finite when repeated", "", "note"),
    "underflow": ("small", FLOAT16, 1.0, "became 0", "div", "error"),
    "any precision": ("bad", FLOAT16, 2.0**16, "in any precision", "", "note"),
    "bfloat16, no scaler": ("bad", BFLOAT16, 1.0, "in any precision", "", "note"),
}  # fmt: skip


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("case", CASES)
def test_the_step_is_told_apart(tmp_path, call, monkeypatch, case, device):
    name, dtype, scale, words, op, severity = CASES[case]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "losses.py").write_text(LOSSES)
    torch.manual_seed(0)
    net = torch.nn.Linear(**KWARGS)
    with torch.no_grad():
        net.weight.mul_(0.1)
        net.bias.copy_(torch.tensor([1.0, -1.5]))
    save("b.pt", model=net, loss=f"losses.py:{name}", factory="torch.nn:Linear", kwargs=KWARGS,
         batch=(torch.ones(4, 3), torch.full((4, 2), 2.0)), mixed=MixedStep(dtype, scale, device))  # fmt: skip
    code, out, err = call(
        "run", "b.pt", "--loss", f"losses.py:{name}", "--format", "json", "--points", "17", "--effort", "quick"
    )
    assert code in (0, 1), err
    told = [f for f in json.loads(out)["findings"] if f["rule"] == "NLL008"]
    assert len(told) == 1 and words in told[0]["message"], told
    assert (told[0]["op"], told[0]["severity"]) == (op, severity)
    assert (told[0]["site"] is not None) == bool(op)
    if op:
        line = LOSSES.splitlines()[told[0]["site"]["line"] - 1]
        assert ("error * error" in line) if op == "mul" else ("1 / (scale" in line)


def stepped(net, scaler):
    """One step of a loop; float32 weights and a scale beyond float32 make the gradient overflow on any device."""
    batch = (torch.ones(4, 3), torch.full((4, 2), 2.0))
    value = ((net(batch[0]) - batch[1]) ** 2).mean()
    net.zero_grad()
    (value * scaler.get_scale()).backward()
    return value, batch


def fake(scale: float):
    return SimpleNamespace(is_enabled=lambda: True, get_scale=lambda: scale)


def test_the_guard_lets_the_scaler_search(tmp_path):
    net = torch.nn.Linear(**KWARGS)
    options = {"model": net, "loss": "torch.nn.functional:mse_loss", "factory": "torch.nn:Linear", "kwargs": KWARGS}
    guard = Guard(tmp_path, **options, scaler=fake(1e38), below=-1e9)
    value, batch = stepped(net, guard.scaler)
    net.weight.grad.fill_(float("inf"))
    with pytest.warns(UserWarning, match="the norm of the gradients is inf"):
        assert not guard(value, batch=batch, step=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not guard(value, batch=batch, step=1)  # one is enough
    assert guard.written is None and guard.searched is not None
    content = checked(torch.load(guard.searched, weights_only=True), "")
    assert content["mixed"] == {"dtype": "float16", "scale": 1e38, "device": "cpu"}
    with pytest.warns(UserWarning, match="below"):
        assert guard(torch.tensor(-1e10), batch=batch, step=2)
    guard = Guard(tmp_path, **options, scaler=fake(1.0))
    with pytest.warns(UserWarning, match="the norm"):
        assert guard(value, batch=batch, step=3)  # nothing is left to search


BROKEN = {
    "a list": [1],
    "no dtype": {"scale": 1.0, "device": "cpu"},
    "another dtype": {"dtype": "float8", "scale": 1.0, "device": "cpu"},
    "a scale of 0": {"dtype": "float16", "scale": 0.0, "device": "cpu"},
    "an infinite scale": {"dtype": "float16", "scale": float("inf"), "device": "cpu"},
    "a text": {"dtype": "float16", "scale": "1", "device": "cpu"},
    "another device": {"dtype": "float16", "scale": 1.0, "device": ["cpu"]},
    "one too many": {"dtype": "float16", "scale": 1.0, "device": "cpu", "more": 1},
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_record_is_refused(case):
    content = {"nllcheck_bundle": 1, "state": {}, "batch": None, "model": "m", "loss": "l", "mixed": BROKEN[case]}
    with pytest.raises(NllcheckError, match="usable mixed"):
        checked(content, "b.pt")


def test_the_callbacks_take_dtype_and_scaler_from_the_trainer(tmp_path):
    net = torch.nn.Linear(**KWARGS)
    plugin = SimpleNamespace(precision="16-mixed", scaler=fake(2.0))
    one = callbacks.lightning(tmp_path)
    one.on_train_batch_start(None, net, None, 0)
    one.on_before_optimizer_step(SimpleNamespace(precision_plugin=plugin, global_step=0), net, None)
    assert (one.guard.autocast, one.guard.scaler) == (torch.float16, plugin.scaler)
    other = callbacks.transformers(tmp_path)
    other.on_train_begin(SimpleNamespace(fp16=False, bf16=True), None, None, model=net)
    other.on_pre_optimizer_step(None, SimpleNamespace(global_step=0), None, optimizer=plugin)
    assert (other.guard.autocast, other.guard.scaler) == (torch.bfloat16, plugin.scaler)
