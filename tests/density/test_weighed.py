"""Importance-weighted bounds are no likelihood draw by draw, and no alarm; free bits are told as what they are."""

from __future__ import annotations

import math

import pytest
import torch
from helpers import answer, captured

from nllcheck.density.kl.divergences import divergences

N, D, K = 12, 2, 4
DRAW = torch.Generator().manual_seed(0)
TENSORS = {
    "mu": torch.randn(N, D, generator=DRAW),
    "log_var": 0.5 * torch.randn(N, D, generator=DRAW) - 1,
    "eps": torch.randn(K, N, D, generator=DRAW),
    "y": torch.randn(N, generator=DRAW),
}


def log_normal(x, mean, log_var):
    return -0.5 * ((x - mean) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))


def weights(mu, log_var, eps, y):
    z = mu + torch.exp(0.5 * log_var) * eps
    likely = log_normal(y, z.sum(-1), torch.zeros(()))
    return likely + log_normal(z, torch.zeros(()), torch.zeros(())).sum(-1) - log_normal(z, mu, log_var).sum(-1)


def importance_weighted(mu, log_var, eps, y):
    return -(torch.logsumexp(weights(mu, log_var, eps, y), 0) - math.log(K)).mean()


def weighted_uniform(mu, log_var, eps, y):
    """Logistic draws from uniform numbers: nowhere does z - mu stand."""
    noise = torch.logit(torch.rand_like(eps))
    z = mu + torch.exp(log_var) * noise
    log_q = (-noise - log_var - 2 * torch.nn.functional.softplus(-noise)).sum(-1)
    likely = log_normal(y, z.sum(-1), torch.zeros(()))
    return -torch.logsumexp(likely - 0.5 * (z**2).sum(-1) - log_q, 0).mean()


def weighted_by_exp(mu, log_var, eps, y):
    z = torch.tanh(mu + torch.exp(log_var) * eps)
    log_q = (-0.5 * eps**2 - log_var - torch.log1p(-(z**2))).sum(-1)
    return -torch.log(torch.exp(log_normal(y, z.sum(-1), torch.zeros(())) - log_q).mean(0)).mean()


def marginal(mu, log_var, eps, y):
    """The mean likelihood of draws: nothing is weighed, and it is a density draw by draw, but for a forgotten sigma."""
    z = mu + torch.exp(0.5 * log_var) * eps
    each = -0.5 * ((y - z[..., 0]) * torch.exp(-log_var[:, 1])) ** 2
    return -torch.logsumexp(each, 0).mean()


def of_one_draw(mu, log_var, eps, y):
    return -weights(mu, log_var, eps, y).mean()


def too_narrow(mu, log_var, eps, y):
    """A scale that no normaliser belongs to; that it is drawn, too, is no excuse."""
    z = mu + torch.exp(0.5 * log_var) * eps
    return (0.5 * (y - z.sum(-1)) ** 2 * (1 + z[..., 0] ** 2)).mean()


def skip_connection(mu, log_var, eps, y):
    """Noise on the way and a way past it; the normaliser is forgotten."""
    hidden = mu + torch.exp(0.5 * log_var) * eps
    residual = y - hidden.sum(-1) - mu.sum(-1)
    return (0.5 * residual**2 * torch.exp(-log_var[:, 0])).mean()


@pytest.mark.parametrize("loss", [importance_weighted, weighted_uniform, weighted_by_exp])
def test_a_bound_that_weighs_its_draws_is_one_on_a_likelihood(loss):
    found = answer(loss, TENSORS)
    assert found.name == "proper" and "a single one stands for all" in found.text
    assert {d.name for d in found.divergences} <= {"kl"}


def test_a_mean_over_draws_is_not_taken_for_such_a_bound():
    assert answer(marginal, TENSORS).name == "varies"


@pytest.mark.parametrize("loss", [of_one_draw, too_narrow, skip_connection])
def test_what_is_no_such_bound_is_not_taken_for_one(loss):
    found = answer(loss, {**TENSORS, "eps": TENSORS["eps"][0]})
    assert "importance-weighted" not in found.text
    assert loss is of_one_draw or found.name == "varies"


def test_on_average_over_the_draws_the_bound_is_a_density():
    """Z of one draw is p(z) / q(z); its mean under q is 1."""
    mu, spread = TENSORS["mu"], 1 + 0 * TENSORS["mu"]  # as wide as the prior: p / q has a variance
    z = mu + spread * torch.randn(200_000, N, D, generator=DRAW)
    log_z = (log_normal(z, 0 * mu, 0 * mu) - log_normal(z, mu, 0 * mu)).sum(-1)
    assert log_z.std() > 0.1
    assert torch.allclose(log_z.exp().mean(0), torch.ones(N), atol=0.15)


def with_free_bits(mu, log_var, eps, y):
    z = mu + torch.exp(0.5 * log_var) * eps
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp())
    return -log_normal(y, z.sum(-1), torch.zeros(())).mean() + kl.clamp(min=0.1).sum(-1).mean()


def without_its_half(mu, log_var, eps, y):
    z = mu + torch.exp(0.5 * log_var) * eps
    kl = -0.5 * (log_var - mu**2 - log_var.exp())
    return -log_normal(y, z.sum(-1), torch.zeros(())).mean() + kl.sum(-1).mean()


def test_a_constant_beside_the_divergence_is_no_free_bits():
    (found,) = divergences(captured(without_its_half, {**TENSORS, "eps": TENSORS["eps"][0]}))
    assert found.name == "kl" and "free bits" not in found.text


def test_free_bits_are_counted():
    tensors = {**TENSORS, "eps": TENSORS["eps"][0]}
    mu, log_var = tensors["mu"], tensors["log_var"]
    held = int((-0.5 * (1 + log_var - mu**2 - log_var.exp()) < 0.1 - 0.01).sum())
    (found,) = divergences(captured(with_free_bits, tensors))
    assert found.name == "kl" and 0 < held < N * D
    assert f"free bits): {held} of {N * D} elements of the batch count as 0.1 nats" in found.text


CLASSES = {"logits": torch.randn(N, K, generator=DRAW), "means": torch.randn(K, generator=DRAW), "y": TENSORS["y"]}


def each_class(means, y):
    return log_normal(y[:, None], means, torch.zeros(()))


def enumerated_elbo(logits, means, y):
    log_q = torch.log_softmax(logits, -1)
    return (log_q.exp() * (log_q + math.log(K) - each_class(means, y))).sum(-1).mean()


def mixture_log_inside_with_bonus_nll(logits, means, y):
    log_p = torch.log_softmax(logits, -1)
    inner = -0.5 * (y[:, None] - means) ** 2 - 0.5 * math.log(2 * math.pi)
    return (-(log_p.exp() * inner).sum(-1) + 0.01 * (log_p.exp() * log_p).sum(-1)).mean()


def enumerated_apart_elbo(logits, means, y):
    log_q = torch.log_softmax(logits, -1)
    divergence = (log_q.exp() * (log_q + math.log(K))).sum(-1)
    return (divergence - (log_q.exp() * each_class(means, y)).sum(-1)).mean()


def mixture_nll(logits, means, y):
    return -torch.logsumexp(torch.log_softmax(logits, -1) + each_class(means, y), -1).mean()


def logarithm_in_the_wrong_place_nll(logits, means, y):
    return -(torch.softmax(logits, -1) * each_class(means, y)).sum(-1).mean()


def of_the_best_class_nll(logits, means, y):
    """A maximum is two results of one op."""
    return -torch.log((torch.softmax(logits, -1) * each_class(means, y).exp()).max(-1).values).mean()


def of_one_output_nll(out, y):
    """The same, scores and places being parts of one output."""
    return logarithm_in_the_wrong_place_nll(out[:, :K], out[:, K:], y)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (enumerated_elbo, "undecided"),
        (enumerated_apart_elbo, "undecided"),
        (mixture_log_inside_with_bonus_nll, "varies"),
        (mixture_nll, "proper"),
        (logarithm_in_the_wrong_place_nll, "varies"),
        (of_one_output_nll, "varies"),
        (of_the_best_class_nll, "varies"),
    ],
)
def test_the_bound_of_a_latent_class_is_no_alarm(loss, name):
    out = torch.cat([CLASSES["logits"], CLASSES["means"].expand(N, K)], -1)
    found = answer(loss, {"out": out, "y": CLASSES["y"]} if loss is of_one_output_nll else CLASSES)
    assert found.name == name and (name != "undecided" or "latent class" in found.text), found.text
