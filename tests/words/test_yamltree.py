"""YAML as YAML 1.2 reads it, with places, and bounded whatever the text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nllcheck import yamltree
from nllcheck.errors import NllcheckError

SCALARS = (  # text, value
    ("1e-3", 0.001), ("1E5", 1e5), (".5", 0.5), ("5.", 5.0), ("+5", 5), ("007", 7), ("0x1f", 31), ("0o17", 15),
    ("-.inf", -math.inf), (".INF", math.inf), ("on", "on"), ("yes", "yes"), ("off", "off"), ("True", True),
    ("FALSE", False), ("null", None), ("~", None), ("", None), ("'5'", "5"), ('"true"', "true"), ("1_000", "1_000"),
    ("12:30:45", "12:30:45"), ("2020-01-01", "2020-01-01"), ("=", "="), ("1.2.3", "1.2.3"), ("e5", "e5"), (".", "."),
)  # fmt: skip
BROKEN = (  # text, place, part of the message
    ("a: 1\na: 2", "2:1", "the key 'a' stands here twice"),
    ("a:\n  b: 1\n  b: 2", "3:3", "the key 'b' stands here twice"),
    ("a: [1, 2\n", "2:1", "not valid YAML"),
    ("a: 'x", "1:6", "not valid YAML"),
    ("a:\n\tb: 1", "2:1", "not valid YAML"),
    ("a: 1\n---\nb: 2", "2:1", "not valid YAML"),
    ("a: !!python/object/apply:os.system [id]", "1:4", "the tag 'tag:yaml.org,2002:python/object/apply:os.system'"),
    ("a: !mine 5", "1:4", "the tag '!mine'"),
    ("a: !!binary aGk=", "1:4", "is not allowed"),
    ("? [1, 2]\n: x", "1:3", "a key must be plain text"),
    ("a: &a [*a]", "1:4", "an alias that expands itself"),
    ("a: *b", "1:4", "not valid YAML"),
    ("[" * 200_001, "", "longer than"),
    ("[" * 100_000 + "]" * 99_000, "1:21", "nested more than 20 deep"),
    ("a: " + "{b: " * 30 + "}" * 30, "1:80", "nested more than 20 deep"),
)


@pytest.mark.parametrize(("text", "value"), SCALARS)
def test_scalars_are_those_of_yaml_1_2(text, value):
    found = yamltree.read(f"a: {text}", "f").value["a"]
    assert found == value
    assert type(found) is type(value)


def test_not_a_number():
    assert math.isnan(yamltree.read("a: .NaN", "f").value["a"])


@pytest.mark.parametrize(("text", "place", "message"), BROKEN, ids=lambda v: repr(v[:24]))
def test_broken_text_is_refused_at_its_place(text, place, message):
    with pytest.raises(NllcheckError) as caught:
        yamltree.read(text, "f.yaml")
    assert message in caught.value.message
    assert caught.value.where == (f"f.yaml:{place}" if place else "f.yaml")


def test_control_characters_are_refused():
    with pytest.raises(NllcheckError, match="not valid YAML"):
        yamltree.read("a: \x00", "f.yaml")


def test_aliases_that_multiply_are_bounded():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    with pytest.raises(NllcheckError, match="more than 20000 values"):
        yamltree.read("\n".join(lines), "f.yaml")


def test_keys_items_and_values_have_places():
    tree = yamltree.read("a: 1\nb:\n  - x\n  - c:   |\n      text\n", "f")
    assert tree.value == {"a": 1, "b": ["x", {"c": "text\n"}]}
    assert (tree.places["a",], tree.values["a",]) == ((1, 1), (1, 4))
    assert tree.places["b", 1, "c"] == (4, 5)
    assert tree.values["b", 1, "c"] == (4, 10)


def test_an_empty_document_is_nothing():
    assert yamltree.read("# only a comment\n", "f").value is None


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#,? \n\t0.e", max_size=80))
def test_any_text_is_read_or_refused_as_one_error(text):
    try:
        yamltree.read(text, "f")
    except NllcheckError as error:
        assert error.where.startswith("f")


KEYS = st.text("abc", min_size=1, max_size=4)
VALUES = st.recursive(
    st.text(alphabet=st.characters(codec="utf-8", exclude_categories=["C"]), max_size=10)
    | st.integers(-(10**9), 10**9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(VALUES)
def test_json_is_read_as_it_is(value):
    import json

    assert yamltree.read(json.dumps(value, ensure_ascii=False), "f").value == value
