"""The first station of a failure is where it comes from, also where float64 fails in the same way."""

from __future__ import annotations

import pytest
import torch

import nllcheck

ROWS = torch.randn(5, 8, generator=torch.Generator().manual_seed(0))


def log_mean_exp(rows, other):
    log_w = rows - 0.5 * (1 + other - other.exp())  # for a small `other` 0 in float32, and not in float64
    return -torch.log(torch.exp(log_w).mean(0)).mean()


@pytest.mark.parametrize("away", [200.0, 2000.0], ids=["float64 is finite", "float64 fails, too"])
def test_what_vanishes_is_told_and_not_what_else_was_rounded(away):
    report = nllcheck.check_function(log_mean_exp, {"rows": ROWS - away, "other": 1e-4 * ROWS}, effort="quick")
    finding = report.findings[0]
    assert (finding.rule, finding.on_batch) == ("NLL208", True)
    assert [(step.op, step.what) for step in finding.chain[:2]] == [("exp", "underflow"), ("log", "inf")]
