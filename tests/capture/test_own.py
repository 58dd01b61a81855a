"""Functions that bring their own backward are ops of the graph: their values, and the gradients that training runs."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.capture import capture
from nllcheck.capture.attempt import captured, remarks_on
from nllcheck.capture.interpret import Runner
from nllcheck.capture.verify import disagreements, eager, replayed
from nllcheck.target import Batch, Target

DRAWN = torch.Generator().manual_seed(4)
S, Y = torch.randn(5, 3, generator=DRAWN), torch.randint(3, (5,), generator=DRAWN)


class Bounded(torch.autograd.Function):
    """A lower bound whose slope is let through where it leads back above the bound, as learned compression uses it."""

    @staticmethod
    def forward(ctx, x, bound):
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ((x >= ctx.bound) | (grad < 0)).to(grad), None


class Both(torch.autograd.Function):
    """Two outputs, one saved, and a tensor that is an attribute of the context."""

    @staticmethod
    def forward(ctx, x, w):
        e = torch.exp(-x.abs())
        ctx.sign, ctx.needs = x.sign(), None
        ctx.save_for_backward(e, w)
        return e, (x * w).sum(-1)

    @staticmethod
    def backward(ctx, to_first, to_second):
        e, w = ctx.saved_tensors
        to_x = -to_first * e * ctx.sign + to_second[:, None] * w if ctx.needs_input_grad[0] else None
        return to_x, torch.zeros_like(w)


class Places(torch.autograd.Function):
    """The largest, and where it is, which has no slope."""

    @staticmethod
    def forward(ctx, x):
        top, at = x.max(-1)
        ctx.mark_non_differentiable(at)
        ctx.save_for_backward(at)
        ctx.width = x.shape[-1]
        return top, at

    @staticmethod
    def backward(ctx, grad, _):
        (at,) = ctx.saved_tensors
        return F.one_hot(at, ctx.width).to(grad) * grad[:, None]


class Later(torch.autograd.Function):
    """Written with `setup_context`."""

    @staticmethod
    def forward(x, times):
        return torch.sinh(x) * times

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.times = inputs[1]

    @staticmethod
    def backward(ctx, grad):
        return grad * torch.cosh(ctx.saved_tensors[0]) * ctx.times, None


class Outer(torch.autograd.Function):
    """Calls another one."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return Bounded.apply(x, -0.5) ** 2

    @staticmethod
    def backward(ctx, grad):
        return 2 * grad * ctx.saved_tensors[0]


class Straight(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, grad):
        return grad


def bounded(s, y):
    return -torch.log(Bounded.apply(s.softmax(-1), 0.2)).gather(1, y[:, None]).mean()


def both(s, y):
    e, total = Both.apply(s, torch.arange(3.0).to(s))
    return (e.sum(-1) * total).mean() + total.square().mean()


def places(s, y):
    top, at = Places.apply(s)
    return (top * (at == y)).exp().mean()


def later(s, y):
    return F.cross_entropy(Later.apply(s, 0.5), y)


def outer(s, y):
    return Outer.apply(s).mean() + Outer.apply(s * 2).tanh().mean()


def straight(s, y):
    return (Straight.apply(2 * s) - y[:, None]).square().mean()


LOSSES = [bounded, both, places, later, outer, straight]
IMPLIED = [both, places, later]  # the backward is the derivative of the forward


def graph_of(loss):
    given = {"s": S, "y": Y}
    batch = Batch(kwargs=given, whole=given)
    return capture(Target("loss", loss, "loss", None, (batch,), "function", target_names=("y",)), batch, 0)


def points():
    return [factor * S + shift for factor in (1.0, -0.7, 3.0) for shift in (0.0, 0.4)]


@pytest.mark.parametrize("loss", LOSSES)
def test_the_graph_has_the_values_and_the_gradients_of_the_users_own_code(loss):
    graph = graph_of(loss)
    assert not disagreements(graph)
    assert any(n.op == "own_backward" for n in graph.graph.nodes)
    for s in points():
        (wanted, slopes), (found, others) = eager(graph.program, [s, Y], 0), replayed(graph, [s, Y])
        assert found == pytest.approx(wanted, rel=1e-5)
        torch.testing.assert_close(others, slopes, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES)
def test_it_runs_in_another_dtype_and_holds_no_number_of_the_batch(loss):
    graph = graph_of(loss)
    for s in points():
        wide = s.double().requires_grad_()
        (slope,) = torch.autograd.grad(Runner(graph.module, torch.float64).run(wide, Y), wide)
        start = s.double().requires_grad_()
        (wanted,) = torch.autograd.grad(loss(start, Y), start)
        torch.testing.assert_close(slope, wanted, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("loss", LOSSES)
def test_a_backward_that_is_no_derivative_is_remarked_on(loss):
    given = {"s": S, "y": Y}
    batch = Batch(kwargs=given, whole=given)
    graph, _ = captured(Target("loss", loss, "loss", None, (batch,), "function", target_names=("y",)), batch, 0)
    told = [text for text in remarks_on(graph) if "own backward" in text]
    assert bool(told) == (loss not in IMPLIED)


class Risky(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.softplus(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        e = torch.exp(x)  # <- here
        return grad * e / (1 + e)


def risky(s, y):
    return Risky.apply(s[:, 0]).mean() + 0 * y.sum()


def test_what_fails_in_the_backward_is_told_at_its_line_and_from_where_on():
    report = nllcheck.check_function(risky, {"s": S, "y": Y}, target="y", effort="quick")
    assert report.facts.capture == "graph"
    (found,) = (f for f in report.findings if f.kind in ("nan", "inf") and f.severity != "note")
    assert (found.op, found.phase) == ("exp", "backward") and "e = torch.exp(x)" in found.site.source
    assert found.threshold == pytest.approx(math.log(torch.finfo(torch.float32).max), rel=1e-6)
    for value, broken in ((found.last_good, False), (found.threshold, True)):
        s = torch.full((5, 3), value).requires_grad_()
        (slope,) = torch.autograd.grad(risky(s, Y), s)
        assert bool(torch.isfinite(slope).all()) != broken


def test_exact_arithmetic_takes_a_backward_that_is_the_derivative():
    """The failure of another op is decided: with own backwards that are none, it is compared with float64."""

    def late(s, y):
        return -torch.log(1 - torch.tanh(Later.apply(s, 1.0)) ** 2).mean() + 0 * y.sum()

    report = nllcheck.check_function(late, {"s": S, "y": Y}, target="y", effort="quick")
    found = [f for f in report.findings if f.op == "log" and f.kind == "inf"]
    assert found and {(f.verdict, f.reference) for f in found} == {("defect", "exact")}


class Kept(Risky):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)


def test_the_density_test_runs_such_functions_and_only_those_that_are_no_derivative_are_named():
    def logistic(s, y):
        z = s[:, 0] + Straight.apply(s[:, 1])
        return (Kept.apply(z) - y * z).mean()

    given = {"s": S, "y": (Y > 0).float()}
    notes = nllcheck.check_function(logistic, given, target="y", effort="quick").notes
    assert any("A proper likelihood" in note for note in notes)
    assert any(note.startswith("Straight brings its own backward") for note in notes)
