"""What a project decides about findings: policy, comments, baseline. Each alone, on reports built by hand."""

from __future__ import annotations

import math
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from report_cases import EXP_HEAD, FACTS, HOSTILE, NEGATIVE, PDF_THEN_LOG, RHO_NEAR_ONE, hostile, realistic

from nllcheck import baseline, policy, suppressions
from nllcheck.baseline import Entry
from nllcheck.errors import NllcheckError
from nllcheck.policy import Policy
from nllcheck.report import Report
from nllcheck.types import Finding, Site

RULES = {"NLL101", "NLL102", "NLL201", "NLL301", "NLL401", "NLL601"}


def rules(report: Report) -> list[str]:
    return [finding.rule for finding in report.findings]


POLICIES = {
    "nothing said": (Policy(), ["NLL301", "NLL201", "NLL401", "NLL601", "NLL602"]),
    "select": (Policy(select=("NLL3", "NLL201")), ["NLL301", "NLL201"]),
    "ignore": (Policy(ignore=("NLL6",)), ["NLL301", "NLL201", "NLL401"]),
    "the longer code wins": (Policy(select=("NLL601",), ignore=("NLL6",)), ["NLL601"]),
    "ignore wins a draw": (Policy(select=("NLL6", "NLL3"), ignore=("NLL6",)), ["NLL301"]),
    "severity": (Policy(severity=(("NLL", "note"),)), ["NLL301", "NLL201", "NLL401", "NLL601", "NLL602"]),
}  # fmt: skip


@pytest.mark.parametrize("case", POLICIES)
def test_policy(case: str) -> None:
    asked, left = POLICIES[case]
    report = policy.applied(realistic(), asked)
    assert sorted(rules(report)) == sorted(left)
    missing = len(realistic().findings) - len(left)
    assert any("left out" in note and str(missing) in note for note in report.notes) == bool(missing)


def test_severity_is_set_and_never_lowered_for_what_the_batch_shows() -> None:
    broken = replace(RHO_NEAR_ONE, on_batch=True)
    report = policy.applied(Report(FACTS, (broken, EXP_HEAD)), Policy(severity=(("NLL", "note"),)))
    assert [(f.rule, f.severity) for f in report.findings] == [("NLL301", "error"), ("NLL401", "note")]


@pytest.mark.parametrize(
    "asked", [Policy(select=("NLL9",)), Policy(ignore=("",)), Policy(severity=(("nll1", "note"),))]
)
def test_unknown_codes_are_refused(asked: Policy) -> None:
    with pytest.raises(NllcheckError, match="no rule begins with"):
        policy.checked(asked, RULES)


# --- comments

SOURCE = """\
import torch

def loss(x):
    a = torch.log(x)  # nllcheck: ignore[NLL101] x is positive by construction
    # nllcheck: ignore[NLL101, NLL201] the caller clamps
    b = torch.exp(
        x
    )
    c = (
        torch.exp(x)  # nllcheck:ignore[NLL301] - bounded
        + 1
    )
    text = "# nllcheck: ignore[NLL101] not a comment"
    return a + b + c
"""
COVERED = {4: {"NLL101"}, 6: {"NLL101", "NLL201"}, 7: {"NLL101", "NLL201"}, 8: {"NLL101", "NLL201"},
           9: {"NLL301"}, 10: {"NLL301"}, 11: {"NLL301"}, 12: {"NLL301"}}  # fmt: skip


def at(path: Path, line: int, rule: str) -> Finding:
    return replace(RHO_NEAR_ONE, rule=rule, site=Site(str(path), line, "loss", source="x"), chain=())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "losses.py"
    path.write_text(SOURCE)
    return path


def test_a_comment_answers_for_its_statement_and_its_rules_alone(source: Path) -> None:
    found = tuple(at(source, line, rule) for line in range(1, 15) for rule in sorted(RULES))
    (report,) = suppressions.applied((Report(FACTS, found),), lambda: RULES)
    covered = {(one.finding.site.line, one.finding.rule) for one in report.accepted if one.finding.site}
    assert covered == {(line, rule) for line, rules in COVERED.items() for rule in rules}
    assert len(report.accepted) + len(report.findings) == len(found)
    assert {one.reason for one in report.accepted} == {"x is positive by construction", "the caller clamps", "bounded"}


def test_unused_comments_are_told_once_for_the_run(source: Path) -> None:
    one, other = Report(FACTS, (at(source, 4, "NLL101"),)), Report(FACTS, (at(source, 9, "NLL301"),))
    first, last = suppressions.applied((one, other), lambda: RULES)
    assert first.notes == () and first.ok and last.ok
    assert len(last.notes) == 1 and ":5: unused: ignore[NLL101, NLL201]" in last.notes[0]


REFUSED = {
    "# nllcheck: ignore": "must name its rules",
    "# nllcheck: ignore all of it": "must name its rules",
    "# nllcheck: ignore[] because": "must name its rules",
    "# nllcheck: ignroe[NLL101] because": "must name its rules",
    "# nllcheck: ignore[*] because": "no rule '\\*'",
    "# nllcheck: ignore[NLL1] because": "no rule 'NLL1'",
    "# nllcheck: ignore[NLL110] because": "no rule 'NLL110'.*did you mean 'NLL10.'",
    "# nllcheck: ignore[NLL101]": "must give its reason",
    "# nllcheck: ignore[NLL101] --": "must give its reason",
}


@pytest.mark.parametrize("comment", REFUSED)
def test_what_hides_too_much_is_refused_at_its_line(tmp_path: Path, comment: str) -> None:
    path = tmp_path / "losses.py"
    path.write_text(f"x = 1\ny = 2  {comment}\n")
    with pytest.raises(NllcheckError, match=f"(?s){REFUSED[comment]}") as caught:
        suppressions.read(str(path), lambda: RULES)
    assert caught.value.where.endswith("losses.py:2") and caught.value.exit_code == 2


# --- baseline

LATER = {
    "the same": (RHO_NEAR_ONE, True),
    "moved": (replace(RHO_NEAR_ONE, site=replace(RHO_NEAR_ONE.site, line=7)), True),
    "a little nearer": (replace(RHO_NEAR_ONE, reach=1.9), True),
    "further away": (replace(RHO_NEAR_ONE, reach=50.0), True),
    "milder": (replace(RHO_NEAR_ONE, severity="warning"), True),
    "on the batch now": (replace(RHO_NEAR_ONE, on_batch=True), False),
    "inside the range now": (replace(RHO_NEAR_ONE, reach=1.0), False),
    "much nearer": (replace(RHO_NEAR_ONE, reach=1.1), False),
    "another line": (replace(RHO_NEAR_ONE, site=replace(RHO_NEAR_ONE.site, source="other")), False),
    "another rule": (replace(RHO_NEAR_ONE, rule="NLL302"), False),
}


@pytest.mark.parametrize("case", LATER)
def test_only_new_or_worse_findings_fail(case: str) -> None:
    later, accepted = LATER[case]
    entries = baseline.entries_of((Report(FACTS, (RHO_NEAR_ONE,)),))
    report = baseline.applied(Report(FACTS, (later,)), entries)
    assert report.ok == accepted and len(report.accepted) == int(accepted)
    assert len(report.findings) + len(report.accepted) == 1
    assert any("worse than" in note or "stale" in note for note in report.notes) != accepted


def test_a_warning_that_became_an_error_is_worse() -> None:
    entries = baseline.entries_of((Report(FACTS, (EXP_HEAD,)),))
    worse = baseline.applied(Report(FACTS, (replace(EXP_HEAD, severity="error"),)), entries)
    assert not worse.ok and "error, was warning" in worse.notes[0]


def test_the_baseline_of_a_report_accepts_all_of_it_and_of_no_other_target() -> None:
    for report in (realistic(), hostile()):
        entries = baseline.entries_of((report,))
        assert {f.severity for f in baseline.applied(report, entries).findings} <= {"note"}
        stranger = replace(report, name="another")
        assert baseline.applied(stranger, entries).findings == report.findings
    assert baseline.strangers(entries, ["x"]) and not baseline.strangers(entries, [hostile().label])


def test_stale_entries_are_told_and_fail_nothing() -> None:
    entries = baseline.entries_of((realistic(),))
    report = baseline.applied(Report(FACTS, (PDF_THEN_LOG, NEGATIVE)), entries)
    assert report.ok and sum("stale" in note for note in report.notes) == 2
    cut = baseline.applied(Report(FACTS, (), incomplete=("cut short",)), entries)
    assert cut.notes == ()


def test_reasons_and_lost_targets_outlive_a_new_baseline() -> None:
    before = tuple(replace(e, reason="agreed") for e in baseline.entries_of((realistic(),)))
    assert baseline.entries_of((realistic(),), before) == before
    assert baseline.entries_of((Report(FACTS, incomplete=("gone",)),), before) == before
    assert baseline.entries_of((Report(FACTS),), before) == ()


texts = st.text(st.characters(codec="utf-8"), min_size=1)


@settings(deadline=None)
@given(st.builds(Entry, texts, texts, texts, st.sampled_from(["error", "warning", "note"]), texts, place=st.text(
    st.characters(codec="utf-8")), code=texts, reason=texts, on_batch=st.booleans(),
    reach=st.floats(min_value=0, allow_nan=False)))  # fmt: skip
def test_what_is_written_is_read_again(tmp_path_factory: pytest.TempPathFactory, entry: Entry) -> None:
    path = tmp_path_factory.mktemp("b") / "b.toml"
    text = baseline.text_of([entry])
    path.write_bytes(text.encode())
    assert baseline.read(path) == (entry,)
    assert tomllib.loads(text)["version"] == 1


def test_a_hostile_report_makes_a_readable_file(tmp_path: Path) -> None:
    path = tmp_path / "b.toml"
    path.write_text(baseline.text_of(baseline.entries_of((hostile(),))), encoding="utf-8")
    (entry,) = baseline.read(path)
    assert entry.rule == HOSTILE.encode("utf-8", "backslashreplace").decode() and math.isinf(entry.reach)


ENTRY = '[[finding]]\ntarget = "t"\nrule = "R"\nname = "n"\nseverity = "error"\nfingerprint = "f"\n'
UNREADABLE = {
    "empty": ("", "no baseline of version 1"),
    "newer": ("version = 2\n", "no baseline of version 1"),
    "no toml": ("version = \n", "not valid TOML"),
    "another file": ("version = 1\nfindings = []\n", "unknown key 'findings'"),
    "not blocks": ("version = 1\nfinding = 3\n", "must be"),
    "unknown key": ("version = 1\n" + ENTRY + 'resaon = "x"\n', "did you mean 'reason'"),
    "wrong type": ("version = 1\n" + ENTRY + "on_batch = 1\n", "'on_batch' cannot be 1"),
    "bad severity": ("version = 1\n" + ENTRY.replace("error", "fatal"), "severity cannot be 'fatal'"),
    "no number": ("version = 1\n" + ENTRY + "reach = nan\n", "'reach' cannot be nan"),
    "below nothing": ("version = 1\n" + ENTRY + "reach = -1\n", "'reach' cannot be -1"),
    "no version": ("version = true\n" + ENTRY, "no baseline of version 1"),
    "bottomless": ("version = 1\nx = " + "[" * 9000, "nested too deeply"),
    "missing": ("version = 1\n" + ENTRY.replace('rule = "R"\n', ""), "'rule' is missing"),
    "twice": ("version = 1\n" + ENTRY + ENTRY, "stands twice"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_bad_baseline_is_one_clear_error(tmp_path: Path, case: str) -> None:
    text, message = UNREADABLE[case]
    path = tmp_path / "b.toml"
    path.write_text(text)
    with pytest.raises(NllcheckError, match=f"(?s){message}") as caught:
        baseline.read(path)
    assert str(path) in caught.value.where and caught.value.exit_code == 2


def test_a_missing_baseline_is_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(NllcheckError, match="no such baseline"):
        baseline.read(tmp_path / "none.toml")
