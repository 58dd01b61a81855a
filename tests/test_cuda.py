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


def alarms(name: str, device: str) -> set[tuple[str, str, int, str]]:
    case = ALL[name]
    report = nllcheck.check(case.loss, model=model_for(case), batch=batch_for(case), device=device)
    assert report.facts.device.startswith(device)
    return {(f.op, f.phase, f.site.line, f.verdict) for f in report.findings if f.severity != "note" and f.site}


@pytest.mark.parametrize("name", ALL)
def test_cuda_finds_what_the_cpu_finds(name):
    assert alarms(name, "cuda") == alarms(name, "cpu")
