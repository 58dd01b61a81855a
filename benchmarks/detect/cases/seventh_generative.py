"""Adversaries, Boltzmann machines, mixtures and diffusions as whole programs, each with its defect and repaired."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, fill, modelled, normal, scale, sound

RELATIVE = "relativistic average GAN (Jolicoeur-Martineau 2018, eq. 7-8); github.com/AlexiaJM/RelativisticGAN"
INFO = "InfoGAN (Chen et al. 2016): categorical and normal codes; github.com/openai/InfoGAN"
VISIBLE = "pseudo-likelihood of a restricted Boltzmann machine, one unit flipped: deeplearning.net tutorial"
COMPRESSED = "deep autoencoding Gaussian mixture (Zong et al. 2018, eq. 5-6); github.com/danieltan07/dagmm"
DIFFUSED = "discretised decoder of a diffusion (Nichol & Dhariwal 2021); github.com/openai/improved-diffusion"


class Players(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
        self.d = nn.Sequential(nn.Linear(4, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))


def relative(model, batch):
    z, real = batch
    on_real, on_fake = model.d(real), model.d(model.g(z))
    r, f = on_real - on_fake.mean(), on_fake - on_real.mean()
    real_part = -torch.log(torch.sigmoid(r)).mean()  # <- here
    return real_part - torch.log(1 - torch.sigmoid(f)).mean()  # <- here


def relative_of_scores(model, batch):
    z, real = batch
    on_real, on_fake = model.d(real), model.d(model.g(z))
    r, f = on_real - on_fake.mean(), on_fake - on_real.mean()
    ones = torch.ones_like(r)
    return F.binary_cross_entropy_with_logits(r, ones) + F.binary_cross_entropy_with_logits(f, 0 * ones)


class Codes(nn.Module):
    """The codes of the second player: four classes, and mean and log deviation of one number."""

    def __init__(self) -> None:
        super().__init__()
        self.g, self.trunk, self.q = nn.Linear(5, 6), nn.Linear(6, 10), nn.Linear(10, 6)

    def forward(self, code):
        out = self.q(F.leaky_relu(self.trunk(torch.tanh(self.g(code)))))
        return torch.softmax(out[:, :4], 1), out[:, 4], torch.exp(out[:, 5].clamp(-8, 8))


def information(prob, mean, std, code):
    of_class = (code[:, :4] * torch.log(prob)).sum(1)  # <- here
    e = (code[:, 4] - mean) / std
    return -(of_class - 0.5 * math.log(2 * math.pi) - torch.log(std) - 0.5 * e**2).mean()


def information_tiny(prob, mean, std, code, tiny=1e-8):
    of_class = (code[:, :4] * torch.log(prob + tiny)).sum(1)
    e = (code[:, 4] - mean) / (std + tiny)
    return -(of_class - 0.5 * math.log(2 * math.pi) - torch.log(std + tiny) - 0.5 * e**2).mean()


class Boltzmann(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.randn(8, 5))
        self.hidden, self.visible = nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(8))

    def forward(self, v):
        return -v @ self.visible - F.softplus(v @ self.weight + self.hidden).sum(1)


def flipped_unit(model, batch, unit=3):
    v, _ = batch
    flipped = v.clone()
    flipped[:, unit] = 1 - v[:, unit]
    return -torch.mean(v.shape[1] * torch.log(torch.sigmoid(model(flipped) - model(v))))  # <- here


def flipped_unit_logs(model, batch, unit=3):
    v, _ = batch
    flipped = v.clone()
    flipped[:, unit] = 1 - v[:, unit]
    return -torch.mean(v.shape[1] * F.logsigmoid(model(flipped) - model(v)))


class Compressed(nn.Module):
    """Code and relative error, estimated memberships, and the energy of the mixture that they make."""

    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(6, 2), nn.Linear(2, 6)
        self.estimate = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))

    def forward(self, x):
        code = torch.tanh(self.encode(x))
        back = self.decode(code)
        error = (x - back).norm(dim=1, keepdim=True) / (x.norm(dim=1, keepdim=True) + 1e-2)
        z = torch.cat([code, error], 1)
        gamma = torch.softmax(self.estimate(z), 1)
        mass = gamma.sum(0)
        mu = (gamma[:, :, None] * z[:, None]).sum(0) / (mass[:, None] + self.least)  # <- here
        spread = (gamma[:, :, None] * (z[:, None] - mu) ** 2).sum(0) / (mass[:, None] + self.least) + 1e-2  # <- here
        each = -0.5 * ((z[:, None] - mu) ** 2 / spread + torch.log(2 * math.pi * spread)).sum(2)
        energy = -torch.logsumexp(torch.log(mass / len(x) + 1e-6) + each, 1)
        return back, energy, (1 / spread).sum()


class CompressedHeld(Compressed):
    least = 1e-4


def mixture_energy(back, energy, narrow, x):
    return ((back - x) ** 2).sum(1).mean() + 0.1 * energy.mean() + 0.005 * narrow


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 12), nn.SiLU(), nn.Linear(12, 16))

    def forward(self, x):
        mean, v = self.net(x).chunk(2, 1)
        part = torch.sigmoid(v)
        return mean, part * math.log(1.0) + (1 - part) * math.log(0.2)


HALF = 1.0 / 8.0  # of a bin: nine levels


def _about(x):
    """Twice the argument of the tanh in an approximate normal distribution function."""
    return 2 * math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)


def binned(mean, log_var, x):
    d, inverse = x - mean, torch.exp(-0.5 * log_var)
    above = 0.5 * (1.0 + torch.tanh(0.5 * _about(inverse * (d + HALF))))
    below = 0.5 * (1.0 + torch.tanh(0.5 * _about(inverse * (d - HALF))))
    inner = torch.where(x > 0.999, 1.0 - below, above - below)
    return -torch.log(torch.where(x < -0.999, above, inner)).sum(1).mean()  # <- here


def binned_in_logs(mean, log_var, x):
    d, inverse = x - mean, torch.exp(-0.5 * log_var)
    a, b = _about(inverse * (d + HALF)), _about(inverse * (d - HALF))
    between = F.logsigmoid(a) + F.logsigmoid(-b) + torch.log(-torch.expm1(b - a))
    inner = torch.where(x > 0.999, F.logsigmoid(-b), between)
    return -torch.where(x < -0.999, F.logsigmoid(a), inner).sum(1).mean()


def class_and_number(g):
    return torch.cat([torch.eye(4)[torch.randint(4, (8,), generator=g)], torch.randn(8, 1, generator=g)], 1)


def _one_cluster(state):
    state["estimate.2.weight"].zero_()
    state["estimate.2.bias"].copy_(200 * state["estimate.2.bias"].sign().new_tensor([1.0, -1.0]))


GAME = modelled(Players, normal(6, 3), normal(6, 4))
CODE = modelled(Codes, normal(8, 5), class_and_number)
UNITS = modelled(Boltzmann, bits(6, 8), bits(6))
CODED = {"inputs": normal(10, 6), "targets": normal(10, 6)}
STEP = modelled(Decoder, normal(5, 4), lambda g: torch.randint(-4, 5, (5, 8), generator=g) / 4.0)


CASES = (
    bug(relative, GAME, "log", RELATIVE, scale({"d.2.weight": 3e3})),
    sound(relative_of_scores, GAME, RELATIVE, scale({"d.2.weight": 1e2})),
    bug(information, CODE, "log", INFO, scale({"q.weight": 3e3})),
    sound(information_tiny, CODE, INFO),
    bug(flipped_unit, UNITS, "log", VISIBLE, fill(visible=-150.0)),
    sound(flipped_unit_logs, UNITS, VISIBLE, fill(visible=-150.0)),
    bug(mixture_energy, modelled(Compressed, **CODED), "div", COMPRESSED, _one_cluster, verdict="defect limit",
        where=(Compressed.forward,)),
    sound(mixture_energy, modelled(CompressedHeld, **CODED), COMPRESSED, _one_cluster),
    bug(binned, STEP, "log", DIFFUSED, scale({"net.2.weight": 100.0})),
    sound(binned_in_logs, STEP, DIFFUSED, scale({"net.2.weight": 4.0})),
)  # fmt: skip
