"""The texts inside a rule: patterns, condition, templates and examples must be readable and fit together."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable

from nllcheck import expr, match, ops
from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.rules.model import Rule, at
from nllcheck.rules.scope import density_sample, sample
from nllcheck.yamltree import Path as Loc
from nllcheck.yamltree import Tree

MARK = "# <- here"
_ANYWHERE = ("op", "line")
_AT_EVENTS = ("threshold", "axis", "reach")
_RESERVED = {*_ANYWHERE, *_AT_EVENTS, "event", "density"}
_FIELD = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"range\((\w+)\)")


def check_texts(rule: Rule, tree: Tree, text: str) -> None:
    """Raises NllcheckError with file, line and column. After it, nothing in the rule can fail during a check."""
    place = _Places(rule, tree, text.splitlines())
    captures = _captures(rule, place)
    place.names(rule.op, set(ops.BY_NAME), "op", ("op",))
    _check_message(rule, captures, place)
    _check_condition(rule, captures, place)
    if rule.fix:
        pattern = place.pattern(rule.fix, ("fix",))
        place.names(match.captures_of(pattern), captures, "capture", ("fix",))
    _check_kind(rule, place)
    for which in ("fires", "silent"):
        for i, example in enumerate(getattr(rule.tests, which)):
            _check_example(example, which == "fires", ("tests", which, i), place)


def _captures(rule: Rule, place: _Places) -> set[str]:
    """The names that every alternative captures: only these can be spoken of."""
    each = [match.captures_of(place.pattern(text, ("match", i))) for i, text in enumerate(rule.match)]
    for i, captured in enumerate(each):
        for name in sorted(captured & _RESERVED):
            raise place.error(("match", i), f"'{name}' has a meaning of its own, so it cannot be captured")
    return set.intersection(*each)


def _check_message(rule: Rule, captures: set[str], place: _Places) -> None:
    """Every field is known, only captures have a range, and no brace stands alone."""
    if set(_FIELD.sub("", rule.message)) & set("{}"):
        raise place.error(("message",), "a brace in the message stands alone", "write {x} or {range(x)}")
    fields = {m.strip() for m in _FIELD.findall(rule.message)}
    ranges = {field: inner[1] for field in fields if (inner := _RANGE.fullmatch(field))}
    known = (*_ANYWHERE, *(_AT_EVENTS if rule.on == "event" else ()))
    place.names(fields - set(ranges), captures | set(known), "field", ("message",))
    place.names(ranges.values(), captures, "field", ("message",))


def _check_condition(rule: Rule, captures: set[str], place: _Places) -> None:
    """A dry run finds all there is to find: every operand is evaluated, and kinds of values do not change."""
    if not rule.when:
        return
    if rule.on == "graph":
        raise place.error(("when",), "a graph rule has no event, so it can have no condition")
    try:
        names = density_sample(captures) if rule.on == "density" else sample(captures)
        value = expr.compile(rule.when).evaluate(names)
    except expr.TextError as error:
        raise place.inside(("when",), error) from None
    if not isinstance(value, bool):
        raise place.error(("when",), "the condition is neither true nor false", "compare it: max(x) > 0")


EVENT_KINDS = ("precision", "dead-gradient")  # what an event rule can explain beside NaN and infinity


def _check_kind(rule: Rule, place: _Places) -> None:
    for key in ("kind", "verdict"):
        if rule.on == "event" and getattr(rule, key) and getattr(rule, key) not in EVENT_KINDS:
            raise place.error((key,), f"only a rule with 'on: graph' has a {key} such as '{getattr(rule, key)}'")
        if rule.on == "graph" and not getattr(rule, key):
            raise place.error(("on",), f"a rule with 'on: graph' needs a {key}")


def _check_example(example: str, fires: bool, loc: Loc, place: _Places) -> None:
    """Python that can be read, with one guilty line if it is to fire. Nothing is run."""
    try:
        with warnings.catch_warnings(action="ignore"):  # they are the example's own business
            compile(example, "<example>", "exec", dont_inherit=True)  # faster than ast.parse
    except (SyntaxError, ValueError) as error:
        raise place.error(loc, f"the example is no Python: {error}") from None
    except (MemoryError, RecursionError):  # what these say differs between versions of Python
        raise place.error(loc, "the example is no Python: nested too deeply") from None
    marks = example.count(MARK)
    if fires and marks != 1:
        raise place.error(loc, f"{marks or 'no'} lines of this example are marked '{MARK}': it takes one")


class _Places:
    """Where the texts of one rule stand in its file."""

    def __init__(self, rule: Rule, tree: Tree, lines: list[str]) -> None:
        self.path = rule.path
        self.tree = tree
        self.lines = lines

    def error(self, loc: Loc, message: str, hint: str = "") -> NllcheckError:
        return NllcheckError(message, where=at(self.path, self.tree.values, loc), hint=hint)

    def pattern(self, text: str, loc: Loc) -> match.Pattern:
        try:
            return match.parse(text)
        except expr.TextError as error:
            raise self.inside(loc, error) from None

    def names(self, used: Iterable[str], known: set[str], what: str, loc: Loc) -> None:
        for name in sorted(used):
            if name not in known:
                hint = did_you_mean(name, known)
                raise self.error(loc, f"unknown {what} '{name}' (a capture must be in every alternative)"
                                 if what in ("field", "capture") else f"unknown {what} '{name}'", hint)  # fmt: skip

    def inside(self, loc: Loc, error: expr.TextError) -> NllcheckError:
        """The error at its own column, where the text stands in the file as it is; else at the text's beginning."""
        where = at(self.path, self.tree.values, loc)
        path, line, column = where.rsplit(":", 2)
        start = self.lines[int(line) - 1].find(error.text, int(column) - 1)
        if start >= 0:
            return NllcheckError(error.message, where=f"{path}:{line}:{start + error.column}", hint=error.hint)
        return NllcheckError(f"{error.message} (at {error.where})", where=where, hint=error.hint)
