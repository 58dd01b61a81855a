"""`nllcheck run`: from options to a report, and from the report to an exit code."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nllcheck.cli.ending import heard, users_code
from nllcheck.cli.options import check_values
from nllcheck.cli.output import destination, progress, show, sweep_file
from nllcheck.errors import NllcheckError

if TYPE_CHECKING:
    from nllcheck.report import Report

EXIT_CODES = (
    "Ends with 0: nothing at or above --fail-on; 1: findings; 2: unusable input; 3: internal error; "
    "4: something that was asked for was not evaluated, or the run was cut short."
)

Texts = list[str] | None


WHAT, HOW, FAILS, OUT = "What is checked", "How it is checked", "What fails", "What is written"


def _option(panel: str, help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def run(
    paths: Annotated[Texts, typer.Argument(metavar="MODEL", help="Checkpoints of one run, oldest first.")] = None,
    batch: Annotated[Texts, _option(WHAT, "File with (inputs, targets); several are followed.", "--batch")] = None,
    loss: Annotated[str | None, _option(WHAT, "module:function or file.py:function.")] = None,
    model: Annotated[str | None, _option(WHAT, "module:factory or file.py:factory.")] = None,
    sweep: Annotated[Texts, _option(HOW, "NAME=LOW:HIGH[:COUNT][:log], only these.", "--sweep")] = None,
    rules: Annotated[Texts, _option(FAILS, "Folder with rule files of your own.", "--rules")] = None,
    device: Annotated[str | None, _option(HOW, "auto, cpu, cuda or cuda:N.")] = None,
    dtype: Annotated[str | None, _option(HOW, "float32, float64, float16 or bfloat16.")] = None,
    format: Annotated[str, _option(OUT, "What is printed: terminal, json, github, …", "--format")] = "terminal",
    output: Annotated[Texts, _option(OUT, "KIND=PATH, written beside what is printed.", "--output", "-o")] = None,
    save_sweep: Annotated[str | None, _option(OUT, "Every point, as FILE.csv or FILE.parquet.")] = None,
    fail_on: Annotated[str | None, _option(FAILS, "error, warning, note or never.")] = None,
    select: Annotated[Texts, _option(FAILS, "Only these rules: NLL101, NLL1.", "--select")] = None,
    ignore: Annotated[Texts, _option(FAILS, "Not these rules.", "--ignore")] = None,
    baseline: Annotated[str | None, _option(FAILS, "Only new or worse findings fail.", "--baseline")] = None,
    seed: Annotated[int | None, _option(HOW, "For noise inside the loss.")] = None,
    memory: Annotated[str | None, _option(HOW, "Budget of a sweep, for example 2G.")] = None,
    points: Annotated[int | None, _option(HOW, "Points on each axis.", "--points")] = None,
    min_bits: Annotated[int | None, _option(HOW, "Report results with fewer correct bits.", "--min-bits")] = None,
    support: Annotated[str | None, _option(HOW, "Where targets live: real, positive, simplex, count, …")] = None,
    base_measure: Annotated[str | None, _option(HOW, "A factor of the target the loss leaves out: 1/y!")] = None,
    nll: Annotated[bool, _option(HOW, "The loss is meant as a negative log-likelihood.", "--nll")] = False,
    target: Annotated[str | None, _option(WHAT, "A target named in pyproject.toml.")] = None,
    init: Annotated[bool, _option(WHAT, "Check a freshly built model, without a checkpoint.", "--init")] = False,
    trust: Annotated[bool, _option(WHAT, "Let files run code (pickled modules, TorchScript).", "--trust")] = False,
    no_cache: Annotated[bool, _option(HOW, "Check again what has not changed.", "--no-cache")] = False,
    jobs: Annotated[int | None, _option(HOW, "Targets at once; the machine's cores.", "--jobs", "-j", min=1)] = None,
    timings: Annotated[bool, _option(OUT, "Seconds of every stage, on standard error.", "--timings")] = False,
    quiet: Annotated[bool, _option(OUT, "A line a failing finding, a line a target.", "--quiet", "-q")] = False,
    verbose: Annotated[bool, _option(OUT, "Say more about notes and verdicts.", "--verbose", "-v")] = False,
) -> None:
    """Check a checkpoint's loss on a batch; without MODEL every target of pyproject.toml."""
    from nllcheck.report import exit_code, tables
    from nllcheck.report.formats import renderer, write

    renderer(format)
    outputs = [destination(text) for text in output or ()]
    points_to = sweep_file(save_sweep)
    given: dict[str, Any] = {
        "sweep": _given(sweep),
        "rules": _given(rules),
        "device": device,
        "dtype": dtype,
        "fail_on": fail_on,
    }
    given |= {"seed": seed, "memory": memory, "points": points, "min_bits": min_bits}
    given |= {"support": support, "base_measure": base_measure, "nll": nll or None}
    decided: dict[str, Any] = {"select": _given(select), "ignore": _given(ignore), "baseline": baseline}
    request: dict[str, Any] = {"paths": tuple(paths or ()), "model": model, "loss": loss, "batches": tuple(batch or ())}
    request |= {"target": target, "trust": trust, "init": init}
    reports = gated(request, given, decided, not no_cache, jobs)
    show(reports, format, verbose, quiet)
    for report in reports if timings else ():
        typer.echo(_timed(report), err=True)
    for kind, path in outputs:
        write(renderer(kind)(reports), path)
    if points_to:
        tables.save_sweep(reports, points_to)
    raise typer.Exit(exit_code(reports))


def _timed(report: Report) -> str:
    """Where the time of a check went: "capture 1.02 s, sweep 0.47 s, …"."""
    spent = ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in report.facts.seconds)
    return f"{report.facts.target}: {spent or 'answered from the store of unchanged checks'}"


def _given(texts: Texts) -> tuple[str, ...] | None:
    return tuple(texts) if texts else None


def gated(
    request: Mapping[str, Any],
    given: Mapping[str, Any],
    decided: Mapping[str, Any],
    use_cache: bool = True,
    at_once: int | None = None,
) -> tuple[Report, ...]:
    """Check what was asked for, then apply what the project has decided about findings. Raises NllcheckError."""
    from nllcheck.cli.evaluate import evaluated
    from nllcheck.cli.gate import decisions
    from nllcheck.cli.jobs import plan

    check_values(given)
    try:
        with users_code(), progress() as tell:
            tell("loading")
            jobs = plan(request, given)
            decide = decisions(jobs, decided)  # what cannot be read is refused before the work
            reports, remarks = evaluated(jobs, tell, use_cache, at_once)
    except KeyboardInterrupt:
        heard()
        raise NllcheckError("interrupted, so nothing was concluded", exit_code=4) from None
    for remark in remarks:
        typer.echo(remark, err=True)
    return decide(reports)
