"""Run the examples inside a rule: each that must fire, each that must stay silent. The only place where they run."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from typing import Any

from nllcheck.errors import NllcheckError
from nllcheck.rules import Rule

MARK = "# <- here"


@dataclass(frozen=True, slots=True)
class Outcome:
    """One example's result; `message` says what was found instead when it is not ok."""

    rule: str
    which: str  # "fires 1", "silent 2"
    ok: bool
    message: str = ""


def test_rule(rule: Rule) -> tuple[Outcome, ...]:
    """All examples of one rule, in order."""
    fires = [_fires(rule, f"fires {i}", text) for i, text in enumerate(rule.tests.fires, 1)]
    silent = [_silent(rule, f"silent {i}", text) for i, text in enumerate(rule.tests.silent, 1)]
    return (*fires, *silent)


test_rule.__test__ = False  # type: ignore[attr-defined]  # not a test of this project's suite


def _fires(rule: Rule, which: str, text: str) -> Outcome:
    report = _checked(rule, which, text)
    if isinstance(report, str):
        return Outcome(rule.id, which, False, report)
    marked = [n for n, line in enumerate(text.splitlines(), 1) if MARK in line]
    found = [(f.rule, f.site.line) for f in report.findings if f.site]
    ok = any((rule.id, line) in found for line in marked)
    return Outcome(rule.id, which, ok, "" if ok else f"expected {rule.id} at line {marked}, found {found or 'nothing'}")


def _silent(rule: Rule, which: str, text: str) -> Outcome:
    report = _checked(rule, which, text)
    if isinstance(report, str):
        return Outcome(rule.id, which, False, report)
    alarms = [f"{f.rule} ({f.severity})" for f in report.findings if f.severity != "note"]
    return Outcome(rule.id, which, not alarms, f"expected no alarm, found {', '.join(alarms)}" if alarms else "")


def _checked(rule: Rule, which: str, text: str) -> Any:
    """The report on an example, or what went wrong with it, in words."""
    from nllcheck.check import check_function

    name = f"<{rule.id} {which}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
    space: dict[str, Any] = {"__name__": name}
    try:
        exec(compile(text, name, "exec"), space)
        loss, output, target = (space[k] for k in ("loss", "output", "target"))
        return check_function(_with_names(loss), {"output": output, "target": target}, target="target")
    except KeyError as error:
        return f"the example does not define {error}"
    except NllcheckError as error:
        return error.message
    except Exception as error:
        return f"the example raised {type(error).__name__}: {error}"


def _with_names(loss: Any) -> Any:
    return lambda output, target: loss(output, target)
