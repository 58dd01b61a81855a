"""Programs whose data are numbers in rows: series, graphs, counts, times, states of a game."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions import Categorical, MultivariateNormal, Normal

from benchmarks.programs.program import Program


class Series(nn.Module):
    """DeepAR with normal noise: three layers of 40, sixty steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = nn.LSTM(4, 40, 3, batch_first=True, dropout=0.1)
        self.mean, self.raw = nn.Linear(40, 1), nn.Linear(40, 1)

    def forward(self, x):
        hidden, _ = self.steps(x)
        return self.mean(hidden)[..., 0], F.softplus(self.raw(hidden))[..., 0] + 1e-3


def series_nll(out, y):
    return -Normal(*out).log_prob(y).mean()


class Graph(nn.Module):
    """Two graph convolutions over the whole citation graph, at Cora's widths."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1433, 16), nn.Linear(16, 7)

    def forward(self, x, edges):
        hidden = F.dropout(F.relu(edges @ self.first(x)), 0.5, self.training)
        return F.log_softmax(edges @ self.second(hidden), 1)


def node_nll(model, batch):
    x, edges, labels, known = batch
    return F.nll_loss(model(x, edges)[known], labels[known])


class Couplings(nn.Module):
    """RealNVP on two numbers: six couplings with networks of 128."""

    def __init__(self, count: int = 6) -> None:
        super().__init__()
        self.register_buffer("kept", torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(count // 2, 1))
        self.scales, self.shifts = (nn.ModuleList(map(self.network, [end] * count)) for end in (nn.Tanh, nn.Identity))

    @staticmethod
    def network(end):
        inner = (nn.Linear(2, 128), nn.LeakyReLU(), nn.Linear(128, 128), nn.LeakyReLU())
        return nn.Sequential(*inner, nn.Linear(128, 2), end())

    def forward(self, x):
        volume = x.new_zeros(len(x))
        for kept, scales, shifts in zip(self.kept, self.scales, self.shifts, strict=True):
            scale, shift = scales(kept * x) * (1 - kept), shifts(kept * x) * (1 - kept)
            x, volume = kept * x + (1 - kept) * (x - shift) * torch.exp(-scale), volume - scale.sum(1)
        return x, volume


def flow_nll(model, batch):
    (x,) = batch
    z, volume = model(x)
    return -(MultivariateNormal(torch.zeros(2), torch.eye(2)).log_prob(z) + volume).mean()


class Topics(nn.Module):
    """ProdLDA: 50 topics over 2000 words, batch norm before every softmax."""

    def __init__(self, words: int = 2000, topics: int = 50) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(words, 100), nn.Softplus(), nn.Linear(100, 100), nn.Softplus())
        self.mean, self.raw = (nn.Sequential(nn.Linear(100, topics), nn.BatchNorm1d(topics)) for _ in range(2))
        self.decoder = nn.Sequential(nn.Linear(topics, words), nn.BatchNorm1d(words))


def topic_bound(model, batch, prior=0.98):
    (x,) = batch
    hidden = model.encoder(x)
    mean, raw = model.mean(hidden), model.raw(hidden)
    share = F.softmax(mean + torch.exp(0.5 * raw) * torch.randn_like(mean), -1)
    fit = -(x * torch.log(F.softmax(model.decoder(share), -1) + 1e-10)).sum(1)
    gap = (torch.exp(raw) / prior + mean**2 / prior + math.log(prior) - raw - 1).sum(1)
    return (fit + 0.5 * gap).mean()


def hazards():
    """DeepSurv's network of one hidden layer."""
    hidden = (nn.Linear(12, 64), nn.ReLU(), nn.BatchNorm1d(64), nn.Dropout(0.4))
    return nn.Sequential(*hidden, nn.Linear(64, 1, bias=False))


def partial_likelihood(model, batch):
    x, times, events = batch
    order = times.argsort(descending=True)
    risk, events = model(x)[order, 0], events[order]
    return -((risk - torch.logcumsumexp(risk, 0)) * events).sum() / events.sum().clamp(min=1)


class Actor(nn.Module):
    """PPO's two networks of CleanRL for a game of eight numbers and four moves."""

    def __init__(self) -> None:
        super().__init__()
        self.moves, self.value = self.network(4), self.network(1)

    @staticmethod
    def network(wide):
        return nn.Sequential(nn.Linear(8, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, wide))


def clipped_step(model, batch):
    states, moves, before, gain, returns = batch
    policy = Categorical(logits=model.moves(states))
    ratio = torch.exp(policy.log_prob(moves) - before)
    gain = (gain - gain.mean()) / (gain.std() + 1e-8)
    step = torch.max(-gain * ratio, -gain * ratio.clamp(0.8, 1.2)).mean()
    return step - 0.01 * policy.entropy().mean() + 0.5 * F.mse_loss(model.value(states)[:, 0], returns)


def _cora():
    count = 700
    edges = (torch.rand(count, count) < 0.005).float() + torch.eye(count)
    x = F.normalize((torch.rand(count, 1433) < 0.01).float(), p=1, dim=1)
    return Graph(), (x, edges / edges.sum(1, keepdim=True), torch.randint(0, 7, (count,)), torch.arange(140))


def _game():
    drawn = torch.randn(128), torch.randn(128)
    return Actor(), (torch.randn(128, 8), torch.randint(0, 4, (128,)), -1 - torch.rand(128), *drawn)


def _patients():
    return hazards(), (torch.randn(256, 12), 10 * torch.rand(256), (torch.rand(256) < 0.6).float())


PROGRAMS = (
    Program("deepar", "Salinas et al. 2017, arXiv:1704.04110", series_nll,
            lambda: (Series(), (torch.randn(64, 60, 4), torch.randn(64, 60)))),
    Program("gcn", "Kipf and Welling 2017, arXiv:1609.02907", node_nll, _cora),
    Program("realnvp", "Dinh et al. 2017, arXiv:1605.08803", flow_nll, lambda: (Couplings(), (torch.randn(256, 2),))),
    Program("prodlda", "Srivastava and Sutton 2017, arXiv:1703.01488", topic_bound,
            lambda: (Topics(), (torch.poisson(torch.full((64, 2000), 0.05)),))),
    Program("deepsurv", "Katzman et al. 2018, arXiv:1606.00931", partial_likelihood, _patients),
    Program("ppo", "Schulman et al. 2017, arXiv:1707.06347", clipped_step, _game),
)  # fmt: skip
