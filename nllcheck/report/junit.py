"""JUnit XML as CI servers read it: a suite a target, a test case a finding, an error for what was not evaluated.

No attribute but those of the schema that Jenkins checks against (junit-10.xsd): it refuses a file with others.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence

from nllcheck.report import Report, words
from nllcheck.report.identity import place_of
from nllcheck.report.spelling import clean, code, prose
from nllcheck.types import Finding


def render(reports: Sequence[Report]) -> str:
    root = ET.Element("testsuites", name="nllcheck")
    for report in reports:
        root.append(_suite(report))
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in root)))
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + _safe(ET.tostring(root, encoding="unicode")) + "\n"


def _suite(report: Report) -> ET.Element:
    suite = ET.Element("testsuite", name=clean(report.label))
    cases = [_finding(report, finding) for finding in report.findings]
    cases += [_case(report, f"{_title(one.finding)} ({one.how})", "skipped", one.reason) for one in report.accepted]
    cases += [_case(report, "not evaluated", "error", text) for text in report.incomplete]
    cases += [_case(report, "not checked", "skipped", text) for text in report.skipped]
    suite.extend(cases or [_case(report, f"checked: {words.coverage(report)}")])
    counted = {"tests": "testcase", "failures": "*/failure", "errors": "*/error", "skipped": "*/skipped"}
    for name, path in counted.items():
        suite.set(name, str(len(suite.findall(path))))
    return suite


def _case(report: Report, name: str, outcome: str = "", text: str = "") -> ET.Element:
    case = ET.Element("testcase", classname=clean(report.label), name=clean(name))
    if outcome:
        ET.SubElement(case, outcome, message=prose(text))
    return case


def _title(finding: Finding) -> str:
    axis = f" along {finding.axis}" if finding.axis else ""
    return f"{finding.rule} {finding.name}{axis}"


def _finding(report: Report, finding: Finding) -> ET.Element:
    """A failure at or above `fail_on`; else a test that passes and says what was seen."""
    site = place_of(finding, report.facts)
    case = _case(report, f"{_title(finding)} at {words.place(site)}")
    if report.failing(finding):
        failure = ET.SubElement(case, "failure", message=prose(finding.message), type=f"{finding.verdict}")
        failure.text = _told(report, finding)
    else:
        ET.SubElement(case, "system-out").text = f"{finding.severity}: {_told(report, finding)}"
    return case


def _told(report: Report, finding: Finding) -> str:
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    rows = [("", prose(finding.message)), ("when", words.when(finding, report.facts, table))]
    rows += words.rows(finding, report.facts, table, verbose=True)
    rows += [("instead", code(finding.fix or "")), ("rerun", clean(finding.command))]
    return "\n".join(f"{label}: {text}" if label else text for label, text in rows if text)


def _safe(text: str) -> str:
    """XML 1.0 has no place for these at all, not even escaped; `clean` has made most of them visible before."""
    return "".join(c for c in text if c in "\t\n" or (c >= " " and c not in "\ufffe\uffff"))
