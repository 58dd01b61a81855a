"""Estimators of divergences, flows and views, ported programs: each with its repaired twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bug, given, normal, put, scale, sound

MINE = "mutual information: Belghazi et al. 2018, by hand"
COUPLING = "log determinant of a coupling layer: Dinh et al. 2017"
SQUASHED = "log probability of a tanh action: Haarnoja et al. 2018"
DCCA = "correlation of two views by their covariances: Andrew et al., Deep CCA, 2013"
DET = "log of a determinant: Gaussian likelihood by hand"


def neural_information(joint, marginal):
    return -(torch.mean(joint) - torch.log(torch.mean(torch.exp(marginal))))  # <- here


def neural_information_fixed(joint, marginal):
    return -(torch.mean(joint) - torch.logsumexp(marginal, 0) + math.log(len(marginal)))


def coupling_nll(shift, raw, x):
    s = torch.sigmoid(raw + 2.0)
    z = s * (x + shift)
    return torch.mean(torch.sum(0.5 * z**2 - torch.log(s), 1))  # <- here


def coupling_nll_fixed(shift, raw, x):
    z = torch.sigmoid(raw + 2.0) * (x + shift)
    return torch.mean(torch.sum(0.5 * z**2 - F.logsigmoid(raw + 2.0), 1))


def tanh_actor(mu, log_std, noise):
    std = torch.exp(log_std.clamp(-5, 2))
    u = mu + std * noise
    correction = torch.log(1 - torch.tanh(u) ** 2)  # <- here
    log_prob = -0.5 * noise**2 - torch.log(std) - correction
    return torch.mean(0.2 * log_prob.sum(1) + torch.sum(torch.tanh(u) ** 2, 1))


def tanh_actor_fixed(mu, log_std, noise):
    log_std = log_std.clamp(-5, 2)
    u = mu + torch.exp(log_std) * noise
    correction = 2 * (math.log(2.0) - u - F.softplus(-2 * u))
    return torch.mean(0.2 * (-0.5 * noise**2 - log_std - correction).sum(1) + torch.sum(torch.tanh(u) ** 2, 1))


def correlated_views(h1, h2):
    a, b = h1 - h1.mean(0), h2 - h2.mean(0)
    s11, s22, s12 = a.T @ a / 11, b.T @ b / 11, a.T @ b / 11
    d1, v1 = torch.linalg.eigh(s11)
    d2, v2 = torch.linalg.eigh(s22)
    w1, w2 = v1 @ torch.diag(d1**-0.5) @ v1.T, v2 @ torch.diag(d2**-0.5) @ v2.T  # <- here
    return -torch.sum((w1 @ s12 @ w2) ** 2)


def correlated_views_fixed(h1, h2):
    a, b, ridge = h1 - h1.mean(0), h2 - h2.mean(0), 1e-2 * torch.eye(3)
    l1, l2 = torch.linalg.cholesky(a.T @ a / 11 + ridge), torch.linalg.cholesky(b.T @ b / 11 + ridge)
    t = torch.linalg.solve_triangular(l1, a.T @ b / 11, upper=False)
    return -torch.sum(torch.linalg.solve_triangular(l2, t.T, upper=False) ** 2)


def log_of_det(factor, y):
    cov = factor @ factor.T + torch.eye(16)
    quad = (y * torch.linalg.solve(cov, y.T).T).sum(1).mean()
    return 0.5 * quad + 0.5 * torch.log(torch.linalg.det(cov))  # <- here


def log_of_det_fixed(factor, y):
    cov = factor @ factor.T + torch.eye(16)
    quad = (y * torch.linalg.solve(cov, y.T).T).sum(1).mean()
    return 0.5 * quad + 0.5 * torch.linalg.slogdet(cov)[1]


SCORES = given(joint=normal(16), marginal=normal(16))
FLOW = given("x", shift=normal(8, 3), raw=normal(8, 3), x=normal(8, 3))
ACTION = given("noise", mu=normal(8, 2), log_std=normal(8, 2, scale=0.3), noise=normal(8, 2))
VIEWS = given(h1=normal(12, 3), h2=normal(12, 3))
FACTOR = given("y", factor=normal(16, 16), y=normal(9, 16))


def _dead_feature(state):
    state["h1"][:, 0] = 0.0


CASES = (
    bug(neural_information, SCORES, "exp", MINE, put(marginal=100.0)),
    sound(neural_information_fixed, SCORES, MINE, put(marginal=100.0)),
    bug(coupling_nll, FLOW, "log", COUPLING, put(raw=-120.0)),
    sound(coupling_nll_fixed, FLOW, COUPLING, put(raw=-120.0)),
    bug(tanh_actor, ACTION, "log", SQUASHED, put(mu=30.0)),
    sound(tanh_actor_fixed, ACTION, SQUASHED, put(mu=30.0)),
    bug(correlated_views, VIEWS, "pow eigh", DCCA, _dead_feature, verdict="limit defect"),
    sound(correlated_views_fixed, VIEWS, DCCA, _dead_feature),
    bug(log_of_det, FACTOR, "log det linalg_det prod", DET, scale(factor=20.0)),
    sound(log_of_det_fixed, FACTOR, DET, scale(factor=20.0)),
)
