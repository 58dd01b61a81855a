"""The command line: options to arguments, result to exit code. torch and pandas are imported inside commands."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nllcheck import __version__
from nllcheck.errors import NllcheckError, did_you_mean

if TYPE_CHECKING:
    from nllcheck.report import Report
    from nllcheck.rules import Rule

app = typer.Typer(
    name="nllcheck",
    help="Finds where a likelihood loss turns NaN, infinite or negative: line, cause, exact threshold, fix.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
rules_app = typer.Typer(help="The rules that explain failures.", no_args_is_help=True)
app.add_typer(rules_app, name="rules")

Texts = list[str] | None


def _option(help: str, *names: str) -> Any:
    return typer.Option(*names, help=help)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        typer.echo(f"nllcheck {__version__}")
        raise typer.Exit


@app.command()
def run(
    paths: Annotated[Texts, typer.Argument(metavar="[MODEL]...", help="Checkpoints of one run, oldest first.")] = None,
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
    target: Annotated[str | None, _option("A target named in pyproject.toml.")] = None,
    init: Annotated[bool, _option("Check a freshly built model, without a checkpoint.", "--init")] = False,
    trust: Annotated[bool, _option("Let files run code (pickled modules, TorchScript).", "--trust")] = False,
    verbose: Annotated[bool, _option("Say more about notes and verdicts.", "--verbose", "-v")] = False,
) -> None:
    """Check a checkpoint's loss on a batch."""
    from nllcheck.load import Request, load_target

    outputs = [_output(text) for text in output or ()]
    _renderer(format)
    request = Request(tuple(paths or ()), model, loss, tuple(batch or ()), target, trust, init)
    with _progress() as tell:
        tell("loading")
        checked, settings = load_target(request)
        given: dict[str, Any] = {
            "sweep": tuple(sweep or ()) or None,
            "rules": tuple(rules or ()) or None,
            "device": device,
        }
        given |= {"dtype": dtype, "fail_on": fail_on, "seed": seed, "memory": memory, "points": points}
        report = _checked(checked, settings, given, tell)
    _show(report, format, verbose)
    for kind, path in outputs:
        _write(report, kind, path)
    raise typer.Exit(report.exit_code)


def _checked(target: Any, settings: Any, given: dict[str, Any], tell: Any) -> Report:
    """Run with the command line's options over the file's."""
    from dataclasses import asdict

    from nllcheck.check import Options
    from nllcheck.check import run as run_check

    values = {k: v for k, v in asdict(settings).items() if v is not None}
    values |= {k: v for k, v in given.items() if v is not None}
    return run_check(target, Options(**values, progress=tell))


class _progress:
    """A line on standard error that says what is going on, on a terminal only."""

    def __init__(self) -> None:
        self.status: Any = None

    def __enter__(self) -> Any:
        if sys.stderr.isatty():
            from rich.console import Console

            self.status = Console(stderr=True).status("")
            self.status.start()
        return self.tell

    def tell(self, text: str) -> None:
        """Replace the line."""
        if self.status is not None:
            from rich.text import Text

            self.status.update(Text(text))

    def __exit__(self, *error: object) -> None:
        if self.status is not None:
            self.status.stop()


def _output(text: str) -> tuple[str, Path]:
    kind, equals, path = text.partition("=")
    if not equals or not path:
        raise NllcheckError(f"cannot read --output '{text}'", hint="write KIND=PATH, for example json=report.json")
    _renderer(kind)
    return kind, Path(path)


def _renderer(kind: str) -> Any:
    from nllcheck.report.formats import renderer

    return renderer(kind)


def _show(report: Report, kind: str, verbose: bool) -> None:
    if kind == "terminal":
        from nllcheck.report.terminal import show

        show(report, verbose=verbose)
    else:
        typer.echo(_renderer(kind)(report), nl=False)


def _write(report: Report, kind: str, path: Path) -> None:
    from nllcheck.report.formats import write

    write(_renderer(kind)(report), path)


@app.command()
def explain(rule_id: Annotated[str, typer.Argument(metavar="ID", help="For example NLL301.")]) -> None:
    """Say what a rule is about: what happens, why, and what to write instead."""
    from nllcheck.diagnose.builtin import BUILTINS

    wanted = rule_id.upper()
    for builtin in BUILTINS:
        if builtin.id == wanted:
            return _sections(f"{builtin.id} {builtin.name}", [("why", builtin.why), ("advice", builtin.advice)])
    rule = _rule(wanted)
    parts = [("what", rule.message), ("why", rule.why), ("instead", rule.fix or ""), ("advice", rule.advice or "")]
    parts += [("not meant", rule.false_positives or ""), ("matches", "; ".join(rule.match)), ("when", rule.when or "")]
    _sections(f"{rule.id} {rule.name} ({rule.severity})", [*parts, ("sources", "; ".join(rule.references))])


def _rule(wanted: str, folders: Texts = None) -> Rule:
    from nllcheck.diagnose.builtin import BUILTINS
    from nllcheck.rules import load

    known = {rule.id: rule for rule in load(tuple(folders or ()))}
    if wanted not in known:
        ids = set(known) | {b.id for b in BUILTINS}
        raise NllcheckError(f"there is no rule '{wanted}'", hint=did_you_mean(wanted, ids))
    return known[wanted]


def _sections(title: str, parts: list[tuple[str, str]]) -> None:
    import textwrap

    typer.echo(title)
    for label, text in parts:
        if text:
            body = textwrap.fill(" ".join(text.split()), 88, initial_indent="  ", subsequent_indent="  ")
            typer.echo(f"\n{label}\n{body}")


@rules_app.command("list")
def rules_list(rules: Annotated[Texts, _option("Folder with rules of your own.", "--rules")] = None) -> None:
    """One line a rule."""
    from nllcheck.rules import load

    for rule in load(tuple(rules or ())):
        typer.echo(f"{rule.id}  {rule.severity:<7}  {rule.name}")


@rules_app.command("show")
def rules_show(
    rule_id: str, rules: Annotated[Texts, _option("Folder with rules of your own.", "--rules")] = None
) -> None:
    """Print a rule's whole file."""
    from nllcheck import resources
    from nllcheck.rules import files, read

    wanted = _rule(rule_id.upper(), rules)
    places = [resources.folder("rules"), *map(Path, rules or ())]
    path = next(f for place in places for f in files(place) if read(f).id == wanted.id)
    typer.echo(path.read_text(encoding="utf-8"), nl=False)


@rules_app.command("test")
def rules_test(
    ids: Annotated[Texts, typer.Argument(metavar="[ID]...", help="Default: all.")] = None,
    rules: Annotated[Texts, _option("Folder with rules of your own.", "--rules")] = None,
) -> None:
    """Run the examples inside the rules: their Python is executed."""
    from nllcheck.rules import load
    from nllcheck.ruletest import test_rule

    chosen = [_rule(i.upper(), rules) for i in ids] if ids else load(tuple(rules or ()))
    outcomes = [outcome for rule in chosen for outcome in test_rule(rule)]
    for outcome in outcomes:
        if not outcome.ok:
            typer.echo(f"FAIL  {outcome.rule} {outcome.which}: {outcome.message}")
    failed = sum(not o.ok for o in outcomes)
    typer.echo(f"{len(outcomes) - failed} examples of {len(chosen)} rules hold, {failed} do not")
    raise typer.Exit(1 if failed else 0)


@rules_app.command("validate")
def rules_validate(
    places: Annotated[list[str], typer.Argument(metavar="PATH...", help="Rule files or folders.")],
) -> None:
    """Check rule files without running anything in them."""
    from nllcheck.rules import files, read

    found = [read(path) for place in places for path in files(Path(place))]
    typer.echo(f"{len(found)} rules are well formed")


@app.command()
def doctor() -> None:
    """Versions, devices, and what is missing."""
    from nllcheck.doctor import examine

    facts, problems = examine()
    for name, value in facts:
        typer.echo(f"{name:<18} {value}")
    for problem in problems:
        typer.echo(f"problem: {problem}", err=True)
    raise typer.Exit(2 if problems else 0)


@app.command()
def demo() -> None:
    """Check a shipped model that has problems, to see what a report looks like."""
    from nllcheck import resources
    from nllcheck.load import Request, load_target

    place = resources.folder("fixtures") / "bivariate_gaussian" / "model.pt"
    with _progress() as tell:
        target, settings = load_target(Request((str(place),)))
        report = _checked(target, settings, {}, tell)
    _show(report, "terminal", False)
    typer.echo("\nThis was a trained bivariate Gaussian whose loss builds a density and then takes its log.")
    typer.echo("Your own:  nllcheck run model.pt --model file.py:build --loss file.py:loss --batch batch.pt")


def main() -> None:
    """The entry point: every way to end has its exit code (0, 1, 2, 3, 4; 130 for Ctrl-C)."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # C++ warnings of the engine's own ops are noise here
    try:
        app()
    except NllcheckError as error:
        _stop(_block(error), error.exit_code)
    except KeyboardInterrupt:
        _stop("interrupted", 130)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        raise SystemExit(0) from None
    except Exception as error:
        if os.environ.get("NLLCHECK_DEBUG"):
            raise
        _stop(_internal(error), 3)


def _block(error: NllcheckError) -> str:
    lines = [f"error: {error.message}"]
    lines += [f"  at   {error.where}"] if error.where else []
    lines += [f"  hint {error.hint}"] if error.hint else []
    return "\n".join(lines)


def _internal(error: Exception) -> str:
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "?"
    text = str(error).splitlines()[0] if str(error) else ""
    return (
        f"internal error: {type(error).__name__}: {text}\n  at   {place}\n"
        "  hint please report this; NLLCHECK_DEBUG=1 shows the traceback"
    )


def _stop(text: str, code: int) -> NoReturn:
    typer.echo(text, err=True)
    raise SystemExit(code) from None
