"""Policies, contrasts and clusters: programs of these fields with a defect, and repaired."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, fill, given, modelled, normal, same, sound

DUAL = (
    "dual of maximum a posteriori policy optimisation (Abdolmaleki et al. 2018, eq. 9); github.com/google-deepmind/acme"
)
WEIGHED = "advantage-weighted regression (Peng et al. 2019, eq. 10), weights cut at 100 (Kostrikov et al. 2021)"
TRACE = "importance weights cut at one (Espeholt et al. 2018, eq. 1), the gradient let through"
MAGNET = "magnet loss (Rippel et al. 2016, eq. 4); github.com/pumpikano/tf-magnet-loss"
MAP = "cross-entropy of fuzzy neighbourhoods (McInnes et al. 2018, eq. 15-17); github.com/lmcinnes/umap"
DECOUPLED = "decoupled contrast (Yeh et al. 2022, eq. 4); github.com/raminnakhli/Decoupled-Contrastive-Learning"


class Dual(nn.Module):
    """State values and the temperature, which is trained with them."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.raw = nn.Linear(4, 6), nn.Parameter(torch.tensor(0.5))

    def forward(self, state):
        return self.q(state), F.softplus(self.raw) + 1e-3


def temperature_loss(q, eta, _, epsilon=0.1):
    weight = torch.exp(q / eta)  # <- here
    return eta * epsilon + eta * torch.log(weight.mean(1)).mean()


def temperature_loss_logs(q, eta, _, epsilon=0.1):
    over = torch.logsumexp(q / eta, 1) - torch.log(torch.tensor(float(q.shape[1])))
    return eta * epsilon + eta * over.mean()


class Actor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.mean, self.value = nn.Linear(4, 10), nn.Linear(10, 2), nn.Linear(10, 1)
        self.log_std = nn.Parameter(torch.zeros(2))

    def log_prob(self, h, action):
        log_std = self.log_std.clamp(-5, 2)
        return (-0.5 * ((action - self.mean(h)) * torch.exp(-log_std)) ** 2 - log_std).sum(1)


def actor_weighed(model, batch, most=None):
    state, told = batch
    h = torch.tanh(model.body(state))
    value = model.value(h)[:, 0]
    weight = torch.exp((told[:, 2] - value.detach()) / 0.2)  # <- here
    weight = weight if most is None else weight.clamp(max=most)
    critic = F.mse_loss(value, told[:, 2])
    return critic - (weight * model.log_prob(h, told[:, :2])).mean()


def actor_weighed_to_100(model, batch):
    return actor_weighed(model, batch, 100.0)


def traced(logp, behaviour, advantage):
    rho = torch.exp(logp - behaviour)  # <- here
    return -(torch.clamp(rho, max=1.0) * advantage).mean()


def traced_logs(logp, behaviour, advantage):
    rho = torch.exp(torch.clamp(logp - behaviour, max=0.0))
    return -(rho * advantage).mean()


class Magnet(nn.Module):
    """Distances to the centres of four clusters, two a class."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))

    def forward(self, x):
        r = self.net(x)
        centres = r.view(4, 3, 2).mean(1)
        return ((r[:, None] - centres) ** 2).sum(2)


OWN = torch.arange(12) // 3
SAME_CLASS = (OWN[:, None] // 2) == (torch.arange(4) // 2)


def magnet(square, _, alpha=1.0, eps=0.0):
    own = square.gather(1, OWN[:, None])[:, 0]
    variance = own.sum() / (len(own) - 1) + eps
    near = torch.exp(-own / (2 * variance) - alpha)  # <- here
    far = torch.exp(-square / (2 * variance)).masked_fill(SAME_CLASS, 0.0).sum(1)
    return torch.relu(-torch.log(near / far)).mean()  # <- here


def magnet_logs(square, _, alpha=1.0):
    own = square.gather(1, OWN[:, None])[:, 0]
    variance = own.sum() / (len(own) - 1) + 1e-3
    far = torch.logsumexp((-square / (2 * variance)).masked_fill(SAME_CLASS, -1e9), 1)
    return torch.relu(own / (2 * variance) + alpha + far).mean()


def fuzzy(left, right, near, a=1.6, b=0.9):
    square = ((left - right) ** 2).sum(1)
    p = 1 / (1 + a * square**b)  # <- here
    return -(near * torch.log(p) + (1 - near) * torch.log(1 - p)).mean()  # <- here


def fuzzy_logs(left, right, near, a=1.6, b=0.9):
    log_square = torch.log(((left - right) ** 2).sum(1) + 1e-3)
    score = -(torch.log(torch.tensor(a)) + b * log_square)
    return F.binary_cross_entropy_with_logits(score, near)


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
        self.log_t = nn.Parameter(torch.tensor(-1.5))

    def scores(self, a, b):
        a, b = F.normalize(self.net(a), dim=1), F.normalize(self.net(b), dim=1)
        return a @ b.T * torch.exp(-self.log_t.clamp(min=-6.0)), torch.eye(len(a), dtype=torch.bool)


def decoupled(model, batch):
    score, own = model.scores(*batch)
    others = torch.exp(score).masked_fill(own, 0.0).sum(1)  # <- here
    return (torch.log(others) - score.diagonal()).mean()


def decoupled_logs(model, batch):
    score, own = model.scores(*batch)
    return (torch.logsumexp(score.masked_fill(own, float("-inf")), 1) - score.diagonal()).mean()


def told(g):
    return torch.cat([torch.randn(8, 2, generator=g), 0.5 * torch.randn(8, 1, generator=g)], 1)


STATES = modelled(Dual, normal(8, 4), normal(8))
ACTS = modelled(Actor, normal(8, 4), told)
LOGP = given(
    logp=normal(8, shift=-1.0), behaviour=normal(8, shift=-1.0), advantage=normal(8), target="behaviour advantage"
)
TOGETHER = fill({"net.2.weight": 0.0, "net.2.bias": 0.0})
CLUSTERED = modelled(Magnet, normal(12, 5), bits(12))
EMBEDDED = given(left=normal(8, 2), right=normal(8, 2), near=bits(8), target="near")
TWO_VIEWS = modelled(Views, normal(6, 6), normal(6, 6))


CASES = (
    bug(temperature_loss, STATES, "exp log", DUAL, fill(raw=-8.0)),
    sound(temperature_loss_logs, STATES, DUAL, fill(raw=-8.0)),
    bug(actor_weighed, ACTS, "exp", WEIGHED, fill({"value.bias": -30.0}), verdict="limit defect"),
    sound(actor_weighed_to_100, ACTS, WEIGHED, fill({"value.bias": -30.0})),
    bug(traced, LOGP, "exp", TRACE, fill(behaviour=-200.0), phase="backward"),
    sound(traced_logs, LOGP, TRACE, fill(behaviour=-200.0)),
    bug(magnet, CLUSTERED, "div log exp", MAGNET, TOGETHER, verdict="defect limit"),
    sound(magnet_logs, CLUSTERED, MAGNET, TOGETHER),
    bug(fuzzy, EMBEDDED, "pow log", MAP, same("left", "right"), verdict="limit defect"),
    sound(fuzzy_logs, EMBEDDED, MAP, same("left", "right")),
    bug(decoupled, TWO_VIEWS, "exp log", DECOUPLED, fill(log_t=-6.0)),
    sound(decoupled_logs, TWO_VIEWS, DECOUPLED, fill(log_t=-6.0)),
)  # fmt: skip
