"""Bounds with several draws of a latent variable, weighed or averaged: right ones, and each with one symbol wrong."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import distributions as D

from benchmarks.detect.case import bits, bug, given, normal, sound

VAE = "Kingma & Welling, Auto-encoding variational Bayes, arXiv:1312.6114, equation 7: L draws a sample"
IWAE = "Burda et al., Importance weighted autoencoders, ICLR 2016, equation 8"
CODE = "github.com/xqding/Importance_Weighted_Autoencoders; github.com/AntixK/PyTorch-VAE iwae_vae, miwae"
LADDER = "Sonderby et al., Ladder variational autoencoders, NeurIPS 2016, equations 1 to 5"
FLOW = "Rezende & Mohamed, Variational inference with normalizing flows, ICML 2015, with several draws"
LOG_2PI = math.log(2 * math.pi)
DRAWS = 5


def _log_normal(z, mu, log_var):
    return -0.5 * (LOG_2PI + log_var + (z - mu) ** 2 / torch.exp(log_var)).sum(-1)


def _likely(z, decoder, x):
    return -F.binary_cross_entropy_with_logits(z @ decoder, x.expand(*z.shape[:-1], x.shape[-1]), reduction="none").sum(
        -1
    )


def elbo_of_draws_in_front(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    z = mu + torch.exp(0.5 * log_var) * torch.randn(DRAWS, *mu.shape)
    kl = _log_normal(z, mu, log_var) - _log_normal(z, torch.zeros_like(mu), torch.zeros_like(mu))
    return (kl - _likely(z, decoder, x)).mean(0).mean()


def elbo_of_draws_in_front_with_the_prior_added(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    z = mu + torch.exp(0.5 * log_var) * torch.randn(DRAWS, *mu.shape)
    kl = _log_normal(z, mu, log_var) + _log_normal(z, torch.zeros_like(mu), torch.zeros_like(mu))  # <- here
    return (kl - _likely(z, decoder, x)).mean(0).mean()


def elbo_of_draws_behind(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    z = mu[:, None] + torch.exp(0.5 * log_var)[:, None] * torch.randn(len(mu), DRAWS, mu.shape[1])
    kl = -0.5 * (1 + log_var - mu**2 - torch.exp(log_var)).sum(-1)
    return (kl - _likely(z, decoder, x[:, None]).mean(1)).mean()


def elbo_of_draws_behind_with_plus_mu(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    z = mu[:, None] + torch.exp(0.5 * log_var)[:, None] * torch.randn(len(mu), DRAWS, mu.shape[1])
    kl = -0.5 * (1 + log_var + mu**2 - torch.exp(log_var)).sum(-1)  # <- here
    return (kl - _likely(z, decoder, x[:, None]).mean(1)).mean()


def elbo_by_rsample(mu, log_var, decoder, x):
    q = D.Normal(mu, torch.exp(0.5 * log_var.clamp(-6.0, 6.0)))
    z = q.rsample((DRAWS,))
    kl = D.kl_divergence(q, D.Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)
    return (kl - _likely(z, decoder, x)).mean()


def elbo_by_rsample_with_kl_added(mu, log_var, decoder, x):
    q = D.Normal(mu, torch.exp(0.5 * log_var.clamp(-6.0, 6.0)))
    z = q.rsample((DRAWS,))
    kl = (q.log_prob(z) - D.Normal(torch.zeros_like(mu), torch.ones_like(mu)).log_prob(z)).sum(-1)  # <- here
    return -(kl + _likely(z, decoder, x)).mean()  # <- here


def elbo_of_repeated_rows(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    mu, log_var, x = (v.repeat(DRAWS, 1) for v in (mu, log_var, x))
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    kl = -0.5 * (1 + log_var - mu**2 - torch.exp(log_var)).sum(-1)
    return (kl - _likely(z, decoder, x)).mean()


def elbo_in_a_loop(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    total = 0.0
    for _ in range(DRAWS):
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        log_p = _likely(z, decoder, x) + _log_normal(z, torch.zeros_like(mu), torch.zeros_like(mu))
        total = total + log_p - _log_normal(z, mu, log_var)
    return -(total / DRAWS).mean()


def elbo_in_a_loop_with_one_sign_turned(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    total = 0.0
    for _ in range(DRAWS):
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        log_p = _likely(z, decoder, x) + _log_normal(z, torch.zeros_like(mu), torch.zeros_like(mu))
        total = total + log_p + _log_normal(z, mu, log_var)  # <- here
    return -(total / DRAWS).mean()  # <- here


def weighted_bound(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    eps = torch.randn(DRAWS, *mu.shape)
    z = mu + torch.exp(0.5 * log_var) * eps
    log_q = -0.5 * (LOG_2PI + log_var + eps**2).sum(-1)
    log_p = _likely(z, decoder, x) - 0.5 * (LOG_2PI + z**2).sum(-1)
    return -(torch.logsumexp(log_p - log_q, 0) - math.log(DRAWS)).mean()


def weighted_bound_with_wrong_sign(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    eps = torch.randn(DRAWS, *mu.shape)
    z = mu + torch.exp(0.5 * log_var) * eps
    log_q = -0.5 * (LOG_2PI - log_var + eps**2).sum(-1)  # <- here
    log_p = _likely(z, decoder, x) - 0.5 * (LOG_2PI + z**2).sum(-1)
    return -(torch.logsumexp(log_p - log_q, 0) - math.log(DRAWS)).mean()


def weighted_bound_by_exp(mu, log_var, decoder, x):
    q = D.Normal(mu[:, None], torch.exp(0.5 * log_var.clamp(-6.0, 6.0))[:, None])
    z = mu[:, None] + q.scale * torch.randn(len(mu), DRAWS, mu.shape[1])
    log_p = _likely(z, decoder, x[:, None]) + D.Normal(0.0, 1.0).log_prob(z).sum(-1)
    weights = log_p - q.log_prob(z).sum(-1)
    return -torch.logsumexp(weights - math.log(DRAWS), 1).mean()


def weighted_bound_without_the_scale(mu, log_var, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    each = []
    for _ in range(DRAWS):
        eps = torch.randn_like(mu)
        z = mu + torch.exp(0.5 * log_var) * eps
        log_q = -0.5 * (LOG_2PI + eps**2).sum(-1)  # <- here
        each.append(_likely(z, decoder, x) - 0.5 * (LOG_2PI + z**2).sum(-1) - log_q)  # <- here
    return -(torch.logsumexp(torch.stack(each), 0) - math.log(DRAWS)).mean()  # <- here


def squashed_draws(mu, log_var, decoder, x):
    u = mu + torch.exp(0.5 * log_var.clamp(-6.0, 6.0)) * torch.randn(DRAWS, *mu.shape)
    log_q = _log_normal(u, mu, log_var.clamp(-6.0, 6.0)) - (F.logsigmoid(u) + F.logsigmoid(-u)).sum(-1)
    return (log_q - _likely(torch.sigmoid(u), decoder, x)).mean(0).mean()


def squashed_draws_with_wrong_sign(mu, log_var, decoder, x):
    u = mu + torch.exp(0.5 * log_var.clamp(-6.0, 6.0)) * torch.randn(DRAWS, *mu.shape)
    log_q = _log_normal(u, mu, log_var.clamp(-6.0, 6.0)) + (F.logsigmoid(u) + F.logsigmoid(-u)).sum(-1)  # <- here
    return (log_q - _likely(torch.sigmoid(u), decoder, x)).mean(0).mean()


def two_levels(mu, log_var, down, decoder, x):
    log_var = log_var.clamp(-6.0, 6.0)
    first = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    middle = first @ down
    second = middle + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    log_q = _log_normal(first, mu, log_var) + _log_normal(second, middle, log_var)
    log_p = -0.5 * (LOG_2PI + second**2).sum(-1) - 0.5 * (LOG_2PI + (first - torch.tanh(second)) ** 2).sum(-1)
    return (log_q - log_p - _likely(first, decoder, x)).mean()


def forgotten_scale_of_the_data(mu, log_var, decoder, log_scale, x):
    z = mu[:, None] + torch.exp(0.5 * log_var.clamp(-6.0, 6.0))[:, None] * torch.randn(len(mu), DRAWS, mu.shape[1])
    away = (x[:, None] - z @ decoder) * torch.exp(-log_scale)
    kl = -0.5 * (1 + log_var - mu**2 - torch.exp(log_var)).sum(-1)
    return ((0.5 * away**2 + 0.5 * LOG_2PI).sum(-1).mean(1) + kl).mean()  # <- here


POSTERIOR = {"mu": normal(12, 3, scale=0.7), "log_var": normal(12, 3, scale=0.4, shift=-0.5)}
BINARY = given("x", **POSTERIOR, decoder=normal(3, 6), x=bits(12, 6))
LEVELS = given("x", **POSTERIOR, down=normal(3, 3, scale=0.5), decoder=normal(3, 6), x=bits(12, 6))
REAL = given("x", **POSTERIOR, decoder=normal(3, 2), log_scale=normal(2, scale=0.3), x=normal(12, 2))
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}
CASES = (
    sound(elbo_of_draws_in_front, BINARY, VAE),
    bug(elbo_of_draws_in_front_with_the_prior_added, BINARY, "add sub sum mean mul", VAE, **WRONG),
    sound(elbo_of_draws_behind, BINARY, VAE),
    bug(elbo_of_draws_behind_with_plus_mu, BINARY, "add sub mul sum mean", VAE, **WRONG),
    sound(elbo_by_rsample, BINARY, VAE),
    bug(elbo_by_rsample_with_kl_added, BINARY, "add neg sum mean", VAE, **WRONG),
    sound(elbo_of_repeated_rows, BINARY, CODE),
    sound(elbo_in_a_loop, BINARY, VAE),
    bug(elbo_in_a_loop_with_one_sign_turned, BINARY, "add sub sum div mean neg", VAE, **WRONG),
    sound(weighted_bound, BINARY, IWAE),
    bug(weighted_bound_with_wrong_sign, BINARY, "sub add mul sum", IWAE, **WRONG),
    sound(weighted_bound_by_exp, BINARY, IWAE),
    bug(weighted_bound_without_the_scale, BINARY, "add sub mul sum mean", IWAE, **WRONG),
    sound(squashed_draws, BINARY, FLOW),
    bug(squashed_draws_with_wrong_sign, BINARY, "add sum sub", FLOW, **WRONG),
    sound(two_levels, LEVELS, LADDER),
    bug(forgotten_scale_of_the_data, REAL, "add mul pow sum mean", VAE, **WRONG),
)  # fmt: skip
