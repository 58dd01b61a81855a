"""Finite and wrong: densities that are none, gradients that are exactly 0, digits that are gone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    counts,
    fixed,
    given,
    normal,
    positive,
    put,
    scale,
    simplex,
    sound,
)

PAIR = given(mu=normal(16), sigma=positive(16), y=normal(16), target="y")
LOGITS = given(logits=normal(8, 5), y=classes(8, 5), target="y")
DENSITY = {"kind": "wrong-density", "verdict": "wrong-formula"}
QUIET = {"kind": "dead-gradient precision", "verdict": "silent defect"}
LOST = {"kind": "precision sign-flip inf nan", "verdict": "defect silent"}
HIGHAM = "Higham, Accuracy and stability of numerical algorithms, SIAM 2002"


def normal_without_log_sigma(mu, sigma, y):
    return (0.5 * ((y - mu) / sigma) ** 2 + 0.5 * math.log(2 * math.pi)).mean()  # <- here


def normal_without_half(mu, sigma, y):
    return (((y - mu) / sigma) ** 2 + torch.log(sigma)).mean()  # <- here


def normal_with_log_of_variance(mu, sigma, y):
    return (0.5 * ((y - mu) / sigma) ** 2 + torch.log(sigma**2)).mean()  # <- here


def normal_without_constant(mu, sigma, y):
    return (0.5 * ((y - mu) / sigma) ** 2 + torch.log(sigma)).mean()


def softmax_into_nll(logits, y):
    return F.nll_loss(torch.softmax(logits, -1), y)  # <- here


def log_softmax_into_nll(logits, y):
    return F.nll_loss(torch.log_softmax(logits, -1), y)


def poisson_without_factorial(raw, y):
    return (torch.exp(raw) - y * raw).mean()


def exponential_without_log_rate(rate, y):
    return (rate * y).mean()  # <- here


def exponential(rate, y):
    return (rate * y - torch.log(rate)).mean()


def laplace_without_log_scale(mu, sigma, y):
    return ((y - mu).abs() / sigma).mean()  # <- here


def dirichlet_with_epsilon(raw, y):
    alpha = F.softplus(raw) + 1.0
    log_norm = torch.lgamma(alpha.sum(-1)) - torch.lgamma(alpha).sum(-1)
    return -(log_norm + ((alpha - 1) * torch.log(y + 1e-8)).sum(-1)).mean()


def bce_of_saturated_sigmoid(x, y):
    return F.binary_cross_entropy(torch.sigmoid(x), y)  # <- here


def pdf_clamped(mu, y):
    pdf = torch.exp(-0.5 * (y - mu) ** 2) / math.sqrt(2 * math.pi)  # <- here
    return -torch.log(pdf.clamp(min=1e-20)).mean()  # <- here


def pdf_plus_epsilon(mu, y):
    pdf = torch.exp(-0.5 * (y - mu) ** 2) / math.sqrt(2 * math.pi)  # <- here
    return -torch.log(pdf + 1e-20).mean()  # <- here


def clamped_sigma_dead(mu, raw, y):
    sigma = raw.clamp(min=0.1)  # <- here
    return (0.5 * ((y - mu) / sigma) ** 2 + torch.log(sigma)).mean()


def relu_output_dead(raw, y):
    rate = F.relu(raw) + 1e-3  # <- here
    return (rate - y * torch.log(rate)).mean()


def moments_by_difference(x):
    var = (x**2).mean() - x.mean() ** 2  # <- here
    return 0.5 * torch.log(var)  # <- here


def moments_by_deviation(x):
    return 0.5 * torch.log(((x - x.mean()) ** 2).mean() + 1e-6)


def log_one_plus(x):
    return torch.log(1 + x).mean()  # <- here


def log_one_plus_library(x):
    return torch.log1p(x).mean()


def exp_minus_one(x):
    return ((torch.exp(x) - 1) / x).mean()  # <- here


def exp_minus_one_library(x):
    return (torch.expm1(x) / x).mean()  # <- here


def exp_minus_one_safe(x):
    return torch.expm1(x).mean()


def one_minus_cosine(x):
    return ((1 - torch.cos(x)) / x**2).mean()  # <- here


def beta_function_large(a, b, y):
    log_b = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)  # <- here
    return -(log_b + (a - 1) * torch.log(y) + (b - 1) * torch.log1p(-y)).mean()  # <- here


def intended_clip(x, y):
    return F.mse_loss(x.clamp(-1.0, 1.0), y)


def hinge(x, y):
    return F.relu(1 - (2 * y - 1) * x).mean()


def epsilon_insensitive(x, y):
    return F.relu((x - y).abs() - 0.1).mean()


SATURATED = fixed([200.0, -150.0, 0.5, 120.0, -300.0, 1.0, 90.0, -0.2])
CASES = (
    bug(normal_without_log_sigma, PAIR, "sum mean div add mul", "Nix & Weigend 1994: the normaliser forgotten",
        **DENSITY),
    bug(normal_without_half, PAIR, "pow add mean sum mul div log", "Graves, arXiv:1308.0850: a published "
        "implementation dropped its half", **DENSITY),
    bug(normal_with_log_of_variance, PAIR, "add mean sum log mul div", "Nix & Weigend 1994: log of the variance "
        "counted twice", **DENSITY),
    sound(normal_without_constant, PAIR, "PyTorch documentation, GaussianNLLLoss full=False: a constant is left out"),
    bug(softmax_into_nll, LOGITS, "nll_loss softmax mean neg", "PyTorch documentation, torch.nn.NLLLoss expects "
        "log-probabilities", **DENSITY),
    sound(log_softmax_into_nll, LOGITS, "PyTorch documentation, torch.nn.NLLLoss", scale(logits=60.0)),
    sound(poisson_without_factorial, given(raw=normal(12), y=counts(12), target="y"),
          "PyTorch documentation, PoissonNLLLoss full=False: log y! is left out", put(raw=-50.0)),
    bug(exponential_without_log_rate, given(rate=positive(12), y=positive(12), target="y"), "mul mean",
        "Cox & Oakes, Analysis of survival data, 1984", **DENSITY),
    sound(exponential, given(rate=positive(12), y=positive(12), target="y"), "Cox & Oakes 1984"),
    bug(laplace_without_log_scale, PAIR, "div mean abs", "Kotz et al., The Laplace distribution, 2001", **DENSITY),
    sound(dirichlet_with_epsilon, given(raw=normal(8, 3), y=simplex(8, 3), target="y"), "Minka, Estimating a Dirichlet "
          "distribution, 2000, with an epsilon far below the data"),
    bug(bce_of_saturated_sigmoid, given(x=SATURATED, y=fixed([0.0, 1, 1, 0, 1, 0, 0, 1]), target="y"),
        "binary_cross_entropy sigmoid log", "PyTorch documentation, BCELoss clamps its log at -100", lambda s: None,
        **QUIET),
    bug(pdf_clamped, given(mu=normal(12, shift=15.0), y=normal(12), target="y"), "clamp log exp", "Graves, "
        "arXiv:1308.0850: implementations clamp the pdf at 1e-20, the loss stands at 46.05", lambda s: None, **QUIET),
    bug(pdf_plus_epsilon, given(mu=normal(12, shift=16.0), y=normal(12), target="y"), "exp log add", "Graves, "
        "arXiv:1308.0850: implementations add 1e-20 to the pdf", lambda s: None, **QUIET),
    bug(clamped_sigma_dead, given(mu=normal(12), raw=normal(12, shift=-3.0), y=normal(12), target="y"), "clamp",
        "Kendall & Gal, NeurIPS 2017, with a clamp: no way back", lambda s: None, **QUIET),
    bug(relu_output_dead, given(raw=normal(12, shift=-4.0), y=counts(12), target="y"), "relu", "Lu et al., Dying ReLU "
        "and initialization, 2020", lambda s: None, **QUIET),
    bug(moments_by_difference, given(x=normal(12, shift=4000.0)), "sub log mean", HIGHAM + ", section 1.9",
        lambda s: None, **LOST),
    sound(moments_by_deviation, given(x=normal(12, shift=4000.0)), HIGHAM + ", section 1.9"),
    bug(log_one_plus, given(x=positive(12, around=1e-6)), "log add", HIGHAM + ", section 1.14.1; Goldberg 1991",
        lambda s: None, **LOST),
    sound(log_one_plus_library, given(x=positive(12, around=1e-6)), HIGHAM + ", section 1.14.1"),
    bug(exp_minus_one, given(x=positive(12, around=1e-6)), "sub div exp", HIGHAM + ", section 1.14.1", lambda s: None,
        **LOST),
    bug(exp_minus_one_library, given(x=positive(12, around=1e-6)), "expm1 div", HIGHAM + ", section 1.14.1; the "
        "gradient of the quotient is a difference of two terms near 1/x", lambda s: None, phase="backward", **QUIET),
    sound(exp_minus_one_safe, given(x=positive(12, around=1e-6)), HIGHAM + ", section 1.14.1"),
    bug(one_minus_cosine, given(x=positive(12, around=1e-3)), "sub div", HIGHAM + ", section 1.7", lambda s: None,
        **LOST),
    bug(beta_function_large, given(a=normal(12, scale=100.0, shift=2e5), b=normal(12, scale=100.0, shift=2e5),
        y=fixed([0.5] * 12), target="y"), "lgamma sub add mul", "Johnson, Kotz & Balakrishnan, Continuous univariate "
        "distributions, 1995: log B by a difference of lgamma", lambda s: None, **LOST),
    sound(intended_clip, given(x=normal(12, scale=0.4), y=normal(12, scale=0.4), target="y"),
          "Schulman et al., PPO: value clipping", put(x=30.0)),
    sound(hinge, given(x=normal(12), y=bits(12), target="y"), "Cortes & Vapnik, Support-vector networks, 1995",
          scale(x=60.0)),
    sound(epsilon_insensitive, given(x=normal(12), y=normal(12), target="y"), "Vapnik, The nature of statistical "
          "learning theory, 1995", put(x=1e6)),
)  # fmt: skip
