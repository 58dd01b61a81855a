"""Eleven small losses on which other tools were first compared: seven that fail, two that are no density, two sound."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, fixed, given, normal, onehot, positive, put, sound


def log_of_softmax(logits, y):
    p = torch.softmax(logits, -1)
    return -(y * torch.log(p)).sum(-1).mean()  # <- here


def log_of_one_minus_sigmoid(x, y):
    p = torch.sigmoid(x)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # <- here


def branch_not_taken(x):
    return torch.where(x > 0, torch.sqrt(x), torch.zeros_like(x)).mean()  # <- here


def square_root_at_zero(x):
    return torch.sqrt(x).mean()  # <- here


def unused_ratio_in_the_value(x, y):
    weight = (y / y.sum()).detach()  # <- here
    return (x**2).mean() + 0.0 * weight.sum()


def clamped_density(mu, y):
    pdf = torch.exp(-0.5 * (y - mu) ** 2) / math.sqrt(2 * math.pi)
    return -torch.log(pdf.clamp(min=1e-20)).mean()  # <- here


def correlation_by_difference(raw, y):
    rho = torch.tanh(raw)
    one_minus = 1 - rho**2  # <- here
    return (0.5 * (y[:, 0] - rho * y[:, 1]) ** 2 / one_minus + 0.5 * torch.log(one_minus)).mean()  # <- here


def probability_without_log(logits, y):
    return -torch.softmax(logits, -1).gather(1, y[:, None]).mean()  # <- here


def normal_without_half(mu, sigma, y):
    return (((y - mu) / sigma) ** 2 + torch.log(sigma)).mean()  # <- here


def masked_logits(logits, y):
    allowed = torch.tensor([True, True, True, False])
    return F.cross_entropy(logits.masked_fill(~allowed, float("-inf")), y)


def narrow_normal(mu, y):
    return -torch.distributions.Normal(mu, 0.01).log_prob(y).mean()


CASES = (
    bug(log_of_softmax, given(logits=normal(8, 4), y=onehot(8, 4), target="y"), "log", "Blanchard, Higham & Higham "
        "2021", put(logits=200.0)),
    bug(log_of_one_minus_sigmoid, given(x=normal(8), y=bits(8), target="y"), "log", "Goodfellow et al. 2014",
        put(x=60.0)),
    bug(branch_not_taken, given(x=normal(8)), "sqrt", "github.com/pytorch/pytorch issue 187297", put(x=0.0),
        phase="backward"),
    bug(square_root_at_zero, given(x=positive(8)), "sqrt", "github.com/pytorch/pytorch issue 2421", put(x=0.0),
        phase="backward", verdict="defect limit"),
    bug(unused_ratio_in_the_value, given(x=normal(8), y=fixed([0.0] * 8), target="y"), "div", "IEEE 754: 0 / 0",
        lambda s: None, phase="forward", verdict="limit defect"),
    bug(clamped_density, given(mu=normal(8, shift=15.0), y=normal(8), target="y"), "clamp log exp", "Graves, "
        "arXiv:1308.0850", lambda s: None, kind="dead-gradient precision", verdict="silent defect"),
    bug(correlation_by_difference, given(raw=normal(8), y=normal(8, 2), target="y"), "tanh sub pow div log",
        "Graves, arXiv:1308.0850", lambda s: s["raw"].fill_(8.9), kind="nan inf sign-flip precision"),
    bug(probability_without_log, given(logits=normal(8, 4), y=classes(8, 4), target="y"),
        "mean neg softmax gather nll_loss", "PyTorch documentation, torch.nn.NLLLoss",
        kind="wrong-density negative-nll", verdict="wrong-formula"),
    bug(normal_without_half, given(mu=normal(8), sigma=positive(8), y=normal(8), target="y"),
        "pow add mean sum mul div log", "Graves, arXiv:1308.0850", kind="wrong-density", verdict="wrong-formula"),
    sound(masked_logits, given(logits=normal(8, 4), y=classes(8, 3), target="y"), "Huang & Ontanon, arXiv:2006.14171"),
    sound(narrow_normal, given(mu=normal(8, scale=0.003), y=normal(8, scale=0.003), target="y"),
          "github.com/pytorch/pytorch issues 9442 and 79349"),
)  # fmt: skip
