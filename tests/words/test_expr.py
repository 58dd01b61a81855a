"""The language of `when:`: a table of values, and that nothing else is ever read or run."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nllcheck import expr
from nllcheck.errors import NllcheckError

NAMES = {
    "event": SimpleNamespace(kind="nan", op="log", threshold=9.01, chain=("tanh", "log"), on_batch=False, nothing=None),
    "axis": {"role": "output"},
    "r": expr.Range(-0.5, 1.0),
    "c_eps": expr.Range(1e-8, 1e-8),
    "lost": expr.Range(math.nan, math.nan),
}
VALUES = (
    ("event.kind == 'nan'", True),
    ("event.kind in ('nan', 'inf')", True),
    ("event.kind not in ['inf']", True),
    ("'log' in event.chain and len(event.chain) == 2", True),
    ("axis.role == 'output'", True),
    ("max(abs(r)) > 0.99", True),
    ("min(abs(r)) == 0", True),
    ("min(r) < 0 < max(r) <= 1", True),
    ("0 < 1 < 1", False),
    ("c_eps < 1e-7", True),
    ("r < 2", True),
    ("r < 1", False),
    ("max(2 * r + 1)", 3.0),
    ("min(-r / 2)", -0.5),
    ("max(1 / r)", math.inf),
    ("max(r, 7)", 7.0),
    ("isnan(lost)", True),
    ("max(lost) > 0", False),
    ("max(lost) <= 0", False),
    ("max(lost) != 0", False),
    ("not max(lost) > 0", True),
    ("1 / 0 > 5", True),
    ("event.nothing < 3", False),
    ("not event.on_batch or 1 > 2", True),
    ("event.threshold - 9 > 0.001", True),
    ("(1 if 2 else 3)", NllcheckError),
    ("nobody > 1", NllcheckError),
    ("event.nobody == 1", NllcheckError),
    ("event.kind > 1", NllcheckError),
    ("event.kind + 1", NllcheckError),
    ("r and 1", NllcheckError),
    ("len(r) > 1", NllcheckError),
    ("'a' * 5", NllcheckError),
)
ATTACKS = (
    "__import__('os').system('true')",
    "().__class__.__bases__[0].__subclasses__()",
    "event.__class__",
    "event.kind.__class__",
    "event._x",
    "(lambda: 1)()",
    "[x for x in (1,)]",
    "9 ** 9",
    "event['kind']",
    "f'{event}'",
    "(event := 1)",
    "max(*r)",
    "max(r, key=abs)",
    "open('f')",
    "eval('1')",
    "max.__call__(1)",
    "1 << 9",
    "1j",
    "b'x'",
    "...",
    "{1: 2}",
    "yield",
    "import os",
    "a; b",
    "(" * 300,
    "-" * 500 + "1",
    "1 +" * 2000 + "1",
    "[" * 90 + "]" * 90,
    "x is None",
    "\0",
    "",
)


def same(got: object, wanted: object) -> bool:
    return got == wanted and type(got) is type(wanted)


@pytest.mark.parametrize(("text", "wanted"), VALUES)
def test_values(text, wanted):
    if wanted is NllcheckError:
        with pytest.raises(NllcheckError, match="column"):
            expr.compile(text).evaluate(NAMES)
    else:
        assert same(expr.compile(text).evaluate(NAMES), wanted)


@pytest.mark.parametrize("text", ATTACKS, ids=lambda t: t[:30])
def test_what_is_not_of_the_language_is_refused_before_it_is_evaluated(text):
    with pytest.raises(NllcheckError, match="column"):
        expr.compile(text)


def test_columns_count_characters_of_the_line_as_shown():
    with pytest.raises(NllcheckError, match="column 8 of"):
        expr.compile("  'é' == x[0]")


def test_names_and_attributes_are_listed():
    found = expr.compile("event.kind == 'a' and max(r) > axis.low")
    assert found.names == {"event", "axis", "r"}
    assert found.attributes == {"event.kind", "axis.low"}


class Trap:
    """Says so when any code of it runs."""

    def __getattr__(self, name):
        raise AssertionError(f"touched {name}")

    __eq__ = __lt__ = __bool__ = __len__ = lambda *_: pytest.fail("ran")
    __hash__ = None


@pytest.mark.parametrize("text", ["x == 1", "x.y", "not x", "len(x)", "x in (1, 2)", "n.x == 1", "x"])
def test_foreign_objects_are_never_touched(text):
    with pytest.raises(NllcheckError, match="column"):
        expr.compile(text).evaluate({"x": Trap(), "n": SimpleNamespace(x=Trap())})


NUMBERS = st.floats(allow_nan=True, allow_infinity=True)


@given(NUMBERS, NUMBERS, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
def test_comparisons_are_those_of_floats_but_for_nan(a, b, sign):
    got = expr.compile(f"a {sign} b").evaluate({"a": a, "b": b})
    wanted = eval(f"a {sign} b") and not (math.isnan(a) or math.isnan(b))
    assert got is wanted


@st.composite
def ranges_with_a_point(draw):
    low, point, high = sorted(draw(st.lists(st.floats(-1e6, 1e6), min_size=3, max_size=3)))
    return expr.Range(low, high), point


ARITHMETIC = ("a + b", "a - b", "a * b", "-a", "abs(a)", "a / b")


@given(ranges_with_a_point(), ranges_with_a_point(), st.sampled_from(ARITHMETIC))
def test_arithmetic_on_ranges_encloses_that_on_their_points(a, b, text):
    compiled = expr.compile(text)
    whole = compiled.evaluate({"a": a[0], "b": b[0]})
    point = compiled.evaluate({"a": a[1], "b": b[1]})
    low, high = (whole.low, whole.high) if isinstance(whole, expr.Range) else (whole, whole)
    assert math.isnan(point) or math.isnan(low) or low <= point <= high


@given(st.text("ab01.()[]'<>=+-*/ !inotdr,_\n\t\\{}:", max_size=60))
def test_any_text_is_an_expression_or_a_user_error(text):
    try:
        expr.compile(text).evaluate({"a": 1.0, "b": expr.Range(0.0, 1.0)})
    except NllcheckError as error:
        assert "column" in str(error)
