"""The epsilon below which it no longer bends the density, against the loss written with that epsilon."""

from __future__ import annotations

import math
import re

import pytest
import torch

from nllcheck import check_function

torch.manual_seed(0)
Y = torch.softmax(torch.randn(6, 3) * 0.2, -1)
SHAPES = {"ordinary": torch.tensor([5.0, 3.0, 2.0]), "concentrated": torch.tensor([50.0, 30.0, 20.0])}


def dirichlet(epsilon):
    def dirichlet_nll(conc, y):
        log_y = torch.log(y + epsilon)
        norm = torch.lgamma(conc.sum(-1)) - torch.lgamma(conc).sum(-1)
        return -(((conc - 1) * log_y).sum(-1) + norm).mean()

    return dirichlet_nll


def messages(epsilon, conc):
    report = check_function(dirichlet(epsilon), {"conc": conc, "y": Y}, target="y", points=9, effort="quick")
    return " ".join([*(f.message for f in report.findings if f.kind == "wrong-density"), *report.notes])


def spread(text):
    """log Z's range over the batch, as the report prints it; 0 where Z is the same."""
    found = re.search(r": ([\d.e+-]+) \.\. ([\d.e+-]+) on the batch", text)
    return math.log(float(found[2]) / float(found[1])) if found else 0.0


@pytest.mark.parametrize("name", SHAPES)
def test_the_epsilon_that_is_named_is_small_enough_and_ten_times_it_is_not(name):
    conc = SHAPES[name] * torch.linspace(0.5, 1.5, 6)[:, None]
    told = re.search(r"With an epsilon of ([\d.e-]+) beside the target", messages(1e-2, conc))
    assert told is not None
    assert spread(messages(float(told[1]), conc)) < 0.011 < spread(messages(10 * float(told[1]), conc))


def test_a_loss_that_varies_for_another_reason_names_none():
    def dirichlet_nll(conc, y):
        return -((conc - 1) * torch.log(y)).sum(-1).mean()

    report = check_function(
        dirichlet_nll, {"conc": SHAPES["ordinary"].expand(6, 3) * 1.0, "y": Y}, target="y", points=9
    )
    assert not any("With an epsilon" in f.message for f in report.findings)
