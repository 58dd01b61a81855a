"""Sound losses of the same repositories that a checker may well take for faulty."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import given, normal, onehot, sound

HALVES = "normal likelihood of two outputs, mean and log sigma sliced out of one tensor (Nix & Weigend 1994)"
EVIDENCE = "evidential classification (Sensoy et al. 2018, eq. 5): squared error, variance and a divergence from Dir(1)"
FORECAST = "likelihood of a forecasting head whose outputs share one scale"


def halves_nll(out, y):
    mu, log_sigma = out[:, :2], out[:, 2:]
    return (log_sigma + 0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2).mean()


def halves_summed_nll(out, y):
    mu, log_sigma = out[..., :2], out[..., 2:]
    return (log_sigma + 0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2).sum(-1).mean()


def shared_scale_nll(out, y):
    mu, log_sigma = out[:, :2], out[:, 2:3]
    return (log_sigma + 0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2).mean()


def divergence(alpha):
    total = alpha.sum(1, keepdim=True)
    means = ((alpha - 1) * (torch.digamma(alpha) - torch.digamma(total))).sum(1)
    return (torch.lgamma(total)[:, 0] - torch.lgamma(alpha).sum(1) + means).mean()


def dirichlet_loss(raw, y):
    alpha = F.softplus(raw) + 1
    total = alpha.sum(1, keepdim=True)
    spread = (alpha / total * (1 - alpha / total) / (total + 1)).sum(1)
    beta = (alpha - 1) * (1 - y) + 1
    return (((y - alpha / total) ** 2).sum(1) + spread).mean() + 0.1 * divergence(beta)


def evidence_risk(raw, y):
    alpha = torch.relu(raw) + 1
    beta = (alpha - 1) * (1 - y) + 1
    return ((y - alpha / alpha.sum(1, keepdim=True)) ** 2).sum(1).mean() + 0.1 * divergence(beta)


CASES = (
    sound(halves_nll, given(out=normal(8, 4), y=normal(8, 2), target="y"), HALVES),
    sound(halves_summed_nll, given(out=normal(4, 3, 4), y=normal(4, 3, 2), target="y"), HALVES),
    sound(shared_scale_nll, given(out=normal(8, 3), y=normal(8, 2), target="y"), FORECAST),
    sound(dirichlet_loss, given(raw=normal(8, 3), y=onehot(8, 3), target="y"), EVIDENCE),
    sound(evidence_risk, given(raw=normal(8, 3), y=onehot(8, 3), target="y"), EVIDENCE),
)
