"""GitLab's code quality report: a list of issues with a path inside the repository; notes only where notes fail.

The fields are those of GitLab's documentation and of the Code Climate specification (issues) that it is a part of.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from nllcheck.report import Report, words
from nllcheck.report.identity import fingerprints, place_of
from nllcheck.report.spelling import clean, prose, short_path
from nllcheck.types import Finding

KIND: dict[str, Any] = {"type": "issue", "categories": ["Bug Risk"]}  # what Code Climate asks for and GitLab ignores
SEVERITY = {"error": "critical", "warning": "major", "note": "info"}


def render(reports: Sequence[Report]) -> str:
    told: list[dict[str, Any]] = []
    for report in reports:
        prints = fingerprints(report.alarms, report.facts)
        told += [_issue(report, one, text) for one, text in zip(report.alarms, prints, strict=True)]
        told += [_left(report, text) for text in report.incomplete]
    return json.dumps(told, indent=2, sort_keys=True, allow_nan=False) + "\n"


def _issue(report: Report, finding: Finding, fingerprint: str) -> dict[str, Any]:
    site = place_of(finding, report.facts)
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    parts = (prose(finding.message), words.when(finding, report.facts, table))
    return KIND | {
        "check_name": clean(finding.rule),
        "description": ". ".join(part.rstrip(".") for part in parts if part),
        "fingerprint": _unique(report, fingerprint),
        "severity": SEVERITY[finding.severity],
        "location": _location(clean(short_path(site.path)), max(site.line, 1)),
    }


def _left(report: Report, text: str) -> dict[str, Any]:
    """What was not evaluated: an issue on the project's own file, where the target is named."""
    return KIND | {
        "check_name": "not-evaluated",
        "description": clean(f"{report.label}: not evaluated: {prose(text)}"),
        "fingerprint": _unique(report, text),
        "severity": "blocker",
        "location": _location("pyproject.toml", 1),
    }


def _location(path: str, line: int) -> dict[str, Any]:
    return {"path": path, "lines": {"begin": line, "end": line}}


def _unique(report: Report, text: str) -> str:
    """GitLab drops issues with equal fingerprints; two targets may share a line."""
    return hashlib.sha256(f"{report.label}\0{text}".encode("utf-8", "surrogatepass")).hexdigest()[:32]
