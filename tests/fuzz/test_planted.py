"""Random losses with one planted defect: it is found at its op; without one an alarm is true, or there is none."""

from __future__ import annotations

import math
from functools import cache

import torch
from hypothesis import given, settings
from programs import PLANTS, SAFE, STEPS, Program, programs

import nllcheck

# Steps after which values stay small, so that nothing but the plant can fail near the batch.
TAME = {k: v for k, v in SAFE.items() if k not in ("mul", "square", "cube", "cumsum", "norm", "var", "ones at least")}


def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {name: torch.randn(2, 2, generator=generator) for name in ("x", "y")}


@cache
def report_of(program: Program) -> nllcheck.Report:
    return nllcheck.check_function(program, tensors(), target="y", points=24)


def alarms(report: nllcheck.Report) -> list[nllcheck.report.Finding]:
    return [f for f in report.findings if f.kind in ("nan", "inf") and f.severity != "note"]


@settings(max_examples=9, deadline=None, derandomize=True)
@given(programs(TAME, 4, tuple(PLANTS)))
def test_a_planted_defect_is_found_at_its_op(program):
    report = report_of(program)
    assert not [s for s in (*report.skipped, *report.notes) if "search" in s or "op by op" in s]
    planted = [f for f in alarms(report) if f.op in PLANTS[program.plant][0].split()]
    line = PLANTS[program.plant][1].__code__.co_firstlineno
    assert line in {f.site.line for f in planted if f.site}, [(f.op, f.severity, f.message) for f in report.findings]


@settings(max_examples=9, deadline=None, derandomize=True)
@given(programs(TAME, 5))
def test_a_loss_without_a_pole_raises_no_alarm(program):
    assert alarms(report_of(program)) == []


@settings(max_examples=9, deadline=None, derandomize=True)
@given(programs(STEPS, 4))
def test_an_alarm_on_any_loss_is_true(program):
    """At the witness loss or gradient are not finite, and a defect's exact value is a number."""
    report = report_of(program)
    for found in alarms(report):
        assert found.verdict in ("defect", "limit", "undecided")
        if found.axis is None or "=" in found.axis or found.witness is None:
            continue
        table = next(t for t in report.sweeps if t.axis.label == found.axis)
        if table.axis.mode == "toward":
            continue
        assert not finite_at(program, table.axis, found.witness), (found.message, found.witness)
        if found.verdict == "defect" and found.phase == "forward":
            assert math.isfinite(found.reference_loss)


def finite_at(program: Program, axis, value: float) -> bool:
    """Are loss and gradient finite, by the program's own code, at one value of an axis?"""
    moved = tensors()
    name = ("x", "y")[axis.node]
    start, stop = axis.channel or (0, 2)
    if axis.mode == "scale":
        moved[name] = moved[name] * value
    else:
        moved[name][..., start:stop] = value
    leaves = [t.requires_grad_() for t in moved.values()]
    loss = program(**moved)
    gradients = torch.autograd.grad(loss, leaves[0], allow_unused=True)
    return all(bool(torch.isfinite(g).all()) for g in (loss.detach(), *gradients) if g is not None)
