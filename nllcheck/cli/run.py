"""`nllcheck run`: from options to a report, and from the report to an exit code."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nllcheck.cli.ending import heard, users_code
from nllcheck.cli.options import check_values
from nllcheck.cli.output import destination, progress, remark, say, show, sweep_file
from nllcheck.cli.spread import refused
from nllcheck.errors import NllcheckError

if TYPE_CHECKING:
    from nllcheck.report import Report

EXIT_CODES = (
    "Ends with 0: nothing at or above --fail-on; 1: findings; 2: unusable input; 3: internal error; "
    "4: something that was asked for was not evaluated, or the run was cut short."
)

Texts = list[str] | None


WHAT, HOW, FAILS, OUT = "What is checked", "How it is checked", "What fails", "What is written"
SPREAD = "Long runs and several machines"


def option(panel: str, help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def run(
    paths: Annotated[Texts, typer.Argument(metavar="MODEL", help="Checkpoints of one run, oldest first.")] = None,
    batch: Annotated[Texts, option(WHAT, "File with (inputs, targets); several are followed.", "--batch")] = None,
    loss: Annotated[str | None, option(WHAT, "module:function or file.py:function.")] = None,
    model: Annotated[str | None, option(WHAT, "module:factory or file.py:factory.")] = None,
    sweep: Annotated[Texts, option(HOW, "NAME=LOW:HIGH[:COUNT][:log], only these.", "--sweep")] = None,
    rules: Annotated[Texts, option(FAILS, "Folder with rule files of your own.", "--rules")] = None,
    device: Annotated[str | None, option(HOW, "auto, cpu, cuda or cuda:N.")] = None,
    dtype: Annotated[str | None, option(HOW, "float32, float64, float16 or bfloat16.")] = None,
    format: Annotated[str, option(OUT, "What is printed: terminal, json, github, …", "--format")] = "terminal",
    output: Annotated[Texts, option(OUT, "KIND=PATH, written beside what is printed.", "--output", "-o")] = None,
    save_sweep: Annotated[str | None, option(OUT, "Every point, as FILE.csv or FILE.parquet.")] = None,
    fail_on: Annotated[str | None, option(FAILS, "error, warning, note or never.")] = None,
    select: Annotated[Texts, option(FAILS, "Only these rules: NLL101, NLL1.", "--select")] = None,
    ignore: Annotated[Texts, option(FAILS, "Not these rules.", "--ignore")] = None,
    baseline: Annotated[str | None, option(FAILS, "Only new or worse findings fail.", "--baseline")] = None,
    seed: Annotated[int | None, option(HOW, "For noise inside the loss.")] = None,
    memory: Annotated[str | None, option(HOW, "Budget of a sweep, for example 2G.")] = None,
    effort: Annotated[str | None, option(HOW, "quick, default or thorough.", "--effort")] = None,
    points: Annotated[int | None, option(HOW, "Points on each axis.", "--points")] = None,
    min_bits: Annotated[int | None, option(HOW, "Report results with fewer correct bits.", "--min-bits")] = None,
    support: Annotated[str | None, option(HOW, "Where targets live: real, positive, count, …, or -1:3")] = None,
    base_measure: Annotated[str | None, option(HOW, "A factor of the target the loss leaves out: 1/y!")] = None,
    nll: Annotated[bool, option(HOW, "The loss is meant as a negative log-likelihood.", "--nll")] = False,
    as_compiled: Annotated[bool, option(HOW, "Also what torch.compile makes of it.", "--as-compiled")] = False,
    fuse: Annotated[bool | None, option(HOW, "Compile the sweeps; left out, large ones on a GPU.")] = None,
    target: Annotated[str | None, option(WHAT, "A target named in pyproject.toml.")] = None,
    init: Annotated[bool, option(WHAT, "Check a freshly built model, without a checkpoint.", "--init")] = False,
    trust: Annotated[bool, option(WHAT, "Let files run code (pickled modules, TorchScript).", "--trust")] = False,
    no_cache: Annotated[bool, option(HOW, "Check again what has not changed.", "--no-cache")] = False,
    resume: Annotated[str | None, option(SPREAD, "Folder for pieces of the sweep: go on where it ended.")] = None,
    shard: Annotated[str | None, option(SPREAD, "2/8 or auto: only this share, for nllcheck merge.")] = None,
    engine: Annotated[str, option(SPREAD, "local or ray.")] = "local",
    address: Annotated[str | None, option(SPREAD, "Of the Ray cluster; auto finds a running one.")] = None,
    jobs: Annotated[int | None, option(HOW, "Targets at once; the machine's cores.", "--jobs", "-j", min=1)] = None,
    timings: Annotated[bool, option(OUT, "Seconds of every stage, on standard error.", "--timings")] = False,
    quiet: Annotated[bool, option(OUT, "A line a failing finding, a line a target.", "--quiet", "-q")] = False,
    verbose: Annotated[bool, option(OUT, "Say more about notes and verdicts.", "--verbose", "-v")] = False,
) -> None:
    """Check a checkpoint's loss on a batch; without MODEL every target of pyproject.toml."""
    from nllcheck.report.formats import renderer

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
    given |= {"seed": seed, "memory": memory, "effort": effort, "points": points, "min_bits": min_bits}
    given |= {"support": support, "base_measure": base_measure, "nll": nll or None}
    given |= {"fuse": fuse, "as_compiled": as_compiled or None}
    decided: dict[str, Any] = {"select": _given(select), "ignore": _given(ignore), "baseline": baseline}
    request: dict[str, Any] = {"paths": tuple(paths or ()), "model": model, "loss": loss, "batches": tuple(batch or ())}
    request |= {"target": target, "trust": trust, "init": init}
    work = {"engine": engine, "address": address, "resume": resume}
    refused(work, shard, bool(outputs or points_to or format != "terminal"))
    if shard:
        say(shard_done(request, given, work, shard))
        raise typer.Exit
    reports = gated(request, given, decided, not no_cache, jobs, work)
    finish(reports, format, outputs, points_to, verbose, quiet, timings)


def finish(
    reports: Sequence[Report],
    format: str,
    outputs: Sequence[tuple[str, Path]],
    points_to: Path | None,
    verbose: bool,
    quiet: bool,
    timings: bool,
) -> NoReturn:
    """Print and write what was asked for; the command ends with the reports' exit code."""
    from nllcheck.report import exit_code, tables
    from nllcheck.report.formats import renderer, write

    show(reports, format, verbose, quiet)
    for report in reports if timings else ():
        remark(_timed(report))
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
    work: Mapping[str, Any] = MappingProxyType({}),
) -> tuple[Report, ...]:
    """Check what was asked for, then apply what the project has decided about findings. Raises NllcheckError."""
    from nllcheck.cli.evaluate import evaluated
    from nllcheck.cli.gate import decisions
    from nllcheck.cli.jobs import plan

    with working(given) as tell:
        jobs = plan(request, given, work)
        decide = decisions(jobs, decided)  # what cannot be read is refused before the work
        reports, remarks = evaluated(jobs, tell, use_cache, at_once)
    for said in remarks:
        remark(said)
    return decide(reports)


def shard_done(request: Mapping[str, Any], given: Mapping[str, Any], work: Mapping[str, Any], shard: str) -> str:
    """Do one shard's pieces; what was done, in words. Raises NllcheckError."""
    from nllcheck.cli.jobs import plan
    from nllcheck.cli.spread import fill, share
    from nllcheck.cli.worker import loaded

    own = share(shard)
    with working(given) as tell:
        return fill(plan(request, given, work)[0], own, loaded, tell)


@contextmanager
def working(given: Mapping[str, Any]) -> Iterator[Callable[[str], None]]:
    """Around the work itself: options refused before it, progress during it, Ctrl-C as an error after it."""
    check_values(given)
    try:
        with users_code(), progress() as tell:
            tell("loading")
            yield tell
    except KeyboardInterrupt:
        heard()
        raise NllcheckError("interrupted, so nothing was concluded", exit_code=4) from None
