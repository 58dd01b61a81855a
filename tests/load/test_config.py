"""`[tool.nllcheck]`: the target whose checkpoint is named, settings, and errors that name the file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from nllcheck.config import nearest
from nllcheck.errors import NllcheckError
from nllcheck.load import Request, load_target

ONE = """
[tool.nllcheck]
fail_on = "warning"
[tool.nllcheck.targets.first]
checkpoint = "model.pt"
model = "model.py:build"
loss = "losses.py:nll"
batch = "batch.pt"
seed = 7
"""
TWO = ONE + ONE.split("]", 1)[1].split("\n", 2)[2].replace("first", "second").replace('"model.pt"', '"other.pt"')


def test_named_checkpoint_picks_its_target(project):
    (project / "pyproject.toml").write_text(TWO)
    torch.save(torch.load(project / "model.pt"), project / "other.pt")
    target, settings = load_target(Request((str(project / "other.pt"),)))
    assert (target.loss.__name__, settings.fail_on, settings.seed) == ("nll", "warning", 7)
    assert target.command.startswith("nllcheck run ") and "other.pt" in target.command


def test_command_line_wins(project):
    (project / "pyproject.toml").write_text(ONE)
    target, _ = load_target(Request((str(project / "model.pt"),), loss=f"{project}/losses.py:vector"))
    assert target.loss.__name__ == "vector"


def test_the_only_target_needs_no_name(project, monkeypatch):
    (project / "pyproject.toml").write_text(ONE)
    monkeypatch.chdir(project)
    assert load_target(Request())[0].loss.__name__ == "nll"


BAD = {
    "unknown key": (ONE.replace("batch =", "bach ="), {}, "unknown key 'bach'"),
    "trust": (ONE + "trust = true\n", {}, "trust cannot be granted"),
    "bad toml": ("[tool.nllcheck", {}, "not valid TOML"),
    "wrong type": (ONE.replace("seed = 7", 'seed = "x"'), {}, "must be a whole number"),
    "bad severity": (ONE.replace('"warning"', '"warn"'), {}, "fail_on.*cannot be 'warn'"),
    "no such target": (ONE, {"target": "frist"}, "no target 'frist'"),
    "ambiguous": (TWO.replace("other.pt", "model.pt"), {}, "several targets: first, second"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_config(project, case):
    text, changes, message = BAD[case]
    (project / "pyproject.toml").write_text(text)
    with pytest.raises(NllcheckError, match=message) as caught:
        load_target(Request((str(project / "model.pt"),), **changes))
    assert caught.value.where.endswith("pyproject.toml")


PLACES = {
    "a folder": (Path.mkdir, "a folder, not a file"),
    "a pipe": (os.mkfifo, "a pipe or device, not a file"),
    "a loop": (lambda path: path.symlink_to(path.name), "cannot read it: Too many levels"),
    "a lost link": (lambda path: path.symlink_to("nowhere"), "cannot read it: No such file"),
    "bottomless": (lambda path: path.write_text("a = " + "[" * 9000), "nested too deeply"),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_stands_in_the_files_place_is_not_passed_over(project, case):
    """Another pyproject.toml further up would be taken in its stead."""
    make, message = PLACES[case]
    (project / "pyproject.toml").write_text(ONE)
    (project / "below").mkdir()
    make(project / "below" / "pyproject.toml")
    with pytest.raises(NllcheckError, match=message):
        nearest((str(project / "below" / "model.pt"),))


def test_a_mark_of_the_byte_order_is_no_error(project):
    (project / "pyproject.toml").write_text(ONE, encoding="utf-8-sig")
    assert nearest((str(project / "model.pt"),)).targets


def test_a_target_without_any_pyproject(project):
    with pytest.raises(NllcheckError, match=r"no pyproject\.toml"):
        load_target(Request((str(project / "model.pt"),), target="first"))


def test_the_nearest_file_counts_and_a_file_of_others_is_passed_over(project):
    (project / "pyproject.toml").write_text(ONE.replace('"model.pt"', '"runs/model.pt"'))
    (project / "runs").mkdir()
    (project / "runs" / "pyproject.toml").write_text("[tool.black]\nline-length = 100\n")
    (project / "model.pt").rename(project / "runs" / "model.pt")
    target, settings = load_target(Request((str(project / "runs" / "model.pt"),)))
    assert (target.loss.__name__, settings.seed) == ("nll", 7)


@pytest.mark.parametrize("words", [{}, {"target": "first"}])
def test_a_fresh_model_of_the_named_target(project, monkeypatch, words):
    (project / "pyproject.toml").write_text(ONE)
    (project / "model.pt").unlink()
    monkeypatch.chdir(project)
    target, _ = load_target(Request(init=True, **words))
    assert type(target.model).__name__ == "Net" and "--init" in target.command


def test_a_fresh_model_from_the_command_line_needs_no_target(project, monkeypatch):
    (project / "pyproject.toml").write_text(TWO)
    monkeypatch.chdir(project)
    named = {"model": "model.py:build", "loss": "losses.py:nll", "batches": ("batch.pt",)}
    assert load_target(Request(init=True, **named))[0].loss.__name__ == "nll"
    with pytest.raises(NllcheckError, match="several targets"):
        load_target(Request(init=True))


def test_several_checkpoints_of_a_target(project):
    (project / "pyproject.toml").write_text(ONE.replace('"model.pt"', '["early.pt", "model.pt"]'))
    torch.save(torch.load(project / "model.pt"), project / "early.pt")
    assert len(load_target(Request((str(project / "model.pt"),)))[0].checkpoints) == 2
    assert load_target(Request((str(project / "early.pt"),)))[0].checkpoints == ()
