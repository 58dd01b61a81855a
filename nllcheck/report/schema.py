"""The JSON Schema of the JSON format, made from the dataclasses that it spells out.

It is kept beside this file as `report.schema.json`; a test holds the two together.
"""

from __future__ import annotations

import types
from dataclasses import fields, is_dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from nllcheck.report.machine import SCHEMA, SIGNS
from nllcheck.types import SEVERITIES, Axis, Break, Candidate, Facts, Finding, LineBits, PairMap, ZCurve

NUMBER = {"anyOf": [{"type": "number"}, {"enum": ["nan", "inf", "-inf"]}]}
PLAIN: dict[Any, dict[str, Any]] = {
    str: {"type": "string"},
    int: {"type": "integer"},
    bool: {"type": "boolean"},
    float: NUMBER,
    type(None): {"type": "null"},
}
TEXT, TEXTS, COUNT = PLAIN[str], {"type": "array", "items": PLAIN[str]}, {"type": "integer", "minimum": 0}


def schema() -> dict[str, Any]:
    """Draft 2020-12: one report, or the reports of several targets."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nllcheck report",
        "anyOf": [{"$ref": "#/$defs/report"}, {"$ref": "#/$defs/reports"}],
        "$defs": {"report": _report(), "reports": _reports(), "finding": _finding(), "sweep": _sweep()},
    }


def of(hint: Any) -> dict[str, Any]:
    """The schema of a type of the vocabulary, as `machine.plain` writes its values."""
    origin, inner = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        told = get_type_hints(hint)
        return closed({field.name: of(told[field.name]) for field in fields(hint)})
    if origin in (Union, types.UnionType):
        return {"anyOf": [of(one) for one in inner]}
    if origin is Literal:
        return {"enum": list(inner)}
    if origin is tuple:
        return _array(inner)
    return PLAIN[hint]


def closed(properties: dict[str, Any]) -> dict[str, Any]:
    """An object that has all of these and nothing else."""
    return {
        "type": "object",
        "properties": properties,
        "required": sorted(properties),
        "additionalProperties": False,
    }


def _array(inner: tuple[Any, ...]) -> dict[str, Any]:
    if inner[-1] is ...:
        return {"type": "array", "items": of(inner[0])}
    size = len(inner)
    return {"type": "array", "prefixItems": [of(one) for one in inner], "minItems": size, "maxItems": size}


def _finding() -> dict[str, Any]:
    made = of(Finding)
    return closed({**made["properties"], "fingerprint": TEXT})


def _facts() -> dict[str, Any]:
    named = {"type": "object", "additionalProperties": TEXT}
    told = {**of(Facts)["properties"], "versions": named, "settings": named}
    return closed({name: value for name, value in told.items() if name != "seconds"})


def _sweep() -> dict[str, Any]:
    loss = {"enum": ["finite", "negative", "inf", "nan"]}
    slope = {"enum": list(SIGNS.values())}
    region = closed({"first": NUMBER, "last": NUMBER, "points": COUNT, "loss": loss, "slope": slope})
    axis = {field.name: of(get_type_hints(Axis)[field.name]) for field in fields(Axis)}
    moves = closed({"name": TEXT, "node": COUNT, "position": COUNT, "end": NUMBER})
    axis = closed(axis | {"moves": {"type": "array", "items": moves}})
    return closed({"axis": axis, "points": COUNT, "regions": {"type": "array", "items": region}})


def _summary(fail_on: dict[str, Any]) -> dict[str, Any]:
    counts = closed(dict.fromkeys(SEVERITIES, COUNT))
    worst = {"enum": [*SEVERITIES, None]}
    return closed({"counts": counts, "exit_code": {"enum": [0, 1, 4]}, "ok": PLAIN[bool], "worst": worst, **fail_on})


def _report() -> dict[str, Any]:
    findings = {"type": "array", "items": {"$ref": "#/$defs/finding"}}
    how = {"enum": ["baseline", "suppressed"]}
    accepted = closed({"how": how, "reason": TEXT, "finding": {"$ref": "#/$defs/finding"}})
    return closed(
        {
            "schema": {"const": SCHEMA},
            "tool": {"const": "nllcheck"},
            "name": TEXT,
            "summary": _summary({"fail_on": {"enum": [*SEVERITIES, "never"]}}),
            "facts": _facts(),
            "findings": findings,
            "accepted": {"type": "array", "items": accepted},
            "bits": {"type": "array", "items": of(LineBits)},
            "breaks": {"type": "array", "items": of(Break)},
            "searched": {"type": "array", "items": of(Candidate)},
            "densities": {"type": "array", "items": of(ZCurve)},
            "pairs": {"type": "array", "items": of(PairMap)},
            "sweeps": {"type": "array", "items": {"$ref": "#/$defs/sweep"}},
            "notes": TEXTS,
            "skipped": TEXTS,
            "incomplete": TEXTS,
        }
    )


def _reports() -> dict[str, Any]:
    reports = {"type": "array", "items": {"$ref": "#/$defs/report"}, "minItems": 2}
    told = {"schema": {"const": SCHEMA}, "tool": {"const": "nllcheck"}, "summary": _summary({}), "reports": reports}
    return closed(told)
