"""What other programs read: every format holds to its own standard, for every report, alone and together."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest
from report_cases import EXP_HEAD, FACTS, MISSING_LOG, PDF_THEN_LOG, REPORTS, RHO_NEAR_ONE, realistic, structural

from nllcheck.report import Accepted, Report, exit_code, not_evaluated
from nllcheck.report.formats import FORMATS
from nllcheck.report.identity import fingerprints
from nllcheck.report.schema import schema
from nllcheck.types import Site

HERE = Path(__file__).parent
SARIF = jsonschema.Draft202012Validator(json.loads((HERE / "schemas" / "sarif-2.1.0.json").read_text()))
JSON = jsonschema.Draft202012Validator(schema())
LOST = not_evaluated("mixture", "runs/last.pt", "no such file: runs/last.pt")


def accepting() -> Report:
    how = (Accepted(RHO_NEAR_ONE, "suppressed", "rho is clamped by the caller"), Accepted(EXP_HEAD, "baseline", "old"))
    return Report(FACTS, (PDF_THEN_LOG,), accepted=how, name="mixture")


RUNS: dict[str, Callable[[], tuple[Report, ...]]] = {
    **{name: (lambda make=make: (make(),)) for name, make in REPORTS.items()},
    "accepting": lambda: (accepting(),),
    "lost": lambda: (LOST,),
    "all": lambda: (*(replace(make(), name=name) for name, make in REPORTS.items()), accepting(), LOST),
}
every_run = pytest.mark.parametrize("run", RUNS.values(), ids=RUNS.keys())
every_format = pytest.mark.parametrize("kind", FORMATS)


@every_run
@every_format
def test_pure_and_writable(kind: str, run: Callable[[], tuple[Report, ...]]) -> None:
    text = FORMATS[kind](run())
    slower = tuple(replace(r, facts=replace(r.facts, seconds=(("sweep", 99.0),))) for r in run())
    assert text == FORMATS[kind](run()) == FORMATS[kind](slower)
    text.encode("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", text)


@every_run
def test_sarif_is_valid(run: Callable[[], tuple[Report, ...]]) -> None:
    log = json.loads(FORMATS["sarif"](run()), parse_constant=pytest.fail)
    SARIF.validate(log)
    (only,) = log["runs"]
    for result in only["results"]:
        place = result["locations"][0]["physicalLocation"]
        assert place["artifactLocation"]["uri"] and place["region"]["startLine"] >= 1
        assert only["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"]
        assert only["tool"]["driver"]["rules"][result["ruleIndex"]]["help"]["text"]
    assert len(only["results"]) == sum(len(r.findings) + len(r.accepted) for r in run())
    assert only["invocations"][0]["exitCode"] == exit_code(run())
    assert only["invocations"][0]["executionSuccessful"] == (not any(r.incomplete for r in run()))


def test_the_sarif_schema_tells_good_from_bad() -> None:
    log = json.loads(FORMATS["sarif"]((realistic(),)))
    log["runs"][0]["results"][0]["level"] = "fatal"
    with pytest.raises(jsonschema.ValidationError):
        SARIF.validate(log)


def test_sarif_says_what_was_accepted_and_by_whom() -> None:
    results = json.loads(FORMATS["sarif"]((accepting(),)))["runs"][0]["results"]
    told = {r["ruleId"]: [s["kind"] for s in r.get("suppressions", [])] for r in results}
    assert told == {"NLL201": [], "NLL301": ["inSource"], "NLL401": ["external"]}


def test_the_json_schema_is_fresh_and_strict(golden: Callable[[str, str], None]) -> None:
    golden("../../../nllcheck/report/report.schema.json", json.dumps(schema(), indent=1, sort_keys=True) + "\n")
    jsonschema.Draft202012Validator.check_schema(schema())
    told = realistic().to_dict()
    told["findings"][0]["verdict"] = "fine"
    assert not JSON.is_valid(told)


@every_run
def test_json_follows_its_schema(run: Callable[[], tuple[Report, ...]]) -> None:
    JSON.validate(json.loads(FORMATS["json"](run()), parse_constant=pytest.fail))


@every_run
def test_junit_counts_what_it_holds(run: Callable[[], tuple[Report, ...]]) -> None:
    root = ET.fromstring(FORMATS["junit"](run()).encode())
    assert len(root) == len(run())
    for suite, report in zip(root, run(), strict=True):
        failing = sum(map(report.failing, report.findings))
        assert int(suite.get("failures", "")) == len(suite.findall("*/failure")) == failing
        assert int(suite.get("errors", "")) == len(suite.findall("*/error")) == len(report.incomplete)
        assert int(suite.get("tests", "")) == len(suite.findall("testcase")) >= 1
    assert int(root.get("failures", "")) == sum(int(suite.get("failures", "")) for suite in root)


JENKINS = {  # elements and their attributes as in junit-10.xsd of Jenkins' xUnit plugin, as far as they are used
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {"name", "tests", "failures", "errors", "skipped", "time", "timestamp", "hostname", "id", "package"},
    "testcase": {"name", "time", "classname", "group"},
    "failure": {"message", "type"},
    "error": {"message", "type"},
    "skipped": {"message", "type"},
    "system-out": set(),
}


@every_run
def test_junit_holds_only_what_jenkins_knows(run: Callable[[], tuple[Report, ...]]) -> None:
    for element in ET.fromstring(FORMATS["junit"](run()).encode()).iter():
        assert set(element.attrib) <= JENKINS[element.tag]


@every_run
def test_annotations_are_single_lines_and_few(run: Callable[[], tuple[Report, ...]]) -> None:
    lines = FORMATS["github"](run()).splitlines()
    assert all(re.match(r"::(error|warning|notice) [^:]*::.", line) for line in lines)
    for kind in ("error", "warning", "notice"):
        assert sum(line.startswith(f"::{kind} ") for line in lines) <= 10


def test_the_tenth_annotation_counts_the_rest() -> None:
    many = Report(FACTS, tuple(replace(RHO_NEAR_ONE, axis=f"x{i}") for i in range(25)))
    lines = FORMATS["github"]((many,)).splitlines()
    assert len(lines) == 10 and "16 more" in lines[-1]


CODE_QUALITY = {  # GitLab, Code Quality report format, and Code Climate's engine specification, issues and locations
    "type": "array",
    "items": {
        "type": "object",
        "additionalProperties": False,
        "required": ["type", "check_name", "description", "categories", "location", "severity", "fingerprint"],
        "properties": {
            "type": {"const": "issue"},
            "check_name": {"type": "string", "minLength": 1},
            "description": {"type": "string", "pattern": r"^[^\n\r]+$"},
            "categories": {"type": "array", "minItems": 1, "items": {"enum": ["Bug Risk"]}},
            "severity": {"enum": ["info", "minor", "major", "critical", "blocker"]},
            "fingerprint": {"type": "string", "minLength": 1},
            "location": {
                "type": "object",
                "additionalProperties": False,
                "required": ["path", "lines"],
                "properties": {
                    "path": {"type": "string", "pattern": r"^(?!\./|/).+"},
                    "lines": {
                        "type": "object",
                        "additionalProperties": False,
                        "required": ["begin", "end"],
                        "properties": {name: {"type": "integer", "minimum": 1} for name in ("begin", "end")},
                    },
                },
            },
        },
    },
}


@every_run
def test_gitlab_issues_have_what_gitlab_and_code_climate_require(run: Callable[[], tuple[Report, ...]]) -> None:
    issues = json.loads(FORMATS["gitlab"](run()))
    jsonschema.validate(issues, CODE_QUALITY)
    assert len({issue["fingerprint"] for issue in issues}) == len(issues)


@every_run
def test_markdown_is_no_markup_of_the_users(run: Callable[[], tuple[Report, ...]]) -> None:
    text = FORMATS["markdown"](run())
    outside = re.sub(r"(?ms)^(`{3,})\w*$.*?^\1$", "", text)
    assert set(re.findall(r"<\s*/?\s*([a-zA-Z]+)", outside)) <= {"details", "summary", "b", "code"}
    assert text.count("<details") == text.count("</details>") == sum(len(r.findings) for r in run())


def test_a_fence_is_longer_than_any_inside() -> None:
    odd = replace(MISSING_LOG, fix="a\n````\n<b>")
    assert "`````python\na\n````\n<b>\n`````" in FORMATS["markdown"]((Report(FACTS, (odd,)),))


MOVED = {
    "down": (replace(RHO_NEAR_ONE, site=replace(RHO_NEAR_ONE.site, line=99)), True),
    "to another folder": (replace(RHO_NEAR_ONE, site=replace(RHO_NEAR_ONE.site, path="/a/b/losses.py")), True),
    "another threshold": (replace(RHO_NEAR_ONE, threshold=8.0, axis="rho", reach=0.5, message="other"), True),
    "another line of code": (replace(RHO_NEAR_ONE, site=replace(RHO_NEAR_ONE.site, source="x")), False),
    "another rule": (replace(RHO_NEAR_ONE, rule="NLL302"), False),
    "another phase": (replace(RHO_NEAR_ONE, phase="backward"), False),
}


@pytest.mark.parametrize("case", MOVED)
def test_fingerprints_survive_a_shift_and_nothing_else(case: str) -> None:
    moved, same = MOVED[case]
    assert (fingerprints((moved,), FACTS) == fingerprints((RHO_NEAR_ONE,), FACTS)) == same


def test_fingerprints_of_twins_differ_whatever_their_order() -> None:
    twins = (RHO_NEAR_ONE, replace(RHO_NEAR_ONE, axis="a"))
    told = fingerprints(twins, FACTS)
    assert len(set(told)) == 2 and told == fingerprints(twins[::-1], FACTS)[::-1]


def test_a_finding_without_a_line_points_at_the_loss() -> None:
    facts = replace(FACTS, loss_site=Site("src/losses.py", 12, "nll"))
    bare = Report(facts, (replace(MISSING_LOG, site=None),))
    place = json.loads(FORMATS["sarif"]((bare,)))["runs"][0]["results"][0]["locations"][0]["physicalLocation"]
    assert place["artifactLocation"]["uri"] == "src/losses.py" and place["region"]["startLine"] == 12
    assert "file=src/losses.py,line=12" in FORMATS["github"]((bare,))


def test_what_was_not_evaluated_is_in_every_format() -> None:
    assert LOST.exit_code == exit_code((structural(), LOST)) + 3 == 4
    for kind, render in FORMATS.items():
        assert "no such file" in render((realistic(), LOST)), kind
