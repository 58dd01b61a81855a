"""Held out, written before the tool was run on it: events, survival times, directions and uncertainty."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, counts, fixed, given, normal, positive, put, scale, sound
from benchmarks.detect.cases.heldout_likelihood import DEEPAR, DENSITY, MIX, PAIR

RMTPP = "Du et al., Recurrent marked temporal point processes, KDD 2016"
LOGNORMMIX = "Shchur et al., Intensity-free learning of temporal point processes, ICLR 2020"
HAWKES = "Ozaki, Maximum likelihood estimation of Hawkes' self-exciting point processes, 1979"
WTTE = "Martinsson, WTTE-RNN, 2016; github.com/ragulpr/wtte-rnn issues 33, 49 and 73"
DEEPHIT = "Lee et al., DeepHit, AAAI 2018; github.com/havakv/pycox"
NIG = "Amini et al., Deep evidential regression, NeurIPS 2020; github.com/aamini/evidential-deep-learning issue 5"
ALEATORIC = "Kendall & Gal, What uncertainties do we need in Bayesian deep learning?, NeurIPS 2017, eq. 12"
LAPLACE = "Chen et al., MonoPair, CVPR 2020; github.com/Traffic-X/MonoUNI issue 11"
FISHER = "github.com/graphnet-team/graphnet pull request 915 and issue 900: von Mises-Fisher in three dimensions"


def recurrent_marked_process(past, w, y):
    hazard = torch.exp(past) / w - torch.exp(past + w * y) / w  # <- here
    return -(past + w * y + hazard).mean()


def recurrent_marked_process_expm1(past, raw, y):
    w = F.softplus(raw) + 1e-3
    return -(past + w * y - torch.exp(past) * torch.expm1(w * y) / w).mean()


def intensity_free(logits, mean, log_scale, y):
    log_y = torch.log(y)[:, None]  # <- here
    z = (log_y - mean) * torch.exp(-log_scale)
    log_p = -0.5 * z**2 - log_scale - log_y
    return -torch.logsumexp(log_p + torch.log_softmax(logits, -1), -1).mean()


def intensity_free_floored(logits, mean, log_scale, y):
    log_y = torch.log(y.clamp(min=1e-6))[:, None]
    z = (log_y - mean) * torch.exp(-log_scale)
    log_p = -0.5 * z**2 - log_scale - log_y
    return -torch.logsumexp(log_p + torch.log_softmax(logits, -1), -1).mean()


def hawkes_by_absolute_times(base, jump, decay, y):
    grown = torch.cumsum(torch.exp(decay * y), 0)  # <- here
    intensity = base + jump * (torch.exp(-decay * y) * grown - 1)  # <- here
    integral = base * y[-1] + jump / decay * (1 - torch.exp(-decay * (y[-1] - y))).sum()
    return integral - torch.log(intensity).sum()


def hawkes_by_gaps(base, jump, decay, y):
    base, jump, decay = F.softplus(base) + 1e-3, F.softplus(jump), F.softplus(decay) + 1e-2
    gap = (y[:, None] - y[None, :]).clamp(min=0.0)
    earlier = torch.tril(torch.ones(len(y), len(y)), -1)
    intensity = base + jump * (torch.exp(-decay * gap) * earlier).sum(1)
    integral = base * y[-1] - jump / decay * torch.expm1(-decay * gap[-1]).sum()
    return integral - torch.log(intensity).sum()


def discrete_weibull(alpha_raw, beta_raw, y, event):
    alpha, beta = F.softplus(alpha_raw) + 1e-2, F.softplus(beta_raw) + 1e-2
    before, after = (y / alpha) ** beta, ((y + 1) / alpha) ** beta
    return -(event * torch.log(torch.exp(after - before) - 1) - after).mean()  # <- here


def discrete_weibull_expm1(alpha_raw, beta_raw, y, event):
    alpha, beta = F.softplus(alpha_raw) + 0.5, 0.5 + 2 * torch.sigmoid(beta_raw)
    y = y.clamp(min=1e-3)
    before, after = (y / alpha) ** beta, ((y + 1) / alpha) ** beta
    step = (after - before).clamp(min=1e-6)
    return -(event * (step + torch.log(-torch.expm1(-step))) - after).mean()


def censored_after_bin(logits, y):
    incidence = torch.cumsum(torch.softmax(logits, -1), -1).gather(1, y[:, None])
    return -torch.log(1 - incidence).mean()  # <- here


def censored_after_bin_in_logs(logits, y):
    later = torch.arange(logits.shape[1])[None, :] > y[:, None]
    return (torch.logsumexp(logits, -1) - torch.logsumexp(logits.masked_fill(~later, float("-inf")), -1)).mean()


def evidence_without_floor(gamma, nu_raw, alpha_raw, beta_raw, y):
    nu, alpha, beta = F.softplus(nu_raw), F.softplus(alpha_raw) + 1.0, F.softplus(beta_raw)
    omega = 2 * beta * (1 + nu)
    nll = 0.5 * torch.log(math.pi / nu) - alpha * torch.log(omega)  # <- here
    nll = nll + (alpha + 0.5) * torch.log(nu * (y - gamma) ** 2 + omega)  # <- here
    return (nll + torch.lgamma(alpha) - torch.lgamma(alpha + 0.5)).mean()


def evidence_of_classes(raw, y):
    alpha = torch.exp(raw.clamp(-10.0, 10.0)) + 1
    return (y * (torch.log(alpha.sum(-1, keepdim=True)) - torch.log(alpha))).sum(-1).mean()


def weighted_gaussian(mean, raw, y):
    variance = F.softplus(raw) + 1e-4
    nll = 0.5 * ((y - mean) ** 2 / variance + torch.log(variance))
    return (nll * variance.detach() ** 0.5).mean()


def noisy_logits(logits, log_sigma, noise, y):
    p = torch.softmax(logits + torch.exp(log_sigma) * noise, -1).mean(0)
    return -torch.log(p.gather(1, y[:, None])).mean()  # <- here


def noisy_logits_in_logs(logits, log_sigma, noise, y):
    log_p = torch.log_softmax(logits + torch.exp(log_sigma.clamp(max=5.0)) * noise, -1)
    return -(torch.logsumexp(log_p, 0) - math.log(len(noise))).gather(1, y[:, None]).mean()


def aleatoric_absolute(mean, log_sigma, y):
    return (math.sqrt(2) * torch.exp(-log_sigma) * (y - mean).abs() + log_sigma).mean()


def aleatoric_absolute_halved(mean, log_var, y):
    return (0.5 * torch.exp(-log_var) * (y - mean).abs() + 0.5 * log_var).mean()


def direction_by_sinh(kappa, cosine):
    return -(torch.log(kappa) - torch.log(4 * math.pi * torch.sinh(kappa)) + kappa * cosine).mean()  # <- here


def direction_by_expm1(raw, cosine):
    kappa = F.softplus(raw) + 0.05
    return (kappa * (1 - cosine) + torch.log(-torch.expm1(-2 * kappa)) - torch.log(kappa)).mean()


def student_with_learnt_freedom(mean, log_sigma, raw, y):
    nu = F.softplus(raw) + 1.0
    z = (y - mean) * torch.exp(-log_sigma)
    return (0.5 * (nu + 1) * torch.log1p(z**2 / nu) + log_sigma).mean()  # <- here


def student_by_distribution(mean, raw_scale, raw, y):
    law = torch.distributions.StudentT(F.softplus(raw) + 2.0, mean, F.softplus(raw_scale) + 1e-3)
    return -law.log_prob(y).mean()


def poisson_deviance(raw, y):
    mu = F.softplus(raw) + 1e-3
    return 2 * (y * torch.log(y / mu) - (y - mu)).mean()  # <- here


def poisson_deviance_xlogy(raw, y):
    mu = F.softplus(raw) + 1e-3
    return 2 * (torch.xlogy(y, y / mu) - (y - mu)).mean()  # <- here


def poisson_deviance_split(raw, y):
    mu = F.softplus(raw) + 1e-3
    return 2 * (torch.xlogy(y, y) - y * torch.log(mu) - (y - mu)).mean()


def gamma_deviance_log_link(raw, y):
    return 2 * (raw - torch.log(y.clamp(min=1e-6)) + y * torch.exp(-raw) - 1).mean()


def hard_sigmoid_likelihood(x, y):
    p = F.hardsigmoid(x)  # <- here
    return -(y * torch.log(p + 1e-7) + (1 - y) * torch.log(1 - p + 1e-7)).mean()


TIMES = fixed([0.4, 0.9, 1.0, 2.2, 3.1, 4.0, 4.2, 5.5])
SURVIVAL = {"alpha_raw": normal(8, shift=4.0), "beta_raw": normal(8, scale=0.3), "y": fixed([1.0, 2, 3, 2, 5, 1, 4, 2])}
EVENTS = fixed([1.0, 1, 0, 1, 0, 1, 1, 0])
FACES = fixed([0.9, 0.2, -0.4, 0.7, 0.99, -0.9])
CASES = (
    bug(recurrent_marked_process, given(past=normal(8), w=fixed([0.4]), y=positive(8), target="y"), "div", RMTPP,
        put(w=0.0), kind="nan inf precision", verdict="limit defect"),
    sound(recurrent_marked_process_expm1, given(past=normal(8), raw=fixed([0.4]), y=positive(8), target="y"), RMTPP,
          put(raw=-20.0)),
    bug(intensity_free, given(**MIX, y=positive(8), target="y"), "log", LOGNORMMIX + ": two events at once",
        put(y=0.0), verdict="limit defect"),
    sound(intensity_free_floored, given(**MIX, y=positive(8), target="y"), LOGNORMMIX, put(y=0.0)),
    bug(hawkes_by_absolute_times, given(base=fixed([0.5]), jump=fixed([0.4]), decay=fixed([1.5]), y=TIMES,
        target="y"), "exp mul cumsum", HAWKES, put(decay=30.0)),
    sound(hawkes_by_gaps, given(base=fixed([0.5]), jump=fixed([0.4]), decay=fixed([1.5]), y=TIMES, target="y"), HAWKES,
          put(base=-30.0, decay=60.0)),
    bug(discrete_weibull, given(**SURVIVAL, event=EVENTS, target="y event"), "exp log sub pow", WTTE,
        lambda s: (s["alpha_raw"].fill_(-5.0), s["beta_raw"].fill_(3.0))),
    sound(discrete_weibull_expm1, given(**SURVIVAL, event=EVENTS, target="y event"), WTTE,
          lambda s: (s["alpha_raw"].fill_(-5.0), s["beta_raw"].fill_(3.0))),
    bug(censored_after_bin, given(logits=normal(8, 5), y=classes(8, 4), target="y"), "log sub cumsum", DEEPHIT,
        lambda s: s["logits"][:, 0].fill_(60.0)),
    sound(censored_after_bin_in_logs, given(logits=normal(8, 5), y=classes(8, 4), target="y"), DEEPHIT,
          lambda s: s["logits"][:, 0].fill_(60.0)),
    bug(evidence_without_floor, given(gamma=normal(8), nu_raw=normal(8), alpha_raw=normal(8), beta_raw=normal(8),
        y=normal(8), target="y"), "div log softplus", NIG, put(nu_raw=-120.0)),
    sound(evidence_of_classes, given(raw=normal(8, 4), y=fixed(torch.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]), target="y"),
          "Sensoy et al., Evidential deep learning, NeurIPS 2018; github.com/dougbrion/"
          "pytorch-classification-uncertainty", scale(raw=100.0)),
    sound(weighted_gaussian, given(mean=normal(12), raw=normal(12), y=normal(12), target="y"), "Seitzer et al., On the "
          "pitfalls of heteroscedastic uncertainty estimation, ICLR 2022", put(raw=-30.0)),
    bug(noisy_logits, given(logits=normal(8, 4), log_sigma=normal(8, 1), noise=normal(5, 8, 4), y=classes(8, 4),
        target="noise y"), "log", ALEATORIC, scale(logits=300.0)),
    sound(noisy_logits_in_logs, given(logits=normal(8, 4), log_sigma=normal(8, 1), noise=normal(5, 8, 4),
          y=classes(8, 4), target="noise y"), ALEATORIC, scale(logits=300.0)),
    sound(aleatoric_absolute, given(log_sigma=normal(12), **PAIR, target="y"), LAPLACE, put(log_sigma=-15.0)),
    sound(aleatoric_absolute_halved, given(log_var=normal(12), **PAIR, target="y"), ALEATORIC + ", with an absolute "
          "error: half of a Laplace likelihood, so the minimum is the same", put(log_var=-15.0)),
    bug(direction_by_sinh, given(kappa=positive(6), cosine=FACES, target="cosine"), "sinh log", FISHER,
        put(kappa=120.0)),
    sound(direction_by_expm1, given(raw=normal(6), cosine=FACES, target="cosine"), FISHER, put(raw=1e4)),
    bug(student_with_learnt_freedom, given(log_sigma=normal(12, scale=0.3), raw=normal(12), **PAIR, target="y"),
        "add mul mean log1p", "Lange et al., Robust statistical modeling using the t distribution, 1989: the "
        "normaliser depends on the degrees of freedom", **DENSITY),
    sound(student_by_distribution, given(raw_scale=normal(12), raw=normal(12), **PAIR, target="y"), DEEPAR
          + ", Student-t output", put(raw_scale=-30.0)),
    bug(poisson_deviance, given(raw=normal(12), y=fixed([1.0, 2, 3, 1, 2, 4, 1, 1, 5, 2, 1, 3]), target="y"),
        "log mul div", "McCullagh & Nelder, Generalized linear models, 1989: deviance at a count of 0", put(y=0.0),
        verdict="limit defect"),
    bug(poisson_deviance_xlogy, given(raw=normal(12), y=fixed([1.0, 2, 3, 1, 2, 4, 1, 1, 5, 2, 1, 3]), target="y"),
        "xlogy div", "McCullagh & Nelder 1989; scikit-learn, mean_poisson_deviance uses xlogy", put(y=0.0),
        phase="backward", verdict="defect limit"),
    sound(poisson_deviance_split, given(raw=normal(12), y=counts(12), target="y"), "McCullagh & Nelder 1989",
          put(raw=-30.0)),
    sound(gamma_deviance_log_link, given(raw=normal(12), y=positive(12), target="y"), "McCullagh & Nelder 1989",
          put(raw=-20.0)),
    bug(hard_sigmoid_likelihood, given(x=normal(12, shift=-6.0), y=bits(12), target="y"), "hardtanh hardsigmoid clamp",
        "Courbariaux et al., BinaryConnect, NeurIPS 2015: the hard sigmoid", lambda s: None, kind="dead-gradient",
        verdict="silent defect"),
)  # fmt: skip
