"""Every shipped rule fires on its firing examples, at the marked line, and stays silent on the others."""

from __future__ import annotations

from pathlib import Path

import pytest

from nllcheck import ruletest
from nllcheck.rules import load, read

RULES = load()
OWN = """\
id: MY101
name: log-of-cube
severity: warning
match: log(x ** 3)
message: the log of {x} cubed at {axis} = {threshold}
why: a test
advice: 3 * log(x)
tests:
  fires:
    - |
      import torch
      output, target = torch.tensor([0.5, 1.0]), torch.tensor([1.0, 2.0])
      def loss(output, target):
          return (torch.log(output**3) * target).mean()  # <- here
    - |
      import torch
      inputs, target = torch.ones(4, 2), torch.ones(4)
      model = torch.nn.Linear(2, 1)
      def loss(output, target):
          return (torch.log(output[:, 0] ** 3) * target).mean()  # <- here
  silent: |
    import torch
    output, target = torch.tensor([0.5, 1.0]), torch.tensor([1.0, 2.0])
    def loss(output, target):
        return (output * target).mean()
"""
WRONG = (  # what is replaced, by what, example, part of the message
    ("log(output**3)", "log(output**4)", "fires 1", "expected MY101 at line 4"),
    ("return (output * target).mean()", "return torch.log(output**3).mean()", "silent 1", "expected silence, found"),
    ("return (output * target).mean()", "return output", "silent 1", "loss"),
    ("return (output * target).mean()", "raise KeyError('gone')", "silent 1", "gone"),
    ("inputs, target =", "input, target =", "fires 2", "does not define 'inputs'"),
    ("model = torch.nn.Linear(2, 1)", "model = 1 / 0", "fires 2", "ZeroDivisionError"),
)


@pytest.mark.parametrize("rule", RULES, ids=lambda r: r.id)
def test_examples_hold(rule):
    outcomes = ruletest.test_rule(rule)
    assert {o.which.split()[0] for o in outcomes} == {"fires", "silent"}
    assert [f"{o.which}: {o.message}" for o in outcomes if not o.ok] == []


def test_the_families_are_there():
    assert len(RULES) >= 40
    assert len({rule.name for rule in RULES}) == len(RULES)


def written(folder: Path, text: str) -> Path:
    path = folder / "MY101.yaml"
    path.write_text(text)
    return path


def test_a_rule_of_ones_own_is_tested_without_touching_python(tmp_path):
    rule = read(written(tmp_path, OWN))
    assert [o.message for o in ruletest.test_rule(rule)] == ["", "", ""]
    assert [o.message for o in ruletest.test_rule(rule, [tmp_path])] == ["", "", ""]


@pytest.mark.parametrize(("old", "new", "which", "message"), WRONG, ids=lambda v: v[:24])
def test_an_example_that_does_not_hold_says_why(tmp_path, old, new, which, message):
    assert OWN.count(old) == 1
    outcomes = ruletest.test_rule(read(written(tmp_path, OWN.replace(old, new))))
    (bad,) = [o for o in outcomes if not o.ok]
    assert bad.which == which
    assert message in bad.message
