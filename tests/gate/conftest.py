"""Reports built by hand (tests/report/report_cases.py) and the command line called in this process."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from gate_project import CONFIG, MODEL, write

from nllcheck import cli

sys.path.insert(0, str(Path(__file__).parents[1] / "report"))  # for report_cases


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A training repository with a loss that has a defect and one that has none; the working directory."""
    import torch

    torch.manual_seed(0)
    write(tmp_path)
    (tmp_path / "model.py").write_text(MODEL)
    (tmp_path / "pyproject.toml").write_text(CONFIG)
    torch.save(torch.nn.Linear(3, 3).state_dict(), tmp_path / "model.pt")
    torch.save((torch.randn(8, 3), torch.eye(3)[torch.arange(8) % 3]), tmp_path / "batch.pt")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def call(monkeypatch, capsys):
    """Words of a command line -> exit code, standard output, standard error."""

    def _call(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["nllcheck", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return _call
