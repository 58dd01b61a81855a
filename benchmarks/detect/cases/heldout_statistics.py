"""Held out, written before the tool was run on it: volatility, bounded targets, scores, errors."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, counts, fixed, given, normal, positive, put, same, scale, sound, unit

GARCH = "Bollerslev, Generalized autoregressive conditional heteroskedasticity, 1986"
DIFFUSION = "Uhlenbeck & Ornstein 1930; exact discretisation of a mean-reverting diffusion"
BOX_COX = "Box & Cox, An analysis of transformations, 1964: removable at zero"
BETA = "Ferrari & Cribari-Neto, Beta regression, 2004: a mean that rounds to one"
LOGIT = "Atchison & Shen, Logistic-normal distributions, 1980: an observation at an end"
CRPS = "Gneiting & Raftery, Strictly proper scoring rules, 2007: the score of a Gaussian"
WING = "Feng et al., Wing loss, CVPR 2018"
WELSCH = "Dennis & Welsch 1978; Geman & McClure 1985"
KALMAN = "Durbin & Koopman, Time series analysis by state space methods, 2012"
MIXED = "Minka, Estimating a Dirichlet distribution, 2000: the Polya distribution"
INVERSE = "Tweedie, Statistical properties of inverse Gaussian distributions, 1957"
EPE = "Baker et al., A database for optical flow, IJCV 2011: the end-point error; PyTorch documentation, torch.norm"
CHAMFER = "Fan et al., A point set generation network, CVPR 2017"
GOMPERTZ = "Gompertz 1825; Rodriguez, Survival models, Princeton lecture notes"
SOFT_THRESHOLD = "Dugas et al., Incorporating second-order functional knowledge, NeurIPS 2000: softplus written out"
SIGMOID_MSE = "Brier, Verification of forecasts, 1950"
LOG_RATIO = "Aitchison, The statistical analysis of compositional data, 1986: a part of zero"
MAHALANOBIS = "Mahalanobis 1936; the distance under a learnt precision"
COPULA = "Joe, Multivariate models and dependence concepts, 1997: the Gaussian copula"
ENERGY = "Szekely & Rizzo, Energy statistics, 2013: the energy score of an ensemble"


def conditional_variance(omega, alpha, beta, y):
    var, total = omega + 0.1, 0.0
    for t in range(1, len(y)):
        var = omega + alpha * y[t - 1] ** 2 + beta * var
        total = total + 0.5 * (torch.log(var) + y[t] ** 2 / var).sum()  # <- here
    return total / len(y)


def conditional_variance_softplus(omega, alpha, beta, y):
    omega, alpha, beta = F.softplus(omega) + 1e-3, 0.5 * torch.sigmoid(alpha), 0.49 * torch.sigmoid(beta)
    var, total = omega, 0.0
    for t in range(1, len(y)):
        var = omega + alpha * y[t - 1] ** 2 + beta * var
        total = total + 0.5 * (torch.log(var) + y[t] ** 2 / var).sum()
    return total / len(y)


def mean_reversion(speed, level, log_sigma, y):
    decay = torch.exp(-0.5 * speed)
    var = torch.exp(2 * log_sigma) * (1 - decay**2) / (2 * speed)  # <- here
    z = y[1:] - level - (y[:-1] - level) * decay
    return (0.5 * torch.log(var) + 0.5 * z**2 / var).mean()


def mean_reversion_expm1(speed_raw, level, log_sigma, y):
    speed, log_sigma = F.softplus(speed_raw) + 1e-2, log_sigma.clamp(-4.0, 4.0)
    var = torch.exp(2 * log_sigma) * -torch.expm1(-speed) / (2 * speed)
    z = y[1:] - level - (y[:-1] - level) * torch.exp(-0.5 * speed)
    return (0.5 * torch.log(var) + 0.5 * z**2 / var).mean()


def power_transform(power, y):
    z = (y**power - 1) / power  # <- here
    return 0.5 * torch.log(((z - z.mean()) ** 2).mean()) - (power - 1) * torch.log(y).mean()


def beta_regression(raw, log_phi, y):
    mu, phi = torch.sigmoid(raw), torch.exp(log_phi)
    a, b = mu * phi, (1 - mu) * phi
    log_b = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(phi)  # <- here
    return (log_b - (a - 1) * torch.log(y) - (b - 1) * torch.log1p(-y)).mean()


def beta_regression_inside(raw, log_phi, y):
    mu, phi = 0.01 + 0.98 * torch.sigmoid(raw), torch.exp(log_phi.clamp(-3.0, 5.0))
    a, b, y = mu * phi, (1 - mu) * phi, y.clamp(1e-4, 1 - 1e-4)
    log_b = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(phi)
    return (log_b - (a - 1) * torch.log(y) - (b - 1) * torch.log1p(-y)).mean()


def logit_normal(mean, log_sigma, y):
    z = (torch.log(y / (1 - y)) - mean) * torch.exp(-log_sigma)  # <- here
    return (0.5 * z**2 + log_sigma).mean()


def logit_normal_bounded(mean, log_sigma, y):
    y, log_sigma = y.clamp(1e-4, 1 - 1e-4), log_sigma.clamp(-5.0, 5.0)
    z = (torch.log(y) - torch.log1p(-y) - mean) * torch.exp(-log_sigma)
    return (0.5 * z**2 + log_sigma).mean()


def ranked_probability(mean, raw, y):
    sigma = F.softplus(raw) + 1e-3
    z = (y - mean) / sigma
    pdf = torch.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
    return (sigma * (z * torch.erf(z / math.sqrt(2)) + 2 * pdf - 1 / math.sqrt(math.pi))).mean()


def wing(x, y):
    error = (x - y).abs()
    rest = 1.0 - 1.0 * math.log(1 + 1.0 / 0.2)
    return torch.where(error < 1.0, torch.log1p(error / 0.2), error - rest).mean()


def welsch(x, y):
    return (-torch.expm1(-0.5 * (x - y) ** 2)).mean() + ((x - y) ** 2 / (1 + (x - y) ** 2)).mean()


def filtered_level(raw_q, raw_r, y):
    q, r = F.softplus(raw_q) + 1e-3, F.softplus(raw_r) + 1e-3
    mean, var, total = y[0], r, 0.0
    for t in range(1, len(y)):
        var = var + q
        s = var + r
        gain, error = var / s, y[t] - mean
        total = total + 0.5 * (torch.log(s) + error**2 / s).sum()
        mean, var = mean + gain * error, (1 - gain) * var
    return total / len(y)


def polya(raw, y):
    alpha = F.softplus(raw) + 0.05
    total, n = alpha.sum(-1), y.sum(-1)
    head = torch.lgamma(total + n) - torch.lgamma(total)
    return (head - (torch.lgamma(alpha + y) - torch.lgamma(alpha)).sum(-1)).mean()


def inverse_gaussian(raw, log_shape, y):
    mu, y = F.softplus(raw) + 1e-2, y.clamp(min=1e-3)
    log_shape = log_shape.clamp(-5.0, 5.0)
    return (0.5 * torch.exp(log_shape) * (y - mu) ** 2 / (mu**2 * y) - 0.5 * log_shape).mean()


def end_point(flow, y):
    return torch.norm(flow - y, p=2, dim=1).mean()


def end_point_by_root(flow, y):
    return ((flow - y) ** 2).sum(1).sqrt().mean()  # <- here


def chamfer(a, b):
    d = ((a[:, None] - b[None]) ** 2).sum(-1)
    return d.min(0).values.mean() + d.min(1).values.mean()


def gompertz(shape, rate, y):
    hazard = torch.exp(rate) * (torch.exp(shape * y) - 1) / shape  # <- here
    return -(rate + shape * y - hazard).mean()


def softplus_written_out(raw, mean, y):
    sigma = torch.log(1 + torch.exp(raw)) + 1e-3  # <- here
    return (torch.log(sigma) + 0.5 * ((y - mean) / sigma) ** 2).mean()


def brier(logits, y):
    return ((torch.softmax(logits, -1) - y) ** 2).sum(-1).mean()


def centred_log_ratio(logits, y):
    z = torch.log(y) - torch.log(y).mean(-1, keepdim=True)  # <- here
    return F.mse_loss(logits - logits.mean(-1, keepdim=True), z)


def learnt_precision(mean, factor, y):
    z = (y - mean) @ factor
    return torch.sqrt((z**2).sum(-1)).mean() + 1e-2 * (factor**2).sum()  # <- here


def gaussian_copula(raw, u, v):
    rho = torch.tanh(raw)
    x, y = torch.erfinv(2 * u - 1) * math.sqrt(2), torch.erfinv(2 * v - 1) * math.sqrt(2)
    quad = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (1 - rho**2)  # <- here
    return 0.5 * (torch.log(1 - rho**2) + quad).mean()  # <- here


def gaussian_copula_bounded(raw, u, v):
    rho = 0.99 * torch.tanh(raw)
    x, y = (torch.erfinv(2 * w.clamp(1e-4, 1 - 1e-4) - 1) * math.sqrt(2) for w in (u, v))
    quad = (rho**2 * (x**2 + y**2) - 2 * rho * x * y) / (1 - rho**2)
    return 0.5 * (torch.log(1 - rho**2) + quad).mean()


def energy_score(members, y):
    near = (members - y[None]).norm(dim=-1).mean()
    apart = (members[:, None] - members[None]).norm(dim=-1).mean()
    return near - 0.5 * apart


RETURNS = normal(8, scale=0.6)
VOLATILITY = {"omega": fixed([0.2]), "alpha": fixed([0.2]), "beta": fixed([0.5]), "y": RETURNS}
SHARES = given(raw=normal(8), log_phi=normal(8, shift=1.0), y=unit(8), target="y")
ENDS = given(mean=normal(8), log_sigma=normal(8, scale=0.3), y=unit(8), target="y")
PARTS = given(logits=normal(6, 4), y=lambda g: torch.softmax(torch.randn(6, 4, generator=g), -1), target="y")
FLOWS = given(flow=normal(5, 2), y=normal(5, 2), target="y")
PAIRS = given(raw=fixed([0.4]), u=unit(8), v=unit(8), target="u v")
PAIR = {"mean": normal(12), "y": normal(12)}
CASES = (
    bug(conditional_variance, given(**VOLATILITY, target="y"), "log div", GARCH + ": a negative variance",
        put(omega=-0.5), verdict="limit"),
    sound(conditional_variance_softplus, given(**VOLATILITY, target="y"), GARCH, put(omega=-40.0)),
    bug(mean_reversion, given(speed=fixed([0.7]), level=fixed([0.1]), log_sigma=fixed([-0.3]), y=RETURNS, target="y"),
        "div", DIFFUSION, put(speed=0.0), kind="nan inf precision", verdict="limit defect"),
    sound(mean_reversion_expm1, given(speed_raw=fixed([0.7]), level=fixed([0.1]), log_sigma=fixed([-0.3]), y=RETURNS,
          target="y"), DIFFUSION, put(speed_raw=-40.0)),
    bug(power_transform, given(power=fixed([0.6]), y=positive(8), target="y"), "div", BOX_COX, put(power=0.0),
        kind="nan inf precision", verdict="limit defect"),
    bug(beta_regression, SHARES, "lgamma sub mul", BETA, put(raw=18.0)),
    sound(beta_regression_inside, SHARES, BETA, put(raw=60.0)),
    bug(logit_normal, ENDS, "log div", LOGIT, put(y=1.0), verdict="limit defect"),
    sound(logit_normal_bounded, ENDS, LOGIT, put(y=1.0)),
    sound(ranked_probability, given(raw=normal(12), **PAIR, target="y"), CRPS, put(raw=-30.0)),
    sound(wing, given(x=normal(12), y=normal(12), target="y"), WING, same("x", "y")),
    sound(welsch, given(x=normal(12), y=normal(12), target="y"), WELSCH, put(x=1e6)),
    sound(filtered_level, given(raw_q=fixed([0.1]), raw_r=fixed([0.2]), y=RETURNS, target="y"), KALMAN,
          put(raw_q=-40.0, raw_r=-40.0)),
    sound(polya, given(raw=normal(6, 4), y=counts(6, 4), target="y"), MIXED, put(raw=-40.0)),
    sound(inverse_gaussian, given(raw=normal(8, shift=1.0), log_shape=normal(8), y=positive(8), target="y"), INVERSE,
          put(raw=-5.0)),
    sound(end_point, FLOWS, EPE, same("flow", "y")),
    bug(end_point_by_root, FLOWS, "sqrt", EPE, same("flow", "y"), phase="backward", verdict="defect limit"),
    sound(chamfer, given(a=normal(6, 3), b=normal(5, 3)), CHAMFER, lambda s: s["b"].copy_(s["a"][:5])),
    bug(gompertz, given(shape=fixed([0.5]), rate=fixed([-0.4]), y=positive(8), target="y"), "div sub", GOMPERTZ,
        put(shape=0.0), kind="nan inf precision", verdict="limit defect"),
    bug(softplus_written_out, given(raw=normal(12), **PAIR, target="y"), "exp log add", SOFT_THRESHOLD,
        put(raw=120.0)),
    sound(brier, PARTS, SIGMOID_MSE, scale(logits=100.0)),
    bug(centred_log_ratio, PARTS, "log", LOG_RATIO, put(y=0.0), verdict="limit defect"),
    bug(learnt_precision, given(mean=normal(6, 3), factor=normal(3, 3), y=normal(6, 3), target="y"), "sqrt",
        MAHALANOBIS, same("mean", "y"), phase="backward", verdict="defect limit"),
    bug(gaussian_copula, PAIRS, "tanh sub pow div log", COPULA, put(raw=12.0)),
    sound(gaussian_copula_bounded, PAIRS, COPULA, put(raw=60.0)),
    sound(energy_score, given(members=normal(4, 6, 2), y=normal(6, 2), target="y"), ENERGY,
          lambda s: s["members"].copy_(s["y"].expand_as(s["members"]))),
)  # fmt: skip
