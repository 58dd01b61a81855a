"""The seed systems, each as a user would run it: expected findings on the right lines, stable twins silent."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path

import pytest
import yaml

from nllcheck.check import run
from nllcheck.load import Request, load_target
from nllcheck.options import Options

FIXTURES = Path(__file__).parents[1] / "fixtures"


def targets() -> list[tuple[str, str]]:
    found = []
    for folder in sorted(p for p in FIXTURES.iterdir() if p.is_dir()):
        table = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["nllcheck"]["targets"]
        found += [(folder.name, name) for name in table]
    return found


@functools.cache
def report_of(folder: str, name: str):
    table = tomllib.loads((FIXTURES / folder / "pyproject.toml").read_text())["tool"]["nllcheck"]["targets"][name]
    checkpoint = table["checkpoint"] if isinstance(table["checkpoint"], str) else table["checkpoint"][-1]
    target, _ = load_target(Request((str(FIXTURES / folder / checkpoint),)))
    return run(target, Options(device="cpu"))


def expected(folder: str, name: str) -> dict:
    return yaml.safe_load((FIXTURES / folder / "expected.yaml").read_text())[name]


def line_of(folder: str, file: str, code: str) -> int:
    lines = (FIXTURES / folder / file).read_text().splitlines()
    found = [n for n, text in enumerate(lines, 1) if code in text]
    assert len(found) == 1, f"'{code}' stands {len(found)} times in {folder}/{file}"
    return found[0]


@pytest.mark.parametrize(("folder", "name"), targets())
def test_exit_code_and_findings_are_as_expected(folder, name):
    """One test a target, so that no other process has to check it again."""
    report = report_of(folder, name)
    assert report.exit_code == expected(folder, name)["exit"]
    for want in expected(folder, name).get("findings", []):
        if "needs" not in want:
            assert_found(report, want, line_of(folder, want["file"], want["code"]))
    if name.startswith(("stable", "max_", "analytic")):
        assert [f for f in report.findings if f.severity != "note"] == []
        assert report.sweeps, "silence counts only where something was swept"


def assert_found(report, want: dict, line: int) -> None:
    found = {(f.op, f.kind, f.phase, Path(f.site.path).name, f.site.line, f.name) for f in report.findings if f.site}
    fitting = [
        f for f in found
        if f[0] == (want["op"] or f[0])
        and f[1:5] == (want["kind"], want["phase"], want["file"], line)
        and f[5] == (want.get("rule") or f[5])
    ]  # fmt: skip
    assert fitting, f"{want['op']} {want['kind']} {want['phase']} at {want['file']}:{line} not among {sorted(found)}"


def test_time_batches_and_checkpoints_are_followed():
    texts = [f.message for f in report_of("dirichlet_lstm_mha", "over_time").findings if f.kind == "sign-flip"]
    assert any("over 6 batches" in t for t in texts)
    assert any("over 3 checkpoints" in t for t in texts)
