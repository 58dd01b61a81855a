"""Likelihoods of padded and masked data: the mask, the lengths or the weights come as targets beside the data."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, fixed, given, normal, positive, sound, unit

PADDED = "PyTorch forum, many threads: masked loss for variable-length sequences; Graves 2013, section 4"
LENGTHS = "torch.nn.utils.rnn.pad_packed_sequence, returns lengths beside the padded batch"
SELECTED = "Lipton et al., Directly modeling missing data in sequences with RNNs, 2016: only observed values count"
WEIGHTED = "Horvitz & Thompson 1952: inverse-probability weights of single rows"
CENSORED = "Klein & Moeschberger, Survival analysis, 2003, section 3.5: exponential times, right censored"
BERNOULLI = "Bishop, Pattern recognition and machine learning, 2006, section 9.3.3: mixture of Bernoulli rows"
HALF_LOG = 0.5 * math.log(2 * math.pi)
KEPT = torch.arange(7) < torch.tensor([7, 5, 3, 6, 4, 2])[:, None]


def _held(log_sigma):
    return log_sigma.clamp(-6.0, 6.0)


def masked_gaussian_nll(mu, log_sigma, y, mask):
    log_sigma = _held(log_sigma)
    nll = 0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2 + log_sigma + HALF_LOG
    return (nll * mask).sum() / mask.sum()


def masked_gaussian_nll_without_log_sigma(mu, log_sigma, y, mask):
    log_sigma = _held(log_sigma)
    nll = 0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2 + HALF_LOG  # <- here
    return (nll * mask).sum() / mask.sum()


def laplace_nll_by_lengths(mu, log_b, y, lengths):
    log_b = _held(log_b)
    kept = torch.arange(y.shape[1]) < lengths[:, None]
    nll = (y - mu).abs() * torch.exp(-log_b) + log_b + math.log(2)
    return ((nll * kept).sum(1) / lengths).mean()


def laplace_nll_by_lengths_with_twice_the_scale(mu, log_b, y, lengths):
    log_b = _held(log_b)
    kept = torch.arange(y.shape[1]) < lengths[:, None]
    nll = (y - mu).abs() * torch.exp(-log_b) + 2 * log_b + math.log(2)  # <- here
    return ((nll * kept).sum(1) / lengths).mean()


def gaussian_nll_of_observed(mu, log_sigma, y, observed):
    log_sigma = _held(log_sigma)[observed]
    return (0.5 * ((y[observed] - mu[observed]) * torch.exp(-log_sigma)) ** 2 + log_sigma + HALF_LOG).mean()


def gaussian_nll_of_observed_with_variance_for_sigma(mu, log_var, y, observed):
    log_var = _held(log_var)[observed]
    return (0.5 * (y[observed] - mu[observed]) ** 2 * torch.exp(-log_var) + log_var + HALF_LOG).mean()  # <- here


def masked_token_nll(logits, y, mask):
    nll = F.cross_entropy(logits.transpose(1, 2), y, reduction="none")
    return (nll * mask).sum() / mask.sum().clamp(min=1)


def masked_token_nll_of_probabilities(logits, y, mask):
    probabilities = torch.softmax(logits, -1)
    nll = F.nll_loss(probabilities.transpose(1, 2), y, reduction="none")  # <- here
    return (nll * mask).sum() / mask.sum().clamp(min=1)


def poisson_nll_by_frequency(log_rate, y, weight):
    log_rate = log_rate.clamp(-10.0, 10.0)
    nll = torch.exp(log_rate) - y * log_rate + torch.lgamma(y + 1)
    return (weight * nll).sum() / weight.sum()


def poisson_nll_by_frequency_with_rate_for_its_log(log_rate, y, weight):
    log_rate = log_rate.clamp(-10.0, 10.0)
    nll = log_rate - y * log_rate + torch.lgamma(y + 1)  # <- here
    return (weight * nll).sum() / weight.sum()


def censored_exponential_nll(log_rate, time, event):
    log_rate = log_rate.clamp(-10.0, 10.0)
    return -(event * log_rate - time * torch.exp(log_rate)).mean()


def bernoulli_mixture_nll(weights, logits, y):
    each = -F.binary_cross_entropy_with_logits(logits.expand(y.shape[0], 3, 5), y[:, None].expand(-1, 3, -1),
                                               reduction="none").sum(-1)  # fmt: skip
    return -torch.logsumexp(torch.log_softmax(weights, -1) + each, -1).mean()


def bernoulli_mixture_nll_without_softmax(weights, logits, y):
    each = -F.binary_cross_entropy_with_logits(logits.expand(y.shape[0], 3, 5), y[:, None].expand(-1, 3, -1),
                                               reduction="none").sum(-1)  # fmt: skip
    return -torch.logsumexp(weights + each, -1).mean()  # <- here


ROWS = {"mu": normal(6, 7), "y": normal(6, 7)}
SCALE = normal(6, 7, scale=0.3)
MASK, LENGTH = fixed(KEPT), fixed(KEPT.sum(1))
TOKENS = given("y mask", logits=normal(6, 7, 5), y=lambda g: torch.randint(5, (6, 7), generator=g), mask=MASK)
COUNTS = given("y weight", log_rate=normal(12), y=lambda g: torch.poisson(torch.full((12,), 3.0), generator=g),
               weight=positive(12))  # fmt: skip
BITS = given("y", weights=normal(3), logits=normal(3, 5), y=bits(8, 5))
WRONG = {"kind": "wrong-density unbounded negative-nll", "verdict": "wrong-formula"}
CASES = (
    sound(masked_gaussian_nll, given("y mask", **ROWS, log_sigma=SCALE, mask=MASK), PADDED),
    bug(masked_gaussian_nll_without_log_sigma, given("y mask", **ROWS, log_sigma=SCALE, mask=MASK),
        "add sub mul pow exp", PADDED, **WRONG),
    sound(laplace_nll_by_lengths, given("y lengths", **ROWS, log_b=SCALE, lengths=LENGTH), LENGTHS),
    bug(laplace_nll_by_lengths_with_twice_the_scale, given("y lengths", **ROWS, log_b=SCALE, lengths=LENGTH),
        "add mul abs sub", LENGTHS, **WRONG),
    sound(gaussian_nll_of_observed, given("y observed", **ROWS, log_sigma=SCALE, observed=MASK), SELECTED),
    bug(gaussian_nll_of_observed_with_variance_for_sigma,
        given("y observed", **ROWS, log_var=SCALE, observed=MASK), "add mul pow mean exp", SELECTED, **WRONG),
    sound(masked_token_nll, TOKENS, PADDED),
    bug(masked_token_nll_of_probabilities, TOKENS, "nll_loss softmax", PADDED, **WRONG),
    sound(poisson_nll_by_frequency, COUNTS, WEIGHTED),
    bug(poisson_nll_by_frequency_with_rate_for_its_log, COUNTS, "add sub mul lgamma", WEIGHTED, **WRONG),
    sound(censored_exponential_nll, given("time event", log_rate=normal(12), time=unit(12), event=bits(12)), CENSORED),
    sound(bernoulli_mixture_nll, BITS, BERNOULLI),
    bug(bernoulli_mixture_nll_without_softmax, BITS, "logsumexp add neg", BERNOULLI, **WRONG),
)  # fmt: skip
