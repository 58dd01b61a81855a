"""What each tool says about a case, in one form.

Protocol. nllcheck gets the ordinary batch and nothing else. The other tools look at one batch only and cannot search,
so each is asked twice: on the same ordinary batch, and on the batch at the extreme values that make the bug fail,
which no user would have at hand. Extreme values of a sound loss are values on which it is right.
"""

from __future__ import annotations

import re
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

import nllcheck
from benchmarks.detect.case import Case, Setup
from benchmarks.detect.plain import Program, program
from nllcheck import ops

CASES_FOLDER = str(Path(__file__).parent / "cases")


@dataclass(frozen=True, slots=True)
class Flag:
    """One thing a tool reports. None: the tool does not say."""

    is_alarm: bool = True  # False: a remark that asks for nothing
    kind: str | None = None
    op: str | None = None
    line: tuple[str, int] | None = None
    phase: str | None = None
    verdict: str | None = None
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """All that a tool says about a case, and the seconds it took. `error`: it could not check the case at all."""

    flags: tuple[Flag, ...] = ()
    seconds: float = 0.0
    error: str = ""


Tool = Callable[[Case, Setup], tuple[Flag, ...]]


def ask(tool: Tool, case: Case, setup: Setup) -> Answer:
    """One tool on one case, timed; whatever it raises is its error."""
    start = time.perf_counter()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = Answer(tool(case, setup))
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        answer = Answer(error=f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})")
    return replace(answer, seconds=time.perf_counter() - start)


def by_nllcheck(case: Case, setup: Setup) -> tuple[Flag, ...]:
    """Errors and warnings are alarms, notes are remarks."""
    if setup.model is None:
        report = nllcheck.check_function(case.loss, setup.tensors, target=setup.targets)
    else:
        batch = (setup.tensors["inputs"], setup.tensors["targets"])
        report = nllcheck.check(case.loss, model=setup.model, batch=batch)
    return tuple(_flag(finding) for finding in report.findings)


def _flag(finding: Any) -> Flag:
    site = finding.site
    return Flag(
        is_alarm=finding.severity != "note",
        kind=finding.kind,
        op=finding.op,
        line=(site.path, site.line) if site else None,
        phase=finding.phase,
        verdict=finding.verdict,
        text=f"{finding.severity} {finding.rule}: {finding.message}",
    )


def by_isfinite(case: Case, setup: Setup) -> tuple[Flag, ...]:
    """`if not torch.isfinite(loss)`: what most training loops have."""
    loss = program(case, setup).loss()
    return () if bool(torch.isfinite(loss)) else (Flag(text=f"loss = {float(loss)}"),)


def by_anomaly_mode(case: Case, setup: Setup) -> tuple[Flag, ...]:
    """`torch.autograd.set_detect_anomaly(True)`: names the backward function and prints where it was called."""
    run = program(case, setup)
    with warnings.catch_warnings(record=True) as said, torch.autograd.set_detect_anomaly(True):
        warnings.simplefilter("always")
        loss = run.loss()
        try:
            torch.autograd.grad(loss, run.leaves, allow_unused=True)
        except RuntimeError as error:
            if "returned nan" not in str(error):
                raise
            return (_anomaly(str(error), "\n".join(str(w.message) for w in said)),)
    return ()


def _anomaly(error: str, trace: str) -> Flag:
    name = re.search(r"'(\w+?)Backward\d*'", error)
    lines = [m for m in re.findall(r'File "([^"]+)", line (\d+)', trace) if m[0].startswith(CASES_FOLDER)]
    line = (lines[-1][0], int(lines[-1][1])) if lines else None
    return Flag(op=_op_of_class(name[1]) if name else None, line=line, phase="backward", text=error)


def _op_of_class(name: str) -> str:
    """`LogSoftmax` -> the rule name of `log_softmax` or `_log_softmax`."""
    snake = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    return next((row for row in map(ops.rule_name, (f"aten.{snake}", f"aten._{snake}")) if row in ops.BY_NAME), snake)


class _FirstBad(TorchDispatchMode):
    """Remembers the first op, forward or backward, whose output is not finite."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Flag | None = None
        self.phase = "forward"

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        out = func(*args, **(kwargs or {}))
        if self.found is None and any(map(_is_bad, pytree.tree_leaves(out))):
            self.found = Flag(op=ops.rule_name(str(func)), line=_calling_line(), phase=self.phase, text=str(func))
        return out


def _is_bad(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all())


def _calling_line() -> tuple[str, int] | None:
    frame = sys._getframe()
    while frame is not None:
        if frame.f_code.co_filename.startswith(CASES_FOLDER):
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back  # type: ignore[assignment]
    return None


def by_dispatch_mode(case: Case, setup: Setup) -> tuple[Flag, ...]:
    """A `TorchDispatchMode` that stops at the first op with a NaN or an infinity in its output."""
    run, mode = program(case, setup), _FirstBad()
    with mode:
        loss = run.loss()
        mode.phase = "backward"
        torch.autograd.grad(loss, run.leaves, allow_unused=True)
    return (mode.found,) if mode.found else ()


def by_gradcheck(case: Case, setup: Setup) -> tuple[Flag, ...]:
    """`torch.autograd.gradcheck`, which needs float64: backward against differences, on the batch."""
    run = program(case, setup, torch.float64)
    try:
        torch.autograd.gradcheck(lambda *_: _used(run), run.leaves)
    except RuntimeError as error:  # GradcheckError, and its own refusal of a NaN
        return (Flag(phase="backward", text=str(error).splitlines()[0]),)
    return ()


def _used(run: Program) -> torch.Tensor:
    """The loss, tied to every leaf: gradcheck refuses inputs that do not reach the output."""
    return run.loss() + sum(0.0 * leaf.detach().sum() for leaf in run.leaves)


NLLCHECK = "nllcheck"
TOOLS: dict[str, Tool] = {
    NLLCHECK: by_nllcheck,
    "anomaly mode": by_anomaly_mode,
    "dispatch mode": by_dispatch_mode,
    "gradcheck": by_gradcheck,
    "isfinite": by_isfinite,
}
