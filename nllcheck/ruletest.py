"""Run the examples inside a rule: each that must fire, each that must stay silent. The only place where they run."""

from __future__ import annotations

import linecache
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nllcheck import resources
from nllcheck.errors import NllcheckError
from nllcheck.rules import Rule
from nllcheck.rules.texts import MARK


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example's result; `message` says what was found instead when it is not ok."""

    rule: str
    which: str  # "fires 1", "silent 2"
    ok: bool
    message: str = ""


def test_rule(rule: Rule, folders: Sequence[str | Path] = ()) -> tuple[Outcome, ...]:
    """All examples of one rule, in order, under the shipped rules, this one, and those of `folders`."""
    fires = [_fires(rule, f"fires {i}", text, folders) for i, text in enumerate(rule.tests.fires, 1)]
    silent = [_silent(rule, f"silent {i}", text, folders) for i, text in enumerate(rule.tests.silent, 1)]
    return (*fires, *silent)


test_rule.__test__ = False  # type: ignore[attr-defined]  # not a test of this project's suite


def _fires(rule: Rule, which: str, text: str, folders: Sequence[str | Path]) -> Outcome:
    report = _checked(rule, which, text, folders)
    if isinstance(report, str):
        return Outcome(rule.id, which, False, report)
    marked = next(n for n, line in enumerate(text.splitlines(), 1) if MARK in line)
    found = [(f.rule, f.site.line) for f in report.findings if f.site]
    ok = (rule.id, marked) in found
    return Outcome(rule.id, which, ok, "" if ok else f"expected {rule.id} at line {marked}, found {found or 'nothing'}")


def _silent(rule: Rule, which: str, text: str, folders: Sequence[str | Path]) -> Outcome:
    report = _checked(rule, which, text, folders)
    if isinstance(report, str):
        return Outcome(rule.id, which, False, report)
    alarms = [f"{f.rule} ({f.severity})" for f in report.findings if f.severity != "note" or f.rule == rule.id]
    return Outcome(rule.id, which, not alarms, f"expected silence, found {', '.join(alarms)}" if alarms else "")


def _checked(rule: Rule, which: str, text: str, folders: Sequence[str | Path]) -> Any:
    """The report on an example, or what went wrong with it, in words."""
    name = f"<{rule.path.name if rule.path else rule.id} {which}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": name}
    try:
        exec(compile(text, name, "exec", dont_inherit=True), space)
        return _report(space, _folders(rule, folders))
    except NllcheckError as error:
        return error.message
    except Exception as error:
        return f"the example raised {type(error).__name__}: {error}"


def _report(space: dict[str, Any], folders: tuple[str, ...]) -> Any:
    from nllcheck.check import check, check_function

    for key in ("loss", "target", *(("inputs",) if "model" in space else ("output",))):
        if key not in space:
            raise NllcheckError(f"the example does not define '{key}'")
    loss, target = space["loss"], space["target"]
    if "model" in space:
        return check(loss, model=space["model"], batch=(space["inputs"], target), rules=folders)
    tensors = {"output": space["output"], "target": target}
    return check_function(lambda output, target: loss(output, target), tensors, target="target", rules=folders)


def _folders(rule: Rule, folders: Sequence[str | Path]) -> tuple[str, ...]:
    """What to load beside the shipped rules: the rule's own file too, unless it is among them."""
    known = [resources.folder("rules"), *map(Path, folders)]
    own = rule.path and not any(p.resolve() in (rule.path.resolve(), rule.path.resolve().parent) for p in known)
    return (*map(str, folders), *([str(rule.path)] if own else []))
