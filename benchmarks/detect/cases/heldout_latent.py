"""Held out, written before the tool was run on it: flows, bounds and policies."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bug,
    classes,
    counts,
    fixed,
    given,
    normal,
    positive,
    put,
    scale,
    sound,
)

GLOW = "Kingma & Dhariwal, Glow, NeurIPS 2018; github.com/openai/glow issue 114"
SPLINE = "github.com/danielward27/flowjax issue 239 and pull request 240; Durkan et al., NeurIPS 2019"
TCVAE = "Chen et al., Isolating sources of disentanglement, NeurIPS 2018"
MINE = "Belghazi et al., MINE, ICML 2018"
CONCRETE = "Maddison et al., The concrete distribution, ICLR 2017: the density of a relaxed Bernoulli"
PRODLDA = "Srivastava & Sutton, Autoencoding variational inference for topic models, ICLR 2017"
TRPO = "Schulman et al., Trust region policy optimization, ICML 2015"
ORPO = "Hong et al., ORPO, EMNLP 2024: the odds of a certain answer"
GRPO = "Shao et al., DeepSeekMath, arXiv:2402.03300: the unbiased estimate of the KL"
ENTROPY = "github.com/kpot/keras-transformer pull request 30: confidence penalty; Pereyra et al., arXiv:1701.06548"


def invertible_convolution(x, weight):
    z = x @ weight.t()
    return (0.5 * (z**2).sum(-1)).mean() - torch.logdet(weight)  # <- here


def invertible_convolution_by_factors(x, lower, upper, log_scale):
    log_scale = log_scale.clamp(-10.0, 10.0)
    left = torch.tril(lower, -1) + torch.eye(3)
    z = x @ (left @ (torch.triu(upper, 1) + torch.diag(torch.exp(log_scale)))).t()
    return (0.5 * (z**2).sum(-1)).mean() - log_scale.sum()


def _spline(y, raw):
    """One rational quadratic bin on [0, 1], inverted."""
    left, right = F.softplus(raw[:, 0]) + 0.1, F.softplus(raw[:, 1]) + 0.1
    a = (1 - left) + y * (left + right - 2)
    b = left - y * (left + right - 2)
    inside = b**2 + 4 * a * y
    x = 2 * y / (b + torch.sqrt(inside))  # <- here
    return x, left, right


def spline_out_of_bounds(raw, y):
    x, left, right = _spline(y, raw)
    z = torch.where((y > 0) & (y < 1), x, y)
    return (0.5 * z**2).mean() + 0.01 * (left + right).mean()


def spline_clipped(raw, y):
    x, left, right = _spline(y.clamp(0.01, 0.99), raw)
    z = torch.where((y > 0) & (y < 1), x, y)
    return (0.5 * z**2).mean() + 0.01 * (left + right).mean()


def affine_layer(x, gain, shift):
    z = gain * x + shift
    return (0.5 * z**2 - torch.log(gain.abs())).mean()  # <- here


def affine_layer_in_logs(x, log_gain, shift):
    z = torch.exp(log_gain.clamp(-10.0, 10.0)) * x + shift
    return (0.5 * z**2 - log_gain.clamp(-10.0, 10.0)).mean()


def _pairwise_log_density(z, mu, log_var):
    return -0.5 * ((z[:, None] - mu) ** 2 * torch.exp(-log_var) + log_var + math.log(2 * math.pi))


def total_correlation_by_exp(z, mu, log_var):
    log_q = _pairwise_log_density(z, mu, log_var)
    joint = torch.log(torch.exp(log_q.sum(-1)).mean(1))  # <- here
    product = torch.log(torch.exp(log_q).mean(1)).sum(-1)
    return (joint - product).mean()


def total_correlation(z, mu, log_var):
    log_q = _pairwise_log_density(z, mu, log_var.clamp(-12.0, 12.0))
    joint, product = torch.logsumexp(log_q.sum(-1), 1), torch.logsumexp(log_q, 1).sum(-1)
    return (joint - product).mean() + (z.shape[1] - 1) * math.log(len(z))


def mutual_information(joint, product):
    return -(joint.mean() - torch.log(torch.exp(product).mean()))  # <- here


def mutual_information_logsumexp(joint, product):
    return -(joint.mean() - torch.logsumexp(product, 0) + math.log(len(product)))


def relaxed_density(logits, noise):
    y = torch.sigmoid((logits + noise) / 0.3)
    return -(torch.log(y) + torch.log(1 - y) - 0.1 * logits).mean()  # <- here


def relaxed_density_in_logits(logits, noise):
    s = (logits + noise) / 0.3
    return -(F.logsigmoid(s) + F.logsigmoid(-s) - 0.1 * logits).mean()


def topic_model(theta, beta, y):
    words = torch.softmax(theta, -1) @ torch.softmax(beta, -1)
    return -(y * torch.log(words)).sum(-1).mean()  # <- here


def topic_model_of_products(theta, beta, y):
    return -(y * torch.log_softmax(theta @ beta, -1)).sum(-1).mean()


def policy_divergence(old, new):
    p, q = torch.softmax(old, -1), torch.softmax(new, -1)
    return (p * torch.log(p / q)).sum(-1).mean()  # <- here


def policy_divergence_in_logs(old, new):
    p, q = torch.log_softmax(old, -1), torch.log_softmax(new, -1)
    return (p.exp() * (p - q)).sum(-1).mean()


def truncated_importance(new, old, advantage):
    ratio = torch.exp(new - old).clamp(max=1.0)  # <- here
    return -(ratio * advantage).mean()


def truncated_importance_first(new, old, advantage):
    ratio = torch.exp((new - old).clamp(max=0.0))
    return -(ratio * advantage).mean()


def group_relative(new, old, reference, advantage):
    ratio = torch.exp((new - old).clamp(-5.0, 5.0))
    gap = (reference - new).clamp(-10.0, 10.0)
    kl = torch.exp(gap) - gap - 1
    return -(ratio * advantage).mean() + 0.04 * kl.mean()


def odds_ratio(chosen, rejected):
    good, bad = (torch.log_softmax(v, -1)[:, 0] for v in (chosen, rejected))
    odds = good - bad - torch.log1p(-torch.exp(good)) + torch.log1p(-torch.exp(bad))  # <- here
    return -F.logsigmoid(odds).mean()


def odds_ratio_of_the_rest(chosen, rejected):
    good, bad = (v[:, 0] - torch.logsumexp(v[:, 1:], -1) for v in (chosen, rejected))
    return -F.logsigmoid(good - bad).mean()


def confidence_penalty(logits, y):
    p = torch.softmax(logits, -1)
    return F.cross_entropy(logits, y) + 0.1 * (p * torch.log(p)).sum(-1).mean()  # <- here


def confidence_penalty_eps(logits, y):
    p = torch.softmax(logits, -1)
    return F.cross_entropy(logits, y) + 0.1 * (p * torch.log(p + 1e-8)).sum(-1).mean()


LATENT = {"z": normal(8, 3), "mu": normal(8, 3), "log_var": normal(8, 3, scale=0.3)}
LOGITS = {"old": normal(6, 4), "new": normal(6, 4)}
STEPS = {"new": normal(8, scale=0.2, shift=-2.0), "old": normal(8, scale=0.2, shift=-2.0), "advantage": normal(8)}
ANSWERS = given(chosen=normal(6, 5), rejected=normal(6, 5))
TURNED = fixed([[1.0, 0.2, 0.0], [0.1, 1.1, 0.3], [0.0, -0.2, 0.9]])
CASES = (
    bug(invertible_convolution, given(x=normal(8, 3), weight=TURNED, target="x"), "logdet log", GLOW + ": a negative "
        "determinant", lambda s: s["weight"][0].neg_(), verdict="limit defect"),
    sound(invertible_convolution_by_factors, given(x=normal(8, 3), lower=normal(3, 3), upper=normal(3, 3),
          log_scale=normal(3), target="x"), GLOW, put(log_scale=-60.0)),
    bug(spline_out_of_bounds, given(raw=normal(8, 2), y=lambda g: 0.1 + 0.8 * torch.rand(8, generator=g), target="y"),
        "sqrt", SPLINE, lambda s: (s["raw"].fill_(-3.0), s["y"].fill_(3.0)), phase="backward", where=(_spline,)),
    sound(spline_clipped, given(raw=normal(8, 2), y=lambda g: 0.1 + 0.8 * torch.rand(8, generator=g), target="y"),
          SPLINE, lambda s: (s["raw"].fill_(-3.0), s["y"].fill_(3.0))),
    bug(affine_layer, given(x=normal(8, 3), gain=positive(3), shift=normal(3), target="x"), "log", GLOW,
        put(gain=0.0), verdict="limit"),
    sound(affine_layer_in_logs, given(x=normal(8, 3), log_gain=normal(3), shift=normal(3), target="x"), GLOW,
          put(log_gain=-60.0)),
    bug(total_correlation_by_exp, given(**LATENT), "exp log", TCVAE, lambda s: s["z"].add_(30.0)),
    sound(total_correlation, given(**LATENT), TCVAE, lambda s: s["z"].add_(30.0)),
    bug(mutual_information, given(joint=normal(8), product=normal(8)), "exp log", MINE, put(product=120.0)),
    sound(mutual_information_logsumexp, given(joint=normal(8), product=normal(8)), MINE, put(product=120.0)),
    bug(relaxed_density, given(logits=normal(8), noise=normal(8), target="noise"), "log", CONCRETE, put(logits=40.0)),
    sound(relaxed_density_in_logits, given(logits=normal(8), noise=normal(8), target="noise"), CONCRETE,
          put(logits=400.0)),
    bug(topic_model, given(theta=normal(4, 3), beta=normal(3, 6), y=counts(4, 6), target="y"), "log mul", PRODLDA,
        scale(beta=400.0)),
    sound(topic_model_of_products, given(theta=normal(4, 3), beta=normal(3, 6), y=counts(4, 6), target="y"), PRODLDA,
          scale(beta=400.0)),
    bug(policy_divergence, given(**LOGITS, target="old"), "div log mul", TRPO, scale(new=200.0)),
    sound(policy_divergence_in_logs, given(**LOGITS, target="old"), TRPO, scale(new=200.0)),
    bug(truncated_importance, given(**STEPS, target="old advantage"), "exp clamp", "Espeholt et al., IMPALA, ICML "
        "2018: the ratio is truncated after exp", put(new=100.0), phase="backward"),
    sound(truncated_importance_first, given(**STEPS, target="old advantage"), "Espeholt et al., IMPALA, ICML 2018",
          put(new=100.0)),
    sound(group_relative, given(**STEPS, reference=normal(8, scale=0.2, shift=-2.0), target="old reference advantage"),
          GRPO, put(new=-60.0)),
    bug(odds_ratio, ANSWERS, "log1p exp", ORPO, lambda s: s["chosen"][:, 0].fill_(60.0)),
    sound(odds_ratio_of_the_rest, ANSWERS, ORPO, lambda s: s["chosen"][:, 0].fill_(60.0)),
    bug(confidence_penalty, given(logits=normal(8, 5), y=classes(8, 5), target="y"), "log mul", ENTROPY,
        scale(logits=100.0)),
    sound(confidence_penalty_eps, given(logits=normal(8, 5), y=classes(8, 5), target="y"), ENTROPY,
          scale(logits=100.0)),
)  # fmt: skip
