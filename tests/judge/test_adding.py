"""Digits that a gradient loses where contributions to it are added up are laid to an op that contributes."""

import pytest
import torch

import nllcheck

torch.manual_seed(5)
COUNTS = torch.poisson(torch.full((12, 1), 4.0))
POSITIVE = torch.rand(12) + 0.5


def counts(raw, y):
    theta = torch.exp(raw)
    both = torch.log(theta + 3)
    log_p = theta * (torch.log(theta + 1e-8) - both) - y * both
    return -(log_p + torch.lgamma(y + theta) - torch.lgamma(theta)).mean()  # <- lgamma


def transformed(power, y):
    z = (y**power - 1) / power  # <- div
    return (0.5 * z**2 - (power - 1) * torch.log(y)).mean()


def quotient(x, y):
    size = x * 1.0
    ratio = torch.expm1(size) / size  # <- div
    return (ratio - y).square().mean()


CASES = {
    counts: (torch.randn(12, 1), COUNTS),
    transformed: (torch.tensor(0.4), POSITIVE),
    quotient: (torch.randn(12), POSITIVE),
}


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_the_op_and_line_that_contribute_are_told(loss):
    first, y = CASES[loss]
    name = loss.__code__.co_varnames[0]
    report = nllcheck.check_function(loss, {name: first, "y": y}, target="y")
    found = {(f.op, f.site.source.partition("# <- ")[2]) for f in report.findings if _is_lost_gradient(f)}
    assert found
    assert {op for op, mark in found} == {mark for op, mark in found}


def _is_lost_gradient(finding):
    return finding.kind == "precision" and finding.phase == "backward"
