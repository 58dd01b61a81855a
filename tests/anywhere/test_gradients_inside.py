"""Losses with a gradient inside, a backward by hand, several terms, complex numbers: the planted op, or silence."""

from __future__ import annotations

import functools
import inspect

import pytest
import torch
import torch.nn.functional as F

import nllcheck


def draw(*shape: int, seed: int = 2) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def penalised(x, y, w):
    x = x.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(torch.tanh(x @ w).sum(), x, create_graph=True)
    return F.mse_loss(x @ w, y) + ((torch.sqrt((slope**2).sum(1) + 1e-12) - 1) ** 2).mean()


def penalised_by_norm(x, y, w):
    x.requires_grad_(True)
    (slope,) = torch.autograd.grad(torch.tanh(x @ w).sum(), x, create_graph=True)
    return F.mse_loss(x @ w, y) + ((torch.sqrt((slope**2).sum(1)) - 1) ** 2).mean()  # <- here


def score_of_log(x, y, w):
    x = x.clone().requires_grad_(True)
    p = torch.sigmoid(x @ w)
    (slope,) = torch.autograd.grad(torch.log(p).sum(), x, create_graph=True)  # <- here
    return (slope**2).mean() + F.mse_loss(p, y)


def held_fixed(x, y, w):
    fixed = torch.tanh(x @ w).detach()
    (slope,) = torch.autograd.grad(((x @ w) ** 2).sum(), w, create_graph=True)
    return ((x @ w) * fixed).mean() + (slope**2).mean() + 0 * y.mean()


class SafeLog(torch.autograd.Function):
    """log(1 + exp(x)) with a sound forward; `backward` divides two overflows."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.softplus(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        grown = torch.exp(30 * x)  # <- here
        return grad * (grown / (1 + grown)) ** (1 / 30)


class Sound(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.softplus(x)

    @staticmethod
    def backward(ctx, grad):
        return grad * torch.sigmoid(ctx.saved_tensors[0])


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, grad):
        return -grad


def own_backward(x, y, w):
    return (SafeLog.apply(x @ w) - y * (x @ w)).mean()


def own_sound_backward(x, y, w):
    return (Sound.apply(x @ w) - y * (x @ w)).mean()


def reversed_gradient(x, y, w):
    return (Reversed.apply(x @ w) - y).pow(2).mean()


def two_terms(x, y, w):
    return F.mse_loss(x @ w, y), -torch.log(torch.sigmoid(x @ w)).mean()  # <- here


def two_sound_terms(x, y, w):
    return F.mse_loss(x @ w, y), F.softplus(x @ w).mean()


def total_and_parts(x, y, w):
    fit, entropy = F.mse_loss(x @ w, y), -torch.log(torch.sigmoid(x @ w)).mean()
    return fit + 0 * y.mean(), fit, entropy.detach()


def named_terms(x, y, w):
    fit = F.mse_loss(x @ w, y)
    entropy = -torch.log(torch.sigmoid(x @ w)).mean()  # <- here
    return {"fit": fit, "entropy": entropy}


def in_frequencies(x, y, w):
    return (torch.fft.rfft(x @ w, dim=0) - torch.fft.rfft(y, dim=0)).abs().pow(2).mean()


def of_a_modulus(x, y, w):
    z = torch.complex(x @ w, y)
    return -torch.log(torch.sigmoid(z.real * 30)).mean() + z.abs().mean()  # <- here


def magnitudes(x, y, w):
    parts = torch.view_as_real(torch.fft.rfft(x @ w, dim=0))
    return (torch.sqrt((parts**2).sum(-1)) - y.sum()).abs().mean()  # <- here


def log_power(x, y, w):
    parts = torch.view_as_real(torch.fft.rfft(x @ w, dim=0))
    return (torch.log((parts**2).sum(-1) + 1e-4) - y.sum()).abs().mean()


CASES = (  # loss, the guilty op (empty: silent), the term, captured as
    (penalised, "", None, "graph"),
    (penalised_by_norm, "sqrt", None, "graph"),
    (score_of_log, "div", None, "graph"),
    (held_fixed, "", None, "graph"),
    (own_backward, "exp", None, "graph"),
    (own_sound_backward, "", None, "graph"),
    (reversed_gradient, "", None, "graph"),
    (two_terms, "log", "term 1", "graph"),
    (two_sound_terms, "", None, "graph"),
    (total_and_parts, "", None, "graph"),
    (named_terms, "log", "entropy", "graph"),
    (in_frequencies, "", None, "graph"),
    (of_a_modulus, "log", None, "graph"),
    (magnitudes, "sqrt", None, "graph"),
    (log_power, "", None, "graph"),
)


@functools.cache
def report_of(loss):
    tensors = {"x": draw(4, 2), "y": torch.sigmoid(draw(4, 1)), "w": draw(2, 1)}
    return nllcheck.check_function(loss, tensors, target=("x", "y"), points=60, effort="quick")


def guilty_line(loss) -> int:
    source = SafeLog if loss is own_backward else loss
    lines, first = inspect.getsourcelines(source)
    return next(first + k for k, text in enumerate(lines) if "# <- here" in text)


@pytest.mark.parametrize(("loss", "op", "term", "capture"), CASES, ids=[c[0].__name__ for c in CASES])
def test_the_planted_op_and_line_or_silence(loss, op, term, capture):
    report = report_of(loss)
    assert report.facts.capture == capture, report.notes
    loud = [f for f in report.findings if f.severity != "note"]
    found = [f for f in loud if f.op == op and f.site and f.site.line == guilty_line(loss)] if op else []
    assert bool(found) == bool(op) and (op or not loud), loud
    assert all(f.term == term for f in found)


def test_what_was_done_instead_is_said():
    assert any("Reversed brings its own backward, which is not" in note for note in report_of(reversed_gradient).notes)
    assert not any("own backward" in note for note in report_of(own_sound_backward).notes)
    skipped = report_of(of_a_modulus).skipped
    assert any("exact arithmetic: because complex at" in text and "float64" in text for text in skipped)
    assert any("2 terms (term 0, term 1): their sum" in note for note in report_of(two_sound_terms).notes)
    assert not any("terms" in note for note in report_of(total_and_parts).notes)
