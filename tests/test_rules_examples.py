"""Every shipped rule fires on its firing examples, at the marked line, and stays silent on the others."""

from __future__ import annotations

import pytest

from nllcheck import ruletest
from nllcheck.rules import load

RULES = load()


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_examples_hold(rule):
    outcomes = ruletest.test_rule(rule)
    assert {o.which.split()[0] for o in outcomes} == {"fires", "silent"}
    assert [f"{o.which}: {o.message}" for o in outcomes if not o.ok] == []


def test_the_families_are_there():
    assert len(RULES) >= 20
    assert len({rule.name for rule in RULES}) == len(RULES)
