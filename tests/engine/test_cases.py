"""Laws that hold for every loss of the table: right culprit, no false alarm, and agreement with the serial loop."""

from __future__ import annotations

import json
import math

import pytest
import torch
from cases import ALL, BAD, GOOD, batch_for, model_for, report_of

import nllcheck


@pytest.mark.parametrize("case", BAD, ids=lambda c: c.name)
def test_culprit_is_named_with_op_phase_and_line(case):
    found = [(f.op, f.phase, f.site.line, f.severity) for f in report_of(case.name).findings if f.site]
    alarms = [f[:3] for f in found if f[3] in ("error", "warning")]
    assert (case.op, case.phase, case.line) in alarms, found


@pytest.mark.parametrize("case", BAD, ids=lambda c: c.name)
def test_alarms_on_bad_losses_point_at_the_marked_line_only(case):
    lines = {f.site.line for f in report_of(case.name).findings if f.site and f.severity != "note"}
    assert lines == {case.line}


@pytest.mark.parametrize("case", GOOD, ids=lambda c: c.name)
def test_good_losses_raise_no_alarm(case):
    report = report_of(case.name)
    assert [f for f in report.findings if f.severity != "note"] == []
    assert report.ok


def serial(case, axis, value: float, dtype: torch.dtype = torch.float32) -> tuple[float, torch.Tensor]:
    """Loss and gradient at one point by the user's own code: the model's output with one channel set."""
    inputs, targets = batch_for(case)
    with torch.no_grad():
        output = model_for(case)(inputs).to(dtype)
    targets = targets.to(dtype) if targets.is_floating_point() else targets
    if axis.mode == "scale":
        output = output * value
    elif axis.mode == "toward":
        output = moved_toward(axis.goal, output, value)
    else:
        start, stop = axis.channel
        output[..., start:stop] = value
    output.requires_grad_()
    loss = case.loss(output, targets)
    return float(loss.detach()), torch.autograd.grad(loss, output)[0]


def moved_toward(goal: str, output: torch.Tensor, share: float) -> torch.Tensor:
    """The first row on its way to zero, to its mean or to the second row."""
    end = output.clone()
    end[0] = {"zero row": 0 * end[0], "constant row": end[0].mean().expand(3), "equal rows": end[1]}[goal]
    return end if share == 1 else output + share * (end - output)


@pytest.mark.parametrize("name", ALL)
def test_sweep_agrees_with_the_serial_loop(name):
    case = ALL[name]
    for table in report_of(name).sweeps:
        if table.axis.role != "output" or table.axis.other >= 0 or table.axis.moves:
            continue
        for k in range(0, len(table.values), 37):
            loss, gradient = serial(case, table.axis, table.values[k])
            assert_same(table.loss[k], loss)
            finite = bool(torch.isfinite(gradient).all())
            assert (table.gradient_state[k] == "finite") == finite, (table.axis.label, table.values[k])


def assert_same(swept: float, alone: float) -> None:
    if math.isfinite(alone):
        assert swept == pytest.approx(alone, rel=2e-5, abs=1e-6)
    else:
        assert swept == alone or (math.isnan(swept) and math.isnan(alone))


@pytest.mark.parametrize("name", ALL)
def test_thresholds_are_exact_floats_of_the_users_own_code(name):
    case = ALL[name]
    report = report_of(name)
    axes = {t.axis.label: t.axis for t in report.sweeps}
    for finding in report.findings:
        axis = axes.get(finding.axis or "")
        if (
            axis is None
            or axis.role != "output"
            or axis.other >= 0
            or finding.last_good is None
            or finding.kind not in ("nan", "inf")
        ):
            continue
        good, bad = (torch.tensor(v, dtype=torch.float32) for v in (finding.last_good, finding.threshold))
        assert torch.nextafter(good, bad) == bad
        assert is_bad(case, axis, finding.threshold, finding.phase)
        assert not is_bad(case, axis, finding.last_good, finding.phase)


def is_bad(case, axis, value: float, phase: str) -> bool:
    loss, gradient = serial(case, axis, value)
    return not math.isfinite(loss) if phase == "forward" else not bool(torch.isfinite(gradient).all())


@pytest.mark.parametrize("name", ["pdf_then_log", "cross_entropy"])
def test_same_seed_same_bytes(name):
    case = ALL[name]
    again = nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case))
    assert again.to_json() == report_of(name).to_json()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", ALL)
def test_the_break_map_agrees_with_the_serial_loop(name, dtype):
    """Each value told is the first that is not survived: the float before it, on the batch's side, still is."""
    report, case = report_of(name), ALL[name]
    axes = {table.axis.label: table.axis for table in report.sweeps}
    rows = [b for b in report.breaks if b.dtype == str(dtype).removeprefix("torch.")]
    assert rows
    for row in rows:
        middle = torch.tensor(sum(row.observed) / 2, dtype=dtype)
        for edge in (torch.tensor(v, dtype=dtype) for v in (row.below, row.above) if v is not None):
            for at, is_sound in ((edge, False), (torch.nextafter(edge, middle), True)):
                loss, gradient = serial(case, axes[row.axis], float(at), dtype)
                assert (math.isfinite(loss) and bool(torch.isfinite(gradient).all())) == is_sound, (row, float(at))


@pytest.mark.parametrize("case", [*BAD[::6], *GOOD[::9]], ids=lambda c: c.name)
def test_the_size_of_the_chunks_changes_no_finding(case):
    """1 MB holds a few dozen points, so that a sweep of 1,000 takes many chunks."""
    again = nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case), memory="1M")
    for part in ("findings", "breaks"):
        assert json.loads(again.to_json())[part] == json.loads(report_of(case.name).to_json())[part]
