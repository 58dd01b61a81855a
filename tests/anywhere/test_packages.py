"""Losses of installed packages: the user's line is told, and the package's own line below it."""

from __future__ import annotations

import importlib
import sys

import pytest
import torch

import nllcheck
from nllcheck.capture import sites

CODE = """\
import torch


class Softened(torch.nn.Module):
    def forward(self, scores, y):
        e = torch.exp(scores)
        return -torch.log(e / e.sum(-1, keepdim=True)).gather(1, y[:, None]).mean()


def shares(scores):
    return Softened.forward(None, scores, torch.zeros(len(scores), dtype=torch.long))
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A package that lies where installed ones do."""
    place = tmp_path / "site-packages"
    (place / "softened").mkdir(parents=True)
    (place / "softened" / "__init__.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(place))
    monkeypatch.setattr(sites, "_LIBRARIES", (*sites._LIBRARIES, str(place)))
    sites._kind_of.cache_clear()
    yield importlib.import_module("softened")
    sys.modules.pop("softened", None)
    sites._kind_of.cache_clear()


def test_a_failure_in_a_package_is_told_at_both_lines(package):
    criterion = package.Softened()

    def loss(scores, y):
        return criterion(scores, y)

    given = {"scores": torch.randn(5, 3, generator=torch.Generator().manual_seed(1)), "y": torch.arange(5) % 3}
    report = nllcheck.check_function(loss, given, target="y", effort="quick")
    found = [f for f in report.findings if f.op == "exp" and f.severity == "error"]
    assert found and found[0].site.path == __file__ and found[0].site.source == "return criterion(scores, y)"
    assert "in softened/__init__.py:6 (e = torch.exp(scores))." in found[0].message
    assert not any("_call_impl" in f.message for f in report.findings)
