"""A test that takes more work than it may is not decided, and says so; no part of it is decided without the rest."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer

from nllcheck.density import answer as stage
from nllcheck.density.allowance import OF_A_LIKELIHOOD, UNASKED, Allowance, SpentError, allowance_of

HALF = math.log(2 * math.pi) / 2


def normal(mu, y):
    return (0.5 * (y - mu) ** 2 + HALF).mean()


def cut_off(mu, y):
    """A normal density cut off at -1 and 2, which only its normaliser shows."""
    share = torch.special.ndtr(2 - mu) - torch.special.ndtr(-1 - mu)
    return normal(mu, y) + share.log().mean()


GEN = torch.Generator().manual_seed(0)
MU = torch.randn(5, generator=GEN)
WORKS = [10 ** (3 + k / 5) for k in range(20)]
CASES = {"normal": (normal, MU, torch.randn(5, generator=GEN)), "cut_off": (cut_off, MU, MU.clamp(-0.9, 1.9))}


@pytest.mark.parametrize("name", CASES)
def test_with_less_work_the_answer_is_the_same_or_none(name, monkeypatch):
    fn, mu, y = CASES[name]
    whole = _answered_with(monkeypatch, OF_A_LIKELIHOOD, fn, mu, y)
    seen = [_answered_with(monkeypatch, work, fn, mu, y) for work in WORKS]
    assert {a.name for a in seen} <= {whole.name, "undecided"}
    assert seen[0].name == "undecided"
    assert whole.name != "undecided"


def test_only_a_loss_that_calls_itself_a_likelihood_is_tested_for_long():
    assert allowance_of(True, 1).work == OF_A_LIKELIHOOD > UNASKED == allowance_of(False, 1).work
    assert "--nll" in allowance_of(False, 1).over
    assert "--nll" not in allowance_of(True, 1).over


def test_what_is_spent_is_spent():
    left = Allowance(work=5000)
    left.spend(3, 1500)
    with pytest.raises(SpentError, match="too much work"):
        left.spend(1, 0)


def _answered_with(monkeypatch, work, fn, mu, y):
    monkeypatch.setattr(stage, "allowance_of", lambda claims, memory: Allowance(memory, work))
    return answer(fn, {"mu": mu, "y": y})
