"""Correct negative log-likelihoods written by hand, one value a sample: what the mutants are made from.

Each follows the density in Johnson, Kotz and Balakrishnan, "Continuous Univariate Distributions" (1994/95), or in the
companion volumes on discrete (2005) and multivariate (2000) ones. Parameters are raw outputs in [-1, 1].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import log_softmax, logsigmoid, softplus

from benchmarks.mutants import further

N = 24
T = torch.Tensor


@dataclass(frozen=True)
class Loss:
    """`fn(out, y)` gives (N,) nats from outputs (N, K) and targets; `y`: ordinary targets; `support`: what they are."""

    fn: Callable[[T, T], T]
    outputs: int
    y: T
    support: str  # see `brute.grid_of`
    stated: bool = False  # must the support be stated, as no batch shows it?


def normal(out: T, y: T) -> T:
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    return 0.5 * z**2 + out[:, 1] + 0.5 * math.log(2 * math.pi)


def laplace(out: T, y: T) -> T:
    b = softplus(out[:, 1]) + 0.1
    return (y - out[:, 0]).abs() / b + torch.log(2 * b)


def cauchy(out: T, y: T) -> T:
    s = torch.exp(out[:, 1])
    z = (y - out[:, 0]) / s
    return torch.log1p(z**2) + torch.log(s) + math.log(math.pi)


def logistic(out: T, y: T) -> T:
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    return z + 2 * softplus(-z) + out[:, 1]


def gumbel(out: T, y: T) -> T:
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    return z + torch.exp(-z) + out[:, 1]


def student(out: T, y: T) -> T:
    df = 2 + torch.exp(out[:, 2])
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    normaliser = torch.lgamma((df + 1) / 2) - torch.lgamma(df / 2) - 0.5 * torch.log(df * math.pi)
    return (df + 1) / 2 * torch.log1p(z**2 / df) + out[:, 1] - normaliser


def mixture(out: T, y: T) -> T:
    z = (y[:, None] - out[:, 3:6]) / torch.exp(out[:, 6:9])
    each = log_softmax(out[:, :3], -1) - 0.5 * z**2 - out[:, 6:9] - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(each, -1)


def gamma(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return torch.lgamma(a) - a * torch.log(b) - (a - 1) * torch.log(y) + b * y


def weibull(out: T, y: T) -> T:
    k, s = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return (y / s) ** k - torch.log(k / s) - (k - 1) * torch.log(y / s)


def log_normal(out: T, y: T) -> T:
    z = (torch.log(y) - out[:, 0]) / torch.exp(out[:, 1])
    return 0.5 * z**2 + out[:, 1] + torch.log(y) + 0.5 * math.log(2 * math.pi)


def half_normal(out: T, y: T) -> T:
    z = y / torch.exp(out[:, 0])
    return 0.5 * z**2 + out[:, 0] - 0.5 * math.log(2 / math.pi)


def truncated_normal(out: T, y: T) -> T:
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    above = torch.log(0.5 * torch.erfc(-out[:, 0] / (torch.exp(out[:, 1]) * math.sqrt(2))))
    return 0.5 * z**2 + out[:, 1] + 0.5 * math.log(2 * math.pi) + above


def inverse_gaussian(out: T, y: T) -> T:
    mu, lam = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return lam * (y - mu) ** 2 / (2 * mu**2 * y) - 0.5 * torch.log(lam) + 0.5 * torch.log(2 * math.pi * y**3)


def pareto(out: T, y: T) -> T:
    a = torch.exp(out[:, 0])
    return (a + 1) * torch.log(y) - torch.log(a)


def beta(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    normaliser = torch.lgamma(a + b) - torch.lgamma(a) - torch.lgamma(b)
    return -(a - 1) * torch.log(y) - (b - 1) * torch.log(1 - y) - normaliser


def kumaraswamy(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return -torch.log(a * b) - (a - 1) * torch.log(y) - (b - 1) * torch.log1p(-(y**a))


def von_mises(out: T, y: T) -> T:
    k = torch.exp(out[:, 1])
    return -k * torch.cos(y - out[:, 0]) + math.log(2 * math.pi) + torch.log(torch.special.i0(k))


def poisson(out: T, y: T) -> T:
    return torch.exp(out[:, 0]) - y * out[:, 0] + torch.lgamma(y + 1)


def negative_binomial(out: T, y: T) -> T:
    r = torch.exp(out[:, 0])
    ways = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
    return -ways - r * logsigmoid(-out[:, 1]) - y * logsigmoid(out[:, 1])


def binomial(out: T, y: T) -> T:
    ways = math.lgamma(9) - torch.lgamma(y + 1) - torch.lgamma(9 - y)
    return -ways - y * logsigmoid(out[:, 0]) - (8 - y) * logsigmoid(-out[:, 0])


def categorical(out: T, y: T) -> T:
    return torch.logsumexp(out, -1) - out.gather(-1, y[:, None])[:, 0]


def plane(out: T, y: T) -> T:
    zx, zy = (y[:, 0] - out[:, 0]) / torch.exp(out[:, 2]), (y[:, 1] - out[:, 1]) / torch.exp(out[:, 3])
    rho = torch.tanh(out[:, 4])
    quad = (zx**2 + zy**2 - 2 * rho * zx * zy) / (2 * (1 - rho**2))
    return quad + out[:, 2] + out[:, 3] + 0.5 * torch.log(1 - rho**2) + math.log(2 * math.pi)


def cholesky(out: T, y: T) -> T:
    a, b, c = torch.exp(out[:, 2]), out[:, 3], torch.exp(out[:, 4])
    first = a * (y[:, 0] - out[:, 0])
    second = b * (y[:, 0] - out[:, 0]) + c * (y[:, 1] - out[:, 1])
    return 0.5 * (first**2 + second**2) - torch.log(a * c) + math.log(2 * math.pi)


def dirichlet(out: T, y: T) -> T:
    a = torch.exp(out)
    return torch.lgamma(a).sum(-1) - torch.lgamma(a.sum(-1)) - ((a - 1) * torch.log(y)).sum(-1)


def _uniform(*shape: int, seed: int) -> T:
    return 2 * torch.rand(N, *shape, generator=torch.Generator().manual_seed(seed)) - 1


_REAL, _POSITIVE = 2 * _uniform(seed=1), torch.exp(_uniform(seed=2))
_UNIT, _COUNT = 0.5 + 0.45 * _uniform(seed=3), (torch.arange(N) % 7).float()

LOSSES = {
    "normal": Loss(normal, 2, _REAL, "real"),
    "laplace": Loss(laplace, 2, _REAL, "real"),
    "cauchy": Loss(cauchy, 2, _REAL, "real"),
    "logistic": Loss(logistic, 2, _REAL, "real"),
    "gumbel": Loss(gumbel, 2, _REAL, "real"),
    "student": Loss(student, 3, _REAL, "real"),
    "mixture": Loss(mixture, 9, _REAL, "real"),
    "gamma": Loss(gamma, 2, _POSITIVE, "positive"),
    "weibull": Loss(weibull, 2, _POSITIVE, "positive", stated=True),
    "log normal": Loss(log_normal, 2, _POSITIVE, "positive"),
    "half normal": Loss(half_normal, 1, _POSITIVE, "positive"),
    "truncated normal": Loss(truncated_normal, 2, _POSITIVE, "positive"),
    "inverse Gaussian": Loss(inverse_gaussian, 2, _POSITIVE, "positive"),
    "beta": Loss(beta, 2, _UNIT, "unit"),
    "Kumaraswamy": Loss(kumaraswamy, 2, _UNIT, "unit"),
    "von Mises": Loss(von_mises, 2, _REAL, "angle"),
    "Poisson": Loss(poisson, 1, _COUNT, "count"),
    "negative binomial": Loss(negative_binomial, 2, _COUNT, "count"),
    "binomial": Loss(binomial, 1, _COUNT, "count"),
    "categorical": Loss(categorical, 5, torch.arange(N) % 5, "class"),
    "plane": Loss(plane, 5, 2 * _uniform(2, seed=4), "plane"),
    "Cholesky": Loss(cholesky, 5, 2 * _uniform(2, seed=4), "plane"),
    "Dirichlet": Loss(dirichlet, 3, torch.softmax(2 * _uniform(3, seed=5), -1), "simplex"),
    "Pareto": Loss(pareto, 1, 1 + _POSITIVE, "above 1"),
    "skew normal": Loss(further.skew_normal, 3, _REAL, "real"),
    "asymmetric Laplace": Loss(further.asymmetric_laplace, 3, _REAL, "real"),
    "generalised normal": Loss(further.generalised_normal, 3, _REAL, "real"),
    "Johnson SU": Loss(further.johnson, 4, _REAL, "real"),
    "sinh flow": Loss(further.sinh_flow, 2, _REAL, "real"),
    "cubic flow": Loss(further.cubic_flow, 3, _REAL, "real"),
    "logistic mixture": Loss(further.logistic_mixture, 6, _REAL, "real"),
    "log-logistic": Loss(further.log_logistic, 2, _POSITIVE, "positive"),
    "Gompertz": Loss(further.gompertz, 2, _POSITIVE, "positive"),
    "inverse gamma": Loss(further.inverse_gamma, 2, _POSITIVE, "positive"),
    "Rayleigh": Loss(further.rayleigh, 1, _POSITIVE, "positive"),
    "Lomax": Loss(further.lomax, 2, _POSITIVE, "positive"),
    "logit-normal": Loss(further.logit_normal, 2, _UNIT, "unit"),
    "beta by its mean": Loss(further.beta_by_mean, 2, _UNIT, "unit"),
    "wrapped Cauchy": Loss(further.wrapped_cauchy, 2, _REAL, "angle"),
    "cardioid": Loss(further.cardioid, 2, _REAL, "angle"),
    "zero-inflated Poisson": Loss(further.zero_inflated_poisson, 2, _COUNT, "count"),
    "hurdle Poisson": Loss(further.hurdle_poisson, 2, _COUNT, "count"),
    "negative binomial by its mean": Loss(further.negative_binomial_by_mean, 2, _COUNT, "count"),
    "geometric": Loss(further.geometric, 1, _COUNT, "count"),
    "beta-binomial": Loss(further.beta_binomial, 2, _COUNT, "count"),
    "ordinal": Loss(further.ordinal, 5, torch.arange(N) % 5, "class"),
    "stick breaking": Loss(further.stick_breaking, 4, torch.arange(N) % 5, "class"),
    "coupling": Loss(further.coupling, 2, 2 * _uniform(2, seed=4), "plane"),
    "banana": Loss(further.banana, 3, 2 * _uniform(2, seed=4), "plane"),
    "Student of a plane": Loss(further.student_plane, 4, 2 * _uniform(2, seed=4), "plane"),
    "Clayton copula": Loss(further.clayton, 1, 0.5 + 0.45 * _uniform(2, seed=6), "square"),
    "Gaussian copula": Loss(further.gaussian_copula, 1, 0.5 + 0.45 * _uniform(2, seed=6), "square"),
    "generalised Dirichlet": Loss(further.generalised_dirichlet, 4, torch.softmax(2 * _uniform(3, seed=5), -1),
                                  "simplex"),
}  # fmt: skip
