"""More correct negative log-likelihoods: skewed and stretched ones, inflated and truncated counts, ordered classes,
angles, copulas and flows.

The densities are those of Johnson, Kotz and Balakrishnan (see `losses`), Mardia and Jupp, "Directional Statistics"
(2000), Joe, "Dependence Modeling with Copulas" (2014), and Papamakarios et al. 2021, arXiv:1912.02762 (flows).
"""

from __future__ import annotations

import math

import torch
from torch.nn.functional import log_softmax, logsigmoid, softplus

T = torch.Tensor


def skew_normal(out: T, y: T) -> T:
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    return 0.5 * z**2 + out[:, 1] + 0.5 * math.log(2 * math.pi) - math.log(2) - torch.special.log_ndtr(out[:, 2] * z)


def asymmetric_laplace(out: T, y: T) -> T:
    q, s = torch.sigmoid(out[:, 1]), torch.exp(out[:, 2])
    u = (y - out[:, 0]) / s
    return torch.maximum(q * u, (q - 1) * u) - torch.log(q * (1 - q)) + out[:, 2]


def generalised_normal(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 1]), 1 + torch.exp(out[:, 2])
    return ((y - out[:, 0]).abs() / a) ** b + torch.log(2 * a) + torch.lgamma(1 / b) - torch.log(b)


def johnson(out: T, y: T) -> T:
    z = (y - out[:, 0]) / torch.exp(out[:, 1])
    w = out[:, 2] + torch.exp(out[:, 3]) * torch.asinh(z)
    return 0.5 * w**2 + 0.5 * math.log(2 * math.pi) - out[:, 3] + out[:, 1] + 0.5 * torch.log(1 + z**2)


def sinh_flow(out: T, y: T) -> T:
    x = torch.sinh(torch.exp(out[:, 1]) * torch.asinh(y) - out[:, 0])
    log_slope = out[:, 1] + 0.5 * torch.log(1 + x**2) - 0.5 * torch.log(1 + y**2)
    return 0.5 * x**2 + 0.5 * math.log(2 * math.pi) - log_slope


def cubic_flow(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    x = a * y + b * y**3 + out[:, 2]
    return 0.5 * x**2 + 0.5 * math.log(2 * math.pi) - torch.log(a + 3 * b * y**2)


def logistic_mixture(out: T, y: T) -> T:
    z = (y[:, None] - out[:, 2:4]) / torch.exp(out[:, 4:6])
    return -torch.logsumexp(log_softmax(out[:, :2], -1) - z - 2 * softplus(-z) - out[:, 4:6], -1)


def log_logistic(out: T, y: T) -> T:
    k, s = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    z = k * (torch.log(y) - torch.log(s))
    return torch.log(y) - torch.log(k) - z + 2 * softplus(z)


def gompertz(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return -torch.log(a * b) - a - b * y + a * torch.exp(b * y)


def inverse_gamma(out: T, y: T) -> T:
    a, b = 1 + torch.exp(out[:, 0]), torch.exp(out[:, 1])
    return torch.lgamma(a) - a * torch.log(b) + (a + 1) * torch.log(y) + b / y


def rayleigh(out: T, y: T) -> T:
    v = torch.exp(out[:, 0])
    return y**2 / (2 * v) + torch.log(v) - torch.log(y)


def lomax(out: T, y: T) -> T:
    a = torch.exp(out[:, 0])
    return torch.log1p(y / a) * (1 + torch.exp(out[:, 1])) - out[:, 1] + torch.log(a)


def logit_normal(out: T, y: T) -> T:
    x = torch.log(y) - torch.log1p(-y)
    z = (x - out[:, 0]) / torch.exp(out[:, 1])
    return 0.5 * z**2 + out[:, 1] + 0.5 * math.log(2 * math.pi) + torch.log(y) + torch.log1p(-y)


def beta_by_mean(out: T, y: T) -> T:
    m, k = torch.sigmoid(out[:, 0]), 2 * torch.exp(out[:, 1])
    a, b = m * k, (1 - m) * k
    return torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(k) - (a - 1) * torch.log(y) - (b - 1) * torch.log1p(-y)


def wrapped_cauchy(out: T, y: T) -> T:
    r = torch.sigmoid(out[:, 1])
    return torch.log(1 + r**2 - 2 * r * torch.cos(y - out[:, 0])) - torch.log(1 - r**2) + math.log(2 * math.pi)


def cardioid(out: T, y: T) -> T:
    r = 0.9 * torch.sigmoid(out[:, 1])
    return math.log(2 * math.pi) - torch.log1p(r * torch.cos(y - out[:, 0]))


def zero_inflated_poisson(out: T, y: T) -> T:
    rate = torch.exp(out[:, 0])
    count = y * out[:, 0] - rate - torch.lgamma(y + 1)
    zero = torch.logaddexp(logsigmoid(out[:, 1]), logsigmoid(-out[:, 1]) - rate)
    return -torch.where(y == 0, zero, logsigmoid(-out[:, 1]) + count)


def hurdle_poisson(out: T, y: T) -> T:
    rate = torch.exp(out[:, 0])
    count = y * out[:, 0] - rate - torch.lgamma(y + 1) - torch.log(1 - torch.exp(-rate))
    return -torch.where(y == 0, logsigmoid(out[:, 1]), logsigmoid(-out[:, 1]) + count)


def negative_binomial_by_mean(out: T, y: T) -> T:
    m, r = torch.exp(out[:, 0]), 1 + torch.exp(out[:, 1])
    choose = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
    return -(choose + r * torch.log(r / (r + m)) + y * torch.log(m / (r + m)))


def geometric(out: T, y: T) -> T:
    return -logsigmoid(out[:, 0]) - y * logsigmoid(-out[:, 0])


def beta_binomial(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    choose = math.lgamma(9.0) - torch.lgamma(y + 1) - torch.lgamma(9 - y)
    top = torch.lgamma(y + a) + torch.lgamma(8 - y + b) - torch.lgamma(8 + a + b)
    return -(choose + top - torch.lgamma(a) - torch.lgamma(b) + torch.lgamma(a + b))


def ordinal(out: T, y: T) -> T:
    cuts = torch.cumsum(torch.exp(out[:, 1:5]), -1) - 2
    below = torch.sigmoid(cuts - out[:, :1])
    full = torch.cat([torch.zeros_like(below[:, :1]), below, torch.ones_like(below[:, :1])], -1)
    return -torch.log(full.diff(dim=-1).gather(1, y[:, None])[:, 0])


def stick_breaking(out: T, y: T) -> T:
    stop, go = logsigmoid(out[:, :4]), logsigmoid(-out[:, :4])
    passed = torch.cat([torch.zeros_like(go[:, :1]), torch.cumsum(go, -1)], -1)
    logs = passed + torch.cat([stop, torch.zeros_like(stop[:, :1])], -1)
    return -logs.gather(1, y[:, None])[:, 0]


def coupling(out: T, y: T) -> T:
    x = y[:, 1] - out[:, 0] * torch.tanh(y[:, 0])
    s = torch.exp(out[:, 1])
    return 0.5 * y[:, 0] ** 2 + 0.5 * (x / s) ** 2 + out[:, 1] + math.log(2 * math.pi)


def banana(out: T, y: T) -> T:
    a, b = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    u, v = y[:, 0] / a, (y[:, 1] - out[:, 2] * y[:, 0] ** 2) / b
    return 0.5 * (u**2 + v**2) + torch.log(a * b) + math.log(2 * math.pi)


def student_plane(out: T, y: T) -> T:
    df, s = 1 + torch.exp(out[:, 2]), torch.exp(out[:, 3])
    square = ((y - out[:, :2]) ** 2).sum(-1) / s**2
    return (df + 2) / 2 * torch.log1p(square / df) + 2 * out[:, 3] + math.log(2 * math.pi)


def clayton(out: T, y: T) -> T:
    t = torch.exp(out[:, 0])
    u, v = y[:, 0], y[:, 1]
    inner = torch.log(u**-t + v**-t - 1)
    return -torch.log(1 + t) + (1 + t) * (torch.log(u) + torch.log(v)) + (2 + 1 / t) * inner


def gaussian_copula(out: T, y: T) -> T:
    r = 0.8 * torch.tanh(out[:, 0])
    a, b = torch.special.ndtri(y[:, 0]), torch.special.ndtri(y[:, 1])
    spread = 1 - r**2
    return 0.5 * torch.log(spread) + (r**2 * (a**2 + b**2) - 2 * r * a * b) / (2 * spread)


def generalised_dirichlet(out: T, y: T) -> T:
    a, b = torch.exp(out[:, :2]), torch.exp(out[:, 2:])
    left = 1 - y[:, 0]
    first = torch.lgamma(a[:, 0]) + torch.lgamma(b[:, 0]) - torch.lgamma(a[:, 0] + b[:, 0])
    second = torch.lgamma(a[:, 1]) + torch.lgamma(b[:, 1]) - torch.lgamma(a[:, 1] + b[:, 1])
    nats = (a[:, 0] - 1) * torch.log(y[:, 0]) + (a[:, 1] - 1) * torch.log(y[:, 1])
    power = b[:, 0] - a[:, 1] - b[:, 1]
    return first + second - nats - power * torch.log(left) - (b[:, 1] - 1) * torch.log(y[:, 2])
