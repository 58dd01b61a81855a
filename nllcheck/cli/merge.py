"""`nllcheck merge`: the shards of a sweep as the report that one process would have made."""

from __future__ import annotations

import shlex
from dataclasses import fields
from typing import Annotated, Any

import typer

from nllcheck.cli.output import destination, sweep_file
from nllcheck.cli.run import FAILS, OUT, WHAT, Texts, finish, option, working
from nllcheck.errors import NllcheckError


def merge(
    places: Annotated[list[str], typer.Argument(metavar="DIR|FILES", help="Folders or files of pieces.")],
    model: Annotated[str | None, option(WHAT, "As the shards were run: confirms this code.")] = None,
    loss: Annotated[str | None, option(WHAT, "As the shards were run: confirms this code.")] = None,
    trust: Annotated[bool, option(WHAT, "Run the code that the shards name.", "--trust")] = False,
    select: Annotated[Texts, option(FAILS, "Only these rules: NLL101, NLL1.", "--select")] = None,
    ignore: Annotated[Texts, option(FAILS, "Not these rules.", "--ignore")] = None,
    baseline: Annotated[str | None, option(FAILS, "Only new or worse findings fail.", "--baseline")] = None,
    format: Annotated[str, option(OUT, "What is printed: terminal, json, github, …", "--format")] = "terminal",
    output: Annotated[Texts, option(OUT, "KIND=PATH, written beside what is printed.", "--output", "-o")] = None,
    save_sweep: Annotated[str | None, option(OUT, "Every point, as FILE.csv or FILE.parquet.")] = None,
    timings: Annotated[bool, option(OUT, "Seconds of every stage, on standard error.", "--timings")] = False,
    quiet: Annotated[bool, option(OUT, "A line a failing finding, a line a target.", "--quiet", "-q")] = False,
    verbose: Annotated[bool, option(OUT, "Say more about notes and verdicts.", "--verbose", "-v")] = False,
) -> None:
    """Make the report of a sweep whose shards were run with --shard: the same bytes as from one process."""
    from nllcheck.cli.gate import decisions
    from nllcheck.cli.jobs import plan
    from nllcheck.cli.worker import check
    from nllcheck.engine.folder import collected
    from nllcheck.report.formats import renderer

    renderer(format)
    outputs, points_to = [destination(text) for text in output or ()], sweep_file(save_sweep)
    pieces = collected(places)
    request, given = _made(pieces.label.made, places[0])
    request = _confirmed(request, model, loss, trust, places)
    chosen = {"select": tuple(select or ()) or None, "ignore": tuple(ignore or ()) or None, "baseline": baseline}
    with working(given) as tell:
        jobs = plan(request, given)
        decide = decisions(jobs, chosen)
        reports = decide([check(jobs[0], tell, jobs[0].key, pieces)])
    finish(reports, format, outputs, points_to, verbose, quiet, timings)


def _made(made: Any, place: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Request and options of the shards. They come from a file, so only what has their form passes."""
    from nllcheck.cli.worker import tuples
    from nllcheck.config import Settings
    from nllcheck.load import Request

    try:
        request, given = tuples(made["request"]), tuples(made["given"])
        sound = set(request) == {f.name for f in fields(Request)} and _has_form(request)
        sound = sound and set(given) <= {f.name for f in fields(Settings)} and _has_form(given)
    except (TypeError, KeyError):
        sound = False
    if not sound:
        hint = "run the shards with: nllcheck run ... --shard 1/4 --resume DIR"
        raise NllcheckError("these pieces do not say what they were made of", where=place, hint=hint)
    return request, given


_FORMS: dict[str, type] = {"trust": bool, "init": bool, "nll": bool, "seed": int, "points": int, "min_bits": int}
_LISTS = ("paths", "batches", "sweep", "rules")
_ALWAYS = ("paths", "batches", "trust", "init")


def _has_form(values: dict[str, Any]) -> bool:
    """Is each value of the type its option has?"""
    return all(_fits(name, value) for name, value in values.items())


def _fits(name: str, value: Any) -> bool:
    if value is None:
        return name not in _ALWAYS
    if name in _LISTS:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    return type(value) is _FORMS.get(name, str)


def _confirmed(
    request: dict[str, Any], model: str | None, loss: str | None, trust: bool, places: list[str]
) -> dict[str, Any]:
    """A file may not choose the code that runs: what it names is repeated by a person, or trusted as a whole."""
    said = {"model": model, "loss": loss}
    for name, value in said.items():
        if value is not None and value != request[name]:
            raise NllcheckError(f"the shards were run with --{name} {request[name]}", where=f"--{name} {value}")
    named = [word for name in said if request[name] for word in (f"--{name}", request[name])]
    if not trust and (request["trust"] or any(request[name] and not said[name] for name in said)):
        words = shlex.join(["nllcheck", "merge", *places, *named, *(["--trust"] if request["trust"] else [])])
        raise NllcheckError("the shards name code that a merge would run", where=places[0], hint=f"confirm it: {words}")
    return request
