"""Fourth set: generative models and policies as programs of the TensorFlow 1 days have them, each with its repair."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    counts,
    fill,
    modelled,
    normal,
    onehot,
    scale,
    sound,
    unit,
)
from benchmarks.detect.cases.blind_classifiers import HALF, LIMIT, LOUD, REPAIR, small
from benchmarks.detect.cases.categorical import GRIST


class Coder(nn.Module):
    """Encoder to (mean, raw scale), decoder to logits; the noise is one draw."""

    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(6, 4), nn.Linear(2, 6)
        self.register_buffer("noise", torch.randn(24, 2))

    def forward(self, x):
        mean, raw = self.enc(x).chunk(2, 1)
        return self.dec(mean + torch.exp(0.5 * raw.clamp(-10, 10)) * self.noise), mean, raw


def pixels_by_hand(model, batch):
    x = batch[1]
    logits, mean, raw = model(batch[0])
    p = torch.sigmoid(logits)
    cost = -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(1)  # <- here
    raw = raw.clamp(-10, 10)
    return (cost - 0.5 * (1 + raw - mean**2 - torch.exp(raw)).sum(1)).mean()


def pixels_by_hand_repaired(model, batch):
    logits, mean, raw = model(batch[0])
    cost = F.binary_cross_entropy_with_logits(logits, batch[1], reduction="none").sum(1)
    raw = raw.clamp(-10, 10)
    return (cost - 0.5 * (1 + raw - mean**2 - torch.exp(raw)).sum(1)).mean()


class LinearScale(nn.Module):
    """The deviation of the latent is a plain output of a layer."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.scale, self.dec = nn.Linear(6, 2), nn.Linear(6, 2), nn.Linear(2, 6)
        self.register_buffer("noise", torch.randn(24, 2))

    def forward(self, x):
        mean, scale = self.mean(x), self.scale(x)
        return self.dec(mean + scale * self.noise), mean, scale


def latent_scale(model, batch):
    output, mean, s = model(batch[0])
    kl = 0.5 * (mean**2 + s**2 - torch.log(s**2) - 1).sum(1)  # <- here
    return (((output - batch[0]) ** 2).sum(1) + kl).mean()


def latent_scale_repaired(model, batch):
    output, mean, s = model(batch[0])
    kl = 0.5 * (mean**2 + s**2 - torch.log(1e-8 + s**2) - 1).sum(1)
    return (((output - batch[0]) ** 2).sum(1) + kl).mean()


class Players(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.make = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 6))
        self.tell = nn.Sequential(nn.Linear(6, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def forward(self, x):
        return self.tell(x), self.tell(self.make(x))


def players(model, batch):
    real, fake = (torch.sigmoid(z) for z in model(batch[0]))
    return -torch.mean(torch.log(real) + torch.log(1.0 - fake))  # <- here


def players_repaired(model, batch):
    real, fake = model(batch[0])
    one = F.binary_cross_entropy_with_logits(real, torch.ones_like(real))
    return one + F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))


def players_half(model, batch):
    real, fake = (torch.sigmoid(z) for z in model(batch[0]))
    return -torch.mean(torch.log(real.clamp(1e-10, 1)) + torch.log(1 - fake.clamp(1e-10, 1)))  # <- here


def fool(model, batch):
    _, fake = model(batch[0])
    p = 1 / (1 + torch.exp(-fake))
    return torch.mean(torch.log(1 / p))  # <- here


def fool_repaired(model, batch):
    _, fake = model(batch[0])
    return F.softplus(-fake).mean()


def slope_of(judge, x):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(judge(x).sum(), x, create_graph=True)[0]


def critic(model, batch):
    real, fake = model(batch[0])
    g = slope_of(model.tell, batch[0])
    size = torch.sqrt((g**2).sum(1))  # <- here
    return fake.mean() - real.mean() + 10 * ((size - 1) ** 2).mean()


def critic_repaired(model, batch):
    real, fake = model(batch[0])
    g = slope_of(model.tell, batch[0])
    size = torch.sqrt((g**2).sum(1) + 1e-12)
    return fake.mean() - real.mean() + 10 * ((size - 1) ** 2).mean()


class Boltzmann(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(0.1 * torch.randn(6, 5))
        self.v, self.h = nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(5))

    def forward(self, x):
        return x @ self.w + self.h

    def back(self, x):
        return torch.sigmoid(x) @ self.w.T + self.v


def free(model, x):
    return -(x @ model.v) - torch.log(1 + torch.exp(model(x))).sum(1)  # <- here


def free_bounded(model, x):
    return -(x @ model.v) - F.softplus(model(x)).sum(1)


def free_energy(model, batch):
    return (free(model, batch[0]) - free(model, batch[1])).mean()


def free_energy_repaired(model, batch):
    return (free_bounded(model, batch[0]) - free_bounded(model, batch[1])).mean()


def rebuilt(model, batch):
    x = batch[0]
    p = torch.sigmoid(model.back(model(x)))
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(1).mean()  # <- here


def rebuilt_repaired(model, batch):
    x = batch[0]
    p = torch.sigmoid(model.back(model(x))).clamp(1e-7, 1 - 1e-6)
    return -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(1).mean()


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(6, 8), nn.Linear(8, 6)

    def forward(self, x):
        h = torch.sigmoid(self.enc(x))
        return self.dec(h), h


def sparse(output, hidden, target):
    share = hidden.mean(0)
    kl = 0.05 * torch.log(0.05 / share) + 0.95 * torch.log(0.95 / (1 - share))  # <- here
    return ((output - target) ** 2).mean() + 0.1 * kl.sum()


def sparse_repaired(output, hidden, target):
    share = hidden.mean(0).clamp(1e-6, 1 - 1e-6)
    kl = 0.05 * torch.log(0.05 / share) + 0.95 * torch.log(0.95 / (1 - share))
    return ((output - target) ** 2).mean() + 0.1 * kl.sum()


class Flow(nn.Module):
    """One planar layer."""

    def __init__(self) -> None:
        super().__init__()
        self.u, self.w, self.b = (
            nn.Parameter(0.3 * torch.randn(4)),
            nn.Parameter(torch.randn(4)),
            nn.Parameter(torch.zeros(1)),
        )

    def forward(self, x):
        t = torch.tanh(x @ self.w + self.b)
        return x + t[:, None] * self.u, (1 - t**2) * (self.w @ self.u)


def planar(z, slope, target):
    volume = torch.log(torch.abs(1 + slope))  # <- here
    return (0.5 * (z**2).sum(1) - volume).mean()


def planar_repaired(z, slope, target):
    volume = torch.log(torch.abs(1 + slope) + 1e-7)
    return (0.5 * (z**2).sum(1) - volume).mean()


def bins(output, target):
    mean, raw = output.chunk(2, 1)
    inverse = torch.exp(-raw.clamp(-7, 7))
    up, low = torch.sigmoid((target + 0.05 - mean) * inverse), torch.sigmoid((target - 0.05 - mean) * inverse)
    return -torch.log(up - low).sum(1).mean()  # <- here


def bins_repaired(output, target):
    mean, raw = output.chunk(2, 1)
    inverse = torch.exp(-raw.clamp(-7, 7))
    up, low = torch.sigmoid((target + 0.05 - mean) * inverse), torch.sigmoid((target - 0.05 - mean) * inverse)
    return -torch.log((up - low).clamp(min=1e-12)).sum(1).mean()


class Window(nn.Module):
    """The reading window of DRAW along one dimension."""

    def __init__(self) -> None:
        super().__init__()
        self.where = nn.Linear(8, 2)

    def filters(self, x):
        centre, raw = self.where(x).chunk(2, 1)
        place = torch.arange(8.0) / 8 - 0.5
        f = torch.exp(-((place - centre) ** 2) / (2 * torch.exp(raw.clamp(-8, 8))))
        return f / f.sum(1, keepdim=True)  # <- here

    def forward(self, x):
        return (self.filters(x) * x).sum(1)


class WindowBounded(Window):
    def filters(self, x):
        centre, raw = self.where(x).chunk(2, 1)
        place = torch.arange(8.0) / 8 - 0.5
        f = torch.exp(-((place - centre) ** 2) / (2 * torch.exp(raw.clamp(-8, 8))))
        return f / f.sum(1, keepdim=True).clamp(min=1e-8)


def square(output, target):
    return ((output - target) ** 2).mean()


def rates(output, target):
    rate = torch.exp(output)  # <- here
    return (rate - target * torch.log(rate)).mean()  # <- here


def rates_repaired(output, target):
    rate = F.softplus(output) + 1e-6
    return (rate - target * torch.log(rate)).mean()


def intensity(output, target):
    rate = torch.relu(output)
    return (rate * 0.5 - target * torch.log(rate + 0.0)).mean()  # <- here


def intensity_repaired(output, target):
    rate = torch.relu(output) + 1e-5
    return (rate * 0.5 - target * torch.log(rate)).mean()


class Actor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(6, 8), nn.Linear(8, 4)

    def forward(self, x):
        return torch.softmax(self.head(torch.tanh(self.body(x))), 1)


def reinforce(output, target):
    chosen = (output * target).sum(1)
    advantage = target @ target.new_tensor([1.0, -0.5, 0.3, -0.2])
    return -(torch.log(chosen) * advantage).mean()  # <- here


def reinforce_repaired(output, target):
    chosen = (output * target).sum(1)
    advantage = target @ target.new_tensor([1.0, -0.5, 0.3, -0.2])
    return -(torch.log(torch.clamp(chosen, 1e-20, 1.0)) * advantage).mean()


def trust(output, target):
    return (target * torch.log(target / output)).sum(1).mean()  # <- here


def trust_repaired(output, target):
    return (target * torch.log((target + 1e-8) / (output + 1e-8))).sum(1).mean()


def gaussian_actor(output, target):
    mean, raw = output.chunk(2, 1)
    sigma = torch.log(torch.exp(raw) + 1)  # <- here
    log_p = -0.5 * ((target - mean) / sigma) ** 2 - torch.log(sigma) - 0.919  # <- here
    entropy = 0.5 * torch.log(2 * math.pi * math.e * sigma**2)  # <- here
    return -(log_p + 0.01 * entropy).mean()


def gaussian_actor_repaired(output, target):
    mean, raw = output.chunk(2, 1)
    sigma = F.softplus(raw) + 1e-3
    log_p = -0.5 * ((target - mean) / sigma) ** 2 - torch.log(sigma) - 0.919
    entropy = 0.5 * torch.log(2 * math.pi * math.e * sigma**2)
    return -(log_p + 0.01 * entropy).mean()


def squashed(output, target):
    action = torch.tanh(output)
    log_p = -0.5 * output**2 - torch.log(1 - action**2)  # <- here
    return (log_p.sum(1) + (action - target).abs().sum(1)).mean()


def squashed_repaired(output, target):
    action = torch.tanh(output)
    change = 2 * (math.log(2.0) - output - F.softplus(-2 * output))
    return ((-0.5 * output**2 - change).sum(1) + (action - target).abs().sum(1)).mean()


def relaxed(model, batch):
    x, u = batch
    z = (model(x) - torch.log(-torch.log(u))) / 0.5  # <- here
    return (torch.softmax(z, 1) @ z.new_tensor([1.0, 2.0, 3.0])).mean()


def relaxed_repaired(model, batch):
    x, u = batch
    z = (model(x) - torch.log(-torch.log(u + 1e-20) + 1e-20)) / 0.5
    return (torch.softmax(z, 1) @ z.new_tensor([1.0, 2.0, 3.0])).mean()


def gamma_of_kuma(output, target):
    a, b = F.softplus(output).chunk(2, 1)
    log_p = torch.log(a * b) + (a - 1) * torch.log(target) + (b - 1) * torch.log(1 - target**a)  # <- here
    return -log_p.mean()


def gamma_of_kuma_repaired(output, target):
    a, b = (F.softplus(output) + 1e-3).chunk(2, 1)
    power = (target.clamp(1e-4, 1 - 1e-4) ** a).clamp(max=1 - 1e-6)
    log_p = torch.log(a) + torch.log(b) + (a - 1) * torch.log(target.clamp(min=1e-4)) + (b - 1) * torch.log(1 - power)
    return -log_p.mean()


X, ONE, PIX = normal(24, 6), onehot(24, 4), bits(24, 6)
FAR = scale({"2.weight": 400.0})
DEAD = scale({"tell.0.weight": 0.0, "tell.2.weight": 0.0})


def judge(value: float):
    return lambda s: (s["tell.2.weight"].mul_(0), s["tell.2.bias"].fill_(value))


CASES = (
    bug(pixels_by_hand, modelled(Coder, X, PIX), "log", GRIST + ": VAE", scale({"dec.weight": 400.0})),
    sound(pixels_by_hand_repaired, modelled(Coder, X, PIX), REPAIR, scale({"dec.weight": 40.0})),
    bug(latent_scale, modelled(LinearScale, X, X), "log", "hwalsuklee/tensorflow-mnist-VAE; " + GRIST,
        fill({"scale.weight": 0.0, "scale.bias": 0.0}), verdict=LIMIT),
    sound(latent_scale_repaired, modelled(LinearScale, X, X), REPAIR, fill({"scale.weight": 0.0, "scale.bias": 0.0})),
    bug(players, modelled(Players, X, bits(24)), "log", GRIST + ": GAN", judge(-200.0)),
    sound(players_repaired, modelled(Players, X, bits(24)), REPAIR, judge(-200.0)),
    bug(players_half, modelled(Players, X, bits(24)), "log", HALF + ": 1 - clip(p) is 0", judge(60.0)),
    bug(fool, modelled(Players, X, bits(24)), "exp div reciprocal log", GRIST + ": the generator's side", judge(-200.0),
        ),
    sound(fool_repaired, modelled(Players, X, bits(24)), REPAIR, judge(-200.0)),
    bug(critic, modelled(Players, X, bits(24)), "sqrt", "Gulrajani et al., arXiv:1704.00028; " + GRIST, DEAD,
        phase="backward", verdict=LIMIT),
    sound(critic_repaired, modelled(Players, X, bits(24)), REPAIR, DEAD),
    bug(free_energy, modelled(Boltzmann, PIX, PIX), "exp log", GRIST + ": RBM", fill(h=100.0), where=(free,)),
    sound(free_energy_repaired, modelled(Boltzmann, PIX, PIX), REPAIR, fill(h=100.0)),
    bug(rebuilt, modelled(Boltzmann, PIX, PIX), "log", GRIST + ": RBM's reconstruction", fill(v=-150.0)),
    sound(rebuilt_repaired, modelled(Boltzmann, PIX, PIX), REPAIR, fill(v=-150.0)),
    bug(sparse, modelled(Sparse, X, X), "div log", GRIST + ": sparse autoencoder", fill({"enc.bias": -150.0})),
    sound(sparse_repaired, modelled(Sparse, X, X), REPAIR, fill({"enc.bias": -150.0})),
    bug(planar, modelled(Flow, normal(24, 4), bits(24)), "log", "Rezende & Mohamed, arXiv:1505.05770; " + GRIST,
        lambda s: (s["w"].zero_(), s["u"].zero_(), s["w"][0].fill_(1), s["u"][0].fill_(-1), s["inputs"].zero_()),
        verdict=LIMIT),
    sound(planar_repaired, modelled(Flow, normal(24, 4), bits(24)), REPAIR, lambda s: s["w"].zero_()),
    bug(bins, modelled(small(8), X, unit(24, 4)), "log", "Salimans et al., arXiv:1701.05517; " + GRIST, FAR),
    sound(bins_repaired, modelled(small(8), X, unit(24, 4)), REPAIR, FAR),
    bug(square, modelled(Window, normal(24, 8), normal(24)), "div", "Gregor et al., arXiv:1502.04623; " + GRIST,
        lambda s: (s["where.weight"].zero_(), s["where.bias"].copy_(torch.tensor([3.0, -6.0]))), where=(Window,)),
    sound(square, modelled(WindowBounded, normal(24, 8), normal(24)), REPAIR,
          lambda s: (s["where.weight"].zero_(), s["where.bias"].copy_(torch.tensor([3.0, -6.0])))),
    bug(rates, modelled(small(1), X, counts(24, 1)), "exp log", GRIST + ": Poisson regression",
        lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-110)), verdict=LIMIT),
    sound(rates_repaired, modelled(small(1), X, counts(24, 1)), REPAIR,
          lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-110))),
    bug(intensity, modelled(small(1), X, counts(24, 1)), "log", GRIST + ": log of a rectified intensity",
        lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-1)), verdict=LIMIT),
    sound(intensity_repaired, modelled(small(1), X, counts(24, 1)), REPAIR,
          lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-1))),
    bug(reinforce, modelled(Actor, X, ONE), "log", GRIST + ": policy gradient", scale({"head.weight": 5000.0})),
    sound(reinforce_repaired, modelled(Actor, X, ONE), REPAIR, scale({"head.weight": 5000.0})),
    bug(trust, modelled(Actor, X, lambda g: torch.softmax(torch.randn(24, 4, generator=g), 1)), "div log",
        GRIST + ": trust region", scale({"head.weight": 5000.0})),
    sound(trust_repaired, modelled(Actor, X, lambda g: torch.softmax(torch.randn(24, 4, generator=g), 1)), REPAIR,
          scale({"head.weight": 5000.0})),
    bug(gaussian_actor, modelled(small(2), X, normal(24, 1)), "exp log div pow", GRIST + ": actor and critic",
        lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-20))),
    sound(gaussian_actor_repaired, modelled(small(2), X, normal(24, 1)), REPAIR,
          lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-20))),
    bug(squashed, modelled(small(3), X, normal(24, 3)), "log", "Haarnoja et al., arXiv:1801.01290; " + GRIST, LOUD),
    sound(squashed_repaired, modelled(small(3), X, normal(24, 3)), REPAIR, scale({"2.weight": 50.0})),
    bug(relaxed, modelled(small(3), X, unit(24, 3)), "log", "Jang et al., arXiv:1611.01144; " + GRIST,
        fill(targets=1.0), verdict=LIMIT),
    sound(relaxed_repaired, modelled(small(3), X, unit(24, 3)), REPAIR, lambda s: s["targets"][0].zero_()),
    bug(gamma_of_kuma, modelled(small(2), X, unit(24, 1)), "log", "Nalisnick & Smyth, arXiv:1605.06197; " + GRIST,
        lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-40))),
    sound(gamma_of_kuma_repaired, modelled(small(2), X, unit(24, 1)), REPAIR,
          lambda s: (s["2.weight"].zero_(), s["2.bias"].fill_(-40))),
)  # fmt: skip
