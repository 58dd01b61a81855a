"""How much exact arithmetic one check gets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from test_exact import joint_of

from nllcheck import exact
from nllcheck.detect.events import batch_axis
from nllcheck.exact import point
from nllcheck.memo import forget


@pytest.fixture(autouse=True)
def _of_a_check_of_its_own():
    forget()
    yield
    forget()


def test_large_evaluations_have_a_share_of_a_check_and_the_next_check_its_own(monkeypatch):
    joint = joint_of(lambda x: torch.log1p(x * x).sum(), {"x": torch.tensor([0.5, 2.0])})
    monkeypatch.setattr(point, "LARGE", 1)
    monkeypatch.setattr(point, "IN_ALL", 2 * exact.work_of(joint))
    axis = replace(batch_axis(joint), mode="set")
    for _ in range(2):
        forget()
        answers = [exact.certain(joint, axis, float(v)) for v in (1.0, 2.0, 3.0)]
        assert [isinstance(a, exact.Certain) for a in answers] == [True, True, False]
        assert "share of this check" in answers[2]


def test_small_evaluations_are_not_counted(monkeypatch):
    joint = joint_of(lambda x: torch.log1p(x * x).sum(), {"x": torch.tensor([0.5, 2.0])})
    monkeypatch.setattr(point, "IN_ALL", 0)
    axis = replace(batch_axis(joint), mode="set")
    assert all(isinstance(exact.certain(joint, axis, v / 8), exact.Certain) for v in range(1, 20))
