"""Digits lost and dead gradients: found at the right op and line, with true numbers, and absent from good losses."""

from __future__ import annotations

import functools
import importlib
import inspect
from collections.abc import Callable

import losses_silent as losses
import pytest
import torch
import torch.nn.functional as F

import nllcheck
from nllcheck.report import Report
from nllcheck.types import Finding

PRECISION = {  # loss -> (op, phase, what it is called with)
    "one_minus_cos": ("sub", "forward", {"x": 1e-3}),
    "log_of_one_plus": ("log", "forward", {"x": 1e-6}),
    "naive_variance": ("sub", "forward", {"x": 300.0}),
    "exp_minus_one": ("sub", "forward", {"x": 1e-6}),
    "one_minus_square": ("sub", "forward", {"x": 7.0}),
}
DEAD = {"clamped_rate": "clamp", "relu_rate": "relu", "capped_scale": "clamp"}
ALIVE = ("hinge", "clipped_ratio", "logits", "softplus_rate")


def tensors(name: str, scale: float) -> dict[str, torch.Tensor]:
    """32 positive values: of the scale, or from it on where it is above 1."""
    values = torch.rand(32, generator=torch.Generator().manual_seed(0)) + 0.1
    return {name: scale + values if scale > 1 else scale * values}


@functools.cache
def precision_report(name: str) -> Report:
    key, scale = next(iter(PRECISION[name.removesuffix("_well")][2].items()))
    return nllcheck.check_function(getattr(losses, name), tensors(key, scale), effort="quick")


@functools.cache
def rate_report(name: str) -> Report:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(32, generator=generator), torch.poisson(torch.full((32,), 3.0), generator=generator)
    return nllcheck.check_function(getattr(losses, name), {"x": x, "y": y}, target="y", effort="quick")


def line_of(loss: Callable[..., torch.Tensor]) -> int:
    lines, start = inspect.getsourcelines(loss)
    return next(start + i for i, text in enumerate(lines) if "# <- here" in text)


def of_kind(report: Report, kind: str) -> list[Finding]:
    return [f for f in report.findings if f.kind == kind]


@pytest.mark.parametrize("name", PRECISION)
def test_digits_lost_on_the_batch_are_found_where_they_go(name):
    op, phase, _ = PRECISION[name]
    found = [f for f in of_kind(precision_report(name), "precision") if f.on_batch]
    assert [(f.severity, f.verdict) for f in found] == [("warning", "silent")] * len(found) != []
    assert (op, phase, line_of(getattr(losses, name))) in {(f.op, f.phase, f.site.line) for f in found}


@pytest.mark.parametrize("name", PRECISION)
def test_the_reference_is_what_the_well_written_loss_gives_in_float64(name):
    found = next(f for f in of_kind(precision_report(name), "precision") if f.on_batch and f.phase == "forward")
    key, scale = next(iter(PRECISION[name][2].items()))
    well = float(getattr(losses, f"{name}_well")(tensors(key, scale)[key].double()))
    assert found.reference == "exact"
    assert found.reference_loss == pytest.approx(well, rel=1e-9)
    assert abs(found.loss - well) > 2.0**-10 * abs(well)


@pytest.mark.parametrize("name", PRECISION)
def test_the_well_written_loss_keeps_its_digits(name):
    report = precision_report(f"{name}_well")
    assert [f for f in of_kind(report, "precision") if f.severity != "note" and f.phase == "forward"] == []


@pytest.mark.parametrize("name", DEAD)
def test_stuck_values_of_the_batch_are_counted(name):
    x = torch.randn(32, generator=torch.Generator().manual_seed(0)).requires_grad_()
    y = torch.poisson(torch.full((32,), 3.0), generator=_after(32))
    getattr(losses, name)(x, y).backward()
    found = [f for f in of_kind(rate_report(name), "dead-gradient") if f.on_batch]
    assert [(f.op, f.severity, f.verdict, f.site.line) for f in found] == [
        (DEAD[name], "warning", "silent", line_of(getattr(losses, name)))
    ]
    stuck = int(found[0].message.split(" ", 1)[0])
    assert 0 < stuck <= int((x.grad == 0).sum())


def _after(drawn: int) -> torch.Generator:
    generator = torch.Generator().manual_seed(0)
    torch.randn(drawn, generator=generator)
    return generator


def test_a_saturated_sigmoid_is_dead_from_the_exact_float_on():
    found = next(f for f in of_kind(rate_report("saturated_sigmoid"), "dead-gradient") if f.op == "sigmoid")
    p = torch.sigmoid(torch.tensor([found.last_good, found.threshold], dtype=torch.float32))
    assert (p[0] != 1) and (p[1] == 1)
    assert found.slope == 0 and abs(found.reference_slope) > 0.1


@pytest.mark.parametrize("name", ALIVE)
def test_gates_that_the_loss_is_content_with_are_no_dead_gradients(name):
    assert [f for f in of_kind(rate_report(name), "dead-gradient") if f.severity != "note"] == []


def test_the_floor_can_be_chosen():
    x = tensors("x", 1e-3)
    strict = nllcheck.check_function(losses.one_minus_cos, x, min_bits=23)
    lax = nllcheck.check_function(losses.one_minus_cos, x, min_bits=0.5)
    assert of_kind(strict, "precision")
    assert [f for f in of_kind(lax, "precision") if f.on_batch and f.phase == "forward"] == []


def test_a_gate_is_not_blamed_on_a_channel_that_it_does_not_read():
    generator = torch.Generator().manual_seed(0)
    output = torch.randn(32, 2, generator=generator)
    y = torch.poisson(torch.full((32,), 3.0), generator=generator)
    report = nllcheck.check_function(losses.rate_and_spread, {"output": output, "y": y}, target="y")
    found = of_kind(report, "dead-gradient")
    assert [(f.on_batch, f.op, f.site.line) for f in found] == [(True, "relu", line_of(losses.rate_and_spread))]
    assert int(found[0].message.split(" ", 1)[0]) == int((output[:, 0] <= 0).sum())
    assert not any("output[..., 1]" in text for text in found[0].also)


def test_what_is_large_is_judged_silent_by_float64(monkeypatch):
    """Every event asks exact arithmetic once: dozens of large ones would take minutes."""
    monkeypatch.setattr(importlib.import_module("nllcheck.judge.silent"), "AFFORDABLE", 1)
    x = torch.linspace(-3.0, 3.0, 8)
    report = nllcheck.check_function(lambda x, y: (torch.exp(x * 1e-6) - 1 + 0 * y).sum(), {"x": x, "y": x}, target="y")
    found = [f for f in report.findings if f.kind == "precision"]
    assert found and {f.reference for f in found} == {"float64"}


class Critic(torch.nn.Module):
    """Its hidden units are within the loss, which writes the second network out."""

    def __init__(self, bias: float):
        super().__init__()
        torch.manual_seed(0)
        self.actor, self.inner, self.outer = (torch.nn.Linear(*sizes) for sizes in ((6, 1), (6, 64), (64, 1)))
        torch.nn.init.constant_(self.inner.bias, bias)


def value_of_actions(model, batch):
    states, target = batch
    action = model.actor(states)
    inner, outer = model.inner, model.outer
    hidden = torch.relu(F.linear(torch.cat([states[:, :5], action], 1), inner.weight, inner.bias))
    return ((F.linear(hidden, outer.weight, outer.bias) - target) ** 2).mean() + action.square().mean()


@pytest.mark.parametrize(("bias", "rests"), [(-0.6, False), (-100.0, True)])
def test_units_that_rest_on_a_batch_are_what_a_layer_is_for_and_a_layer_that_rests_is_not(bias, rests):
    generator = torch.Generator().manual_seed(1)
    batch = (torch.randn(12, 6, generator=generator), torch.randn(12, 1, generator=generator))
    report = nllcheck.check(value_of_actions, model=Critic(bias), batch=batch, effort="quick")
    dead = [f for f in report.findings if f.kind == "dead-gradient" and f.severity != "note"]
    assert [f.op for f in dead] == ["relu"] * rests


class Sampled(torch.nn.Module):
    """Layers of drawn weights, as a Bayesian network's, so that what moves is the weights and, as data, the input."""

    def __init__(self, top: float):
        super().__init__()
        torch.manual_seed(0)
        self.inner, self.outer = (torch.nn.Parameter(0.3 * torch.randn(*size)) for size in ((3, 5), (2, 3)))
        self.raw, self.top = torch.nn.Parameter(torch.full((3, 5), -4.0)), top

    def drawn(self, x):
        noise, spread = torch.randn(3, 5), torch.nn.functional.softplus(self.raw)
        density = torch.exp(-(noise**2) / 2) / (2.5066 * spread)
        log_q = torch.log(torch.clamp(density, 1e-10, self.top)).sum()
        hidden = torch.relu(torch.nn.functional.linear(x, self.inner + spread * noise) - 0.6)
        return torch.nn.functional.linear(hidden, self.outer + 0.02 * torch.randn(2, 3)), log_q + self.raw.mean()


def cost_of_sampled(model, batch):
    out, log_q = model.drawn(batch[0])
    return ((out - batch[1]) ** 2).sum() + 0.1 * log_q


@pytest.mark.parametrize(("top", "stuck"), [(1e6, []), (1.0, [("clamp", "15 of 15")])])
def test_rows_at_rest_in_a_hidden_layer_are_none_and_a_clamp_that_holds_everything_is_one(top, stuck):
    batch = (torch.randn(12, 5, generator=torch.Generator().manual_seed(1)), torch.ones(12, 2))
    report = nllcheck.check(cost_of_sampled, model=Sampled(top), batch=batch, effort="quick")
    dead = [f for f in report.findings if f.on_batch and f.kind == "dead-gradient" and f.severity != "note"]
    assert [(f.op, f.message[:8]) for f in dead] == stuck


def test_a_gradient_that_dies_in_one_column_is_laid_to_its_gate():
    draw = torch.Generator().manual_seed(0)
    y, x = torch.rand(4, 2, 4, generator=draw) * 2 - 1, torch.randn(4, 2, 4, generator=draw)
    torch.manual_seed(2)
    report = nllcheck.check(losses.bin_of_logistic, model=torch.nn.Conv1d(2, 4, 3, padding=1), batch=(x, y), points=300)
    assert [(f.op, f.severity) for f in report.findings if f.kind == "dead-gradient"] == [("clamp", "note")]


def test_values_next_to_zero_are_no_dead_gradient():
    report = nllcheck.check_function(losses.lengths, {"x": torch.linspace(-1, 2, 8)}, points=200)
    assert not [f for f in report.findings if f.kind == "dead-gradient"]
