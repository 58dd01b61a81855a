"""Annotations of GitHub Actions: `::error file=...,line=...,title=...::message` lines on standard output.

Notes are left to the job summary, unless notes fail. A step shows ten of a kind and drops the rest without a word, so
the tenth then counts those that follow.
"""

from __future__ import annotations

from collections.abc import Sequence

from nllcheck.report import Report, words
from nllcheck.report.identity import place_of
from nllcheck.report.spelling import clean, code, prose, short_path
from nllcheck.types import Finding

COMMANDS = {"error": "error", "warning": "warning", "note": "notice"}
SHOWN = 10


def render(reports: Sequence[Report]) -> str:
    lines: list[str] = []
    for command in COMMANDS.values():
        lines += _limited(command, _of(command, reports))
    return "".join(f"{line}\n" for line in lines)


def _of(command: str, reports: Sequence[Report]) -> list[str]:
    """Every annotation of one kind; what was not evaluated is an error like any other."""
    left = [
        _line("error", {"title": f"nllcheck: {r.label} not evaluated"}, prose(text))
        for r in reports
        for text in r.incomplete
    ]
    told = [_annotation(r, f) for r in reports for f in r.alarms if COMMANDS[f.severity] == command]
    return [*left, *told] if command == "error" else told


def _limited(command: str, lines: list[str]) -> list[str]:
    if len(lines) <= SHOWN:
        return lines
    more = len(lines) - SHOWN + 1
    said = f"{more} more of these are in the job summary and the log"
    return [*lines[: SHOWN - 1], _line(command, {"title": f"nllcheck: {more} more"}, said)]


def _annotation(report: Report, finding: Finding) -> str:
    site = place_of(finding, report.facts)
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    parts = [prose(finding.message), words.when(finding, report.facts, table), words.reach(finding)]
    parts += [f"instead: {code(finding.fix)}"] if finding.fix else []
    place = {"file": short_path(site.path), "line": str(max(site.line, 1))}
    title = {"title": f"{finding.rule} {finding.name} ({report.label})"}
    return _line(COMMANDS[finding.severity], place | title, "\n".join(part for part in parts if part))


def _line(command: str, properties: dict[str, str], message: str) -> str:
    told = ",".join(f"{name}={_property(clean(value))}" for name, value in properties.items())
    return f"::{command} {told}::{_data(message)}"


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")
