"""Variational bounds with posteriors that are no plain normal: right ones, and each with one symbol wrong."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import distributions as D

from benchmarks.detect.case import bits, bug, given, normal, sound

KUMARASWAMY = "Nalisnick & Smyth, Stick-breaking variational autoencoders, ICLR 2017: the Kumaraswamy posterior"
LOGISTIC = "Kingma et al., NeurIPS 2016, appendix: logistic posteriors; Salimans et al., ICLR 2017"
GUMBEL = "Gumbel, Statistics of extremes, 1958, as a posterior: log q = -(z + exp(-z)) - log scale"
FULL = "Kingma & Welling, An introduction to VAEs, 2019, section 2.5.1: full-covariance posterior"
LOW_RANK = "Ong et al., Gaussian variational approximation with a factor covariance structure, 2018"
MIXTURE = "Morningstar et al., Automatic differentiation variational inference with mixtures, AISTATS 2021, equation 5"
LOG_NORMAL = "Kucukelbir et al., ADVI, JMLR 2017: a log-normal posterior for a positive latent"
WEIGHTED = "Burda et al., Importance weighted autoencoders, ICLR 2016"
LAPLACE = "Barello et al., Sparse-coding variational autoencoders, 2018"
LOG_2PI = math.log(2 * math.pi)


def _held(raw):
    return raw.clamp(-4.0, 4.0)


def _uniform(like):
    return torch.rand_like(like).clamp(1e-6, 1 - 1e-6)


def _likely(z, decoder, x):
    return -F.binary_cross_entropy_with_logits(z @ decoder, x, reduction="none").sum(-1)


def _standard(z):
    return -0.5 * (z**2 + LOG_2PI).sum(-1)


def kumaraswamy_vae(a_raw, b_raw, decoder, x):
    a, b = F.softplus(a_raw) + 0.3, F.softplus(b_raw) + 0.3
    u = _uniform(a)
    z = (1 - (1 - u) ** (1 / b)) ** (1 / a)
    log_q = (torch.log(a) + torch.log(b) + (a - 1) * torch.log(z) + (b - 1) * torch.log1p(-(z**a))).sum(-1)
    return (log_q - _likely(z, decoder, x)).mean()


def kumaraswamy_vae_without_a_logarithm(a_raw, b_raw, decoder, x):
    a, b = F.softplus(a_raw) + 0.3, F.softplus(b_raw) + 0.3
    u = _uniform(a)
    z = (1 - (1 - u) ** (1 / b)) ** (1 / a)
    log_q = (torch.log(a) + (a - 1) * torch.log(z) + (b - 1) * torch.log1p(-(z**a))).sum(-1)  # <- here
    return (log_q - _likely(z, decoder, x)).mean()


def kumaraswamy_vae_with_b_for_its_predecessor(a_raw, b_raw, decoder, x):
    a, b = F.softplus(a_raw) + 0.3, F.softplus(b_raw) + 0.3
    u = _uniform(a)
    z = (1 - (1 - u) ** (1 / b)) ** (1 / a)
    log_q = (torch.log(a) + torch.log(b) + (a - 1) * torch.log(z) + b * torch.log1p(-(z**a))).sum(-1)  # <- here
    return (log_q - _likely(z, decoder, x)).mean()


def logistic_vae(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    u = _uniform(mu)
    z = mu + torch.exp(log_scale) * (torch.log(u) - torch.log1p(-u))
    t = (z - mu) * torch.exp(-log_scale)
    log_q = (-t - log_scale - 2 * F.softplus(-t)).sum(-1)
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()


def logistic_vae_with_wrong_sign(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    u = _uniform(mu)
    z = mu + torch.exp(log_scale) * (torch.log(u) - torch.log1p(-u))
    t = (z - mu) * torch.exp(-log_scale)
    log_q = (-t + log_scale - 2 * F.softplus(-t)).sum(-1)  # <- here
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()


def gumbel_vae(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    z = mu - torch.exp(log_scale) * torch.log(-torch.log(_uniform(mu)))
    t = (z - mu) * torch.exp(-log_scale)
    log_q = -(t + torch.exp(-t) + log_scale).sum(-1)
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()


def gumbel_vae_without_scale(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    z = mu - torch.exp(log_scale) * torch.log(-torch.log(_uniform(mu)))
    t = (z - mu) * torch.exp(-log_scale)
    log_q = -(t + torch.exp(-t)).sum(-1)  # <- here
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()  # <- here


def laplace_vae(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    q = D.Laplace(mu, torch.exp(log_scale))
    z = q.rsample()
    kl = (q.log_prob(z) - D.Laplace(0.0, 1.0).log_prob(z)).sum(-1)
    return (kl - _likely(z, decoder, x)).mean()


def laplace_vae_with_wrong_sign(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    q = D.Laplace(mu, torch.exp(log_scale))
    z = q.rsample()
    kl = (D.Laplace(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(-1)  # <- here
    return (kl - _likely(z, decoder, x)).mean()  # <- here


def _triangle(lower, log_diag):
    return torch.tril(lower, -1) + torch.diag_embed(torch.exp(log_diag))


def full_covariance_vae(mu, lower, log_diag, decoder, x):
    log_diag = _held(log_diag)
    eps = torch.randn_like(mu)
    z = mu + (_triangle(lower, log_diag) @ eps[..., None])[..., 0]
    log_q = (-log_diag - 0.5 * eps**2 - 0.5 * LOG_2PI).sum(-1)
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()


def full_covariance_vae_with_wrong_sign(mu, lower, log_diag, decoder, x):
    log_diag = _held(log_diag)
    eps = torch.randn_like(mu)
    z = mu + (_triangle(lower, log_diag) @ eps[..., None])[..., 0]
    log_q = (log_diag - 0.5 * eps**2 - 0.5 * LOG_2PI).sum(-1)  # <- here
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()


def low_rank_vae(mu, factor, log_diag, decoder, x):
    log_diag = _held(log_diag)
    q = D.LowRankMultivariateNormal(mu, factor, torch.exp(log_diag))
    z = q.rsample()
    return (q.log_prob(z) - _standard(z) - _likely(z, decoder, x)).mean()


def mixture_vae(mu, log_var, logits, decoder, x):
    """One draw of every component, weighed by its share (stratified)."""
    log_var = _held(log_var)
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    away = (z[:, :, None] - mu[:, None]) ** 2 * torch.exp(-log_var)[:, None]
    each = -0.5 * (away + log_var[:, None] + LOG_2PI).sum(-1)
    log_q = torch.logsumexp(torch.log_softmax(logits, -1)[:, None] + each, -1)
    gain = _standard(z) - log_q + _likely(z, decoder, x[:, None].expand(-1, z.shape[1], -1))
    return -(torch.softmax(logits, -1) * gain).sum(-1).mean()


def log_normal_vae(mu, log_var, decoder, x):
    log_var = _held(log_var)
    u = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    z = torch.exp(u)
    log_q = -0.5 * (LOG_2PI + log_var + (u - mu) ** 2 / torch.exp(log_var)) - u
    return ((log_q + z).sum(-1) - _likely(z, decoder, x)).mean()


def log_normal_vae_without_determinant(mu, log_var, decoder, x):
    log_var = _held(log_var)
    u = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    z = torch.exp(u)  # <- here
    log_q = -0.5 * (LOG_2PI + log_var + (u - mu) ** 2 / torch.exp(log_var))  # <- here
    return ((log_q + z).sum(-1) - _likely(z, decoder, x)).mean()  # <- here


def weighted_logistic_nll(mu, log_scale, decoder, x):
    """Five draws a sample, each weighed: log mean p(x, z) / q(z)."""
    log_scale = _held(log_scale)
    u = _uniform(mu.expand(5, *mu.shape))
    noise = torch.log(u) - torch.log1p(-u)
    log_q = (-noise - log_scale - 2 * F.softplus(-noise)).sum(-1)
    z = mu + torch.exp(log_scale) * noise
    log_w = _likely(z, decoder, x.expand(5, *x.shape)) + _standard(z) - log_q
    return -(torch.logsumexp(log_w, 0) - math.log(5)).mean()


def weighted_flow_nll(mu, log_scale, decoder, x):
    log_scale = _held(log_scale)
    eps = torch.randn(5, *mu.shape)
    u = mu + torch.exp(log_scale) * eps
    log_q = (-0.5 * eps**2 - 0.5 * LOG_2PI - log_scale - 2 * (math.log(2) - u - F.softplus(-2 * u))).sum(-1)
    z = torch.tanh(u)
    log_w = -0.5 * ((x - z @ decoder) ** 2 + LOG_2PI).sum(-1) - math.log(2) * mu.shape[-1] - log_q
    return -(torch.logsumexp(log_w, 0) - math.log(5)).mean()


DATA = {"decoder": normal(3, 6), "x": bits(12, 6)}
SHAPES = given("x", a_raw=normal(12, 3), b_raw=normal(12, 3), **DATA)
PLACE = given("x", mu=normal(12, 3, scale=0.7), log_scale=normal(12, 3, scale=0.4, shift=-0.5), **DATA)
REALS = given("x", mu=normal(12, 3, scale=0.7), log_scale=normal(12, 3, scale=0.4, shift=-0.5), decoder=normal(3, 2),
              x=normal(12, 2))  # fmt: skip
MATRIX = given("x", mu=normal(12, 3), lower=normal(12, 3, 3, scale=0.4), log_diag=normal(12, 3, scale=0.4), **DATA)
FACTOR = given("x", mu=normal(12, 3), factor=normal(12, 3, 1, scale=0.4), log_diag=normal(12, 3, scale=0.4), **DATA)
PARTS = given("x", mu=normal(12, 4, 3), log_var=normal(12, 4, 3, scale=0.4), logits=normal(12, 4), **DATA)
PLAIN = given("x", mu=normal(12, 3, scale=0.7), log_var=normal(12, 3, scale=0.4, shift=-0.5), **DATA)
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}
CASES = (
    sound(kumaraswamy_vae, SHAPES, KUMARASWAMY),
    bug(kumaraswamy_vae_without_a_logarithm, SHAPES, "add log mul sum mean", KUMARASWAMY, **WRONG),
    bug(kumaraswamy_vae_with_b_for_its_predecessor, SHAPES, "add log mul log1p sum mean", KUMARASWAMY, **WRONG),
    sound(logistic_vae, PLACE, LOGISTIC),
    bug(logistic_vae_with_wrong_sign, PLACE, "add sub sum mean", LOGISTIC, **WRONG),
    sound(gumbel_vae, PLACE, GUMBEL),
    bug(gumbel_vae_without_scale, PLACE, "add sub neg sum mean", GUMBEL, **WRONG),
    sound(laplace_vae, PLACE, LAPLACE),
    bug(laplace_vae_with_wrong_sign, PLACE, "div sub sum mean", LAPLACE, **WRONG),
    sound(full_covariance_vae, MATRIX, FULL),
    bug(full_covariance_vae_with_wrong_sign, MATRIX, "sub sum mean", FULL, **WRONG),
    sound(low_rank_vae, FACTOR, LOW_RANK),
    sound(mixture_vae, PARTS, MIXTURE),
    sound(log_normal_vae, PLAIN, LOG_NORMAL),
    bug(log_normal_vae_without_determinant, PLAIN, "exp sub mul add sum mean", LOG_NORMAL, **WRONG),
    sound(weighted_logistic_nll, PLACE, WEIGHTED),
    sound(weighted_flow_nll, REALS, WEIGHTED),
)  # fmt: skip
