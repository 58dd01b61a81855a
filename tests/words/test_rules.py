"""Rule files: every mistake is told at its place, nothing in a rule runs, and the schema is the models'."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nllcheck import expr, match, resources, rules
from nllcheck.errors import NllcheckError
from nllcheck.rules.scope import density_sample, sample
from nllcheck.rules.texts import MARK

WHOLE = """\
id: MY101
name: log-of-something
severity: error
match:
  - log(softmax(x))
  - log(sigmoid(x))
op: log
when: "event.kind == 'nan' and max(abs(x)) > 0.5"
message: the log of {x}, {range(x)}, at {axis} = {threshold}, {reach} away, by {op} at {line}
why: because
fix: log_softmax(x)
references: [Higham 2002]
tests:
  fires: |
    def loss(output, target):
        return output.log()  # <- here
  silent:
    - loss = None
    - loss = 1
"""
GRAPH = """\
id: MY601
name: a-shape
severity: warning
on: graph
kind: wrong-density
verdict: wrong-formula
match: nll_loss(softmax(x))
message: the log of {x} is missing
why: because
tests:
  fires: "loss = 1  # <- here"
  silent: loss = 1
"""
BROKEN = (  # what is replaced, by what, place, part of the message, part of the hint
    ("severity: error", "severity: fatal", "3:11", "severity: must be 'error', 'warning' or 'note'", ""),
    ("severity: error", "severity: on", "3:11", "severity: must be 'error', 'warning' or 'note'", ""),
    ("severity: error", "sevrity: error", "3:1", "unknown key 'sevrity'", "did you mean 'severity'?"),
    ("severity: error\n", "", "1:1", "the key 'severity' is missing", "nllcheck rules show"),
    ("id: MY101", "id: my101", "1:5", "id: 'my101' does not match", ""),
    ("id: MY101", "id: 101", "1:5", "id: must be text; put quotes around it", ""),
    ("name: log-of-something", "name: Log of", "2:7", "does not match", ""),
    ("id: MY101", "id: MY101\nid: MY102", "2:1", "the key 'id' stands here twice", ""),
    ("  - log(sigmoid(x))", "  - log(sigmod(x))", "6:9", "unknown op 'sigmod'", "did you mean 'sigmoid'?"),
    ("  - log(sigmoid(x))", "  - log(sigmoid(x)", "6:8", "cannot read the expression", ""),
    ("  - log(sigmoid(x))", "  - x", "6:5", "a pattern holds an op", ""),
    ("  - log(sigmoid(x))", "  - log(event)", "6:5", "'event' has a meaning of its own", ""),
    ("  - log(sigmoid(x))", "  - log(sigmoid(y))", "9:10", "unknown field 'x' (a capture must be in every", ""),
    ("  - log(softmax(x))\n  - log(sigmoid(x))", " []", "5:2", "match: must not be empty", ""),
    ("op: log", "op: lg", "7:5", "unknown op 'lg'", "did you mean 'log'?"),
    ("op: log", "op: [log, 3]", "7:11", "op.1: must be text", ""),
    ("event.kind ==", "event.knd ==", "8:8", "unknown name 'knd'", "did you mean 'kind'?"),
    ("event.kind ==", "event.kind >", "8:21", "cannot order 'str' and 'str'", ""),
    ("max(abs(x)) > 0.5", "max(abs(y)) > 0.5", "8:40", "unknown name 'y'", "known: axis, event, x"),
    ("max(abs(x)) > 0.5", "x", "8:32", "is neither true nor false", "compare it"),
    ("max(abs(x)) > 0.5", "__import__('os')", "8:32", "unknown function '__import__'", "known:"),
    ("\"event.kind == 'nan' and max(abs(x)) > 0.5\"", "max(x)", "8:7", "is neither true nor false", ""),
    ("\"event.kind == 'nan' and max(abs(x)) > 0.5\"", ">-\n  max(x) >\n  5 6", "8:7", "(at column 12 of", ""),
    ("{range(x)}", "{range(y)}", "9:10", "unknown field 'y'", ""),
    ("{threshold}", "{treshold}", "9:10", "unknown field 'treshold'", "did you mean 'threshold'?"),
    ("{range(x)}", "{range(op)}", "9:10", "unknown field 'op'", "known: x"),
    ("{range(x)}", "{{x}}", "9:10", "a brace in the message stands alone", "write {x}"),
    ("{range(x)}", "x}", "9:10", "a brace in the message stands alone", ""),
    ("why: because", "why: ''", "10:6", "why: must not be empty", ""),
    ("fix: log_softmax(x)", "fix: log_softmax(y)", "11:6", "unknown capture 'y'", ""),
    ("fix: log_softmax(x)", "fix: use log_softmax", "11:10", "cannot read the expression", ""),
    ("fix: log_softmax(x)", "kind: wrong-density", "11:7", "only a rule with 'on: graph' has a kind", ""),
    ("references: [Higham 2002]", "references: [2002]", "12:14", "references.0: must be text", ""),
    ("  fires: |", "  fire: |", "14:3", "unknown key 'fire'", "did you mean 'fires'?"),
    ("  silent:\n    - loss = None\n    - loss = 1\n", "", "13:1", "the key 'silent' is missing", "stays silent"),
    ("    - loss = 1", "    - 'loss = ('", "19:7", "the example is no Python", ""),
    ("    - loss = 1", f"    - 'loss = {'-' * 50_000}1'", "19:7", "the example is no Python: nested too deeply", ""),
    ("    - loss = 1", f"    - 'loss = a{'.b' * 50_000}'", "19:7", "the example is no Python: nested too deeply", ""),
    ("    - loss = 1", "    - return 1", "19:7", "'return' outside function", ""),
    (f"  {MARK}", "", "14:10", "no lines of this example are marked", ""),
    (f"  {MARK}", f"  {MARK} {MARK}", "14:10", "2 lines of this example are marked", ""),
)
BROKEN_GRAPH = (
    ("kind: wrong-density\n", "", "4:5", "needs a kind", ""),
    ("verdict: wrong-formula\n", "", "4:5", "needs a verdict", ""),
    ("why: because", "when: event.on_batch\nwhy: because", "9:7", "it can have no condition", ""),
    ("the log of {x}", "at {threshold} of {x}", "8:10", "unknown field 'threshold'", ""),
)
WRONG = [(WHOLE, *row) for row in BROKEN] + [(GRAPH, *row) for row in BROKEN_GRAPH]


def written(folder: Path, text: str, name: str = "rule.yaml") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return folder / name


@pytest.mark.parametrize(("base", "old", "new", "place", "message", "hint"), WRONG, ids=lambda v: repr(v[:30]))
def test_a_mistake_is_told_at_its_place(tmp_path, base, old, new, place, message, hint):
    assert base.count(old) == 1
    path = written(tmp_path, base.replace(old, new))
    with pytest.raises(NllcheckError) as caught:
        rules.read(path)
    assert message in caught.value.message
    assert caught.value.where == f"{path}:{place}"
    assert hint in caught.value.hint


def test_a_whole_rule_is_read(tmp_path):
    path = written(tmp_path, WHOLE)
    rule = rules.read(path)
    assert (rule.id, rule.match, rule.op, rule.path) == (
        "MY101",
        ("log(softmax(x))", "log(sigmoid(x))"),
        ("log",),
        path,
    )
    assert [len(rule.tests.fires), len(rule.tests.silent)] == [1, 2]
    assert rules.read(written(tmp_path, GRAPH)).on == "graph"


@pytest.mark.parametrize("text", ["", "- a\n- b", "just text"])
def test_a_file_that_is_no_mapping(tmp_path, text):
    with pytest.raises(NllcheckError, match="one mapping"):
        rules.read(written(tmp_path, text))


def test_files_that_cannot_be_read(tmp_path):
    (tmp_path / "a.yaml").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "a.yaml", tmp_path / "missing.yaml"):
        with pytest.raises(NllcheckError, match="cannot read the rule"):
            rules.read(path)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(NllcheckError, match="this is no file"):
        rules.read(tmp_path / "pipe.yaml")
    (tmp_path / "empty").mkdir()
    for place, message in (("nowhere", "there is no rule folder"), ("empty", "there is no rule in this folder")):
        with pytest.raises(NllcheckError, match=message):
            rules.load([tmp_path / place])


def test_own_rules_stand_beside_the_shipped_ones_and_take_no_id_or_name(tmp_path):
    written(tmp_path / "mine", WHOLE)
    assert "MY101" in {rule.id for rule in rules.load([tmp_path / "mine"])}
    for key, taken in (("id: MY101", "id: NLL101"), ("name: log-of-something", "name: log-of-softmax")):
        path = written(tmp_path / "taken", WHOLE.replace(key, taken))
        with pytest.raises(NllcheckError, match="is taken by") as caught:
            rules.load([tmp_path / "taken"])
        assert caught.value.where == str(path)


def test_loading_runs_nothing_of_a_rule(tmp_path, monkeypatch):
    marker = tmp_path / "ran"
    evil = f"open({str(marker)!r}, 'w')"
    for old in ("loss = None", "loss = 1"):
        rules.read(written(tmp_path, WHOLE.replace(old, evil)))
    rules.read(written(tmp_path, WHOLE.replace("return output.log()", evil)))
    assert not marker.exists()


def test_odd_escapes_in_an_example_warn_nobody(tmp_path, recwarn):
    rules.read(written(tmp_path, WHOLE.replace("loss = None", r"loss = '\d'")))
    assert not recwarn.list


def test_the_committed_schema_is_that_of_the_models():
    path = resources.folder("rules") / "rule.schema.json"
    text = json.dumps(rules.schema(), indent=2, ensure_ascii=False) + "\n"
    if os.environ.get("NLLCHECK_RENEW_GOLDEN"):
        path.write_text(text)
    assert path.read_text() == text


def test_the_schema_knows_every_key_that_rules_use():
    made = rules.schema()
    assert set(made["properties"]) == set(rules.Rule.model_fields)
    assert made["additionalProperties"] is False
    assert {"type": "string", "minLength": 1} in made["properties"]["match"]["anyOf"]


SHIPPED = rules.load()


@pytest.mark.parametrize("rule", SHIPPED, ids=lambda r: r.id)
def test_shipped_rules_explain_themselves(rule):
    assert rule.path.stem == rule.id
    assert rule.fix or rule.advice
    assert rule.references
    assert "schema=rule.schema.json" in rule.path.read_text().splitlines()[0]
    assert rule.message.count("{axis}") == " ".join(rule.message.split()).count(
        "{axis} = {threshold}"
    )  # or "the batch"
    texts = [rule.message, rule.why, rule.advice or "", rule.false_positives or ""]
    assert not any("  " in " ".join(t.split()) or "{" in t for t in texts[1:])


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(NUMBERS, NUMBERS, st.sampled_from(SHIPPED))
def test_conditions_never_raise_whatever_the_values(low, high, rule):
    captures = set.intersection(*(match.captures_of(match.parse(text)) for text in rule.match))
    known = density_sample(captures) if rule.on == "density" else sample(captures)
    names = {**known, **{name: expr.Range(low, high) for name in captures}}
    if rule.when:
        assert isinstance(expr.compile(rule.when).evaluate(names), bool)
