"""A later round of ported programs, in other fields and styles: loss modules, programs that keep data in the model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, given, modelled, normal, positive, put, scale

GLOVE = "word vectors of co-occurrences: Pennington et al. 2014, by hand"
MEMORY = "sharpened attention of a neural Turing machine: Graves et al. 2014, ports"
VARIATIONAL = "sparse variational dropout: Molchanov et al. 2017, log alpha by hand"
TWINS = "cross-correlation of two views: Zbontar et al., Barlow twins, 2021, by hand"
NMF = "generalised KL divergence of a factorisation: Lee and Seung 2001"
SOFT_Q = "soft value of action values: Haarnoja et al. 2017, naive"
NOISY_OR = "multiple instances by noisy or: Zhang et al. 2005"
PROXY = "proxy neighbourhood components: Movshovitz-Attias et al. 2017, by hand"
BACKPROP = "weights with a mixture prior: Blundell et al., Bayes by backprop, 2015"
STICKS = "stick-breaking weights: Nalisnick and Smyth 2017"
VARIANCE = "variance as the mean of squares less the squared mean"


class Glove(nn.Module):
    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Embedding(6, 4), nn.Embedding(6, 4)
        self.bias = nn.Parameter(torch.zeros(6))

    def forward(self, words):
        return self.left(words) @ self.right.weight.T + self.bias


def glove(scores, count):
    weight = torch.clamp(count / 10.0, max=1.0) ** 0.75
    return torch.sum(weight * (scores - torch.log(count)) ** 2)  # <- here


def sharpened(keys, beta, gamma, y):
    w = torch.softmax(10.0 * F.softplus(beta) * keys, dim=1)
    w = w ** (1 + F.softplus(gamma))
    w = w / torch.sum(w, dim=1, keepdim=True)  # <- here
    return F.mse_loss(torch.sum(w * y, 1), torch.zeros(len(y)))


class SparseLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.theta = nn.Parameter(0.3 * torch.randn(3, 5))
        self.log_sigma2 = nn.Parameter(torch.full((3, 5), -8.0))

    def kl(self):
        log_alpha = self.log_sigma2 - torch.log(self.theta**2)  # <- here
        k = 0.63576 * torch.sigmoid(1.8732 + 1.48695 * log_alpha) - 0.5 * torch.log1p(torch.exp(-log_alpha))
        return -torch.sum(k - 0.63576)

    def forward(self, x):
        return x @ self.theta.T


def sparse_objective(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y) + 0.01 * model.kl()


class BarlowLoss(nn.Module):
    def forward(self, a, b):
        a = (a - a.mean(0)) / a.std(0)  # <- here
        b = (b - b.mean(0)) / b.std(0)
        c = a.T @ b / len(a)
        return torch.sum((torch.diagonal(c) - 1) ** 2) + 0.005 * torch.sum(c**2)


def factorised(w, h, v):
    approx = torch.relu(w) @ torch.relu(h)
    return torch.mean(v * torch.log(v / approx) - v + approx)  # <- here


def soft_value(q, reward):
    value = 0.1 * torch.log(torch.sum(torch.exp(q / 0.1), dim=1))  # <- here
    return torch.mean((value - reward) ** 2)


def any_instance(logits, y):
    p = 1 - torch.prod(1 - torch.sigmoid(logits), dim=1)
    return -torch.mean(y * torch.log(p) + (1 - y) * torch.log(1 - p))  # <- here


class ProxyLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.proxies = nn.Parameter(torch.randn(4, 3, generator=torch.Generator().manual_seed(1)))

    def forward(self, emb, y):
        close = torch.exp(-torch.sum((emb[:, None] - self.proxies) ** 2, -1))
        own = close.gather(1, y[:, None])[:, 0]
        return -torch.mean(torch.log(own / (close.sum(1) - own)))  # <- here


class BayesLinear(nn.Module):
    def __init__(self):
        super().__init__()
        self.mu, self.rho = nn.Parameter(0.1 * torch.randn(2, 4)), nn.Parameter(torch.full((2, 4), -3.0))
        self.register_buffer("noise", torch.randn(2, 4))

    def forward(self, x):
        return x @ (self.mu + torch.log1p(torch.exp(self.rho)) * self.noise).T


def bayes_objective(model, batch):
    x, y = batch
    sigma = torch.log1p(torch.exp(model.rho))  # <- here
    w = model.mu + sigma * model.noise
    log_q = -torch.log(sigma) - 0.5 * model.noise**2  # <- here
    wide, narrow = torch.exp(-0.5 * w**2), torch.exp(-0.5 * (w / 0.01) ** 2) / 0.01
    prior = torch.log(0.5 * wide + 0.5 * narrow)  # <- here
    return F.mse_loss(model(x), y) + 0.01 * torch.sum(log_q - prior)


def stick_breaking(raw, y):
    v = torch.sigmoid(raw)
    rest = torch.cumprod(1 - v, dim=1)
    weights = v * torch.cat([torch.ones(len(v), 1), rest[:, :-1]], 1)
    return -torch.mean(torch.log(weights.gather(1, y[:, None])))  # <- here


def normalised_by_moments(h, y):
    mean = h.mean(0)
    std = torch.sqrt((h**2).mean(0) - mean**2)  # <- here
    return F.mse_loss((h - mean) / std, y)  # <- here


EDGE = "limit defect"
BOTH = given("y", h=normal(8, 3), y=normal(8, 3))


def _no_weight(state):
    state["theta"][0, 0] = 0.0


def _far_weight(state):
    state["rho"].fill_(-120.0)


CASES = (
    bug(
        glove,
        modelled(Glove, lambda g: torch.arange(6), lambda g: torch.poisson(torch.full((6, 6), 30.0), generator=g)),
        "log",
        GLOVE,
        put(targets=0.0),
        verdict=EDGE,
    ),
    bug(
        sharpened,
        given("y", keys=normal(4, 5), beta=normal(4, 1), gamma=normal(4, 1), y=normal(4, 5)),
        "div",
        MEMORY,
        fill(keys=0.0, gamma=100.0),
    ),
    bug(
        sparse_objective,
        modelled(SparseLinear, normal(6, 5), normal(6, 3)),
        "log",
        VARIATIONAL,
        _no_weight,
        verdict=EDGE,
        where=(SparseLinear.kl,),
    ),
    bug(
        BarlowLoss(),
        given(a=normal(8, 4), b=normal(8, 4)),
        "div",
        TWINS,
        fill(a=0.5),
        verdict=EDGE,
        where=(BarlowLoss.forward,),
    ),
    bug(
        factorised,
        given("v", w=positive(5, 3), h=positive(3, 6), v=positive(5, 6)),
        "log div",
        NMF,
        fill(w=-1.0),
        verdict="limit",
    ),
    bug(soft_value, given("reward", q=normal(6, 3), reward=normal(6)), "exp log", SOFT_Q, put(q=30.0)),
    bug(any_instance, given("y", logits=normal(4, 6), y=bits(4)), "log", NOISY_OR, scale(logits=80.0)),
    bug(
        ProxyLoss(),
        given("y", emb=normal(6, 3), y=classes(6, 4)),
        "log div",
        PROXY,
        put(emb=20.0),
        where=(ProxyLoss.forward,),
    ),
    bug(bayes_objective, modelled(BayesLinear, normal(6, 4), normal(6, 2)), "log exp", BACKPROP, _far_weight),
    bug(stick_breaking, given("y", raw=normal(6, 5), y=classes(6, 5)), "log", STICKS, fill(raw=80.0)),
    bug(normalised_by_moments, BOTH, "div sqrt", VARIANCE, fill(h=0.7), verdict=EDGE),
)
