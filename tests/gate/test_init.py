"""`nllcheck init`: candidates from names and syntax trees, written as a block that `run` understands."""

from __future__ import annotations

import os
import tomllib
from pathlib import Path

import pytest
import torch

from nllcheck.config import nearest
from nllcheck.scan import look

SOURCES = {
    "train/losses.py": "def mixture_nll(output, target): ...\ndef scale(x): ...\ndef _loss(a, b): ...\n"
    "def loss(): ...\n"
    "class FlowLoss(nn.Module):\n    def forward(self, x, y): ...\nraise SystemExit('never run')\n",
    "train/net.py": "class Net(torch.nn.Module):\n    def __init__(self, width): ...\n"
    "class Ready(Net, nn.Module):\n    def __init__(self, width=3, *, deep=False): ...\ndef build(): ...\n"
    "def build_model(width): ...\n",
    "utils.py": "def step_loss(model, batch): ...\nclass Data: ...\n",
    "broken.py": "def (:\n",
    "tests/test_losses.py": "def nll(a, b): ...\n",
    ".venv/lib/losses.py": "def nll(a, b): ...\n",
}


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, text in SOURCES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    for name in ("runs/a.ckpt", "runs/batch.pt", "data.npz", "runs/notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_is_found(repository):
    found = look(repository)
    assert found.losses == ("train/losses.py:mixture_nll", "train/losses.py:FlowLoss", "utils.py:step_loss")
    assert found.models == ("train/net.py:build", "train/net.py:Ready")
    assert (found.checkpoints, found.batches) == (("runs/a.ckpt",), ("runs/batch.pt", "data.npz"))
    assert found.unreadable == ("broken.py",)


@pytest.mark.parametrize("before", [None, "", '[project]\nname = "x"', '[project]\nname = "x"\n\n'])
def test_the_block_is_added_and_understood(repository, call, before):
    path = repository / "pyproject.toml"
    if before is not None:
        path.write_text(before)
    code, out, err = call("init")
    assert (code, err) == (0, "") and "broken.py" in out
    text = path.read_text()
    assert text.startswith((before or "").rstrip("\n")) and tomllib.loads(text)
    config = nearest(())
    assert config is not None and config.targets[0].loss == "train/losses.py:mixture_nll"
    assert '#   or "utils.py:step_loss"' in text
    assert call("init")[0] == 2 and path.read_text() == text


def test_an_empty_repository_gets_the_same_block_with_comments(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("init")
    assert code == 0 and "nothing found for: checkpoint, model, loss" in out
    config = nearest(())
    assert config is not None and config.targets[0].loss is None
    text = (tmp_path / "pyproject.toml").read_text()
    live = "\n".join(line.removeprefix("# ") if " = " in line else line for line in text.splitlines())
    (tmp_path / "pyproject.toml").write_text(live.replace("# [tool", "[tool"))
    config = nearest(())
    assert config is not None and config.settings.ignore == ("NLL002",) and config.settings.severity


def test_a_file_that_is_no_toml_stays_as_it_is(tmp_path, monkeypatch, call):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pyproject.toml").write_text("[tool")
    code, _, err = call("init")
    assert code == 2 and "pyproject.toml" in err and (tmp_path / "pyproject.toml").read_text() == "[tool"


PROJECTS = {
    "a/net.py": "class Block(nn.Module):\n    def __init__(self): ...\n"
    "class Net(nn.Module):\n    def __init__(self):\n        self.block = Block()\n",
    "a/losses.py": "def ctc(model, batch): ...\ndef _part(a, b): ...\n",
    "b/net.py": "class Net(nn.Module):\n    def __init__(self): ...\n"
    "class Module(LightningModule):\n    def training_step(self, batch, index): ...\n",
    "b/losses.py": "def nll(output, target): ...\ndef helper(a, b): ...\n",
}


@pytest.mark.parametrize("newest", ["a", "b"])
def test_what_is_set_comes_from_one_project(tmp_path, newest):
    """And a file is a checkpoint, or a batch, by what it holds."""
    for name, text in PROJECTS.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    for k, one in enumerate(sorted("ab", key=lambda one: one == newest)):
        (tmp_path / one / "runs").mkdir()
        for name, content in {"runs/last.tar": torch.nn.Linear(2, 2).state_dict(), "dev.pt": torch.zeros(2)}.items():
            torch.save(content, tmp_path / one / name)
            os.utime(tmp_path / one / name, (k, k))
    found = look(tmp_path)
    first = [some[0] for some in (found.losses, found.models, found.checkpoints, found.batches)]
    names = {"a": ["losses.py:ctc", "net.py:Net"], "b": ["losses.py:nll", "net.py:Module"]}[newest]
    assert first == [f"{newest}/{name}" for name in [*names, "runs/last.tar", "dev.pt"]]
    assert len(found.checkpoints) == len(found.batches) == 2
    assert set(found.losses) == {"a/losses.py:ctc", "b/losses.py:nll"}
