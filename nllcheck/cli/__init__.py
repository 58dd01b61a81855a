"""The command line: options to arguments, result to exit code. torch and pandas are imported inside commands.

`run`, `rules` and `demo` hold the commands, `output` what they print with, `ending` the ways a command can end.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from typing import Annotated

import typer

from nllcheck import __version__
from nllcheck.cli import baseline, demo, init, merge, rules, run
from nllcheck.cli.ending import code_of, remembering_ctrl_c
from nllcheck.cli.output import nowhere, say

app = typer.Typer(
    name="nllcheck",
    help="Finds where a likelihood loss turns NaN, infinite or negative: line, cause, exact threshold, fix.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
rules_app = typer.Typer(help="The rules that explain failures.", no_args_is_help=True)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.", is_eager=True)] = False,
) -> None:
    if version:
        say(f"nllcheck {__version__}")
        raise typer.Exit


app.command(epilog=run.EXIT_CODES)(run.run)
app.command(epilog=run.EXIT_CODES)(merge.merge)
app.command("init")(init.init)
app.command("baseline")(baseline.write)
app.command()(rules.explain)
app.add_typer(rules_app, name="rules")
app.command()(demo.doctor)
app.command()(demo.demo)
rules_app.command("list")(rules.list_all)
rules_app.command("show")(rules.show)
rules_app.command("test")(rules.test)
rules_app.command("validate")(rules.validate)


def main() -> None:
    """The entry point: every way to end has its exit code (0, 1, 2, 3, 4; 130 for Ctrl-C)."""
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # C++ warnings of the engine's own ops are noise here
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on busy cores threads that spin cost ten times the work
    sys.stdout = sys.stdout or nowhere()  # None where the caller has closed it
    sys.stderr = sys.stderr or nowhere()
    atexit.register(gc.freeze)  # the last collection would walk all of torch, to free what ends anyway: 0.8 s
    try:
        with remembering_ctrl_c():
            app()
    except BaseException as error:
        raise SystemExit(code_of(error)) from None
