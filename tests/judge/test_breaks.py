"""The break map against thresholds that are known from the dtype."""

from __future__ import annotations

import math

import pytest
import torch

import nllcheck
from nllcheck.report import margins

X = torch.linspace(-2, 2, 16)


def exponential(x):
    return torch.exp(x).mean()


def breaks_of(loss, tensors):
    report = nllcheck.check_function(loss, tensors)
    return report, {b.dtype: b for b in report.breaks if b.axis == "x"}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
def test_exp_breaks_at_the_first_float_whose_exp_is_infinite(dtype):
    _, found = breaks_of(lambda x: torch.exp(x).amax(), {"x": X})
    edge = found[str(dtype).removeprefix("torch.")].above
    at = torch.tensor(edge, dtype=dtype)
    before = (
        torch.nextafter(at.float(), torch.tensor(0.0)) if dtype == torch.float32 else at * (1 - torch.finfo(dtype).eps)
    )
    assert torch.isinf(torch.exp(at)) and torch.isfinite(torch.exp(before.to(dtype)))


def test_margin_is_the_factor_on_the_batch():
    _, found = breaks_of(exponential, {"x": X})
    assert found["float32"].reach == pytest.approx(found["float32"].above / 2, rel=1e-6)
    assert found["float16"].reach < found["float32"].reach < found["float64"].reach
    assert found["float32"].below is None


def test_a_loss_that_never_breaks_has_no_margin():
    report, found = breaks_of(lambda x: torch.tanh(x).mean(), {"x": X})
    assert all(b.below is None and b.above is None and math.isinf(b.reach) for b in found.values())
    assert margins.rows(report.breaks, "float32") == []
    assert margins.rows(report.breaks, "float32", every=True)


def test_a_margin_of_more_than_a_million_in_every_dtype_is_left_to_verbose():
    def nearly(x, far):
        return torch.exp(x).mean() + (1e-30 * far).mean()

    report = nllcheck.check_function(nearly, {"x": X, "far": X})
    assert {b.axis for b in report.breaks if b.reach > margins.FAR} >= {"far"}
    told, all_told = (margins.rows(report.breaks, "float32", every=every) for every in (False, True))
    assert [row.split(" (")[0] for row in told] == ["x", "1 more with --verbose"]
    assert any(row.startswith("far (") for row in all_told)


def test_the_row_says_values_and_margin():
    report, found = breaks_of(exponential, {"x": X})
    row = margins.rows(report.breaks, "float32")[0]
    assert row.startswith("x (batch -2 to 2)") and f">= {found['float32'].above:.7g}"[:8] in row
