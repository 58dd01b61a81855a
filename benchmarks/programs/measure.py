"""What one check takes and finds."""

from __future__ import annotations

import resource
import time
from typing import Any

import torch

import nllcheck
from benchmarks.programs import PROGRAMS
from benchmarks.programs.program import Program


def measured(name: str) -> dict[str, Any]:
    """One check, in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    program = next(p for p in PROGRAMS if p.name == name)
    model, batch = program.make()
    start = time.process_time()
    report = nllcheck.check(program.loss, model=model, batch=batch)
    seconds, peak = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    stages = dict(report.facts.seconds)
    return {"name": name, "seconds": seconds, "memory": peak, "how": report.facts.capture, "stages": stages,
            **alarms(program, report)}  # fmt: skip


def alarms(program: Program, report: Any) -> dict[str, list[str]]:
    """The marked lines that no alarm names, and the alarms that name another."""
    told = [f for f in report.findings if f.severity != "note"]
    lines = {f.site.line for f in told if f.site}
    others = [f"{f.rule} {f.op} {f.verdict}" for f in told if not f.site or f.site.line not in program.guilty]
    return {"missed": [f"line {line}" for line in sorted(program.guilty - lines)], "false": others}
