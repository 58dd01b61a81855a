"""Counts, rates, proportions and times to an event."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, counts, fixed, given, normal, positive, put, scale, simplex, sound, unit
from benchmarks.detect.cases.categorical import GRIST

RATE = given(raw=normal(10), y=counts(10), target="y")
ARRAY = "PyTorch documentation, torch.distributions."
TWO = given(a=normal(10), b=normal(10), y=counts(10), target="y")
SHARE = given(a=normal(10), b=normal(10), y=unit(10), target="y")
RISK = given(risk=normal(10), time=positive(10), event=bits(10), target="time event")


def poisson_log_rate(raw, y):
    return F.poisson_nll_loss(raw, y, log_input=True)


def poisson_log_of_rate(raw, y):
    rate = F.relu(raw)
    return (rate - y * torch.log(rate)).mean()  # <- here


def poisson_log_of_exp(raw, y):
    rate = torch.exp(raw)
    return (rate - y * torch.log(rate)).mean()  # <- here


def poisson_softplus(raw, y):
    rate = F.softplus(raw) + 1e-6
    return (rate - torch.xlogy(y, rate) + torch.lgamma(y + 1)).mean()


def poisson_by_factorial(raw, y):
    rate = F.softplus(raw) + 1e-3
    factorial = torch.exp(torch.lgamma(y + 1))  # <- here
    return -torch.log(rate**y * torch.exp(-rate) / factorial).mean()  # <- here


def negative_binomial(a, b, y):
    r, logits = F.softplus(a) + 1e-3, b
    return -torch.distributions.NegativeBinomial(r, logits=logits).log_prob(y).mean()


def negative_binomial_by_hand(a, b, y):
    r, p = torch.exp(a), torch.sigmoid(b)
    log_coef = torch.lgamma(y + r) - torch.lgamma(r) - torch.lgamma(y + 1)
    return -(log_coef + r * torch.log(1 - p) + y * torch.log(p)).mean()  # <- here


def zero_inflated_poisson(a, b, y):
    pi, rate = torch.sigmoid(a), torch.exp(b)
    zero = torch.log(pi + (1 - pi) * torch.exp(-rate))  # <- here
    some = torch.log(1 - pi) - rate + y * torch.log(rate) - torch.lgamma(y + 1)  # <- here
    return -torch.where(y == 0, zero, some).mean()


def zero_inflated_poisson_in_logs(a, b, y):
    log_pi, log_rest = F.logsigmoid(a), F.logsigmoid(-a)
    rate = F.softplus(b) + 1e-4
    zero = torch.logaddexp(log_pi, log_rest - rate)
    some = log_rest - rate + y * torch.log(rate) - torch.lgamma(y + 1)
    return -torch.where(y == 0, zero, some).mean()


def beta_by_distribution(a, b, y):
    return -torch.distributions.Beta(F.softplus(a) + 0.1, F.softplus(b) + 0.1).log_prob(y).mean()


def beta_relu(a, b, y):
    alpha, beta = F.relu(a), F.relu(b)
    log_b = torch.lgamma(alpha) + torch.lgamma(beta) - torch.lgamma(alpha + beta)  # <- here
    return (log_b - (alpha - 1) * torch.log(y) - (beta - 1) * torch.log(1 - y)).mean()


def dirichlet(raw, y):
    return -torch.distributions.Dirichlet(F.softplus(raw) + 0.1).log_prob(y).mean()


def gamma(a, b, y):
    return -torch.distributions.Gamma(F.softplus(a) + 0.1, F.softplus(b) + 0.1).log_prob(y + 0.5).mean()


def evidential_classes(raw, y):
    alpha = F.softplus(raw) + 1
    return (y * (torch.digamma(alpha.sum(-1, keepdim=True)) - torch.digamma(alpha))).sum(-1).mean()


def cox_by_hand(risk, time, event):
    order = torch.argsort(time, descending=True)
    hazard = torch.exp(risk[order])  # <- here
    log_risk = torch.log(torch.cumsum(hazard, 0))  # <- here
    return -((risk[order] - log_risk) * event[order]).sum() / event.sum().clamp(min=1)


def cox(risk, time, event):
    order = torch.argsort(time, descending=True)
    log_risk = torch.logcumsumexp(risk[order], 0)
    return -((risk[order] - log_risk) * event[order]).sum() / event.sum().clamp(min=1)


def cox_without_events(risk, time, event):
    order = torch.argsort(time, descending=True)
    log_risk = torch.logcumsumexp(risk[order], 0)
    return -((risk[order] - log_risk) * event[order]).sum() / event.sum()  # <- here


def weibull(a, b, time, event):
    k, log_scale = F.softplus(a) + 0.1, b
    log_t = torch.log(time)
    log_hazard = torch.log(k) - log_scale + (k - 1) * (log_t - log_scale)
    return -(event * log_hazard - torch.exp(k * (log_t - log_scale))).mean()


def weibull_by_power(a, b, time, event):
    k, lam = F.softplus(a), torch.exp(b)
    hazard = k / lam * (time / lam) ** (k - 1)
    return -(event * torch.log(hazard) - (time / lam) ** k).mean()  # <- here


def discrete_hazard(raw, y):
    h = torch.sigmoid(raw)
    survive = torch.cumprod(1 - h, 1)
    return -torch.log(h[:, 0] * y[:, 0] + survive[:, -1] * (1 - y[:, 0])).mean()  # <- here


def discrete_hazard_in_logs(raw, y):
    survive = F.logsigmoid(-raw).sum(1)
    return -(y[:, 0] * F.logsigmoid(raw[:, 0]) + (1 - y[:, 0]) * survive).mean()


def tweedie(raw, y):
    return (2 * y * torch.exp(-0.5 * raw) + 2 * torch.exp(0.5 * raw)).mean()


def quantile(raw, y):
    d = y - raw
    return torch.maximum(0.9 * d, -0.1 * d).mean()


def ordinal(score, cut, y):
    bound = torch.cumsum(F.softplus(cut) + 1e-2, 0)
    upper = torch.sigmoid(bound[None, :] - score[:, None])
    p = torch.cat([upper[:, :1], upper[:, 1:] - upper[:, :-1], 1 - upper[:, -1:]], 1)
    return -torch.log(p.gather(1, y[:, None])).mean()  # <- here


def log_normal(raw, y):
    return ((torch.log1p(y) - raw) ** 2).mean()


def mean_log_error(raw, y):
    return ((torch.log(raw + 1) - torch.log(y + 1)) ** 2).mean()  # <- here


def percentage_error(raw, y):
    return ((raw - y).abs() / y).mean()  # <- here


def symmetric_percentage_error(raw, y):
    return ((raw - y).abs() / (raw.abs() + y.abs() + 1.0)).mean()


def kl_of_dirichlet(raw):
    alpha = F.softplus(raw) + 1.0
    total = alpha.sum(-1, keepdim=True)
    first = torch.lgamma(total).squeeze(-1) - torch.lgamma(alpha).sum(-1) - math.lgamma(4.0)
    return (first + ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(total))).sum(-1)).mean()


CASES = (
    sound(poisson_log_rate, RATE, "PyTorch documentation, torch.nn.PoissonNLLLoss", put(raw=-50.0)),
    bug(poisson_log_of_rate, RATE, "log relu mul", GRIST + ": log of a relu", put(raw=-1.0), verdict="defect limit"),
    bug(poisson_log_of_exp, RATE, "log exp mul", "Lambert 1992; exp followed by log", put(raw=-120.0)),
    sound(poisson_softplus, RATE, "Salinas et al., DeepAR, Int. J. Forecasting 2020", put(raw=-50.0)),
    bug(poisson_by_factorial, RATE, "exp pow log div", "Cameron & Trivedi, Regression analysis of count data, 2013",
        put(y=60.0)),
    sound(negative_binomial, TWO, ARRAY + "NegativeBinomial", put(b=30.0)),
    bug(negative_binomial_by_hand, TWO, "log mul", "Salinas et al., DeepAR, 2020, with probabilities", put(b=60.0)),
    bug(zero_inflated_poisson, TWO, "log mul exp", "Lambert, Zero-inflated Poisson regression, Technometrics 1992",
        put(a=60.0)),
    sound(zero_inflated_poisson_in_logs, TWO, "Lambert 1992, in logarithms", put(a=60.0)),
    sound(beta_by_distribution, SHARE, ARRAY + "Beta", put(a=-30.0)),
    bug(beta_relu, SHARE, "lgamma relu sub", "Ferrari & Cribari-Neto, Beta regression, 2004, with a relu",
        put(a=-1.0), verdict="defect limit"),
    sound(dirichlet, given(raw=normal(8, 4), y=simplex(8, 4), target="y"), ARRAY + "Dirichlet", put(raw=-30.0)),
    sound(gamma, TWO, ARRAY + "Gamma", put(a=-30.0)),
    sound(evidential_classes, given(raw=normal(8, 4), y=lambda g: torch.eye(4)[torch.randint(4, (8,), generator=g)],
          target="y"), "Sensoy et al., Evidential deep learning, NeurIPS 2018", scale(raw=100.0)),
    bug(cox_by_hand, RISK, "exp log cumsum", "Katzman et al., DeepSurv, BMC Med. Res. Methodol. 2018", put(risk=120.0)),
    sound(cox, RISK, "Cox, Regression models and life-tables, 1972, by logcumsumexp", scale(risk=60.0)),
    bug(cox_without_events, given(risk=normal(10), time=positive(10), event=fixed([0.0] * 10), target="time event"),
        "div", "Katzman et al. 2018: a batch without events", lambda s: None, verdict="limit defect"),
    sound(weibull, given(a=normal(10), b=normal(10, scale=0.3), time=positive(10), event=bits(10),
          target="time event"), "Martinsson, WTTE-RNN, Chalmers 2016, in logarithms", put(b=30.0)),
    bug(weibull_by_power, given(a=normal(10), b=normal(10, scale=0.3), time=positive(10), event=bits(10),
        target="time event"), "exp log div pow", "Martinsson, WTTE-RNN, Chalmers 2016", put(b=110.0)),
    bug(discrete_hazard, given(raw=normal(8, 5), y=bits(8, 1), target="y"), "log cumprod", "Singer & Willett, "
        "Discrete-time survival analysis, 1993", lambda s: (s["raw"].fill_(60.0), s["y"].zero_())),
    sound(discrete_hazard_in_logs, given(raw=normal(8, 5), y=bits(8, 1), target="y"), "Singer & Willett 1993",
          scale(raw=60.0)),
    sound(tweedie, RATE, "Jorgensen, Exponential dispersion models, 1987"),
    sound(quantile, RATE, "Koenker & Bassett, Regression quantiles, 1978", put(raw=1e6)),
    bug(ordinal, given(score=normal(10), cut=normal(3), y=lambda g: torch.randint(4, (10,), generator=g), target="y"),
        "log sub", "McCullagh, Regression models for ordinal data, 1980", lambda s: (s["score"].fill_(-60.0))),
    sound(log_normal, RATE, "scikit-learn documentation, mean_squared_log_error of the target"),
    bug(mean_log_error, given(raw=normal(10, scale=0.3), y=counts(10), target="y"), "log", 
        "scikit-learn documentation, mean_squared_log_error: undefined below -1", put(raw=-1.5), verdict="limit"),
    bug(percentage_error, given(raw=positive(10), y=counts(10, mean=1.0), target="y"), "div",
        "Hyndman & Koehler, Another look at measures of forecast accuracy, 2006: infinite at 0", lambda s: None,
        verdict="limit defect"),
    sound(symmetric_percentage_error, given(raw=positive(10), y=counts(10, mean=1.0), target="y"),
          "Makridakis, Accuracy measures, 1993, with a constant", scale(raw=1e4)),
    sound(kl_of_dirichlet, given(raw=normal(8, 4)), "Sensoy et al., NeurIPS 2018; torch.distributions.kl",
          put(raw=-30.0)),
)  # fmt: skip
