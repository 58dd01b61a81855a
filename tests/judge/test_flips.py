"""Sign changes and their causes, against losses whose optimum, kink or noise is known."""

from __future__ import annotations

import math

import pytest
import torch

import nllcheck
from nllcheck.capture.attempt import captured
from nllcheck.judge import flips as module
from nllcheck.judge.noise import wilson
from nllcheck.judge.series import _runs, _steps, over_samples, read_all
from nllcheck.target import Target, split_batch
from nllcheck.types import Finding


def flips(loss, tensors, target=()) -> list[Finding]:
    report = nllcheck.check_function(loss, tensors, target=target)
    return [f for f in report.findings if f.kind == "sign-flip"]


def square(x, y):
    return ((x - y) ** 2).mean()


def distance(x, y):
    return (x - y).abs().mean()


def upside_down(x, y):
    return -torch.exp(-((x - y) ** 2)).mean() + x.mean() * 0


def noisy_sign(x, y):
    return (x * (torch.randn_like(x) + 0.1)).mean()


@pytest.mark.parametrize(
    ("loss", "cause"), [(square, "a minimum at 1.5"), (distance, "a kink, a minimum at 1.5")], ids=["square", "kink"]
)
def test_an_optimum_is_placed_and_certified(loss, cause):
    x = torch.randn(16, generator=torch.Generator().manual_seed(0))
    found = [f for f in flips(loss, {"x": x, "y": torch.full((16,), 1.5)}, "y") if f.axis == "x"]
    assert [f.verdict for f in found] == ["legitimate"]
    assert cause in found[0].message and "certified by exact arithmetic" in found[0].message
    assert found[0].severity == "note"


def test_an_optimum_is_looked_for_once(monkeypatch):
    """A bisection costs as much as the sweep of an axis."""
    asked, plain = [], module.bisect
    monkeypatch.setattr(module, "bisect", lambda *given: asked.append(given) or plain(*given))
    x = torch.rand(8, generator=torch.Generator().manual_seed(0))
    found = flips(square, {"x": x, "y": torch.full((8,), 1.5)}, "y")
    assert 0 < len(asked) == sum(f.message.count("(slope") for f in found)


def test_a_sign_that_rounding_turns_is_a_defect_with_the_true_slope():
    def loss(x):
        return ((1 - torch.cos(x)) / x**2).mean()

    x = 1e-3 * (torch.rand(16, generator=torch.Generator().manual_seed(0)) + 0.1)
    found = [f for f in flips(loss, {"x": x}) if f.verdict == "defect"]
    assert found and found[0].severity == "error" and found[0].reference == "exact"
    for f in found:
        assert f.slope * f.reference_slope < 0
    on_x = next(f for f in found if f.axis == "x")
    assert on_x.reference_slope == pytest.approx(-on_x.witness / 12, rel=1e-3)  # d/dx (1/2 - x^2/24)
    assert on_x.op in ("cos", "sub", "div") and f"rounding in {on_x.op} turns" in on_x.message  # what nearly cancels


def test_noise_is_told_from_the_loss_itself():
    x = torch.rand(8, generator=torch.Generator().manual_seed(0)) + 0.5
    found = [f for f in flips(noisy_sign, {"x": x, "y": torch.zeros(8)}, "y") if "drawn anew" in f.message]
    assert len(found) == 1 and found[0].verdict == "legitimate" and found[0].severity == "note"
    share = float(found[0].message.split("positive in ")[1].split(" %")[0])
    expected = 100 * 0.5 * math.erfc(-0.1 * math.sqrt(8) / math.sqrt(2))  # the sum of 8 normal(0.1, 1) above 0
    assert abs(share - expected) < 8


def test_without_noise_nothing_is_said_of_it():
    x = torch.rand(8, generator=torch.Generator().manual_seed(0))
    assert not [f for f in flips(square, {"x": x, "y": torch.zeros(8)}, "y") if "drawn anew" in f.message]


@pytest.mark.parametrize(("successes", "draws", "low", "high"), [(0, 10, 0.0, 0.2775), (5, 10, 0.2366, 0.7634)])
def test_wilson_interval(successes, draws, low, high):
    assert wilson(successes, draws) == pytest.approx((low, high), abs=1e-3)


@pytest.mark.parametrize(
    ("signs", "said"),
    [
        ([1.0] * 20 + [-1.0] * 20, "come in stretches"),
        ([1.0, -1.0] * 20, "alternate"),
        ([1.0] * 40, ""),
        ([1.0, -1.0] * 5, ""),
    ],
    ids=["stretches", "alternate", "one sign", "too short"],
)
def test_runs(signs, said):
    told = _runs(torch.tensor(signs))
    assert said in told and bool(told) == bool(said)


class Table(torch.nn.Module):
    """Logits of a table's own rows, which the loss picks from; `given` adds something of the batch to each."""

    def __init__(self, given):
        super().__init__()
        torch.manual_seed(0)
        self.rows, self.head, self.given = torch.nn.Parameter(torch.randn(6, 4)), torch.nn.Linear(4, 3), given

    def forward(self, x):
        return self.head(self.rows + x if self.given else self.rows)


@pytest.mark.parametrize(("given", "said"), [(0, 0), (1, 1)], ids=["parameters alone", "the batch"])
def test_rows_of_parameters_alone_are_no_samples(given, said):
    torch.manual_seed(0)
    batch = split_batch((torch.randn(6, 4), torch.randn(6, 3)))
    graph, _ = captured(Target("t", torch.nn.functional.mse_loss, "mse", Table(given), (batch,)), batch, 0)
    read = [readings[0] for readings in read_all(graph, (batch,), ())]
    assert len(over_samples(graph, *read)) == said


@pytest.mark.parametrize(
    ("shape", "steps", "what"),
    [((8, 2), 7, "steps from sample to sample"), ((4, 5, 2), 16, "(time, of a sequence)"),
     ((4, 3, 5, 2), 48, "steps along dimension 2")],
)  # fmt: skip
def test_what_a_step_goes_along(shape, steps, what):
    count, words = _steps(torch.zeros(shape))
    assert count == steps and words.endswith(what)
