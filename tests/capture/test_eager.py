"""The fallback against brute force: losses that branch, select by masks, or raise."""

from __future__ import annotations

import math

import pytest
import torch

import nllcheck


def branches(output, target):
    z = output[:, 0] - target
    if z.abs().max().item() > 5.0:
        return torch.log(1 + torch.exp(output[:, 0])).mean()  # <- here
    return (z**2).mean()


def boolean_mask(output, target):
    keep = output[:, 0] > -1000
    p = torch.softmax(output, -1)[keep].sort(0).values
    return -torch.log(p[:, 0]).sum() / len(p)  # <- here


def raises_late(output, target):
    if output[:, 0].max().item() > 50:
        raise ValueError("rate too large")  # <- here
    keep = output[:, 0] > -1000
    return (output[:, 0] - target)[keep].pow(2).mean()


CASES = {
    branches: ("exp", "forward", "inf", 88.72283935546875),
    boolean_mask: ("log", "backward", "nan", None),
    raises_late: (None, "forward", "raises", 50.0),
}


def batch():
    torch.manual_seed(0)
    return torch.randn(8, 3), torch.randn(8)


def model():
    torch.manual_seed(0)
    return torch.nn.Linear(3, 2)


def line_of(loss) -> int:
    import inspect

    lines, start = inspect.getsourcelines(loss)
    return next(start + i for i, text in enumerate(lines) if "# <- here" in text)


def brute_force(loss, axis, value: float) -> float:
    """The user's function with one channel of the output set: its value, NaN included; -1 where it raises."""
    inputs, targets = batch()
    with torch.no_grad():
        output = model()(inputs)
    output[..., axis.channel[0] : axis.channel[1]] = value
    try:
        return float(loss(output, targets))
    except ValueError:
        return -1.0


@pytest.mark.parametrize("loss", CASES, ids=lambda f: f.__name__)
def test_fallback_finds_what_brute_force_finds(loss):
    op, phase, kind, threshold = CASES[loss]
    report = nllcheck.check(loss, model=model(), batch=batch())
    assert report.facts.capture == "eager"
    assert "run op by op" in report.notes[0] and report.skipped
    found = [f for f in report.findings if (f.phase, f.kind) == (phase, kind) and f.site.line == line_of(loss)]
    if kind == "raises":
        found = [f for f in report.findings if f.kind == "raises"]
    assert found, report.findings
    lead = found[0]
    assert op is None or lead.op == op
    axis = next(t.axis for t in report.sweeps if t.axis.label == lead.axis)
    if axis.mode == "set":
        measured = slope if lead.phase == "backward" else brute_force
        bad, good = (measured(loss, axis, v) for v in (lead.threshold, lead.last_good))
        assert (not math.isfinite(bad) or bad == -1.0) and math.isfinite(good) and good != -1.0
    if threshold is not None and axis.mode == "set":
        assert abs(lead.threshold) == pytest.approx(threshold, rel=1e-6)


def slope(loss, axis, value: float) -> float:
    """The derivative of the user's function by one channel of the output, set to one value for every row."""
    inputs, targets = batch()
    with torch.no_grad():
        output = model()(inputs)
    moved = torch.tensor(value, requires_grad=True)
    channels = [moved.expand(8) if axis.channel[0] == k else output[:, k] for k in range(2)]
    return float(torch.autograd.grad(loss(torch.stack(channels, -1), targets), moved)[0])


def test_sweep_agrees_with_brute_force():
    report = nllcheck.check(branches, model=model(), batch=batch())
    for table in report.sweeps:
        if table.axis.channel is None:
            continue
        for value, loss in zip(table.values, table.loss, strict=True):
            alone = brute_force(branches, table.axis, value)
            assert loss == pytest.approx(alone, rel=2e-5, abs=1e-6, nan_ok=True)


def aligned(logits, target):
    return torch.nn.functional.ctc_loss(logits.log_softmax(-1), target, torch.tensor([5]), torch.tensor([2]))


def spectral(logits, target):
    return torch.log1p(torch.fft.rfft(logits).abs()).mean() * target.sum()


@pytest.mark.parametrize("loss", [aligned, spectral])
def test_torchs_remarks_on_its_own_ops_stay_out_of_a_callers_terminal(loss, capfd, recwarn):
    tensors = {"logits": torch.zeros(5, 1, 4), "target": torch.tensor([[1, 2]])}
    nllcheck.check_function(loss, tensors, points=9, effort="quick")
    assert capfd.readouterr().err == "" and not [w for w in recwarn if w.category is UserWarning]
