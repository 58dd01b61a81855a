"""Exceptions that a value raises are found where the loss is traced as a graph, too."""

from __future__ import annotations

import weakref

import pytest
import torch
import torch.distributions as D
import torch.nn.functional as F

import nllcheck
from nllcheck.eager.raises import raises
from nllcheck.eager.run import Bench
from nllcheck.target import Batch, Target

GENERATOR = torch.Generator().manual_seed(3)
A, B, Y = (torch.randn(6, generator=GENERATOR) for _ in range(3))


@pytest.fixture(autouse=True)
def arguments_are_validated():
    """As torch starts; `torch.compile` (which some other tests use) switches validation off for the process."""
    before = D.Distribution._validate_args
    D.Distribution.set_default_validate_args(True)
    yield
    D.Distribution.set_default_validate_args(before)


def asserted(a, b, y):
    assert (a.abs() < 3).all(), "a is too large"  # <- here
    return F.mse_loss(a, y) + b.pow(2).mean()


def negative_scale(a, b, y):
    return -D.Normal(a, 2.0 + b).log_prob(y).mean()  # <- here


def negative_variance(a, b, y):
    return F.gaussian_nll_loss(a, y, 2.0 + b)  # <- here


def softplus_scale(a, b, y):
    return -D.Normal(a, F.softplus(b) + 1e-3).log_prob(y).mean()


def no_branch(a, b, y):
    return F.mse_loss(a * b, y)


def report_of(loss):
    return nllcheck.check_function(loss, {"a": A, "b": B, "y": Y}, target="y")


def refusals(report):
    return [f for f in report.findings if f.kind == "raises"]


@pytest.mark.parametrize(("loss", "axis"), [(asserted, "a"), (negative_scale, "b"), (negative_variance, "b")])
def test_the_value_that_raises_is_found(loss, axis):
    report = report_of(loss)
    assert report.facts.capture == "graph"
    (found,) = refusals(report)
    assert (found.axis, found.verdict, found.rule) == (axis, "limit", "NLL004")
    values = {"a": A, "b": B, "y": Y}
    loss(**{**values, axis: torch.full_like(A, found.last_good)})
    with pytest.raises((AssertionError, ValueError)):
        loss(**{**values, axis: torch.full_like(A, found.threshold)})


@pytest.mark.parametrize("loss", [softplus_scale, no_branch])
def test_what_never_raises_has_no_such_finding(loss):
    assert refusals(report_of(loss)) == []


def test_distributions_are_left_as_they_were():
    before = D.Distribution.__init__
    report_of(negative_scale)
    assert D.Distribution.__init__ is before
    with pytest.raises(ValueError):
        D.Normal(0.0, -1.0)


def test_one_run_is_held_at_a_time(monkeypatch):
    """A record holds every value of the program: ten of a large model's are a gigabyte."""
    held, most, plain = weakref.WeakSet(), [], Bench.at

    def counted(self, axis, value, dtype=None):
        run = plain(self, axis, value, dtype)
        held.add(run.steps[0].value)
        most.append(len(held))
        return run

    monkeypatch.setattr(Bench, "at", counted)
    given = {"a": A, "b": B, "y": Y}
    batch = Batch(kwargs=given, whole=given)
    assert raises(Target("t", asserted, "t", None, (batch,), "function", target_names=("y",)), batch, 0, True).judged
    assert len(most) > 20 and max(most) <= 2
