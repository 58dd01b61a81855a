"""No verdict hangs on the last bit of a kernel: another device's find the same, a rounding or so away."""

import pytest
import torch
from cases import ALL, BAD, GOOD, batch_for, model_for, report_of
from kernels import another_device

import nllcheck

NAMES = [case.name for case in (*BAD[::3], *GOOD[::5])]


def checked_there(name):
    """The loss' report from the other device."""
    case = ALL[name]
    with another_device():
        return nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case))


def told(report):
    """What is said of the loss; not which floats next to a threshold have few digits, which hangs on every rounding."""
    said = [f for f in report.findings if f.severity != "note" or f.kind != "precision"]
    return {(f.rule, f.kind, f.verdict, f.severity, f.phase, f.op, f.site and f.site.line) for f in said}


def edges(report):
    """The first failing values of each axis in the training dtype, nan for none."""
    ends = {b.axis: (b.below, b.above) for b in report.breaks if b.dtype == "float32"}
    return {axis: [float("nan") if end is None else end for end in pair] for axis, pair in ends.items()}


@pytest.mark.parametrize("name", NAMES)
def test_findings_are_the_same_and_thresholds_a_rounding_away(name):
    there = checked_there(name)
    assert told(there) == told(report_of(name))
    here, others = edges(report_of(name)), edges(there)
    assert here.keys() == others.keys()
    for axis, pair in here.items():
        assert pair == pytest.approx(others[axis], rel=0.09, nan_ok=True), axis  # tanh is 1 from 9.01 on, or from 8.3


def test_the_other_device_is_another_one_and_goes_again():
    x = torch.linspace(-3, 3, 101)
    plain, backwards = torch.exp(x), torch.tensor([1.0, 1e8, -1e8])
    assert float(backwards.sum()) == 0
    with another_device():
        assert 20 < int((torch.exp(x) != plain).sum()) < 80
        assert torch.allclose(torch.exp(x), plain, rtol=2e-7, atol=0)
        assert torch.func.vmap(torch.exp)(x).equal(torch.exp(x))
        assert float(backwards.sum()) == 1
    assert torch.exp(x).equal(plain)
