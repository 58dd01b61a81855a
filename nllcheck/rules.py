"""Rule files: one YAML file a rule, read with the place of every error.

A rule names an offence, says by which patterns it is known, and carries an example that fires and one that stays
silent. No Python of a rule runs when it is loaded; its examples run only under `nllcheck rules test`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from nllcheck import expr, match, ops, resources, yamltree
from nllcheck.errors import NllcheckError, did_you_mean

_FIELDS = ("threshold", "axis", "reach", "op", "line")


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Texts = Annotated[tuple[str, ...], BeforeValidator(_as_tuple), Field(min_length=1)]


class Examples(BaseModel):
    """Python texts that define `loss(output, target)`, `output` and `target`; the guilty line ends in `# <- here`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fires: Texts
    silent: Texts


class Rule(BaseModel):
    """One offence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: Annotated[str, Field(pattern=r"^[A-Z]{2,8}[0-9]{3,5}$")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    severity: Literal["error", "warning", "note"]
    on: Literal["event", "graph"] = "event"  # 'graph': the pattern alone is the offence, no failure is needed
    match: Texts  # alternatives; see the module `match`
    op: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()  # the failing op must be one of these
    when: str | None = None  # see the module `expr`
    kind: Literal["wrong-density", "precision", "dead-gradient", "unbounded", "negative-nll"] | None = None
    verdict: Literal["defect", "limit", "wrong-formula", "silent"] | None = None
    message: str
    why: str
    fix: str | None = None  # a pattern over the captures
    advice: str | None = None
    false_positives: str | None = None
    references: tuple[str, ...] = ()
    tests: Examples

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, data: Any) -> Any:
        if isinstance(data, dict) and isinstance(data.get("references"), list):
            return {**data, "references": tuple(data["references"])}
        return data


def load(folders: Sequence[str | Path] = ()) -> tuple[Rule, ...]:
    """The shipped rules and those of `folders`, by id. Raises NllcheckError with file, line and column."""
    places = [resources.folder("rules"), *map(Path, folders)]
    rules: dict[str, tuple[Rule, Path]] = {}
    for path in [file for place in places for file in files(place)]:
        rule = read(path)
        if rule.id in rules:
            raise NllcheckError(
                f"the id {rule.id} is taken by {rules[rule.id][1]}", where=str(path), hint="choose another"
            )
        rules[rule.id] = (rule, path)
    return tuple(rule for _, (rule, _) in sorted(rules.items()))


def files(place: Path) -> list[Path]:
    """Rule files of a folder (or the one file), sorted. Raises NllcheckError if there is no such folder."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise NllcheckError(f"there is no rule folder '{place}'", hint="--rules takes a folder of YAML files")
    return sorted(p for p in place.iterdir() if p.suffix in (".yaml", ".yml"))


def read(path: Path) -> Rule:
    """One rule from its file. Raises NllcheckError."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise NllcheckError(f"cannot read the rule: {error}", where=str(path)) from None
    tree = yamltree.read(text, str(path))
    if not isinstance(tree.value, dict):
        raise NllcheckError("a rule file holds one mapping", where=f"{path}:1:1", hint="start with 'id: MY101'")
    try:
        rule = Rule.model_validate(tree.value)
    except ValidationError as error:
        raise _told(error, tree, path) from None
    _check_texts(rule, tree, path)
    return rule


def _told(error: ValidationError, tree: yamltree.Tree, path: Path) -> NllcheckError:
    """The first validation error at its place."""
    first = error.errors()[0]
    loc = tuple(part for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = Examples.model_fields if loc[:1] == ("tests",) and len(loc) > 1 else Rule.model_fields
        hint = did_you_mean(str(loc[-1]), set(known))
        return NllcheckError(f"unknown key '{loc[-1]}'", where=_at(tree, path, loc), hint=hint)
    if first["type"] == "missing":
        return NllcheckError(
            f"the key '{loc[-1]}' is missing", where=_at(tree, path, loc[:-1]), hint=_missing_hint(loc)
        )
    return NllcheckError(f"{'.'.join(map(str, loc))}: {first['msg']}", where=_at(tree, path, loc))


def _missing_hint(loc: tuple[Any, ...]) -> str:
    tests = "a rule needs an example that fires and one that stays silent"
    return tests if set(loc) & {"tests", "fires", "silent"} else "nllcheck rules show NLL101 prints a whole rule"


def _at(tree: yamltree.Tree, path: Path, loc: Iterable[Any]) -> str:
    """`file:line:column` of the deepest part of `loc` that has a place."""
    parts = tuple(loc)
    while parts and parts not in tree.places:
        parts = parts[:-1]
    line, column = tree.places.get(parts, (1, 1))
    return f"{path}:{line}:{column}"


def _check_texts(rule: Rule, tree: yamltree.Tree, path: Path) -> None:
    """Patterns, condition and templates must be readable and speak of captures that exist."""
    captures: set[str] = set()
    for i, text in enumerate(rule.match):
        with _placed(tree, path, ("match", i)):
            captures |= match.captures_of(match.parse(text))
    if rule.when:
        with _placed(tree, path, ("when",)):
            _check_names(expr.compile(rule.when).names, captures | {"event", "axis"}, "name")
    for key in ("message",):
        with _placed(tree, path, (key,)):
            _check_names(_template_names(getattr(rule, key)), captures | set(_FIELDS), "field")
    for name in rule.op:
        with _placed(tree, path, ("op",)):
            _check_names({name}, set(ops.BY_NAME), "op")
    for i, text in enumerate(rule.tests.fires if rule.on == "event" else ()):
        if "# <- here" not in text:
            raise NllcheckError(
                "no line of this example is marked '# <- here'", where=_at(tree, path, ("tests", "fires", i))
            )


def _template_names(template: str) -> set[str]:
    inner = {m.strip() for m in re.findall(r"\{([^{}]*)\}", template)}
    return {re.sub(r"^range\((\w+)\)$", r"\1", name) for name in inner}


def _check_names(used: Iterable[str], known: set[str], what: str) -> None:
    for name in sorted(used):
        if name not in known:
            raise NllcheckError(f"unknown {what} '{name}'", hint=did_you_mean(name, known))


class _placed:
    """Adds the place in the rule file to an error that has none."""

    def __init__(self, tree: yamltree.Tree, path: Path, loc: tuple[Any, ...]) -> None:
        self.where = _at(tree, path, loc)

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, NllcheckError) and not error.where:
            error.where = self.where


def schema() -> dict[str, Any]:
    """The JSON Schema of a rule file, for editors; texts may be one string or a list."""
    made = Rule.model_json_schema()
    for properties in (made["properties"], made["$defs"]["Examples"]["properties"]):
        for name in ("match", "op", "fires", "silent"):
            if name in properties:
                properties[name] = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return made
