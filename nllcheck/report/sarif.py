"""SARIF 2.1.0 (OASIS, 2020): one log, one run, whatever the number of targets.

One run, because code hosts refuse several of one tool in a file. Every result has a file and a line, without which
they drop the whole log. Nothing depends on time or machine, so the same reports give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from nllcheck import __version__
from nllcheck.report import Accepted, Report, exit_code, words
from nllcheck.report.identity import fingerprints, is_relative, place_of
from nllcheck.report.spelling import clean, code, prose, short_path
from nllcheck.types import Finding, Site

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
HOME = "https://pypi.org/project/nllcheck/"


def render(reports: Sequence[Report]) -> str:
    rules = _rules(reports)
    run = {
        "tool": {"driver": {"name": "nllcheck", "version": __version__, "informationUri": HOME, "rules": rules}},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"SRCROOT": {"description": {"text": "the working directory of the check"}}},
        "invocations": [_invocation(reports)],
        "results": _results(reports, [rule["id"] for rule in rules]),
    }
    log = {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}
    return json.dumps(log, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _rules(reports: Sequence[Report]) -> list[dict[str, Any]]:
    """Each rule that a finding names, explained once, by id."""
    first: dict[str, Finding] = {}
    for report in reports:
        for finding in _all(report):
            first.setdefault(clean(finding.rule), finding)
    return [_rule(name, finding) for name, finding in sorted(first.items())]


def _rule(name: str, finding: Finding) -> dict[str, Any]:
    why = prose(finding.why) or prose(finding.name)
    advice = [f"Instead:\n{code(finding.fix)}"] if finding.fix else []
    advice += [prose(finding.advice)] if finding.advice else []
    pascal = "".join(part.title() for part in clean(finding.name).split("-"))
    return {
        "id": name,
        **({"name": pascal} if pascal not in ("", name) else {}),
        "shortDescription": {"text": prose(finding.name.replace("-", " ")) or name},
        "fullDescription": {"text": why or name},
        "help": {"text": "\n\n".join([why, *advice, f"More: nllcheck explain {name}"])},
        "defaultConfiguration": {"level": finding.severity},
        "properties": {"tags": ["numerical-stability"]},
    }


def _all(report: Report) -> list[Finding]:
    return [*report.findings, *(one.finding for one in report.accepted)]


def _results(reports: Sequence[Report], rules: list[str]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    for report in reports:
        accepted: list[Accepted | None] = [*[None] * len(report.findings), *report.accepted]
        prints = fingerprints(_all(report), report.facts)
        rows = zip(_all(report), prints, accepted, strict=True)
        told += [_result(report, finding, text, rules, one) for finding, text, one in rows]
    return told


def _result(
    report: Report, finding: Finding, fingerprint: str, rules: list[str], accepted: Accepted | None
) -> dict[str, Any]:
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    parts = [prose(finding.message), words.when(finding, report.facts, table), words.reach(finding)]
    said = ". ".join(part.rstrip(".") for part in parts if part) + f". [{report.label}]"
    told: dict[str, Any] = {
        "ruleId": clean(finding.rule),
        "ruleIndex": rules.index(clean(finding.rule)),
        "level": finding.severity,
        "message": {"text": clean(said)},
        "locations": [_location(place_of(finding, report.facts))],
        "partialFingerprints": {"nllcheck/v1": fingerprint},
        "properties": {"target": clean(report.label), "verdict": finding.verdict, "kind": finding.kind},
    }
    flow = [_location(step.site, words.step(step)) for step in finding.chain if step.site]
    if flow:
        told["codeFlows"] = [{"threadFlows": [{"locations": [{"location": place} for place in flow]}]}]
    if accepted:
        kind = "inSource" if accepted.how == "suppressed" else "external"
        told["suppressions"] = [{"kind": kind, "justification": prose(accepted.reason)}]
    return told


def _location(site: Site, said: str = "") -> dict[str, Any]:
    region: dict[str, Any] = {"startLine": max(site.line, 1)}
    if site.source:
        region["snippet"] = {"text": clean(site.source)}
    place: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(site.path), "region": region}}
    if site.function:
        place["logicalLocations"] = [{"name": clean(site.function), "kind": "function"}]
    return {**place, "message": {"text": said}} if said else place


def _artifact(path: str) -> dict[str, str]:
    short = short_path(path)
    uri = quote(clean(short), safe="/")
    if is_relative(short):
        return {"uri": uri, "uriBaseId": "SRCROOT"}
    return {"uri": f"file://{uri}" if uri.startswith("/") else f"file:///{uri}"}


def _invocation(reports: Sequence[Report]) -> dict[str, Any]:
    left = [(report, text, "error") for report in reports for text in report.incomplete]
    left += [(report, text, "note") for report in reports for text in report.skipped]
    return {
        "executionSuccessful": not any(report.incomplete for report in reports),
        "exitCode": exit_code(reports),
        "toolExecutionNotifications": [
            {"level": level, "message": {"text": clean(f"{report.label}: {prose(text)}")}}
            for report, text, level in left
        ],
    }
