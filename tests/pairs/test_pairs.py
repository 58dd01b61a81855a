"""Maps of two axes: true of the user's own code point by point, and a failure that needs both becomes a finding."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from pair_lines import holds

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.pairs import pairs
from nllcheck.sweep import extended, sweep
from nllcheck.target import Batch, Target


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(7 + sum(shape)))


def density(mu, sigma, y):
    return -torch.log(torch.exp(-0.5 * ((y - mu) / sigma) ** 2) / sigma).mean()


def gate(p, raw):
    return torch.log(1 + torch.exp(p * raw)).mean()


def difference(a, b):
    return -torch.log(150 - a - b).mean()


def channels(output):
    return torch.log(1 + torch.exp(output[:, 0]) * torch.exp(output[:, 1])).mean()


def sound(mu, sigma, y):
    return (torch.log(sigma) + 0.5 * ((y - mu) / sigma) ** 2).mean()


def apart(a, b):
    return (torch.log1p(a**2) + torch.sqrt(b**2 + 1)).mean()


@dataclass(frozen=True)
class Case:
    loss: Callable[..., torch.Tensor]
    tensors: dict[str, torch.Tensor]
    line: bool = False  # does a line describe it?
    targets: tuple[str, ...] = ()
    needs_both: str = ""  # op that fails only so
    maps: int = field(default=1)


SIGMA = normal(6).abs() + 0.3
CASES = {
    c.loss.__name__: c
    for c in (
        Case(density, {"mu": normal(6), "sigma": SIGMA, "y": normal(6) * 0.5}, True, ("y",)),
        Case(gate, {"p": 0.1 + 0.2 * torch.sigmoid(normal(6)), "raw": normal(6)}, True, (), "exp"),
        Case(difference, {"a": normal(6), "b": normal(6) * 0.5}, True),
        Case(channels, {"output": normal(5, 2)}, True),
        Case(sound, {"mu": normal(6), "sigma": SIGMA, "y": normal(6) * 0.5}, targets=("y",), maps=0),
        Case(apart, {"a": normal(6), "b": normal(6) * 0.5}, maps=0),
    )
}


def mapped(name: str, effort: str = "default"):
    case = CASES[name]
    batch = Batch(kwargs=case.tensors, whole=case.tensors)
    target = Target("t", case.loss, "t", None, (batch,), "function", target_names=case.targets)
    graph = capture(target, batch)
    swept = sweep(graph, default_axes(graph)[0], {}, count=60)
    return graph, swept, *pairs(graph, swept, effort=effort)


@pytest.fixture(scope="module")
def maps():
    made = {}

    def of(name: str):
        if name not in made:
            made[name] = mapped(name)
        return made[name]

    return of


def state(case: Case, labels: tuple[str, str], values: tuple[float, float]) -> str:
    """What the user's own function does with two axes set."""
    tensors = {k: v.clone() for k, v in case.tensors.items()}
    for label, value in zip(labels, values, strict=True):
        name, _, channel = label.partition("[..., ")
        at = tensors[name][..., int(channel[:-1])] if channel else tensors[name]
        at.fill_(value)
    leaves = [v.requires_grad_() for k, v in tensors.items() if k not in case.targets]
    loss = case.loss(**tensors)
    gradients, value = torch.autograd.grad(loss, leaves), float(loss.detach())
    if not math.isfinite(value):
        return "n" if math.isnan(value) else "i"
    return "." if all(bool(torch.isfinite(g).all()) for g in gradients) else "g"


@pytest.mark.parametrize("name", CASES)
def test_a_map_is_kept_where_two_values_decide(name, maps):
    _, _, _, found = maps(name)
    assert len(found) == CASES[name].maps
    assert all(bool(m.region) == CASES[name].line for m in found)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.maps])
def test_a_map_and_its_line_are_those_of_the_users_own_code(name, maps):
    one = maps(name)[3][0]
    labels = one.first, one.second
    names = {label: f"v{k}" for k, label in enumerate(labels)}
    line = one.region
    for label, short in names.items():
        line = line.replace(label, short)
    for i in range(0, len(one.first_values), 4):
        for j in range(0, len(one.second_values), 5):
            values = one.first_values[i], one.second_values[j]
            own = state(CASES[name], labels, values)
            assert own == one.rows[i][j], (labels, values)
            assert holds(line, v0=values[0], v1=values[1]) == (own != "."), (line, values)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.maps])
def test_the_nearest_failing_point_fails(name, maps):
    one = maps(name)[3][0]
    assert one.nearest and state(CASES[name], (one.first, one.second), one.nearest) != "."
    assert 0 < one.failing < one.points
    assert any(set(row) - {"."} for row in one.rows)


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.needs_both])
def test_a_failure_that_needs_both_is_an_axis_that_leads_there(name, maps):
    case, (graph, swept, ways, _) = CASES[name], maps(name)
    assert [graph.graph.nodes[w.node].name for w in ways] == ["p"]
    way = ways[0]
    assert {m.name.partition("[")[0] for m in way.moves} == {"p", "raw"} and len(way.moves) == 12
    trace = extended(swept, ways).parts[-1].trace
    assert not math.isfinite(trace.loss[-1]) and math.isfinite(trace.loss[0])
    ends = {m.name.partition("[")[0]: m.end for m in way.moves}
    assert state(case, ("p", "raw"), (ends["p"], ends["raw"])) != "."
    for label, value in ends.items():
        assert state(case, (label, label), (value, value)) == ".", "it fails alone"


def test_quick_draws_nothing_and_thorough_at_least_as_much(maps):
    assert mapped("density", "quick")[2:] == ((), ())
    assert len(mapped("density", "thorough")[3]) >= 1


def test_axes_that_are_asked_for_are_mapped_over_their_own_values():
    case = CASES["sound"]
    report = nllcheck.check_function(
        case.loss, case.tensors, target="y", sweep={"mu": (-3, 3), "sigma": (0, 1)}, points=40
    )
    (one,) = report.pairs
    assert (one.first, one.second) == ("mu", "sigma") and one.second_values[0] == 0.0
    assert {row[0] for row in one.rows} <= {"i", "n"} and {row[-1] for row in one.rows} == {"."}
    assert holds(one.region.replace("sigma", "v1"), v0=0.0, v1=0.0) and "mu" not in one.region
    assert "\n  pair " in str(report)


def test_a_requested_pair_of_intermediates_is_cut_at_both():
    def loss(a, b, y):
        rho = torch.tanh(a)
        sigma = torch.exp(b)
        return (torch.log(sigma * torch.sqrt(1 - rho**2)) + 0.5 * (y / sigma) ** 2 / (1 - rho**2)).mean()

    tensors = {"a": normal(5), "b": normal(5) * 0.3, "y": normal(5) * 0.5}
    report = nllcheck.check_function(loss, tensors, target="y", sweep={"rho": (-1, 1), "sigma": (1e-3, 1)}, points=40)
    (one,) = report.pairs
    assert (one.first, one.second) == ("rho", "sigma")
    assert set(one.rows[0]) | set(one.rows[-1]) <= {"i", "n"} and "." in one.rows[len(one.rows) // 2]
