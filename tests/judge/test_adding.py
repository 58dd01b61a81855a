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
    report = nllcheck.check_function(loss, {name: first, "y": y}, target="y", effort="quick")
    found = {(f.op, f.site.source.partition("# <- ")[2]) for f in report.findings if _is_lost_gradient(f)}
    assert found
    assert {op for op, mark in found} == {mark for op, mark in found}


def _is_lost_gradient(finding):
    return finding.kind == "precision" and finding.phase == "backward"


def test_an_op_with_several_results_is_to_blame_itself():
    generator = torch.Generator().manual_seed(0)
    output, y = torch.randn(6, 3, generator=generator), torch.randn(6, 3, generator=generator)

    def of_kernel(output, y):
        z = torch.nn.functional.normalize(output, dim=1, eps=1e-6)
        return -torch.logdet(torch.exp(2 * (z @ z.T))) / 6 + ((output - y) ** 2).mean()

    report = nllcheck.check_function(of_kernel, {"output": output, "y": y}, target="y", effort="quick")
    assert report.facts.capture == "graph"
    assert "logdet" in {f.op for f in report.findings if f.kind == "precision"}
