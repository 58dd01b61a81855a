"""What a rule file holds, as models: the one place from which errors, the JSON Schema and the code take it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr, ValidationError
from pydantic_core import ErrorDetails

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.yamltree import Path as Loc
from nllcheck.yamltree import Tree


def _as_tuple(value: Any) -> Any:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


Text = Annotated[str, Field(min_length=1)]
Several = Annotated[tuple[Text, ...], BeforeValidator(_as_tuple)]  # one text, or a list of them
Texts = Annotated[Several, Field(min_length=1)]


class Examples(BaseModel):
    """Python texts that define `loss(output, target)`, `output` and `target` (or `model`, `inputs` and `target`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    fires: Texts = Field(description="One line of each is guilty and ends in `# <- here`.")
    silent: Texts = Field(description="The same written well: no error, no warning, and not this rule.")


class Rule(BaseModel):
    """One offence."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="nllcheck rule")
    id: Annotated[str, Field(pattern=r"^[A-Z]{2,8}[0-9]{3,5}$")]
    name: Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="The offence, in a few words.")]
    severity: Literal["error", "warning", "note"] = Field(description="Of a failure within the model's reach.")
    on: Literal["event", "graph", "density"] = Field(
        "event", description="graph: the pattern alone is the offence; density: with what the density test found."
    )
    match: Texts = Field(description="Patterns, any of which will do: log(softmax(x)), x / (1 - r ** 2).")
    op: Several = Field((), description="The failing op must be one of these.")
    when: Text | None = Field(
        None, description="Condition over event, axis (on density: density) and the captures: max(abs(r)) > 0.99."
    )
    kind: Literal["wrong-density", "precision", "dead-gradient", "unbounded", "negative-nll"] | None = Field(
        None, description="What a graph rule finds, or an event rule explains (without: NaN and infinity)."
    )
    verdict: Literal["defect", "limit", "wrong-formula", "silent"] | None = Field(
        None, description="What a graph rule calls it."
    )
    message: Text = Field(description="One sentence, with {x}, {range(x)}, {threshold}, {axis}, {reach}, {op}, {line}.")
    why: Text = Field(description="What happens, in two or three sentences.")
    fix: Text | None = Field(None, description="What to write instead: a pattern over the captures.")
    advice: Text | None = Field(None, description="What to do, in words.")
    false_positives: Text | None = None
    references: Several = ()
    tests: Examples
    _path: Path | None = PrivateAttr(None)

    @property
    def path(self) -> Path | None:
        """The file it came from."""
        return self._path


def validated(tree: Tree, path: Path) -> Rule:
    """The rule that a file holds. Raises NllcheckError with file, line and column."""
    if not isinstance(tree.value, dict):
        raise NllcheckError("a rule file holds one mapping", where=f"{path}:1:1", hint="start with 'id: MY101'")
    try:
        rule = Rule.model_validate(tree.value)
    except ValidationError as error:
        raise _told(error, tree, path) from None
    rule._path = path
    return rule


def _told(error: ValidationError, tree: Tree, path: Path) -> NllcheckError:
    """The first error at its place; an unknown key before a missing one, which it may well be, misspelt."""
    first = min(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    loc = tuple(first["loc"])
    if first["type"] == "extra_forbidden":
        known = Examples.model_fields if len(loc) > 1 else Rule.model_fields
        hint = did_you_mean(str(loc[-1]), set(known))
        return NllcheckError(f"unknown key '{loc[-1]}'", where=at(path, tree.places, loc), hint=hint)
    if first["type"] == "missing":
        message = f"the key '{loc[-1]}' is missing"
        return NllcheckError(message, where=at(path, tree.places, loc[:-1]), hint=_missing_hint(loc))
    message = f"{'.'.join(map(str, loc))}: {_plainly(first)}"
    return NllcheckError(message, where=at(path, tree.values, loc))


def _plainly(error: ErrorDetails) -> str:
    context = error.get("ctx") or {}
    plain = {
        "string_pattern_mismatch": f"'{error['input']}' does not match {context.get('pattern')}",
        "string_too_short": "must not be empty",
        "too_short": "must not be empty",
        "string_type": "must be text; put quotes around it" if not isinstance(error["input"], dict) else "must be text",
    }
    return plain.get(error["type"]) or error["msg"].replace("Input should be", "must be")


def _missing_hint(loc: Loc) -> str:
    tests = "a rule needs an example that fires and one that stays silent"
    return tests if set(loc) & {"tests", "fires", "silent"} else "nllcheck rules show NLL101 prints a whole rule"


def at(path: Path | None, places: dict[Loc, tuple[int, int]], loc: Sequence[str | int]) -> str:
    """`file:line:column` of the deepest part of `loc` that has a place."""
    parts = tuple(loc)
    while parts and parts not in places:
        parts = parts[:-1]
    line, column = places.get(parts, (1, 1))
    return f"{path}:{line}:{column}"


def schema() -> dict[str, Any]:
    """The JSON Schema of a rule file, for editors; where several texts may stand, one alone may, too."""
    made = Rule.model_json_schema()
    for properties in (made["properties"], made["$defs"]["Examples"]["properties"]):
        for name, field in properties.items():
            if field.get("type") == "array":
                one = {"minLength": 1, "type": "string"}
                alone = {k: v for k, v in field.items() if k in ("description", "title", "default")}
                listed = {k: v for k, v in field.items() if k not in alone}
                properties[name] = {**alone, "anyOf": [one, listed]}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made}
