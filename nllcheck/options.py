"""How to check: the options, read from what a caller gives, and the stage clock."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.exact.meter import seconds_spent
from nllcheck.sweep.plan import Engine, local
from nllcheck.types import EFFORTS, Effort


def _silent(text: str) -> None:
    """Progress goes nowhere unless somebody asks for it."""


@dataclass(frozen=True, slots=True)
class Options:
    """How to check; the same names on the command line and in Python."""

    sweep: tuple[str, ...] = ()  # "rho=-1:1:1001": restricts the sweep to these names and ranges
    rules: tuple[str, ...] = ()  # folders of rule files beside the shipped ones
    device: str = "auto"
    dtype: str | None = None  # None: the model's own
    fail_on: str = "error"
    seed: int = 0
    memory: str = "1G"
    effort: str = "default"  # quick, default or thorough: how many axes and points
    points: int | None = None  # a default axis; None: by the size of the batch
    min_bits: int | None = None  # correct bits below which a finite result is reported; None: 10 of 24 in float32
    support: str | None = None  # of the target: real, positive, unit, ..., as `density.support.SUPPORTS` lists
    base_measure: str | None = None  # a factor of the target that the loss leaves out: "1/y!"
    fuse: bool | None = None  # compile the sweeps or do not; None: on a GPU, where it is worth while
    as_compiled: bool = False  # look also at what torch.compile makes of the loss
    nll: bool = False  # the loss is meant as a negative log-likelihood, whatever its name
    progress: Callable[[str], None] = _silent
    engine: Engine = local  # where the points are evaluated: see `nllcheck.engine`


def bytes_of(text: str | int) -> int:
    """'512M', '2G' or plain bytes -> bytes. Raises NllcheckError for anything else."""
    units = {"k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}
    plain = str(text).strip().lower().removesuffix("b").removesuffix("i")
    try:
        number = float(plain[:-1]) * units[plain[-1]] if plain[-1:] in units else float(plain)
    except ValueError:
        number = 0.0
    if not 1 <= number < 2**63:
        raise NllcheckError(f"cannot read the memory budget '{text}'", hint="write 512M, 2G or a number of bytes")
    return int(number)


def options_of(given: Mapping[str, Any]) -> Options:
    known = {f.name for f in fields(Options)}
    for name in given:
        if name not in known:
            raise NllcheckError(f"unknown option '{name}'", hint=did_you_mean(name, known))
    values = dict(given)
    if isinstance(values.get("sweep"), Mapping):
        values["sweep"] = tuple(f"{name}={_range(name, ends)}" for name, ends in values["sweep"].items())
    for name in ("sweep", "rules"):
        if isinstance(values.get(name), (str, bytes)) or hasattr(values.get(name), "__fspath__"):
            values[name] = (str(values[name]),)
        elif name in values:
            values[name] = tuple(map(str, values[name]))
    return Options(**values)


def _range(name: str, ends: Any) -> str:
    if not isinstance(ends, (tuple, list)) or len(ends) != 2:
        raise NllcheckError(f"cannot read the range of '{name}': {ends!r}", hint='write sweep={"rho": (-1, 1)}')
    return f"{ends[0]!r}:{ends[1]!r}"


def effort_of(text: str) -> Effort:
    """The name of an effort. Raises NllcheckError for anything else."""
    if text not in EFFORTS:
        raise NllcheckError(f"unknown effort '{text}'", hint=did_you_mean(text, EFFORTS))
    return text


def settings_of(options: Options) -> dict[str, str]:
    shown = {f.name: getattr(options, f.name) for f in fields(Options) if f.name not in ("progress", "engine")}
    return {name: str(value) for name, value in shown.items() if value not in (None, (), False)}


class Clock:
    """Seconds a stage, and a word on standard error for whoever waits."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self.tell = tell
        self.stage = ""
        self.since = 0.0
        self.exact = seconds_spent()

    def start(self, stage: str) -> None:
        self.stop()
        self.stage, self.since = stage, time.perf_counter()
        self.tell(stage)

    def end(self) -> None:
        self.stop()
        self.seconds["exact arithmetic (of these)"] = seconds_spent() - self.exact

    def stop(self) -> None:
        if self.stage:
            self.seconds[self.stage] = time.perf_counter() - self.since
