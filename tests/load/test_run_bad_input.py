"""Bad input through `nllcheck run`: exit code 2, one block on stderr, nothing on stdout, no traceback."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

from nllcheck import cli


def run(project, monkeypatch, capsys, **changes: str) -> tuple[int, str, str]:
    given = {"model": "model.py:build", "loss": "losses.py:nll", "batch": "batch.pt", **changes}
    words = [word for name, value in given.items() if value for word in (f"--{name}", value)]
    monkeypatch.chdir(project)
    monkeypatch.setattr(sys, "argv", ["nllcheck", "run", "model.pt", *words])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return int(ended.value.code or 0), *capsys.readouterr()


def nothing(project) -> None:
    pass


def saved(name: str, content):
    return lambda project: torch.save(content, project / name)


def written(name: str, data: bytes):
    return lambda project: (project / name).write_bytes(data)


def cut(project) -> None:
    path = project / "model.pt"
    path.write_bytes(path.read_bytes()[:-300])


CODE = b"\x80\x02cposix\nsystem\nX\x07\x00\x00\x00touch x\x85R."


def folder(project) -> None:
    """Of the checkpoints of one run, as training scripts keep them."""
    (project / "model.pt").rename(project / "step_1.pt")
    (project / "model.pt").mkdir()
    (project / "step_1.pt").rename(project / "model.pt" / "step_1.pt")


ROWS = torch.zeros(0, 3), torch.zeros(0)
CASES = {
    "folder of checkpoints": (folder, {}, "oldest first: nllcheck run model.pt/*.pt"),
    "missing file": (lambda p: (p / "model.pt").unlink(), {}, "no such file"),
    "wrong kind": (written("model.pt", b"\x89HDF\r\n\x1a\n"), {}, "HDF5"),
    "corrupt zip": (cut, {}, "cut short or damaged"),
    "pickle with code": (written("model.pt", CODE), {}, "posix.system"),
    "lfs pointer": (written("model.pt", b"version https://git-lfs.github.com/spec/v1\n"), {}, "git lfs pull"),
    "loss does not exist": (nothing, {"loss": "losses.py:nlll"}, "did you mean 'nll'?"),
    "loss file does not exist": (nothing, {"loss": "loses.py:nll"}, "did you mean 'losses.py'?"),
    "loss raises": (nothing, {"loss": "losses.py:raising"}, "losses.py:18"),
    "loss returns a vector": (nothing, {"loss": "losses.py:vector"}, "shape (5,), not one number"),
    "loss returns text": (nothing, {"loss": "losses.py:text"}, "returned a str"),
    "loss returns a complex": (nothing, {"loss": "losses.py:complex_value"}, "complex64"),
    "loss returns nothing": (nothing, {"loss": "losses.py:nothing"}, "returned None"),
    "factory raises": (nothing, {"model": "model.py:broken"}, "no weights today"),
    "shapes no longer fit": (saved("model.pt", {"head.weight": torch.zeros(9, 3), "head.bias": torch.zeros(2)}), {},
                             "head.weight has shape (9, 3)"),
    "batch of other width": (saved("batch.pt", (torch.zeros(5, 4), torch.zeros(5))), {}, "raised RuntimeError"),
    "empty batch": (saved("batch.pt", ROWS), {}, "empty"),
    "batch without tensors": (saved("batch.pt", {"inputs": 3, "targets": 4}), {}, "no tensor in this batch"),
    "batch is a bundle": (saved("batch.pt", {"nllcheck_bundle": 1}), {}, "this is a model, not a batch"),
    "object arrays": (lambda p: np.savez(p / "batch.npz", x=np.array([object()])), {"batch": "batch.npz"}, "pickles"),
    "unwritable output": (nothing, {"output": "json=/nowhere/report.json"}, "/nowhere/report.json"),
    "unknown device": (nothing, {"device": "gpu"}, "unknown device 'gpu'"),
    "sys.exit in the user's file": (written("losses.py", b"import sys\nsys.exit(0)\n"), {}, "calls sys.exit"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_one_clear_error(project, monkeypatch, capsys, case):
    spoil, changes, message = CASES[case]
    spoil(project)
    code, out, err = run(project, monkeypatch, capsys, **changes)
    assert (code, out) == (2, "") and err.startswith("error: ") and message in err
    assert "Traceback" not in err and err.count("\n") <= 4
    assert not (project / "x").exists()


def test_what_the_users_code_prints_stays_out_of_the_result(project, monkeypatch, capsys):
    (project / "losses.py").write_text("print('hello')\n" + (project / "losses.py").read_text())
    code, out, err = run(project, monkeypatch, capsys, format="json")
    assert code == 0 and out.startswith("{") and "hello" in err and "hello" not in out


def test_a_fresh_project_runs_from_its_folder(project, monkeypatch, capsys):
    code, out, _ = run(project, monkeypatch, capsys)
    assert code == 0 and "model.pt" in out


def test_the_command_that_repeats_a_finding_has_the_options_it_depends_on(project, monkeypatch, capsys):
    (project / "losses.py").write_text(
        "import torch\n\ndef nll(output, target):\n    return torch.log(output).mean()\n"
    )
    code, out, _ = run(project, monkeypatch, capsys, format="json", dtype="float64", seed="3")
    commands = {finding["command"] for finding in json.loads(out)["findings"] if finding["command"]}
    assert code == 1 and commands
    assert all("--dtype float64 --seed 3" in command for command in commands)
