"""`[tool.nllcheck]`: the target whose checkpoint is named, settings, and errors that name the file."""

from __future__ import annotations

import pytest
import torch

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
