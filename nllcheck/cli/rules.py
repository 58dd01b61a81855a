"""`nllcheck explain` and `nllcheck rules list|show|test|validate`."""

from __future__ import annotations

import re
import textwrap
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from nllcheck.cli.ending import block, users_code
from nllcheck.cli.output import progress, remark, say
from nllcheck.errors import NllcheckError, did_you_mean

if TYPE_CHECKING:
    from nllcheck.diagnose.builtin import Builtin
    from nllcheck.rules import Rule

Folders = Annotated[list[str] | None, typer.Option("--rules", help="Folder with rules of your own.")]
WIDTH = 88


def explain(
    rule: Annotated[str, typer.Argument(metavar="ID", help="For example NLL301, or correlation-near-one.")],
    rules: Folders = None,
) -> None:
    """Say what a rule is about: what happens, why, and what to write instead."""
    builtin = _builtin(rule)
    if builtin:
        say(_sections(f"{builtin.id} {builtin.name}", [("why", builtin.why), ("advice", builtin.advice)]))
        return
    found = _rule(rule, rules)
    message = re.sub(r"\{([^{}]*)\}", r"<\1>", found.message)  # filled in by a finding
    parts = [("what", message), ("why", found.why), ("instead", found.fix), ("advice", found.advice)]
    parts += [("not meant", found.false_positives), ("matches", "; ".join(found.match)), ("when", found.when)]
    say(_sections(f"{found.id} {found.name} ({found.severity})", [*parts, ("sources", "; ".join(found.references))]))


def list_all(rules: Folders = None) -> None:
    """One line a rule; those without a file are built in."""
    from nllcheck.diagnose.builtin import BUILTINS
    from nllcheck.rules import load

    rows = [(rule.id, f"{rule.severity:<8}", rule.name) for rule in load(tuple(rules or ()))]
    rows += [(builtin.id, "built in", builtin.name) for builtin in BUILTINS]
    say("\n".join("  ".join(row) for row in sorted(rows)))


def show(rule: Annotated[str, typer.Argument(metavar="ID")], rules: Folders = None) -> None:
    """Print a rule's whole file."""
    builtin = _builtin(rule)
    if builtin:
        raise NllcheckError(f"{builtin.id} is built in and has no file", hint=f"nllcheck explain {builtin.id}")
    path = _rule(rule, rules).path
    assert path is not None, "a rule that was loaded has a file"
    say(path.read_text(encoding="utf-8").removesuffix("\n"))


def test(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="Default: all.")] = None, rules: Folders = None
) -> None:
    """Run the examples inside the rules: their Python is executed."""
    from nllcheck.rules import load

    folders = tuple(rules or ())
    chosen = tuple(_rule(name, rules) for name in ids) if ids else load(folders)
    outcomes = _outcomes(chosen, folders)
    failed = [o for o in outcomes if not o.ok]
    lines = [f"FAIL  {o.rule} {o.which}: {o.message}" for o in failed]
    say("\n".join([*lines, f"{len(outcomes) - len(failed)} examples of {_rules(chosen)} hold, {len(failed)} do not"]))
    raise typer.Exit(1 if failed else 0)


def validate(
    places: Annotated[list[str], typer.Argument(metavar="PATH", help="Rule files or folders.")],
) -> None:
    """Check rule files without running anything in them; every file at fault is named."""
    from nllcheck.rules import files

    paths = [path for place in places for path in files(Path(place))]
    if not paths:
        raise NllcheckError(f"no rule file in {', '.join(places)}", hint="rules are files named *.yaml or *.yml")
    found, errors = _read_all(paths)
    errors += _taken(found)
    if errors:
        _refuse(errors)
    say(f"{_rules(found)} {'is' if len(found) == 1 else 'are'} well formed")


def _refuse(errors: list[NllcheckError]) -> NoReturn:
    for error in errors:
        remark(block(error))
    raise typer.Exit(2)


def _read_all(paths: list[Path]) -> tuple[list[Rule], list[NllcheckError]]:
    from nllcheck.rules import read

    found: list[Rule] = []
    errors: list[NllcheckError] = []
    for path in {path.resolve(): path for path in paths}.values():
        try:
            found.append(read(path))
        except NllcheckError as error:
            errors.append(error)
    return found, errors


def _taken(found: list[Rule]) -> list[NllcheckError]:
    """Ids and names that stand twice, among these files and the shipped ones: `run` would refuse them."""
    from nllcheck import resources
    from nllcheck.rules import files, read

    own = {rule.path.resolve() for rule in found if rule.path}
    shipped = [read(p) for p in files(resources.folder("rules")) if p.resolve() not in own]
    counts = Counter(text for rule in (*found, *shipped) for text in (rule.id, rule.name))
    twice = [(rule, text) for rule in found for text in (rule.id, rule.name) if counts[text] > 1]
    return [NllcheckError(f"'{text}' is taken", where=str(rule.path), hint="choose another") for rule, text in twice]


def _outcomes(chosen: tuple[Rule, ...], folders: tuple[str, ...]) -> list[Any]:
    from nllcheck.ruletest import test_rule

    outcomes: list[Any] = []
    with users_code(), progress() as tell:
        for rule in chosen:
            tell(f"{rule.id} {rule.name}")
            outcomes += test_rule(rule, folders)
    return outcomes


def _builtin(wanted: str) -> Builtin | None:
    from nllcheck.diagnose.builtin import BUILTINS

    return next((b for b in BUILTINS if wanted.lower() in (b.id.lower(), b.name)), None)


def _rule(wanted: str, folders: list[str] | None = None) -> Rule:
    """The rule with this id or name."""
    from nllcheck.diagnose.builtin import BUILTINS
    from nllcheck.rules import load

    rules = load(tuple(folders or ()))
    for rule in rules:
        if wanted.lower() in (rule.id.lower(), rule.name.lower()):
            return rule
    ids = {rule.id for rule in rules} | {builtin.id for builtin in BUILTINS}
    names = {rule.name for rule in rules} | {builtin.name for builtin in BUILTINS}
    like_an_id = any(c.isdigit() for c in wanted)
    hint = did_you_mean(wanted.upper(), ids) if like_an_id else did_you_mean(wanted.lower(), names)
    raise NllcheckError(f"there is no rule '{wanted}'", hint=hint)


def _rules(rules: list[Rule] | tuple[Rule, ...]) -> str:
    return f"{len(rules)} rule" + ("" if len(rules) == 1 else "s")


def _sections(title: str, parts: list[tuple[str, Any]]) -> str:
    lines = [title]
    for label, text in parts:
        if text:
            filled = textwrap.fill(" ".join(text.split()), WIDTH, initial_indent="  ", subsequent_indent="  ")
            lines += ["", label, filled]
    return "\n".join(lines)
