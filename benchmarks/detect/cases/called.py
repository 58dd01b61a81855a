"""Losses that call parts of a model by themselves: encoders, decoders, actors, critics."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, modelled, normal, sound

ACTOR = "soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905, eq. 9), appendix C without eps"
CRITIC = "soft actor-critic (Haarnoja et al. 2018, arXiv:1812.05905, eq. 9), the smaller of two critics"
WGAN = "the generator's loss of a Wasserstein GAN (Arjovsky et al. 2017)"
STEPS = "a variational autoencoder as one training step (Kingma and Welling 2013, eq. 10)"
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}


class Agent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.actor = nn.Sequential(nn.Linear(5, 16), nn.ReLU(), nn.Linear(16, 4))
        self.first, self.second = (nn.Sequential(nn.Linear(7, 16), nn.ReLU(), nn.Linear(16, 1)) for _ in range(2))

    def valued(self, x, action):
        both = torch.cat([x, action], 1)
        return torch.min(self.first(both), self.second(both))


def _drawn(model, x):
    mean, raw = model.actor(x).chunk(2, -1)
    policy = torch.distributions.Normal(mean, torch.exp(-2 + 2 * torch.tanh(raw)))
    u = policy.rsample()
    return u, policy.log_prob(u)


def actor_loss(model, batch):
    x, _ = batch
    u, log_prob = _drawn(model, x)
    action = torch.tanh(u)
    log_prob = log_prob - torch.log(1 - action**2)  # <- here
    return (0.2 * log_prob.sum(1, keepdim=True) - model.valued(x, action)).mean()


def actor_loss_in_logs(model, batch):
    x, _ = batch
    u, log_prob = _drawn(model, x)
    log_prob = log_prob - 2 * (0.6931471805599453 - u - F.softplus(-2 * u))
    return (0.2 * log_prob.sum(1, keepdim=True) - model.valued(x, torch.tanh(u))).mean()


class Pair(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.maker = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4), nn.Tanh())
        self.critic = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))


def generator_loss(model, batch):
    return -model.critic(model.maker(batch[0])).mean()


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 16), nn.ReLU())
        self.mean, self.raw = nn.Linear(16, 2), nn.Linear(16, 2)
        self.decoder = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 12))

    def encode(self, x):
        hidden = self.body(x)
        return self.mean(hidden), F.softplus(self.raw(hidden)) + 1e-3


def _coded(model, batch):
    x, _ = batch
    mean, scale = model.encode(x)
    out = model.decoder(mean + scale * torch.randn_like(mean))
    return F.binary_cross_entropy_with_logits(out, x, reduction="none").sum(1), mean, scale


def training_step(model, batch):
    given, mean, scale = _coded(model, batch)
    return (given + 0.5 * (mean**2 + scale**2 - 1 - 2 * torch.log(scale)).sum(1)).mean()


def training_step_of_wrong_sign(model, batch):
    given, mean, scale = _coded(model, batch)
    gap = 0.5 * (1 + 2 * torch.log(scale) - mean**2 - scale**2).sum(1)  # <- here
    return (given + gap).mean()


def wide(state):
    state["actor.2.bias"][:2] = 12


STATES, IMAGES = modelled(Agent, normal(16, 5), bits(16)), modelled(Coder, bits(16, 12), bits(16))

CASES = (
    bug(actor_loss, STATES, "log sub tanh", ACTOR, wide),
    sound(actor_loss_in_logs, STATES, CRITIC),
    sound(generator_loss, modelled(Pair, normal(16, 3), bits(16)), WGAN),
    sound(training_step, IMAGES, STEPS),
    bug(training_step_of_wrong_sign, IMAGES, "add sum mul mean", STEPS, **WRONG),
)
