"""Correct losses, mutants by one symbol, and losses that are no likelihoods: each gets its own answer."""

from __future__ import annotations

import pytest
from density_losses import CASES
from helpers import answer


@pytest.mark.parametrize(("fn", "tensors", "name", "constant"), CASES, ids=[c[0].__name__ for c in CASES])
def test_the_answer(fn, tensors, name, constant):
    found = answer(fn, tensors)
    assert (found.name, found.factor or found.constant) == (name, constant), found.text
