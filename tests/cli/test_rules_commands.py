"""`explain` and `rules`: found by id or name, near misses named, every file at fault told."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nllcheck import ruletest

SHIPPED = Path(__file__).parents[2] / "rules"


@pytest.fixture
def own(tmp_path) -> Path:
    """A folder with one rule of the user's."""
    text = (
        (SHIPPED / "NLL101.yaml").read_text().replace("NLL101", "ACME001").replace("name: log-of-softmax", "name: own")
    )
    (tmp_path / "ACME001.yaml").write_text(text)
    return tmp_path


def test_explain_says_what_why_and_instead(call):
    code, out, _ = call("explain", "nll101")
    assert code == 0 and out.startswith("NLL101 log-of-softmax (error)\n")
    assert all(f"\n{label}\n" in out for label in ("what", "why", "instead", "not meant", "matches", "sources"))
    assert "{" not in out and max(map(len, out.splitlines())) <= 88


@pytest.mark.parametrize("name", ["NLL000", "unexplained-failure", "NLL002"])
def test_explain_knows_what_is_built_in(call, name):
    code, out, _ = call("explain", name)
    assert code == 0 and "\nadvice\n" in out


def test_explain_finds_by_name_and_in_own_folders(call, own):
    assert call("explain", "correlation-near-one")[1].startswith("NLL301")
    assert call("explain", "acme001", "--rules", str(own))[1].startswith("ACME001 own")


MISSES = {"NLL30l": "did you mean 'NLL30", "sotfmax": "did you mean 'log-of-softmax'?", "§": "known: "}


@pytest.mark.parametrize("wanted", MISSES)
def test_near_misses(call, wanted):
    code, out, err = call("explain", wanted)
    assert (code, out) == (2, "") and MISSES[wanted] in err


def test_list_is_sorted_and_complete(call, own):
    _, out, _ = call("rules", "list", "--rules", str(own))
    ids = [line.split()[0] for line in out.splitlines()]
    assert ids == sorted(ids) and {"NLL000", "NLL101", "ACME001"} <= set(ids)


def test_show_prints_the_file_as_it_is(call):
    assert call("rules", "show", "NLL101")[1] == (SHIPPED / "NLL101.yaml").read_text()


def test_show_of_a_built_in_one_points_to_explain(call):
    code, _, err = call("rules", "show", "NLL000")
    assert code == 2 and "nllcheck explain NLL000" in err


def test_validate_one_and_all(call, own):
    assert call("rules", "validate", str(own))[:2] == (0, "1 rule is well formed\n")
    assert call("rules", "validate", str(SHIPPED), str(SHIPPED / "NLL101.yaml"))[0] == 0


def test_validate_tells_every_file_at_fault(call, own):
    (own / "bad.yaml").write_text("id: [")
    (own / "worse.yaml").write_text("id: 7")
    code, out, err = call("rules", "validate", str(own))
    assert (code, out) == (2, "") and "bad.yaml:" in err and "worse.yaml:" in err


def test_validate_refuses_what_run_would_refuse(call, own):
    shutil.copy(SHIPPED / "NLL301.yaml", own / "copy.yaml")
    code, _, err = call("rules", "validate", str(own))
    assert code == 2 and "'NLL301' is taken" in err and "copy.yaml" in err


@pytest.mark.parametrize("words", [("nowhere",), ("empty",), ()])
def test_validate_of_nothing_is_no_success(call, tmp_path, monkeypatch, words):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    assert call("rules", "validate", *words)[0] == 2


def test_examples_that_fail_are_told(monkeypatch, call):
    def failing(rule, folders):
        print("an example prints")
        return (
            ruletest.Outcome(rule.id, "fires 1", False, "found nothing"),
            ruletest.Outcome(rule.id, "silent 1", True),
        )

    monkeypatch.setattr(ruletest, "test_rule", failing)
    code, out, err = call("rules", "test", "NLL101")
    assert code == 1
    assert out == "FAIL  NLL101 fires 1: found nothing\n1 examples of 1 rule hold, 1 do not\n"
    assert err == "an example prints\n"
