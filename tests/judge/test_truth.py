"""What a report says of a threshold, held against the user's own function run at these very values."""

from __future__ import annotations

import math
import re
import traceback

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

import nllcheck
from nllcheck.report import words

torch.manual_seed(3)
N = 16
Y = torch.randn(N)
COUNTS = torch.poisson(torch.full((N,), 3.0))
ZEROS = Y.abs() * (torch.arange(N) % 3 > 0)


def gaussian(out, y):
    return (0.5 * out[:, 1] + 0.5 * (y - out[:, 0]) ** 2 / out[:, 1].exp()).mean()


def softplus(out, y):
    sigma = F.softplus(out[:, 1])
    return (torch.log(sigma) + 0.5 * ((y - out[:, 0]) / sigma) ** 2).mean()


def zero_inflated(out, y):
    rate, p = torch.exp(out[:, 0]), torch.sigmoid(out[:, 1])
    zero = -torch.log(p + (1 - p) * torch.exp(-rate))
    other = -torch.log(1 - p) + rate - y * torch.log(rate) + torch.lgamma(y + 1)
    return torch.where(y == 0, zero, other).mean()


def hurdle(out, y):
    p, scale = torch.sigmoid(out[:, 0]), torch.exp(out[:, 1])
    density = -torch.log(scale) - 0.5 * (torch.log(y) / scale) ** 2
    return -torch.where(y > 0, torch.log(p) + density, torch.log(1 - p)).mean()


def negative_binomial(out, y):
    mu, r = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    drawn = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
    return -(drawn + r * torch.log(r) - r * torch.log(r + mu) + y * torch.log(mu) - y * torch.log(r + mu)).mean()


CASES = {gaussian: Y, softplus: Y, zero_inflated: COUNTS, hurdle: ZEROS, negative_binomial: COUNTS}
OUT = torch.randn(N, 2)


@pytest.fixture(scope="module")
def reports():
    return {loss: nllcheck.check_function(loss, {"out": OUT, "y": y}, target="y") for loss, y in CASES.items()}


def at(loss, label, value):
    """Loss and gradient of the function itself, with one column set to `value` or all of `out` times it."""
    column = re.fullmatch(r"out\[\.\.\., (\d)\]", label)
    out = OUT * value if column is None else OUT.clone()
    if column:
        out[:, int(column[1])] = value
    out.requires_grad_()
    result = loss(out, CASES[loss])
    return float(result.detach()), torch.autograd.grad(result, out)[0]


def thresholds(report):
    found = [f for f in report.findings if f.kind in ("nan", "inf") and f.threshold is not None]
    return [f for f in found if (f.axis or "").startswith("out") and f.last_good is not None]


def sound(loss, gradient, what):
    return math.isfinite(loss) if what == "loss" else bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_it_fails_at_the_threshold_and_what_is_said_of_the_value_before_holds(reports, loss):
    assert thresholds(reports[loss])
    for found in thresholds(reports[loss]):
        what = "loss" if found.phase == "forward" else "gradient"
        assert not sound(*at(loss, found.axis, found.threshold), what), found.message
        before = at(loss, found.axis, found.last_good)
        first = next((w for w in ("loss", "gradient") if not sound(*before, w)), None)
        assert found.already == first, words.when(found, reports[loss].facts, None)


class Lines(TorchDispatchMode):
    """Lines of this file at which an op gives what is not finite."""

    def __init__(self):
        super().__init__()
        self.bad = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        found = func(*args, **(kwargs or {}))
        if isinstance(found, torch.Tensor) and not bool(torch.isfinite(found).all()):
            frames = (f for f, _ in traceback.walk_stack(None) if f.f_code.co_filename == __file__)
            self.bad |= {f.f_lineno for f in frames}
        return found


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_op_that_is_said_to_fail_before_the_threshold_does(reports, loss):
    said = [f for f in thresholds(reports[loss]) if f.already]
    assert said
    for found in said:
        assert re.fullmatch(r"\w+ at test_truth.py:\d+", found.already_by), found
        with Lines() as lines:
            at(loss, found.axis, found.last_good)
        if found.already == "loss":
            assert int(found.already_by.rpartition(":")[2]) in lines.bad, words.when(found, reports[loss].facts, None)


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_loss_that_is_told_was_computed(reports, loss):
    for found in reports[loss].findings:
        if found.loss is not None and found.witness is not None and (found.axis or "").startswith("out"):
            computed, _ = at(loss, found.axis, found.witness)
            assert found.loss == pytest.approx(computed, rel=1e-4, nan_ok=True), found.message


def test_a_loss_that_only_rounding_makes_negative_is_not_called_negative(reports):
    report = reports[negative_binomial]
    assert not any(f.kind == "negative-nll" for f in report.findings)
    assert any(f.kind == "precision" and f.phase == "forward" for f in report.findings)


def test_a_branch_that_is_not_taken_is_not_to_blame(reports):
    blamed = [f for f in thresholds(reports[hurdle]) if f.axis == "out[..., 0]" and f.phase == "forward"]
    assert {f.site.source.split()[0] for f in blamed if f.site} == {"return"}


def test_a_point_mass_beside_a_density_is_no_density(reports):
    assert any("point mass" in text for text in reports[hurdle].skipped)


def test_rows_of_a_weight_are_no_samples():
    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = torch.nn.Linear(2, 6), torch.nn.Linear(6, 1)

    def loss(model, batch):
        x, y = batch
        return (model.last(torch.tanh(model.first(x)))[:, 0] - y).square().mean()

    report = nllcheck.check(loss, model=Model(), batch=(OUT, Y), effort="quick")
    assert not any("weight" in f.message and "from sample to sample" in f.message for f in report.findings)


def test_a_value_without_name_and_source_is_called_as_its_axis():
    made: dict = {}
    exec("def nll(out, y):\n    return (out[:, 1] + (y - out[:, 0]).abs() / out[:, 1].exp()).mean()", made)
    report = nllcheck.check_function(made["nll"], {"out": OUT, "y": Y}, target="y")
    (found,) = [f for f in report.findings if f.rule == "NLL201" and f.axis == "out[..., 1]"]
    assert f"out[..., 1] overflows from out[..., 1] = {found.threshold:.7g} on" in found.message
