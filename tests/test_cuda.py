"""The same findings on a GPU: ops, lines, phases and verdicts are the CPU's; thresholds may differ by libm."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

import nllcheck

sys.path.insert(0, str(Path(__file__).parent / "engine"))
from cases import ALL, batch_for, model_for

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


def checked(name: str, device: str, **options: bool) -> nllcheck.Report:
    case = ALL[name]
    return nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case), device=device, **options)


def alarms(name: str, device: str, **options: bool) -> set[tuple[str, str, int, str]]:
    report = checked(name, device, **options)
    assert report.facts.device.startswith(device)
    return {(f.op, f.phase, f.site.line, f.verdict) for f in report.findings if f.severity != "note" and f.site}


@pytest.mark.parametrize("name", ALL)
def test_cuda_finds_what_the_cpu_finds(name):
    assert alarms(name, "cuda") == alarms(name, "cpu")


@pytest.mark.parametrize("name", list(ALL)[:4])
def test_compiled_sweeps_find_what_plain_ones_do(name):
    assert alarms(name, "cuda", fuse=True) == alarms(name, "cuda", fuse=False)


@pytest.mark.parametrize("name", list(ALL)[:4])
def test_thresholds_of_the_cpu_stand_beside_those_that_differ(name):
    """Where the CPU's float32 edge is another one it is told, in the break map, and only there."""
    here, there = (checked(name, device).breaks for device in ("cuda", "cpu"))
    own = {(b.axis, b.below, b.above) for b in here if b.dtype == "float32"}
    told = {(b.axis, b.below, b.above) for b in here if b.dtype == "float32 on the cpu"}
    assert told == {(b.axis, b.below, b.above) for b in there if b.dtype == "float32"} - own


def test_what_torch_compile_makes_of_a_loss_is_looked_at_on_the_gpu():
    report = checked(next(iter(ALL)), "cuda", as_compiled=True)
    assert report.incomplete == ()
