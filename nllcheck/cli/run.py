"""`nllcheck run`: from options to a report, and from the report to an exit code."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nllcheck.cli.ending import users_code
from nllcheck.cli.output import destination, progress, show
from nllcheck.errors import NllcheckError, did_you_mean

if TYPE_CHECKING:
    from nllcheck.load import Request
    from nllcheck.report import Report

EXIT_CODES = (
    "Ends with 0: nothing at or above --fail-on; 1: findings; 2: unusable input; 3: internal error; "
    "4: something that was asked for was not evaluated."
)
SEEDS = range(-(2**63), 2**64)  # what torch takes

Texts = list[str] | None


def _option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help)


def run(
    paths: Annotated[Texts, typer.Argument(metavar="MODEL", help="Checkpoints of one run, oldest first.")] = None,
    batch: Annotated[Texts, _option("File with (inputs, targets); several are followed.", "--batch")] = None,
    loss: Annotated[str | None, _option("module:function or file.py:function.")] = None,
    model: Annotated[str | None, _option("module:factory or file.py:factory.")] = None,
    sweep: Annotated[Texts, _option("NAME=LOW:HIGH[:COUNT][:log], only these.", "--sweep")] = None,
    rules: Annotated[Texts, _option("Folder with rule files of your own.", "--rules")] = None,
    device: Annotated[str | None, _option("auto, cpu, cuda or cuda:N.")] = None,
    dtype: Annotated[str | None, _option("float32, float64, float16 or bfloat16.")] = None,
    format: Annotated[str, _option("What is printed: terminal or json.")] = "terminal",
    output: Annotated[Texts, _option("KIND=PATH, written beside what is printed.", "--output", "-o")] = None,
    fail_on: Annotated[str | None, _option("error, warning, note or never.")] = None,
    seed: Annotated[int | None, _option("For noise inside the loss.")] = None,
    memory: Annotated[str | None, _option("Budget of a sweep, for example 2G.")] = None,
    points: Annotated[int | None, _option("Points on each axis.", "--points")] = None,
    support: Annotated[str | None, _option("Where targets live: real, positive, unit, simplex, count, ...")] = None,
    base_measure: Annotated[str | None, _option("A factor of the target the loss leaves out: 1/y!")] = None,
    nll: Annotated[bool, _option("The loss is meant as a negative log-likelihood.", "--nll")] = False,
    target: Annotated[str | None, _option("A target named in pyproject.toml.")] = None,
    init: Annotated[bool, _option("Check a freshly built model, without a checkpoint.", "--init")] = False,
    trust: Annotated[bool, _option("Let files run code (pickled modules, TorchScript).", "--trust")] = False,
    verbose: Annotated[bool, _option("Say more about notes and verdicts.", "--verbose", "-v")] = False,
) -> None:
    """Check a checkpoint's loss on a batch."""
    from nllcheck.report.formats import renderer, write

    renderer(format)
    outputs = [destination(text) for text in output or ()]
    given: dict[str, Any] = {"sweep": tuple(sweep or ()) or None, "rules": tuple(rules or ()) or None}
    given |= {"device": device, "dtype": dtype, "fail_on": fail_on, "seed": seed, "memory": memory, "points": points}
    given |= {"support": support, "base_measure": base_measure, "nll": nll or None}
    _check_values(given)
    with users_code(), progress() as tell:
        tell("loading")
        from nllcheck.load import Request

        request = Request(tuple(paths or ()), model, loss, tuple(batch or ()), target, trust, init)
        report = checked(request, given, tell)
    show((report,), format, verbose)
    for kind, path in outputs:
        write(renderer(kind)((report,)), path)
    raise typer.Exit(report.exit_code)


def checked(request: Request, given: Mapping[str, Any], tell: Callable[[str], None]) -> Report:
    """Load what was asked for and check it, with the command line's options over the file's."""
    from dataclasses import asdict, replace

    from nllcheck.check import Options
    from nllcheck.check import run as run_check
    from nllcheck.load import load_target

    target, settings = load_target(request)
    values = {k: v for k, v in asdict(settings).items() if v is not None}
    values |= {k: v for k, v in given.items() if v is not None}
    _check_values(values)
    target = replace(target, command=target.command + _spelled(given))
    return run_check(target, Options(**values, progress=tell))


def _spelled(given: Mapping[str, Any]) -> str:
    """The options of the command line that a finding depends on, for the command that shows it again."""
    words: list[str] = []
    for name in ("device", "dtype", "seed", "rules"):
        value = given.get(name)
        for one in value if isinstance(value, tuple) else () if value is None else (value,):
            words += [f"--{name}", str(one)]
    return f" {shlex.join(words)}" if words else ""


def _check_values(values: Mapping[str, Any]) -> None:
    """Refuse before the work what would be refused after it, or taken for something else."""
    from nllcheck.report import FAIL_ON

    severity, points, seed = (values.get(name) for name in ("fail_on", "points", "seed"))
    if severity is not None and severity not in FAIL_ON:
        hint = did_you_mean(severity, FAIL_ON)
        raise NllcheckError(f"unknown severity '{severity}'", where="fail_on", hint=hint)
    if points is not None and points < 2:
        raise NllcheckError(f"{points} points are no sweep", where="points", hint="take 2 or more")
    if seed is not None and seed not in SEEDS:
        raise NllcheckError(f"{seed} does not fit 64 bits", where="seed", hint="take a smaller seed")
