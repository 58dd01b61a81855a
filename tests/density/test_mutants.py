"""Correct likelihoods and mutants by one symbol against brute force: a few of those that `benchmarks/mutants` asks."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.mutants.ask import asked, cases
from benchmarks.mutants.losses import LOSSES

QUICK = [n for n in LOSSES if LOSSES[n].support not in ("plane", "square", "simplex")]  # one number each
CHOSEN = random.Random(7).choices(QUICK, k=24)


@pytest.mark.parametrize(("k", "name"), list(enumerate(CHOSEN)))
def test_a_mutant_is_never_taken_for_what_it_is_not(k, name):
    _, change, fn = random.Random(k).choice([case for case in cases(name) if case[0] == name])
    found = asked(name, fn)
    assert found.mark != "WRONG", (change, found.truth, found.text)
    assert found.mark != "undecided" or found.text.startswith("Not decided: ")
