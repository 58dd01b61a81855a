"""`doctor`: facts on standard output, problems on standard error; what is missing never ends it early."""

from __future__ import annotations

import pytest

from nllcheck import doctor
from nllcheck.errors import NllcheckError


def test_all_is_well_here(call):
    code, out, err = call("doctor")
    assert (code, err) == (0, "")
    named = [line.split("  ")[0] for line in out.splitlines()]
    assert {"nllcheck", "python", "torch", "python-flint", "cpu", "rules", "example models"} <= set(named)
    assert "subnormal numbers" in out


def test_missing_and_broken_packages_are_problems(monkeypatch, call):
    broken = {"flint": ImportError("libflint.so.20: no such file")}

    def load(name):
        if name in broken:
            raise broken[name]
        if name == "yaml":
            raise ModuleNotFoundError("No module named 'yaml'")

    monkeypatch.setattr(doctor, "import_module", load)
    known = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "PyYAML" else known(name))
    code, out, err = call("doctor")
    assert code == 2 and "PyYAML             missing" in out
    assert "problem: PyYAML is not installed: pip install PyYAML" in err
    assert "problem: python-flint does not load: ImportError: libflint.so.20: no such file" in err


def test_unreadable_rules_are_a_problem(monkeypatch):
    def refuse():
        raise NllcheckError("not YAML", where="NLL101.yaml:3:1")

    monkeypatch.setattr("nllcheck.rules.load", refuse)
    facts, problems = doctor.examine()
    assert ("rules", "cannot be read") in facts and problems == ["NLL101.yaml:3:1: not YAML"]


def test_a_device_that_cannot_compute_is_a_problem(monkeypatch):
    def fail(device):
        raise RuntimeError("no kernel image is available\nmore")

    monkeypatch.setattr("nllcheck.devices.flushes_denormals", fail)
    assert "cpu cannot compute: RuntimeError: no kernel image is available" in doctor.examine()[1]


AGES = {"2.13.0+cpu": 0, "2.10.0": 0, "2.9.1": 1, "1.13": 1, "3.0.0a0+git": 0}


@pytest.mark.parametrize("version", AGES)
def test_age_of_torch(version):
    assert len(doctor._age(version)) == AGES[version]
