"""What a guided search finds, that it is true, and that static bounds and findings never contradict each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.search import search
from nllcheck.sweep import sweep
from nllcheck.target import Batch, Target


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(len(shape) + sum(shape)))


def two_softmaxes(a, b, gate):
    p = torch.sigmoid(gate) * torch.softmax(a, -1) + (1 - torch.sigmoid(gate)) * torch.softmax(b, -1)
    return -torch.log(p[:, 0]).mean()


def mixture(logits, mu, raw):
    pdf = torch.exp(-0.5 * ((0.3 - mu) / torch.exp(raw)) ** 2) / torch.exp(raw)
    return -torch.log((torch.softmax(logits, -1) * pdf).sum(-1)).mean()


def correlation(a, b):
    x, y = a - a.mean(), b - b.mean()
    return 1 - (x * y).sum() / (torch.sqrt((x**2).sum()) * torch.sqrt((y**2).sum()))


def small_circle(x):
    return -torch.log((x[:, 0] - 1.2345) ** 2 + (x[:, 1] + 0.777) ** 2 - 1e-6).mean()


def flow(w, u, x):
    hidden = torch.tanh(x @ w)
    return -torch.log(torch.abs(1 + ((1 - hidden**2)[:, None] * w) @ u)).mean()


def low_valley(x):
    return torch.log(x**2 - x + 1).mean()


def proven(x):
    return (torch.log(F.softplus(x) + 1e-3) + torch.sqrt(1 + torch.exp(-(x**2)))).mean()


def guarded(x):
    return (torch.log_softmax(x, -1)[:, 0] + torch.sqrt((x - x.mean()) ** 2 + 1e-6).sum(-1)).mean()


def scale_free(x):
    """Two curvatures: a mean shift hardly costs anything. Exactly 0 where x meets the numbers."""
    d = x - torch.linspace(-1.3, 0.7, 7)
    return torch.sqrt((d**2).mean() - 0.85 * d.mean() ** 2)


def scale_free_floored(x):
    d = x - torch.linspace(-1.3, 0.7, 7)
    return torch.sqrt(d.var(unbiased=False) + 0.15 * d.mean() ** 2 + 1e-6)


def held_width(x):
    """What divides is made without autograd: no gradient leads to where it vanishes."""
    d = x - torch.linspace(-1.3, 0.7, 7)
    with torch.no_grad():
        width = d.abs().sum()
    return (d**2).mean() / width


def own_bandwidth(a, b):
    """What divides is held fixed, but vanishes where all values of both are one."""
    both = torch.cat([a, b])
    apart = (both[:, None] - both) ** 2
    return -torch.exp(-apart / apart.detach().mean()).mean()


def in_the_ball(x):
    """Outside the unit ball the formula has no value; inside it is 0 at one point, where only the slope fails."""
    goal = torch.tensor([0.3, -0.2])
    return torch.acosh(1 + ((x - goal) ** 2).sum(-1) * (1 - (x**2).sum(-1))).mean()


@dataclass(frozen=True)
class Case:
    loss: Callable[..., torch.Tensor]
    tensors: dict[str, torch.Tensor]
    op: str = ""  # made to fail by the search; empty: nothing is
    severity: str = ""  # at least


PAIR = normal(2, 3, 2)
CASES = {
    c.loss.__name__: c
    for c in (
        Case(two_softmaxes, {"a": normal(3, 2), "b": PAIR[0], "gate": normal(3, 1)}, "log", "error"),
        Case(mixture, {"logits": normal(3, 2), "mu": PAIR[0], "raw": 0.3 * PAIR[1]}, "log", "error"),
        Case(correlation, {"a": normal(3, 2), "b": PAIR[0]}, "div", "warning"),
        Case(small_circle, {"x": normal(4, 2)}, "log", "error"),
        Case(flow, {"w": torch.tensor([0.8, -0.5]), "u": torch.tensor([-0.6, 0.9]), "x": normal(4, 2)}, "log", ""),
        Case(low_valley, {"x": normal(7)}),
        Case(scale_free, {"x": normal(7)}, "sqrt", "warning"),
        Case(scale_free_floored, {"x": normal(7)}),
        Case(held_width, {"x": normal(7)}),
        Case(in_the_ball, {"x": 0.1 * normal(3, 2)}, "acosh", "warning"),
        Case(own_bandwidth, {"a": normal(3), "b": normal(2)}, "div", "note"),
        Case(proven, {"x": normal(7)}),
        Case(guarded, {"x": normal(7, 3)}),
    )
}
RANK = ("error", "warning", "note", "")


@pytest.fixture(scope="module")
def reports():
    made = {}

    def of(name: str):
        if name not in made:
            made[name] = nllcheck.check_function(CASES[name].loss, CASES[name].tensors, points=40)
        return made[name]

    return of


def found_axes(report):
    return [t.axis for t in report.sweeps if t.axis.moves]


def at(case: Case, axis, share: float) -> tuple[float, bool]:
    """Loss and whether it and its gradient are finite, by the user's own code, at a share of the way."""
    tensors = {k: v.clone() for k, v in case.tensors.items()}
    for move in axis.moves:
        name = move.name.partition("[")[0]
        tensors[name].view(-1)[move.position] = move.start + share * (move.end - move.start)
    leaves = [t.requires_grad_() for t in tensors.values()]
    loss = case.loss(**tensors)
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    finite = all(bool(torch.isfinite(g).all()) for g in gradients if g is not None)
    return float(loss.detach()), finite and math.isfinite(loss.detach())


@pytest.mark.parametrize("name", CASES)
def test_the_op_is_found_and_nothing_else_is(name, reports):
    case, report = CASES[name], reports(name)
    assert not [s for s in report.skipped if "search" in s]
    found = {c.op for c in report.searched if c.outcome == "found"}
    assert found == ({case.op} if case.op else set())
    labels = {a.label for a in found_axes(report)}
    worst = [f.severity for f in report.findings if f.op == case.op and f.axis in labels]
    assert not case.severity or min(map(RANK.index, worst), default=3) <= RANK.index(case.severity)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.op])
def test_the_found_point_fails_in_the_users_own_code(name, reports):
    for axis in found_axes(reports(name)):
        assert not at(CASES[name], axis, 1.0)[1], axis.label
        assert at(CASES[name], axis, 0.0)[1]


@pytest.mark.parametrize("name", CASES)
def test_no_finding_is_at_an_op_that_was_proven_safe(name, reports):
    report = reports(name)
    safe = {(c.op, c.site) for c in report.searched if c.outcome == "safe"}
    close = [f for f in report.findings if f.kind in ("nan", "inf") and f.reach is not None and f.reach <= 10]
    assert not safe & {(f.op, f.site) for f in close}


@pytest.mark.parametrize("name", ["two_softmaxes", "small_circle"])
def test_the_same_seed_finds_the_same_point(name, reports):
    again = nllcheck.check_function(CASES[name].loss, CASES[name].tensors, points=40)
    assert again.to_json() == reports(name).to_json()


def test_what_is_never_reached_is_told_with_the_best_distance(reports):
    told = [c for c in reports("low_valley").searched if c.op == "log"]
    assert [c.outcome for c in told] == ["not reached"]
    assert float(told[0].text.split()[-1]) == pytest.approx(0.75, abs=0.01)
    assert not [f for f in reports("low_valley").findings if f.severity != "note"]


def test_a_proof_names_the_bound(reports):
    told = {c.op: c.text for c in reports("proven").searched if c.outcome == "safe"}
    assert told["log"].startswith("its argument is at least 0.001")
    assert told["sqrt"].startswith("its argument is at least 1")


def rare_disc(x):
    """The log of a negative number on a disc that covers a hundred millionth of the box."""
    return -torch.log(1.0 - 1.001 * torch.exp(-(((x[:, 0] - 40) / 0.7) ** 2) - ((x[:, 1] + 55) / 0.7) ** 2)).mean()


def test_a_rare_failure_is_found_when_thorough_and_said_to_be_rare():
    report = nllcheck.check_function(rare_disc, {"x": normal(4, 2)}, effort="thorough", points=40)
    found = [f for f in report.findings if f.op == "log" and f.kind in ("nan", "inf")]
    assert found and "rare, " in found[0].message, report.searched


@pytest.mark.parametrize("effort", ["quick", "default", "thorough"])
def test_effort_decides_how_much_is_tried(effort):
    case = CASES["small_circle"]
    batch = Batch(kwargs=case.tensors, whole=case.tensors)
    graph = capture(Target("t", case.loss, "t", None, (batch,), "function"), batch)
    swept = sweep(graph, default_axes(graph)[0], {}, count=60)
    ways, told = search(graph, swept, effort=effort)
    assert {c.outcome for c in told if c.op == "log"} == ({"not searched"} if effort == "quick" else {"found"})
    assert len(ways) == (effort != "quick")
