"""Bits kept by source line: the hand-written formulas that cancel, and the same written well."""

import math

import pytest
import torch

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.capture.attempt import captured
from nllcheck.detect.lines import line_bits
from nllcheck.report import digits
from nllcheck.sweep import sweep
from nllcheck.target import Batch, Target

X = torch.linspace(0.1, 1.0, 16)


def one_minus_cos(x):
    return ((1 - torch.cos(x)) / x**2).mean()


def half_angle(x):
    return (2 * (torch.sin(x / 2) / x) ** 2).mean()


def lgammas(x):
    return (torch.lgamma(x.sum(-1)) - torch.lgamma(x).sum(-1)).mean()


def variance(x):
    return (x**2).mean() - x.mean() ** 2


def centred(x):
    return ((x - x.mean()) ** 2).mean()


def log_of_sum(x):
    return torch.log(1 + x).mean()


def log1p(x):
    return torch.log1p(x).mean()


def one_minus_square(rho):
    return -torch.log(1 - rho**2).mean()


def log1p_of_square(rho):
    return -torch.log1p(-(rho**2)).mean()


# loss, values, op that loses, bits it loses at least, the twin (which keeps FEW at least everywhere)
CANCELLING = [
    (one_minus_cos, X / 10, "sub", 10, half_angle),
    (lgammas, torch.rand(8, 3, generator=torch.Generator().manual_seed(0)) * 1e4 + 1e4, "sub", 2, None),
    (variance, X + 100, "sub", 12, centred),
    (log_of_sum, X * 1e-3, "log", 10, log1p),
    (one_minus_square, X - 0.05, "log", 10, log1p_of_square),
]
IDS = [loss.__name__ for loss, *_ in CANCELLING]


def lines(loss, values, phase="forward"):
    name = loss.__code__.co_varnames[0]
    report = nllcheck.check_function(loss, {name: values})
    assert report.bits, report.skipped
    return [one for one in report.bits if one.phase == phase], report


@pytest.mark.parametrize(("loss", "values", "op", "lost", "_twin"), CANCELLING, ids=IDS)
def test_the_line_that_cancels_keeps_few_bits_and_names_the_op(loss, values, op, lost, _twin):
    [one], report = lines(loss, values)
    assert one.site.line == loss.__code__.co_firstlineno + 1
    assert one.op == op and one.lost >= lost and one.worst <= 24 - lost
    assert one.worst <= one.typical
    assert any(op in row for row in digits.rows(report.bits, every=True))


@pytest.mark.parametrize(("twin", "values"), [(c[4], c[1]) for c in CANCELLING if c[4]])
def test_the_same_written_well_keeps_them(twin, values):
    [one], _ = lines(twin, values)
    assert one.worst >= digits.FEW and one.stretch is None
    assert digits.rows([one]) == []


STEPS = {
    one_minus_cos: (lambda x: 1 - torch.cos(x), lambda x: (1 - torch.cos(x)) / x**2),
    log_of_sum: (lambda x: 1 + x, lambda x: torch.log(1 + x)),
}


@pytest.mark.parametrize("loss", STEPS, ids=lambda f: f.__name__)
def test_the_worst_is_what_a_single_evaluation_shows(loss):
    """At the value that is named the worst step of the line has the error that is told of it."""
    values = next(case[1] for case in CANCELLING if case[0] is loss)
    [one], _ = lines(loss, values)
    x = values * torch.tensor(one.at) if "scale" in one.axis else torch.full_like(values, one.at)
    kept = [-math.log2(largest(step(x) - step(x.double())) / largest(step(x.double()))) for step in STEPS[loss]]
    assert min(kept) == pytest.approx(one.worst, abs=0.5)


def largest(values):
    return float(values.double().abs().max())


def test_a_difference_that_happens_to_vanish_loses_nothing():
    """y - mu is 0 where mu passes y: that is no cancellation to report."""
    y = torch.linspace(-1, 1, 16)

    def squares(mu):
        return ((y - mu) ** 2).mean()

    [one], _ = lines(squares, torch.linspace(-0.9, 0.8, 16))
    assert one.worst > 18


def test_rounding_that_float64_is_left_with_too_is_nothing_to_compare_with():
    """torch takes max(-x, 0) out of its logits and adds it again: its gradient is 0 but for rounding, in any dtype."""
    y = (X > 0.5).float()

    def with_logits(x):
        return torch.nn.functional.binary_cross_entropy_with_logits(x, y)

    [one], report = lines(with_logits, 4 * X - 2, "backward")
    assert one.typical > 20, digits.rows(report.bits, every=True)


def test_a_loss_in_float64_has_nothing_to_compare_with():
    report = nllcheck.check_function(log_of_sum, {"x": X.double()})
    assert report.bits == ()


@pytest.mark.parametrize("loss", [one_minus_cos, variance])
def test_a_small_memory_budget_changes_nothing(loss):
    """One point at a time, or all of an axis at once."""
    given = {"x": X}
    batch = Batch(kwargs=given, whole=given)
    graph, _ = captured(Target("t", loss, loss.__name__, None, (batch,), "function"), batch, 0)
    swept = sweep(graph, default_axes(graph)[0], {}, count=65)
    whole = line_bits(graph, swept, 2**30)
    assert whole and line_bits(graph, swept, 1) == whole
