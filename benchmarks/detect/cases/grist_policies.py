"""Survival, factors, importance weights and returns by hand: each with its repaired twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, fill, given, normal, put, scale, sound

HAZARD = "discrete time survival: Singer and Willett 1993"
COX = "Cox partial likelihood: Katzman et al., DeepSurv, 2018"
CHOLESKY = "normal likelihood by a Cholesky factor of a computed covariance"
IWAE = "importance weighted bound: Burda et al. 2016, by hand"
RETURNS = "REINFORCE with returns of unit variance: reinforcement learning tutorials"
OFFLINE = "self-normalised importance weights: off-policy evaluation"


def hazards(logits, event, at_risk):
    h = torch.sigmoid(logits)
    ll = event * torch.log(h) + (at_risk - event) * torch.log(1 - h)  # <- here
    return -torch.mean(torch.sum(ll, 1))


def hazards_fixed(logits, event, at_risk):
    ll = event * F.logsigmoid(logits) + (at_risk - event) * F.logsigmoid(-logits)
    return -torch.mean(torch.sum(ll, 1))


def partial_likelihood(risk, event):
    at_risk = torch.log(torch.cumsum(torch.exp(risk), 0))  # <- here
    return -torch.sum((risk - at_risk) * event) / 12


def partial_likelihood_fixed(risk, event):
    return -torch.sum((risk - torch.logcumsumexp(risk, 0)) * event) / 12


def factored(features, y):
    cov = features.T @ features / 8
    chol = torch.linalg.cholesky(cov)  # <- here
    z = torch.linalg.solve_triangular(chol, y.T, upper=False)
    return 0.5 * torch.sum(z**2) / 8 + torch.sum(torch.log(torch.diagonal(chol)))


def factored_fixed(features, y):
    chol = torch.linalg.cholesky(features.T @ features / 8 + 1e-2 * torch.eye(3))
    z = torch.linalg.solve_triangular(chol, y.T, upper=False)
    return 0.5 * torch.sum(z**2) / 8 + torch.sum(torch.log(torch.diagonal(chol)))


def weighted_bound(log_p, log_q):
    w = torch.exp(log_p - log_q)  # <- here
    return -torch.mean(torch.log(torch.mean(w, 1)))  # <- here


def weighted_bound_fixed(log_p, log_q):
    return -torch.mean(torch.logsumexp(log_p - log_q, 1) - math.log(log_p.shape[1]))


def reinforce(logits, action, returns):
    advantage = (returns - returns.mean()) / returns.std()  # <- here
    return torch.mean(F.cross_entropy(logits, action, reduction="none") * advantage)


def reinforce_fixed(logits, action, returns):
    advantage = (returns - returns.mean()) / (returns.std() + 1e-8)
    return torch.mean(F.cross_entropy(logits, action, reduction="none") * advantage)


def off_policy(log_pi, log_mu, reward):
    w = torch.exp(log_pi) / torch.exp(log_mu)  # <- here
    w = w / torch.sum(w)
    return -torch.sum(w * reward)


def off_policy_fixed(log_pi, log_mu, reward):
    return -torch.sum(torch.softmax(log_pi - log_mu, 0) * reward)


PAIR = normal(12)
RISKS = given("event at_risk", logits=normal(6, 4), event=lambda g: torch.eye(4)[torch.arange(6) % 4],
              at_risk=lambda g: torch.tril(torch.ones(4, 4))[torch.arange(6) % 4])  # fmt: skip
TIMES = given("event", risk=PAIR, event=bits(12))
FEATURES = given("y", features=normal(8, 3), y=normal(8, 3))
WEIGHTS = given(log_p=normal(6, 4), log_q=normal(6, 4))
EPISODE = given("action returns", logits=normal(8, 3), action=classes(8, 3), returns=normal(8))
LOGGED = given("log_mu reward", log_pi=normal(8), log_mu=normal(8), reward=normal(8))
EDGE = "limit defect"


def _dead_feature(state):
    state["features"][:, 0] = 0.0


CASES = (
    bug(hazards, RISKS, "log", HAZARD, scale(logits=80.0)),
    sound(hazards_fixed, RISKS, HAZARD, scale(logits=80.0)),
    bug(partial_likelihood, TIMES, "exp log", COX, put(risk=100.0)),
    sound(partial_likelihood_fixed, TIMES, COX, put(risk=100.0)),
    bug(factored, FEATURES, "cholesky", CHOLESKY, _dead_feature, kind="nan inf raises", verdict="limit"),
    sound(factored_fixed, FEATURES, CHOLESKY, _dead_feature),
    bug(weighted_bound, WEIGHTS, "log exp", IWAE, fill(log_q=150.0)),
    sound(weighted_bound_fixed, WEIGHTS, IWAE, fill(log_q=150.0)),
    bug(reinforce, EPISODE, "div", RETURNS, fill(returns=1.0), verdict=EDGE),
    sound(reinforce_fixed, EPISODE, RETURNS, fill(returns=1.0)),
    bug(off_policy, LOGGED, "exp div", OFFLINE, fill(log_pi=-120.0, log_mu=-120.0)),
    sound(off_policy_fixed, LOGGED, OFFLINE, fill(log_pi=-120.0, log_mu=-120.0)),
)
