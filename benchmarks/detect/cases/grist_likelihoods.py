"""Likelihoods, policies and survival by hand, as scripts write them: each with its repaired twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    counts,
    fill,
    given,
    modelled,
    normal,
    positive,
    put,
    scale,
    sound,
    unit,
)

BETA = "beta likelihood with the gamma function itself"
NEGATIVE = "negative binomial of rates and dispersions, as in single cell autoencoders"
ZERO = "zero-inflated Poisson: Lambert 1992, by hand"
STUDENT = "Student t density, then its log: robust regression notebooks"
MISES = "von Mises likelihood of angles: Prokudin et al. 2018, by hand"
LINEAR = "normal likelihood whose standard deviation a linear layer gives"
WRITING = "bivariate normal of pen strokes: Graves 2013, by hand"
PROBIT = "probit likelihood by the error function"
ORDINAL = "ordinal regression: McCullagh 1980, difference of two sigmoids"
POISSON = "Poisson likelihood of a rate after ReLU"
LAPLACE = "Laplace density, then its log"
GUMBEL = "log-normal likelihood of what a layer gives"


def beta_density(a_raw, b_raw, y):
    a, b = F.softplus(a_raw), F.softplus(b_raw)
    beta = torch.exp(torch.lgamma(a)) * torch.exp(torch.lgamma(b)) / torch.exp(torch.lgamma(a + b))  # <- here
    return -torch.mean((a - 1) * torch.log(y) + (b - 1) * torch.log(1 - y) - torch.log(beta))  # <- here


def beta_density_fixed(a_raw, b_raw, y):
    a, b = F.softplus(a_raw) + 1e-3, F.softplus(b_raw) + 1e-3
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return -torch.mean((a - 1) * torch.log(y) + (b - 1) * torch.log(1 - y) - log_beta)


def dispersed_counts(raw_mu, raw_theta, k):
    mu, theta = torch.exp(raw_mu), torch.exp(raw_theta)  # <- here
    const = torch.lgamma(k + 2.0) - torch.lgamma(k + 1)
    ll = const + 2.0 * torch.log(theta / (theta + mu)) + k * torch.log(mu / (theta + mu))  # <- here
    return -torch.mean(ll)


def dispersed_counts_fixed(raw_mu, raw_theta, k):
    const = torch.lgamma(k + 2.0) - torch.lgamma(k + 1)
    gap = raw_mu - raw_theta
    return -torch.mean(const + 2.0 * F.logsigmoid(-gap) + k * F.logsigmoid(gap))


def inflated_counts(raw_pi, raw_rate, k):
    pi, rate = torch.sigmoid(raw_pi), F.softplus(raw_rate) + 1e-4
    zero = torch.log(pi + (1 - pi) * torch.exp(-rate))  # <- here
    some = torch.log(1 - pi) + k * torch.log(rate) - rate - torch.lgamma(k + 1)  # <- here
    is_zero = (k == 0).float()
    return -torch.mean(is_zero * zero + (1 - is_zero) * some)


def inflated_counts_fixed(raw_pi, raw_rate, k):
    rate = F.softplus(raw_rate) + 1e-4
    zero = torch.logaddexp(F.logsigmoid(raw_pi), F.logsigmoid(-raw_pi) - rate)
    some = F.logsigmoid(-raw_pi) + k * torch.log(rate) - rate - torch.lgamma(k + 1)
    return -torch.mean(torch.where(k == 0, zero, some))


def student_density(mu, y):
    pdf = torch.pow(1 + (y - mu) ** 2 / 20.0, -10.5)  # <- here
    return -torch.mean(torch.log(pdf))  # <- here


def student_density_fixed(mu, y):
    return torch.mean(10.5 * torch.log1p((y - mu) ** 2 / 20.0))


def angle_likelihood(mu, raw, angle):
    kappa = F.softplus(raw)
    return torch.mean(torch.log(2 * math.pi * torch.special.i0(kappa)) - kappa * torch.cos(angle - mu))  # <- here


def angle_likelihood_fixed(mu, raw, angle):
    kappa = F.softplus(raw)
    log_i0 = torch.log(torch.special.i0e(kappa)) + kappa
    return torch.mean(math.log(2 * math.pi) + log_i0 - kappa * torch.cos(angle - mu))


class Head(nn.Module):
    """A linear layer whose outputs are positive at first."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(5, 2)
        nn.init.constant_(self.out.bias, 2.0)

    def forward(self, x):
        return self.out(x)


def linear_deviation(out, y):
    mu, sigma = out[:, 0], out[:, 1]
    return torch.mean(torch.log(sigma) + 0.5 * ((y - mu) / sigma) ** 2)  # <- here


def linear_deviation_fixed(out, y):
    mu, sigma = out[:, 0], F.softplus(out[:, 1]) + 1e-2
    return torch.mean(torch.log(sigma) + 0.5 * ((y - mu) / sigma) ** 2)


def strokes(mu, raw, y):
    rho = torch.tanh(raw)
    d = y - mu
    z = d[:, 0] ** 2 + d[:, 1] ** 2 - 2 * rho * d[:, 0] * d[:, 1]
    one_minus = 1 - rho**2  # <- here
    return torch.mean(z / (2 * one_minus) + 0.5 * torch.log(one_minus))  # <- here


def strokes_fixed(mu, raw, y):
    rho = 0.95 * torch.tanh(raw)
    d = y - mu
    z = d[:, 0] ** 2 + d[:, 1] ** 2 - 2 * rho * d[:, 0] * d[:, 1]
    return torch.mean(z / (2 * (1 - rho**2)) + 0.5 * torch.log(1 - rho**2))


def probit(score, y):
    p = 0.5 * (1 + torch.erf(score / math.sqrt(2.0)))
    return -torch.mean(y * torch.log(p) + (1 - y) * torch.log(1 - p))  # <- here


def probit_fixed(score, y):
    return -torch.mean(torch.special.log_ndtr((2 * y - 1) * score))


def ordinal(score, level):
    cuts = torch.tensor([-30.0, -1.0, 1.0, 30.0])
    upper, lower = torch.sigmoid(cuts[level + 1] - score), torch.sigmoid(cuts[level] - score)
    return -torch.mean(torch.log(upper - lower))  # <- here


def ordinal_fixed(score, level):
    cuts = torch.tensor([-30.0, -1.0, 1.0, 30.0])
    a, b = cuts[level + 1], cuts[level]
    return -torch.mean(F.logsigmoid(a - score) + F.logsigmoid(score - b) + torch.log1p(-torch.exp(b - a)))


def rectified_rate(raw, k):
    rate = torch.relu(raw)
    return torch.mean(rate - k * torch.log(rate))  # <- here


def rectified_rate_fixed(raw, k):
    rate = F.softplus(raw) + 1e-4
    return torch.mean(rate - k * torch.log(rate))


def laplace_density(mu, raw, y):
    b = F.softplus(raw) + 1e-2
    return -torch.mean(torch.log(torch.exp(-torch.abs(y - mu) / b) / (2 * b)))  # <- here


def laplace_density_fixed(mu, raw, y):
    b = F.softplus(raw) + 1e-2
    return torch.mean(torch.abs(y - mu) / b + torch.log(2 * b))


def log_normal_of_output(out, y):
    sigma = F.softplus(out[:, 1]) + 1e-2
    return torch.mean(0.5 * ((torch.log(out[:, 0]) - torch.log(y)) / sigma) ** 2 + torch.log(sigma))  # <- here


def log_normal_of_output_fixed(out, y):
    sigma = F.softplus(out[:, 1]) + 1e-2
    return torch.mean(0.5 * ((out[:, 0] - torch.log(y)) / sigma) ** 2 + torch.log(sigma))


PAIR = normal(12)
SHAPES = given("y", a_raw=PAIR, b_raw=PAIR, y=unit(12))
DISPERSED = given("k", raw_mu=PAIR, raw_theta=PAIR, k=counts(12))
INFLATED = given("k", raw_pi=PAIR, raw_rate=PAIR, k=counts(12, mean=1.0))
ROBUST = given("y", mu=PAIR, y=PAIR)
ANGLES = given("angle", mu=PAIR, raw=PAIR, angle=PAIR)
SCALED = modelled(Head, normal(12, 5), PAIR)
STROKES = given("y", mu=normal(12, 2), raw=PAIR, y=normal(12, 2))
YES = given("y", score=PAIR, y=bits(12))
LEVELS = given("level", score=PAIR, level=classes(12, 3))
RATES = given("k", raw=positive(12), k=counts(12))
NARROW = given("y", mu=PAIR, raw=PAIR, y=PAIR)
OUT = modelled(Head, normal(12, 5), positive(12))


CASES = (
    bug(beta_density, SHAPES, "exp", BETA, put(a_raw=60.0)),
    sound(beta_density_fixed, SHAPES, BETA, put(a_raw=60.0)),
    bug(dispersed_counts, DISPERSED, "exp log div", NEGATIVE, put(raw_mu=95.0)),
    sound(dispersed_counts_fixed, DISPERSED, NEGATIVE, put(raw_mu=95.0)),
    bug(inflated_counts, INFLATED, "log", ZERO, fill(raw_pi=-120.0, raw_rate=120.0)),
    sound(inflated_counts_fixed, INFLATED, ZERO, fill(raw_pi=-120.0, raw_rate=120.0)),
    bug(student_density, ROBUST, "log pow", STUDENT, put(mu=1e5)),
    sound(student_density_fixed, ROBUST, STUDENT, put(mu=1e5)),
    bug(angle_likelihood, ANGLES, "i0", MISES, put(raw=120.0)),
    sound(angle_likelihood_fixed, ANGLES, MISES, put(raw=120.0)),
    bug(linear_deviation, SCALED, "log", LINEAR, scale({"out.bias": -1.0}), verdict="limit"),
    sound(linear_deviation_fixed, SCALED, LINEAR, scale({"out.bias": -1.0})),
    bug(strokes, STROKES, "div log", WRITING, put(raw=12.0)),
    sound(strokes_fixed, STROKES, WRITING, put(raw=12.0)),
    bug(probit, YES, "log", PROBIT, scale(score=12.0)),
    sound(probit_fixed, YES, PROBIT, scale(score=12.0)),
    bug(ordinal, LEVELS, "log", ORDINAL, scale(score=80.0)),
    sound(ordinal_fixed, LEVELS, ORDINAL, scale(score=80.0)),
    bug(rectified_rate, RATES, "log", POISSON, put(raw=-1.0), verdict="limit defect"),
    sound(rectified_rate_fixed, RATES, POISSON, put(raw=-1.0)),
    bug(laplace_density, NARROW, "log", LAPLACE, put(mu=300.0)),
    sound(laplace_density_fixed, NARROW, LAPLACE, put(mu=300.0)),
    bug(log_normal_of_output, OUT, "log", GUMBEL, scale({"out.bias": -1.0}), verdict="limit"),
    sound(log_normal_of_output_fixed, OUT, GUMBEL),
)
