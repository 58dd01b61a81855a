"""Held out, written before the tool was run on it: more small scripts, each beside its repair."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    counts,
    modelled,
    normal,
    put,
    scale,
    sound,
)
from benchmarks.detect.cases.heldout_scripts import ROWS, Y

POLICY = "Williams, REINFORCE, 1992: a Gaussian policy by its density"
SKIP_GRAM = "Mikolov et al., NeurIPS 2013; github.com/slryou41/AnchorLoss issue 2"
FLOW = "Dinh et al., NICE, ICLR 2015: the scaling layer"
HURDLE = "Mullahy, Specification and testing of some modified count data models, 1986"
GUMBEL = "Jang et al., Categorical reparameterization with Gumbel-softmax, ICLR 2017: straight-through"
DISENTANGLED = "Louizos et al., L0 regularization, ICLR 2018: the hard concrete gate"
COMPETING = "Nagpal et al., Deep survival machines, 2021; github.com/autonlab/auton-survival issue 142"
DISTANCE = "van der Maaten & Hinton, JMLR 2008: stochastic neighbours by division"


class Gaussian(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean, self.log_std = nn.Linear(4, 1), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.mean(x)


def policy_by_density(model, batch):
    state, action = batch
    std = torch.exp(model.log_std)
    density = torch.exp(-0.5 * ((action - model(state)) / std) ** 2) / (std * math.sqrt(2 * math.pi))
    return -(torch.log(density) * state[:, :1].abs()).mean()  # <- here


def policy_in_logs(model, batch):
    state, action = batch
    log_std = model.log_std.clamp(-5.0, 2.0)
    log_p = -0.5 * ((action - model(state)) * torch.exp(-log_std)) ** 2 - log_std
    return -(log_p * state[:, :1].abs()).mean()


class SkipGram(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centre, self.context = nn.Embedding(10, 4), nn.Embedding(10, 4)

    def forward(self, pairs):
        return (self.centre(pairs[:, 0]) * self.context(pairs[:, 1])).sum(-1)


def negative_sampling(output, target):
    p = torch.sigmoid(output)
    return -(target * torch.log(p) + (1 - target) * torch.log(1 - p)).mean()  # <- here


def negative_sampling_in_logs(output, target):
    return -(target * F.logsigmoid(output) + (1 - target) * F.logsigmoid(-output)).mean()


class Scaling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.shift, self.scale = nn.Linear(2, 2), nn.Parameter(torch.rand(4) + 0.5)

    def forward(self, x):
        left, right = x.chunk(2, -1)
        z = torch.cat([left, right + self.shift(left)], -1) * self.scale
        return z, torch.log(self.scale.abs()).sum()  # <- here


class ScalingInLogs(Scaling):
    def forward(self, x):
        left, right = x.chunk(2, -1)
        log_scale = self.scale.clamp(-8.0, 8.0)
        return torch.cat([left, right + self.shift(left)], -1) * torch.exp(log_scale), log_scale.sum()


def flow_likelihood(z, log_det, target):
    return 0.5 * (z**2).sum(-1).mean() - log_det


def hurdle_by_expm1(output, target):
    rate, zero = torch.exp(output[:, 1]), torch.sigmoid(output[:, 0])
    some = target * output[:, 1] - rate - torch.log(1 - torch.exp(-rate)) - torch.lgamma(target + 1)  # <- here
    return -torch.where(target == 0, torch.log(zero), torch.log(1 - zero) + some).mean()  # <- here


def hurdle(output, target):
    log_rate = output[:, 1].clamp(-8.0, 8.0)
    rate = torch.exp(log_rate)
    some = target * log_rate - rate - torch.log(-torch.expm1(-rate)) - torch.lgamma(target + 1)
    return -torch.where(target == 0, F.logsigmoid(output[:, 0]), F.logsigmoid(-output[:, 0]) + some).mean()


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(x)


class Gate(nn.Module):
    """A stretched and clipped gate: its flat ends are meant."""

    def __init__(self) -> None:
        super().__init__()
        self.log_alpha, self.head = nn.Parameter(torch.randn(4)), nn.Linear(4, 3)

    def forward(self, x):
        gate = (torch.sigmoid(self.log_alpha) * 1.2 - 0.1).clamp(0.0, 1.0)
        return self.head(x * gate)


class StraightThrough(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.choose, self.head = nn.Linear(4, 5), nn.Linear(5, 3)

    def forward(self, x):
        soft = torch.softmax(self.choose(x) / 0.5, -1)
        hard = F.one_hot(soft.argmax(-1), 5).to(soft)
        return self.head(hard - soft.detach() + soft)


def cross_entropy(output, target):
    return F.cross_entropy(output, target)


class Weibull(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        return self.head(x).unbind(-1)


def survival_by_power(shape, rate, target):
    grown = (torch.exp(rate) * target) ** torch.exp(shape)
    return -torch.log(torch.exp(shape) * torch.exp(rate) * torch.exp(-grown)).mean()  # <- here


def survival_in_logs(shape, rate, target):
    shape, rate = shape.clamp(-2.0, 2.0), rate.clamp(-8.0, 8.0)
    log_time = rate + torch.log(target.clamp(min=1e-6))
    return -(shape + rate + (torch.exp(shape) - 1) * log_time - torch.exp(torch.exp(shape) * log_time)).mean()


class Neighbours(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 2)

    def forward(self, x):
        return self.embed(x)


def neighbours_by_division(output, target):
    distance = ((output[:, None] - output[None]) ** 2).sum(-1)
    e = torch.exp(-distance) * (1 - torch.eye(len(output)))
    p = e / e.sum(1, keepdim=True)  # <- here
    same_class = (target[:, None] == target[None]).float()
    return -(p * same_class).sum(1).mean()


def neighbours_by_softmax(output, target):
    distance = ((output[:, None] - output[None]) ** 2).sum(-1)
    p = torch.softmax(-distance.masked_fill(torch.eye(len(output), dtype=torch.bool), float("inf")), 1)
    same_class = (target[:, None] == target[None]).float()
    return -(p * same_class).sum(1).mean()


def _pairs(generator):
    return torch.randint(10, (12, 2), generator=generator)


def _times_data(generator):
    return torch.exp(0.4 * torch.randn(12, generator=generator))


CASES = (
    bug(policy_by_density, modelled(Gaussian, ROWS, normal(12, 1)), "log exp", POLICY, put(log_std=-5.0)),
    sound(policy_in_logs, modelled(Gaussian, ROWS, normal(12, 1)), POLICY, put(log_std=-50.0)),
    bug(negative_sampling, modelled(SkipGram, _pairs, bits(12)), "log mul", SKIP_GRAM, scale({"centre.weight": 100.0})),
    sound(negative_sampling_in_logs, modelled(SkipGram, _pairs, bits(12)), SKIP_GRAM,
          scale({"centre.weight": 100.0})),
    bug(flow_likelihood, modelled(Scaling, ROWS, bits(12)), "log", FLOW, put(scale=0.0), verdict="limit",
        where=(Scaling,)),
    sound(flow_likelihood, modelled(ScalingInLogs, ROWS, bits(12)), FLOW, put(scale=-40.0)),
    bug(hurdle_by_expm1, modelled(Two, ROWS, counts(12, mean=1.0)), "log sub exp", HURDLE,
        lambda s: s["head.bias"].fill_(-30.0)),
    sound(hurdle, modelled(Two, ROWS, counts(12, mean=1.0)), HURDLE, lambda s: s["head.bias"].fill_(-30.0)),
    sound(cross_entropy, modelled(Gate, ROWS, Y), DISENTANGLED, put(log_alpha=-20.0)),
    sound(cross_entropy, modelled(StraightThrough, ROWS, Y), GUMBEL, scale({"choose.weight": 100.0})),
    bug(survival_by_power, modelled(Weibull, ROWS, _times_data), "log exp pow mul", COMPETING,
        lambda s: s["head.bias"].fill_(2.5)),
    sound(survival_in_logs, modelled(Weibull, ROWS, _times_data), COMPETING, lambda s: s["head.bias"].fill_(2.5)),
    bug(neighbours_by_division, modelled(Neighbours, ROWS, Y), "div exp", DISTANCE, scale({"embed.weight": 60.0})),
    sound(neighbours_by_softmax, modelled(Neighbours, ROWS, Y), DISTANCE, scale({"embed.weight": 60.0})),
)  # fmt: skip
