"""Patterns over graphs: a table of what matches and what does not, and the laws that hold for all of it."""

from __future__ import annotations

import pytest
from graphs import graph_of
from hypothesis import given
from hypothesis import strategies as st

from nllcheck.errors import NllcheckError
from nllcheck.match import Match, captures_of, find, find_at, parse
from nllcheck.types import Graph, Node, Ref

MATCHES = (  # pattern, graph
    ("log(softmax(x))", "log(softmax(x, -1))"),
    ("log(softmax(x))", "log(gather(view(softmax(x, -1)), 1, t))"),
    ("log(softmax(x) | sigmoid(x))", "log(sigmoid(x))"),
    ("log(softmax(x)) | log(sigmoid(x))", "log(sigmoid(x))"),
    ("1 - r ** 2", "r = tanh(x); 1 - r * r"),
    ("1 - r ** 2", "constant(1.0) - x ** 2"),
    ("exp(x) / sum(exp(x))", "e = exp(x); e / sum(e, -1, True)"),
    ("exp(x) / sum(exp(x))", "exp(x) / sum(exp(view(x)), -1, True)"),
    ("log(sum(exp(x)))", "log(sum(exp(z), (-1,)))"),
    ("log(x + c_eps)", "log(1e-8 + sigmoid(x))"),
    ("log(1 + exp(x))", "log(exp(x) + 1)"),
    ("a + log(b) + exp(c)", "exp(x) + (y + log(x))"),
    ("log(a) + exp(b) + 1", "(1 + exp(x)) + log(y)"),
    ("log(2 * pi * s)", "log(6.283185307179586 * s)"),
    ("log(2 * pi * s)", "log(2 * s * 3.14159265)"),
    ("log(2 * s * pi)", "log(6.2831855 * s)"),
    ("exp(-0.5 * x)", "exp(x * -0.5)"),
    ("where(_, sqrt(x), _)", "where(gt(x, 0), sqrt(x), 0.0)"),
    ("clamp(x, c_low)", "clamp(x, 1e-6)"),
    ("x ** 2", "mul(view(x), view(x))"),
    ("gather(log(p))", "gather(log(p), 1, t)"),
    ("nll_loss(log(p))", "nll_loss(log(p), t, None, 1, -100)"),
    ("maximum(exp(x), y)", "maximum(y, exp(x))"),
)
MISSES = (
    ("log(softmax(x))", "log(sigmoid(x))"),
    ("log(softmax(x))", "log(sum(softmax(x, -1)))"),
    ("exp(x) / sum(exp(x))", "exp(x) / sum(exp(y))"),
    ("exp(a) - exp(b)", "exp(a) + exp(b)"),
    ("1 - x", "x - 1"),
    ("log(x + c_eps)", "log(x + y)"),
    ("log(1 - p)", "log(1.0000000001 - p)"),
    ("x + log(y)", "add(x, log(y), alpha=2)"),
    ("x / exp(y)", "div(x, exp(y), rounding_mode='floor')"),
    ("y * log(y)", "select(x, 1, 0) * log(select(x, 1, 1))"),  # two columns are two values
    ("clamp(x, c_low)", "clamp_max(x, 1.0)"),
    ("a + b + c + exp(d)", "x + exp(y)"),
)
BROKEN = (  # pattern, column
    ("log(", 4),
    ("log(sofmax(x))", 5),
    ("log(X)", 5),
    ("log(x) if y else z", 1),
    ("log(x, base=2)", 1),
    ("x", 1),
    ("log('x')", 5),
    ("log(x).y", 1),
    ("log(x[0])", 5),
    ("1 + log(__import__)", 9),
    ("log((lambda: 1)())", 5),
)


def root_of(pattern: str, text: str) -> Match | None:
    graph = graph_of(text)
    return find_at(parse(pattern), graph, graph.loss)


@pytest.mark.parametrize(("pattern", "text"), MATCHES)
def test_matches_at_the_root(pattern, text):
    found = root_of(pattern, text)
    assert found
    assert found in find(parse(pattern), graph_of(text))
    assert captures_of(parse(pattern)) <= set(found.captures)
    assert found.root in found.nodes


@pytest.mark.parametrize(("pattern", "text"), MISSES)
def test_misses(pattern, text):
    assert root_of(pattern, text) is None


@pytest.mark.parametrize(("text", "column"), BROKEN)
def test_errors_carry_a_column(text, column):
    with pytest.raises(NllcheckError) as caught:
        parse(text)
    assert f"column {column}" in str(caught.value)


def test_nodes_are_those_that_the_pattern_spells():
    found = root_of("log(1 - p)", "p = sigmoid(x); log(1 - p)")
    assert found == Match(3, frozenset({2, 3}), {"p": Ref(1)})


def test_captured_numbers_are_floats():
    assert root_of("log(x + c_eps)", "log(x + constant(1e-8))").captures["c_eps"] == 1e-8


def test_alternatives_promise_only_what_all_of_them_capture():
    assert captures_of(parse("log(x + y) | log(x)")) == {"x"}


def test_a_second_look_up_is_the_same_pattern():
    assert parse("log(softmax(x))") is parse("log(softmax(x))")


def test_many_patterns_over_a_large_graph():
    graph = graph_of("; ".join(["a = x", *["a = log(exp(a) + 1e-8) * (1 - tanh(a) ** 2)"] * 80, "sum(a)"]))
    patterns = [parse(pattern) for pattern, _ in (*MATCHES, *MISSES)]
    found = [len(find(pattern, graph)) for pattern in patterns]
    assert len(graph.nodes) > 500 and max(found) >= 80


def test_a_hostile_pattern_ends():
    """Seven terms of forty in any order: tried one by one that would not end in a lifetime."""
    names = "abcdfgh"
    text = " + ".join(f"log({n})" for n in names)
    sums = "+".join(f"log(x{i})" for i in range(40))
    assert not find(parse(text + " + sin(z)"), graph_of(sums))


TERMS = st.lists(st.sampled_from(["log(x)", "exp(y)", "tanh(z)", "sin(w)"]), min_size=2, max_size=4, unique=True)


@given(TERMS, st.randoms(use_true_random=False), st.sampled_from("+*"))
def test_sums_and_products_match_in_any_order_and_nesting(terms, random, sign):
    shuffled = random.sample(terms, len(terms))
    while len(shuffled) > 1:
        i = random.randrange(len(shuffled) - 1)
        shuffled[i : i + 2] = [f"({shuffled[i]} {sign} {shuffled[i + 1]})"]
    found = root_of(f" {sign} ".join(terms), shuffled[0])
    assert found and len(found.nodes) == 2 * len(terms) - 1


@pytest.mark.parametrize("sign", ["-", "/", "**"])
def test_other_operators_keep_their_sides(sign):
    assert root_of(f"log(x) {sign} exp(y)", f"log(u) {sign} exp(v)")
    assert root_of(f"log(x) {sign} exp(y)", f"exp(u) {sign} log(v)") is None


@given(st.text("abc_e()+-*/|.,[]{}'\" 019logxp:=\n", max_size=40))
def test_any_text_is_a_pattern_or_a_user_error(text):
    try:
        parse(text)
    except NllcheckError as error:
        assert "column" in str(error)


def test_a_node_without_arguments_is_no_trouble():
    graph = Graph((Node(0, "log", ()), Node(1, "add", (Ref(0),)), Node(2, "mul", ())), 1)
    for text in ("log(x)", "a + b", "a * b", "x ** 2"):
        assert not list(find(parse(text), graph))
