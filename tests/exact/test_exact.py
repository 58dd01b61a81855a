"""Exact arithmetic: it agrees with float64 where that is good, and encloses the truth on random graphs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mpmath
import pytest
import torch
from flint import arb, ctx
from hypothesis import given, settings
from hypothesis import strategies as st
from joints import joint_of
from losses_of_torch import CASES
from ops_of_torch import OPS
from torch._decomp import decomposition_table

from nllcheck.detect.events import batch_axis
from nllcheck.exact import Certain, SingularError, certain, evaluate, run
from nllcheck.exact.ball import ball_of
from nllcheck.exact.decomposed import program_of
from nllcheck.memo import forget
from nllcheck.sweep.watch import run_one
from nllcheck.types import Axis


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [*CASES, *OPS])
def test_value_and_derivative_agree_with_float64(name):
    loss, tensors = (CASES | OPS)[name]
    joint = joint_of(loss, tensors, [t for t in ("t",) if t in tensors])
    axis = batch_axis(joint)
    answer = certain(joint, axis, 1.0)
    if name == "nantonum":  # the logarithm of a negative number has no value, whatever is made of it
        assert isinstance(answer, SingularError)
        return
    wide = run_one(joint, axis, 1.0, (), torch.float64)
    assert answer[:2] == pytest.approx((float(wide.loss[0]), float(wide.slope[0])), rel=1e-8, abs=1e-9)


@pytest.mark.parametrize(
    ("op", "given"),
    [
        (
            torch.ops.aten.multilabel_margin_loss_forward.default,
            (torch.rand(2, 4), torch.tensor([[1, -1, 0, 0]] * 2), 1),
        ),
        (torch.ops.aten.polar.default, (torch.rand(3), torch.rand(3).double())),
        (torch.ops.aten.upsample_bilinear2d.vec, (torch.rand(1, 1, 2, 2), None, False, [3.0, 3.0])),
    ],
)
def test_a_formula_of_torchs_that_does_something_else_or_writes_or_rounds_is_not_taken(op, given):
    assert op in decomposition_table
    assert program_of(op, tuple(ball_of(v) if v is given[0] else v for v in given), {}) is None


@pytest.mark.parametrize(("sign", "error"), [(-1.0, SingularError), (1.0, Certain)])
def test_a_negative_determinant_has_no_logarithm(sign, error):
    joint = joint_of(lambda w: torch.logdet(w), {"w": torch.diag(torch.tensor([sign, 2.0, 3.0]))})
    answer = certain(joint, batch_axis(joint), 1.0)
    assert isinstance(answer, error)
    assert sign > 0 or answer.reason == "logdet"


@pytest.mark.parametrize(
    ("name", "end"),
    [("log", 0), ("sqrt", 0), ("log1p", -1), ("acosh", 1), ("acos", -1), ("asin", -1), ("atanh", -1), ("logit", 0)],
)
def test_an_argument_outside_the_domain_has_no_value_even_if_it_is_no_float(name, end):
    for away, answer in ((1.0, Certain), (-1.0, SingularError)):
        joint = joint_of(lambda x: getattr(torch, name)(end + x / 3), {"x": torch.tensor(away)})
        assert isinstance(certain(joint, batch_axis(joint), 1.0), answer)


@pytest.mark.parametrize(("rows", "slope"), [([[1.0, 2.0], [2.0, 4.0]], 0.0), ([[0.0, 1.0], [0.0, 3.0]], 0.0),
                                             ([[1.0, 2.0], [3.0, 4.0]], -4.0), ([[0.0]], 0.0)])  # fmt: skip
def test_a_determinant_has_a_derivative_where_it_is_zero_too(rows, slope):
    """Along the batch axis w moves by w itself: d det(t w) / dt = n det w. One entry at a time: its cofactor."""
    w = torch.tensor(rows)
    joint = joint_of(lambda w: torch.det(w), {"w": w})
    assert certain(joint, batch_axis(joint), 1.0)[:2] == (pytest.approx(float(torch.det(w.double()))), slope)
    for column in range(len(rows)):
        axis = Axis("w", joint.moved[0], "weight", channel=(column, column + 1))
        other = w.double().clone()
        other[:, column] = 0.5
        moved = other.clone()
        moved[:, column] += 1
        answer = certain(joint, axis, 0.5)
        assert answer[:2] == pytest.approx((float(torch.det(other)), float(torch.det(moved) - torch.det(other))))
    pole = certain(joint_of(lambda w: torch.log(torch.det(w).abs()), {"w": w}), batch_axis(joint), 1.0)
    assert isinstance(pole, SingularError) == (slope == 0)


@pytest.mark.parametrize("exponent", [0.3, -1.5, 2.0, 3, -1])
def test_a_negative_base_has_whole_powers_only(exponent):
    joint = joint_of(lambda x: (x / 3) ** exponent, {"x": torch.tensor(-2.0)})
    assert isinstance(certain(joint, batch_axis(joint), 1.0), Certain if exponent % 1 == 0 else SingularError)


# --- random graphs: torch builds them, mpmath at 60 digits is the truth

UNARY: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "neg": (torch.neg, lambda v: -v),
    "exp": (torch.exp, mpmath.exp),
    "tanh": (torch.tanh, mpmath.tanh),
    "sigmoid": (torch.sigmoid, lambda v: 1 / (1 + mpmath.exp(-v))),
    "softplus": (lambda v: torch.logaddexp(v, v.new_zeros(())), lambda v: mpmath.log1p(mpmath.exp(v))),
    "log1p_square": (lambda v: torch.log1p(v * v), lambda v: mpmath.log1p(v * v)),
    "sqrt_square": (lambda v: torch.sqrt(v * v + 1), lambda v: mpmath.sqrt(v * v + 1)),
    "lgamma": (lambda v: torch.lgamma(v * v + 0.5), lambda v: mpmath.loggamma(v * v + mpmath.mpf(0.5))),
    "digamma": (lambda v: torch.digamma(v * v + 0.5), lambda v: mpmath.digamma(v * v + mpmath.mpf(0.5))),
    "erf": (torch.erf, mpmath.erf),
    "erfc": (torch.erfc, mpmath.erfc),
    "expm1": (torch.expm1, mpmath.expm1),
    "sin": (torch.sin, mpmath.sin),
    "atan": (torch.atan, mpmath.atan),
    "log_ndtr": (torch.special.log_ndtr, lambda v: mpmath.log(mpmath.erfc(-v / mpmath.sqrt(2)) / 2)),
    "i0e": (torch.special.i0e, lambda v: mpmath.exp(-abs(v)) * mpmath.besseli(0, v)),
}
BINARY: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "add": (torch.add, lambda a, b: a + b),
    "sub": (torch.sub, lambda a, b: a - b),
    "mul": (torch.mul, lambda a, b: a * b),
    "div": (lambda a, b: a / (b * b + 0.25), lambda a, b: a / (b * b + mpmath.mpf(0.25))),
    "logaddexp": (torch.logaddexp, lambda a, b: mpmath.log(mpmath.exp(a) + mpmath.exp(b))),
    "atan2": (lambda a, b: torch.atan2(a, b * b + 1), lambda a, b: mpmath.atan2(a, b * b + 1)),
}
LEAVES = st.sampled_from(["x", "c"])
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(sorted(UNARY)), inner), st.tuples(st.sampled_from(sorted(BINARY)), inner, inner)
    ),
    max_leaves=6,
)


def built(expression: Any, leaves: dict[str, Any], which: int) -> Any:
    if isinstance(expression, str):
        return leaves[expression]
    table = UNARY if len(expression) == 2 else BINARY
    return table[expression[0]][which](*(built(part, leaves, which) for part in expression[1:]))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    expression=EXPRESSIONS,
    xs=st.lists(st.floats(-3, 3, width=32).filter(lambda v: abs(v) > 1e-3), min_size=3, max_size=3),
    c=st.floats(-2, 2, width=32),
)
def test_balls_enclose_the_truth(expression, xs, c):
    tensors = {"x": torch.tensor(xs[:1], dtype=torch.float32), "c": torch.tensor([c], dtype=torch.float32)}
    joint = joint_of(lambda x, c: built(expression, {"x": x, "c": c}, 0).sum() + 0 * x.sum(), tensors, ["c"])
    axis = Axis("x", joint.moved[0], "input", observed=(xs[0], xs[0]))
    for x in xs:
        _encloses(joint, axis, expression, x, c)


def _encloses(joint, axis, expression, x, c):
    with mpmath.workdps(60), ctx.workprec(256):
        loss, slope = evaluate(joint, axis, x)
        truth = built(expression, {"x": mpmath.mpf(x), "c": mpmath.mpf(c)}, 1)
        moved = mpmath.diff(lambda v: built(expression, {"x": v, "c": mpmath.mpf(c)}, 1), mpmath.mpf(x))
        assert _near(loss, truth, 1e-40)
        assert _near(slope, moved, 1e-12)  # mpmath's derivative is a difference quotient
        assert loss.rel_accuracy_bits() > 100 or abs(truth) < 1e-30


def _near(ball: arb, truth: Any, tolerance: float) -> bool:
    """Does the ball, widened by the oracle's own error, hold the truth?"""
    wide = tolerance * max(1.0, abs(float(truth)))
    return bool(abs(ball - arb(mpmath.nstr(truth, 50))) <= ball.rad() + arb(wide))


STILL_LOSSES = {
    "a term that stays": lambda a, b: (a.exp() + b.sigmoid().log()).sum(),
    "one that the moved is divided by": lambda a, b: (a / b.exp().sum()).sum(),
    "a pole in what stays": lambda a, b: (a + (b - b).log()).sum(),
    "a pole in what moves": lambda a, b: ((a - a).log() + b.exp()).sum(),
    "a tie in what stays": lambda a, b: torch.where(b > b, a, b.exp() * a).sum(),
}


@pytest.mark.parametrize("name", STILL_LOSSES)
def test_what_stays_is_kept_and_changes_no_answer(name):
    """Along one axis after the other, to and fro, the answers are those without anything kept."""
    torch.manual_seed(0)
    joint = joint_of(STILL_LOSSES[name], {"a": torch.rand(3) + 0.5, "b": torch.rand(3) + 0.5})
    axes = [Axis("x", node, "input") for node in joint.moved]
    asked = [(axis, point) for axis in (*axes, *axes) for point in (0.25, 0.75, 1.5)]
    kept = [told(certain(joint, *one)) for one in asked]
    alone = []
    for one in asked:
        forget()
        alone.append(told(certain(joint, *one)))
    assert kept == alone


def told(answer: Any) -> Any:
    return (type(answer), answer.args) if isinstance(answer, SingularError) else answer


def test_an_op_that_nothing_moved_reaches_runs_once(monkeypatch):
    """Of three points on an axis of `a`, the second and third read the logarithm of `b` as it was."""
    joint = joint_of(lambda a, b: (a.exp() + b.log()).sum(), {"a": torch.rand(3), "b": torch.rand(3) + 0.5})
    met: list[str] = []
    apply = run._apply
    monkeypatch.setattr(run, "_apply", lambda node, spelled, *rest: met.append(spelled) or apply(node, spelled, *rest))
    for point in (0.25, 0.75, 1.5):
        certain(joint, Axis("a", joint.moved[0], "input"), point)
    assert (met.count("exp"), met.count("log")) == (3, 1)
