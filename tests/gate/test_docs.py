"""What the documentation shows is run here: every command line, the rule, the workflow, the settings."""

from __future__ import annotations

import re
import runpy
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from gate_project import MODEL, write

from nllcheck import rules

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


ELSEWHERE = ("nllcheck demo", "nllcheck rules test")  # run by tests/cli and by tests/test_rules_examples.py


def commands() -> list[str]:
    """Lines of shell blocks, and every `nllcheck ...` inside a sentence that names no placeholder."""
    lines = [line for kind, text in BLOCKS if kind == "sh" for line in text.splitlines()]
    inline = re.findall(r"`(nllcheck [^`\n]+)`", re.sub(r"```.*?```", "", README, flags=re.DOTALL))
    return sorted({line for line in (*lines, *inline) if not re.search(r"\||--shard|\.\.\.", line)})


def prepared(folder: Path) -> None:
    """The project that the README speaks of."""
    import torch

    write(folder)
    (folder / "model.py").write_text(MODEL)
    (folder / "rules").mkdir()
    (folder / "rules" / "MY101.yaml").write_text(next(t for k, t in BLOCKS if t.startswith("id: MY101")))
    (folder / "pyproject.toml").write_text(next(text for kind, text in BLOCKS if kind == "toml"))
    torch.save(torch.nn.Linear(3, 3).state_dict(), folder / "model.pt")
    batch = (torch.randn(8, 3), torch.eye(3)[torch.arange(8) % 3])
    torch.save(batch, folder / "batch.pt")
    (folder / "dump").mkdir()
    bundle = {"nllcheck_bundle": 1, "model": "torch.nn:Linear", "loss": "torch.nn.functional:mse_loss", "batch": batch}
    bundle |= {"state": dict(torch.nn.Linear(3, 3).state_dict()), "kwargs": {"in_features": 3, "out_features": 3}}
    torch.save(bundle, folder / "dump" / "nllcheck-step-1.pt")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("readme")
    prepared(made)
    return made


def test_there_are_commands():
    assert len(commands()) > 15 and "nllcheck run -q --baseline nllcheck-baseline.toml" in commands()


HERE = [line for line in commands() if "fixtures/" not in line and line not in ELSEWHERE]


@pytest.mark.parametrize("line", HERE)
def test_every_command_line_runs(line, folder, call, monkeypatch):
    monkeypatch.chdir(folder)
    if "init" in line:
        (folder / "fresh").mkdir()
        monkeypatch.chdir(folder / "fresh")
    if "--baseline" in line and not (folder / "nllcheck-baseline.toml").exists():
        assert call("baseline")[0] == 0
    code, out, err = call(*shlex.split(line)[1:])
    assert code in (0, 1), err
    assert out


def test_the_array_job_of_the_scale_page_makes_a_report(folder, call, monkeypatch):
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    [line] = [line for line in page.splitlines() if line.startswith("nllcheck run")]
    monkeypatch.chdir(folder)
    for index in ("0", "1"):
        names = {"ID": index, "MIN": "0", "STEP": "1", "COUNT": "2"}
        for name, value in names.items():
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", value)
        code, _, err = call(*shlex.split(line)[1:])
        assert code == 0, err
    code, out, err = call("merge", "pieces", "--loss", "losses.py:nll", "--model", "model.py:build")
    assert code in (0, 1), err
    assert "losses.py" in out


def test_the_case_studies_are_among_the_fixtures_that_are_checked():
    """tests/test_fixtures.py runs what each `expected.yaml` names."""
    named = [line.split()[-1] for line in commands() if "fixtures/" in line]
    assert len(named) >= 4
    for path in map(Path, named):
        targets = tomllib.loads((ROOT / path.parent / "pyproject.toml").read_text())["tool"]["nllcheck"]["targets"]
        names = {name for name, target in targets.items() if path.name in target["checkpoint"]}
        assert names & set(yaml.safe_load((ROOT / path.parent / "expected.yaml").read_text())), path


def test_the_rule_holds(folder):
    assert [rule.id for rule in rules.load((folder / "rules",)) if rule.id.startswith("MY")] == ["MY101"]


def test_the_workflow_is_one():
    flow = yaml.safe_load(next(text for kind, text in BLOCKS if kind == "yaml" and "runs-on" in text))
    steps = flow["jobs"]["nllcheck"]["steps"]
    assert flow[True] == "pull_request" and all({"uses", "run"} & set(step) for step in steps)
    assert any("nllcheck run --format github" in step.get("run", "") for step in steps)


def test_the_settings_are_toml():
    assert all(tomllib.loads(text) for kind, text in BLOCKS if kind == "toml")


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_the_page_of_rules_is_fresh():
    made = runpy.run_path(str(ROOT / "docs" / "make.py"))["rules_page"]()
    assert made == (ROOT / "docs" / "rules.md").read_text(encoding="utf-8"), "renew it with: python docs/make.py"


def test_the_picture_needs_no_network():
    picture = (ROOT / "docs" / "run.svg").read_text(encoding="utf-8")
    assert "url(http" not in picture and "<image" not in picture and "@import" not in picture
