"""Policies, trained step sizes and task weights, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, given, modelled, normal, scale, sound

POLICY = "policy gradient (REINFORCE) with an entropy bonus, probabilities from a softmax"
RATIO = "clipped surrogate (PPO, Schulman et al. 2017, eq. 7), the ratio as exp of a difference"
INNER = "learning an initialisation through one normalised step (Adam's first) of a linear probe"
TASKS = "multi-task weights (Kendall et al. 2018, eq. 7) with the deviations themselves as parameters"


class Actor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3))

    def forward(self, state):
        return self.net(state)


class Advantage(nn.Module):
    """REINFORCE: `target` holds actions and advantages."""

    def __init__(self, beta=0.01) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, output, target):
        pi = F.softmax(output, dim=-1)
        chosen = pi.gather(1, target[:, :1].long())[:, 0]
        entropy = -torch.sum(pi * torch.log(pi), dim=-1)  # <- here
        return torch.mean(-torch.log(chosen) * target[:, 1] - self.beta * entropy)  # <- here


class AdvantageLogs(Advantage):
    def forward(self, output, target):
        log_pi = F.log_softmax(output, dim=-1)
        chosen = log_pi.gather(1, target[:, :1].long())[:, 0]
        entropy = -torch.sum(log_pi.exp() * log_pi, dim=-1)
        return torch.mean(-chosen * target[:, 1] - self.beta * entropy)


def episodes(g):
    return torch.stack([torch.randint(3, (10,), generator=g).float(), torch.randn(10, generator=g)], 1)


def surrogate(output, action, before, gain, most=math.inf):
    now = F.log_softmax(output, 1).gather(1, action)[:, 0]
    ratio = torch.exp((now - before).clamp(max=most))  # <- here
    return -torch.min(ratio * gain, ratio.clamp(0.8, 1.2) * gain).mean()


def surrogate_held(output, action, before, gain):
    return surrogate(output, action, before, gain, 20.0)


class Probe(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features, self.w = nn.Linear(4, 6), nn.Parameter(0.3 * torch.randn(6))


def inner_step(model, batch, inside=0.0, outside=1e-8):
    x, y = batch
    h = torch.relu(model.features(x))
    g = 2 * h.T @ (h @ model.w - y) / len(y)
    w = model.w - 0.1 * g / (torch.sqrt(g**2 + inside) + outside)  # <- here
    return ((h @ w - y) ** 2).mean()


def inner_step_inside(model, batch):
    return inner_step(model, batch, 1e-8, 0.0)


class Tasks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.one, self.two = nn.Linear(5, 10), nn.Linear(10, 1), nn.Linear(10, 1)
        self.sigma, self.log_var = nn.Parameter(torch.ones(2)), nn.Parameter(torch.zeros(2))

    def errors(self, batch):
        h, y = torch.tanh(self.body(batch[0])), batch[1]
        return torch.stack([F.mse_loss(self.one(h)[:, 0], y[:, 0]), F.mse_loss(self.two(h)[:, 0], y[:, 1])])


def tasks(model, batch):
    losses = model.errors(batch)
    return (losses / (2 * model.sigma**2) + torch.log(model.sigma)).sum()  # <- here


def tasks_of_logs(model, batch):
    losses = model.errors(batch)
    return (0.5 * torch.exp(-model.log_var) * losses + 0.5 * model.log_var).sum()


GAME = modelled(Actor, normal(10, 4), episodes)
MEMORY = given(output=normal(8, 3), action=lambda g: torch.randint(3, (8, 1), generator=g),
               before=lambda g: torch.log(0.2 + 0.6 * torch.rand(8, generator=g)), gain=normal(8),
               target="action before gain")  # fmt: skip
LEARNER = modelled(Probe, normal(8, 4), normal(8))
BOTH = modelled(Tasks, normal(8, 5), normal(8, 2))


def _dead(state):
    state["features.weight"][2] = 0.0
    state["features.bias"][2] = -1.0


def _unlikely(state):
    state["before"][0], state["gain"][0] = -200.0, 1.0


CASES = (
    bug(Advantage(), GAME, "log", POLICY, scale({"net.2.weight": 2e3}), where=(Advantage.forward,)),
    sound(AdvantageLogs(), GAME, POLICY, scale({"net.2.weight": 1e2})),
    bug(surrogate, MEMORY, "exp", RATIO, _unlikely, phase="backward forward"),
    sound(surrogate_held, MEMORY, RATIO, _unlikely),
    bug(inner_step, LEARNER, "sqrt", INNER, _dead, phase="backward"),
    sound(inner_step_inside, LEARNER, INNER, _dead),
    bug(tasks, BOTH, "log div", TASKS, fill(sigma=0.0), verdict="limit"),
    sound(tasks_of_logs, BOTH, TASKS),
)
