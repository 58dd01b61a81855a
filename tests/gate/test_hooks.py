"""The gate inside what people use already: pytest, training loops, Lightning, Hugging Face, pre-commit, Actions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml

from nllcheck import callbacks
from nllcheck.guard import Guard, model_loss, training_step
from nllcheck.load.bundle import checked

ROOT = Path(__file__).parents[2]
TESTS = """
import pytest, torch

torch.manual_seed(0)
y = torch.eye(3)[torch.arange(6) % 3]
x = {"output": torch.randn(6, 3), "target": y}

def bad(output, target):
    return -(target * torch.log(torch.softmax(output, -1))).sum(-1).mean()

def answered(output, target):
    p = torch.softmax(output, -1)
    return -(target * torch.log(p)).sum(-1).mean()  # nllcheck: ignore[NLL101] logits are bounded

def good(output, target):
    return -(target * torch.log_softmax(output, -1)).sum(-1).mean()

pytestmark = pytest.mark.nllcheck(points=17, effort="quick")

def test_bad(nllcheck):
    nllcheck.function(bad, x, target="target")

def test_answered(nllcheck):
    nllcheck.function(answered, x, target="target")

def test_good(nllcheck):
    report = nllcheck(lambda o, t: good(o, t), model=torch.nn.Linear(3, 3), batch=(x["output"], y))
    assert report.ok and report.facts.loss > 0

@pytest.mark.nllcheck(points=17, effort="quick", fail_on="never")
def test_never(nllcheck):
    assert nllcheck.function(bad, x, target="target").worst == "error"
"""


def test_the_plugin_fails_the_test_that_the_report_fails(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    pytester.makepyfile(TESTS)
    done = pytester.runpytest_subprocess("-p", "nllcheck.pytest_plugin", "--strict-markers", "-q")
    done.assert_outcomes(passed=3, failed=1)
    text = done.stdout.str()
    assert "::test_bad" in text and "NLL101 log-of-softmax" in text
    assert "Traceback" not in text and "pytest_plugin" not in text


def test_the_plugin_costs_a_run_without_it_nothing():
    code = (
        "import sys, pytest; before = set(sys.modules); import nllcheck.pytest_plugin;"
        "new = {m for m in set(sys.modules) - before if not m.startswith('nllcheck')};"
        "print(sorted(new & {'torch', 'pandas', 'numpy', 'rich', 'typer', 'pydantic', 'yaml'}), len(new) < 20)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


# --- the guard


class Net(torch.nn.Linear):
    """Says how it was made: a linear layer of 3 in, 2 out."""

    def __init__(self):
        super().__init__(3, 2)


def nll(output, target):
    return ((output - target) ** 2 / output.exp()).mean()


def stepped(net: Net, scale: float = 1.0):
    torch.manual_seed(0)
    batch = (torch.randn(4, 3) * scale, torch.randn(4, 2))
    net.zero_grad()
    value = nll(net(batch[0]), batch[1])
    value.backward()
    return value, batch


WRONG = {
    "the loss": ({}, lambda value, net: (torch.tensor(float("nan")), net), "the loss is nan"),
    "an infinite loss": ({}, lambda value, net: (torch.tensor(float("-inf")), net), "the loss is -inf"),
    "a fall": ({"below": 1e6}, lambda value, net: (value, net), "below 1e\\+06"),
    "a gradient": ({}, lambda value, net: (value, net.weight.grad.view(-1)[0:1].fill_(float("nan"))), "norm .* is nan"),
}


@pytest.mark.parametrize("case", WRONG)
def test_the_first_wrong_step_is_written_once(tmp_path, case):
    options, spoil, message = WRONG[case]
    net = Net()
    value, batch = stepped(net)
    quiet = Guard(tmp_path / "dump", model=net, loss="losses.py:nll", factory="torch.nn:Linear",
                  kwargs={"in_features": 3, "out_features": 2})  # fmt: skip
    assert not quiet(value, batch=batch, step=6) and not (tmp_path / "dump").exists()
    guard = Guard(tmp_path / "dump", model=net, loss="torch.nn.functional:mse_loss", factory="torch.nn:Linear",
                  kwargs={"in_features": 3, "out_features": 2}, **options)  # fmt: skip
    value, _ = spoil(value, net)
    with pytest.warns(UserWarning, match=f"step 7: .*{message}.*nllcheck run .*nllcheck-step-7.pt"):
        assert guard(value, batch=batch, step=7, term="kl")
    assert guard(value, batch=batch, step=8)
    assert [p.name for p in (tmp_path / "dump").iterdir()] == ["nllcheck-step-7.pt"]
    content = checked(torch.load(guard.written, weights_only=True), "")
    assert (content["meta"]["step"], content["meta"]["term"]) == (7, "kl") and content["meta"]["rng"]
    assert torch.equal(content["state"]["weight"], net.weight) and torch.equal(content["batch"][0], batch[0])


def test_large_finite_gradients_are_no_alarm(tmp_path):
    net = Net()
    value, batch = stepped(net)
    net.weight.grad.fill_(3e38)
    assert not Guard(tmp_path, model=net, loss="x:y")(value, batch=batch)


def test_what_cannot_be_a_bundle_is_kept_in_parts(tmp_path):
    net = Net()
    value, batch = stepped(net)
    guard = Guard(tmp_path, model=net, loss=lambda o, t: o, below=1e6)
    with pytest.warns(UserWarning, match=r"--batch .*batch-step-0.pt .*(?s:.)*no bundle: .*lambda"):
        guard(value, batch=batch)
    assert torch.load(tmp_path / "batch-step-0.pt")[0].shape == (4, 3)


@pytest.mark.parametrize("spoil", ["a file in the folder's place", "a batch that cannot be pickled"])
def test_the_guard_never_ends_the_training(tmp_path, spoil):
    net = Net()
    value, batch = stepped(net)
    folder = tmp_path / "dump"
    if spoil.startswith("a file"):
        folder.write_text("")
    else:
        batch = (*batch, lambda: None)
    guard = Guard(folder, model=net, loss="torch.nn.functional:mse_loss", below=1e6)
    with pytest.warns(UserWarning, match="step 0: the loss is .* Nothing could be written to .*dump"):
        assert guard(value, batch=batch)


def test_a_folder_of_dumps_is_a_model(tmp_path, call, monkeypatch):
    net = torch.nn.Linear(3, 2)
    value, batch = stepped(net)
    options = {"factory": "torch.nn:Linear", "kwargs": {"in_features": 3, "out_features": 2}}
    guard = Guard(tmp_path / "dump", model=net, loss="torch.nn.functional:mse_loss", below=1e6, **options)
    with pytest.warns(UserWarning):
        guard(value, batch=batch, step=3)
    code, out, err = call("run", str(tmp_path / "dump"), "--format", "json", "--points", "17")
    assert code in (0, 1), err
    assert json.loads(out)["facts"]["target"].endswith("nllcheck-step-3.pt")
    (tmp_path / "empty").mkdir()
    assert call("run", str(tmp_path / "empty"))[0] == 2


def test_lightning_stops_before_the_optimizer_moves(tmp_path):
    callback = callbacks.lightning(tmp_path)
    trainer = SimpleNamespace(global_step=5, should_stop=False)
    net = Net()
    for scale in (1.0, float("nan")):
        value, batch = stepped(net, scale)
        callback.on_train_batch_start(trainer, net, batch, 0)
        callback.on_before_backward(trainer, net, value)
        if scale != scale:
            with pytest.warns(UserWarning, match="step 5: the loss is nan"):
                callback.on_before_optimizer_step(trainer, net, None)
        else:
            callback.on_before_optimizer_step(trainer, net, None)
            assert not trainer.should_stop
    assert trainer.should_stop


class Own(torch.nn.Module):
    """A model that returns its loss, as those of Hugging Face do."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Linear(3, 2)

    def forward(self, inputs, labels):
        return {"loss": ((self.net(inputs) - labels) ** 2).mean()}

    def training_step(self, batch, index):
        return self.forward(*batch)["loss"]


def test_transformers_remembers_the_batch_by_a_hook(tmp_path):
    callback = callbacks.transformers(tmp_path)
    state, control = SimpleNamespace(global_step=9), SimpleNamespace(should_training_stop=False)
    net = Own()
    callback.on_train_begin(None, state, control, model=net)
    for value in (1.0, float("inf")):
        net(inputs=torch.full((2, 3), value), labels=torch.zeros(2, 2))
        if value == 1.0:
            callback.on_pre_optimizer_step(None, state, control)
            assert not control.should_training_stop
    with pytest.warns(UserWarning, match="step 9"):
        callback.on_pre_optimizer_step(None, state, control)
    assert control.should_training_stop and set(callback.batch) == {"inputs", "labels"}
    assert torch.equal(model_loss(net, {"inputs": torch.ones(1, 3), "labels": torch.ones(1, 2)}),
                       training_step(net, (torch.ones(1, 3), torch.ones(1, 2))))  # fmt: skip


# --- files that other programs read


def test_the_hooks_of_pre_commit_name_commands_that_exist(call):
    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["nllcheck-rules", "nllcheck"]
    for hook in hooks:
        assert {"id", "name", "entry", "language", "description"} <= set(hook)
        words = hook["entry"].split()
        code, out, _ = call(*words[1:], "--help")
        assert words[0] == "nllcheck" and code == 0 and out
    assert call("rules", "validate", str(ROOT / "rules" / "NLL101.yaml"), str(ROOT / "rules" / "NLL102.yaml"))[0] == 0


def test_the_action_annotates_summarises_uploads_and_then_fails(tmp_path, project):
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    steps = action["runs"]["steps"]
    assert action["runs"]["using"] == "composite"
    assert [bool(step.get("uses")) for step in steps] == [False, True, False]
    assert "always()" in steps[1]["if"] and "always()" in steps[2]["if"]
    output, summary = tmp_path / "output", tmp_path / "summary.md"
    shim = tmp_path / "bin"
    shim.mkdir()
    (shim / "nllcheck").write_text(f'#!/bin/sh\nexec {sys.executable} -m nllcheck "$@"\n')
    (shim / "nllcheck").chmod(0o755)
    defaults = {name: str(one.get("default", "")) for name, one in action["inputs"].items()}
    environment = {f"INPUT_{name.upper().replace('-', '_')}": value for name, value in defaults.items()}
    environment |= {
        "INPUT_ARGUMENTS": "--target bad",
        "GITHUB_OUTPUT": str(output),
        "GITHUB_STEP_SUMMARY": str(summary),
    }
    environment |= {"PATH": f"{shim}:/usr/bin:/bin", "PYTHONPATH": str(ROOT), "RUNNER_TEMP": str(tmp_path)}
    done = subprocess.run(["bash", "-e", "-o", "pipefail", "-c", steps[0]["run"]], env=environment, cwd=project,
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("::error file=losses.py,line=6,title=NLL101")
    assert "NLL101" in summary.read_text() and "code=1" in output.read_text()
    assert json.loads((tmp_path / "nllcheck.sarif").read_text())["version"] == "2.1.0"
    last = steps[2]["run"]
    for code in (0, 1, 4):
        assert subprocess.run(["bash", "-c", last], env={**environment, "CODE": str(code)}).returncode == code
