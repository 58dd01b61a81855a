"""Autoencoders, Boltzmann machines, adversaries and mixtures, each with a defect and as it reads without."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, fill, given, modelled, normal, scale, sound, unit

VARIATIONAL = "variational autoencoder whose encoder gives the deviation itself (Kingma & Welling 2013)"
SPARSE = "sparse autoencoder (Ng 2011): divergence of the mean activation from a small one"
RBM = "restricted Boltzmann machine by contrastive divergence, free energies with a softplus by hand"
ADVERSARY = "generative adversarial network (Goodfellow et al. 2014), the discriminator's two logarithms"
PENALTY = "Wasserstein critic with a gradient penalty (Gulrajani et al. 2017)"
CODES = "categorical autoencoder (Jang et al. 2017): divergence of the codes from the uniform distribution"
MIXTURE = "mixture density network (Bishop 1994) in linear space"
STROKES = "bivariate mixture over pen strokes (Graves 2013, eq. 24-25), correlations by tanh"


class Encoder(nn.Module):
    """Mean and deviation of the code; the deviation is a layer's output, one at the start."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.mean, self.sigma, self.back = (
            nn.Linear(8, 10), nn.Linear(10, 3), nn.Linear(10, 3), nn.Linear(3, 8))  # fmt: skip
        nn.init.ones_(self.sigma.bias)


def variational(model, batch):
    x, _ = batch
    h = torch.tanh(model.layer(x))
    mean, sigma = model.mean(h), model.sigma(h)
    z = mean + sigma * torch.linspace(-1.5, 1.5, 24).view(8, 3)
    fit = F.binary_cross_entropy_with_logits(model.back(z), x, reduction="none").sum(1)
    kl = -0.5 * torch.sum(1 + torch.log(sigma**2) - mean**2 - sigma**2, 1)  # <- here
    return (fit + kl).mean()


def variational_of_softplus(model, batch):
    x, _ = batch
    h = torch.tanh(model.layer(x))
    mean, sigma = model.mean(h), F.softplus(model.sigma(h)) + 1e-4
    z = mean + sigma * torch.linspace(-1.5, 1.5, 24).view(8, 3)
    fit = F.binary_cross_entropy_with_logits(model.back(z), x, reduction="none").sum(1)
    kl = -0.5 * torch.sum(1 + 2 * torch.log(sigma) - mean**2 - sigma**2, 1)
    return (fit + kl).mean()


class Sparse(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(8, 5), nn.Linear(5, 8)

    def forward(self, x):
        h = torch.sigmoid(self.enc(x))
        return torch.sigmoid(self.dec(h)), h


def sparse_cost(output, code, x, rho=0.05, beta=3.0):
    rho_hat = code.mean(0)
    kl = rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))  # <- here
    return 0.5 * ((output - x) ** 2).sum(1).mean() + beta * kl.sum()


def sparse_cost_held(output, code, x, rho=0.05, beta=3.0):
    rho_hat = code.mean(0).clamp(1e-5, 1 - 1e-5)
    kl = rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))
    return 0.5 * ((output - x) ** 2).sum(1).mean() + beta * kl.sum()


class Boltzmann(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(8, 6))
        self.hbias, self.vbias = nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(8))

    def free_energy(self, v):
        wx_b = v @ self.W + self.hbias
        hidden = torch.sum(torch.log(1 + torch.exp(wx_b)), dim=1)  # <- here
        return -hidden - v @ self.vbias

    def smooth_energy(self, v):
        return -F.softplus(v @ self.W + self.hbias).sum(1) - v @ self.vbias


def divergence(model, batch):
    seen, dreamt = batch
    return torch.mean(model.free_energy(seen) - model.free_energy(dreamt))


def divergence_smooth(model, batch):
    seen, dreamt = batch
    return torch.mean(model.smooth_energy(seen)) - torch.mean(model.smooth_energy(dreamt))


class Adversary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.g = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 4))
        self.d = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())


def d_loss(model, batch):
    z, real = batch
    d_real, d_fake = model.d(real), model.d(model.g(z))
    return -torch.mean(torch.log(d_real) + torch.log(1.0 - d_fake))  # <- here


def d_loss_with_floor(model, batch, eps=1e-8):
    z, real = batch
    d_real, d_fake = model.d(real), model.d(model.g(z))
    return -torch.mean(torch.log(d_real + eps) + torch.log(1.0 - d_fake + eps))


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.d = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 1))


def critic_loss(model, batch, floor=0.0):
    real, fake = batch
    mixed = (real + 0.5 * (fake - real)).requires_grad_(True)
    (slope,) = torch.autograd.grad(model.d(mixed).sum(), mixed, create_graph=True)
    norm = torch.sqrt(torch.sum(slope**2, dim=1) + floor)  # <- here
    return model.d(fake).mean() - model.d(real).mean() + 10.0 * ((norm - 1.0) ** 2).mean()


def critic_loss_with_floor(model, batch):
    return critic_loss(model, batch, 1e-12)


def codes_kl(logits):
    q = torch.softmax(logits, dim=-1)
    return (q * (torch.log(q) + math.log(5))).sum(-1).mean()  # <- here


def codes_kl_with_floor(logits):
    q = torch.softmax(logits, dim=-1)
    return (q * (torch.log(q + 1e-20) + math.log(5))).sum(-1).mean()


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(1, 12), nn.Linear(12, 12)

    def forward(self, x):
        return torch.chunk(self.out(torch.tanh(self.hidden(x))), 3, 1)


def mixture(pi, sigma, mu, y):
    pi, sigma = torch.softmax(pi, 1), torch.exp(sigma)
    normal = torch.exp(-(((y - mu) / sigma) ** 2) / 2) / sigma / math.sqrt(2 * math.pi)
    return torch.mean(-torch.log(torch.sum(normal * pi, 1)))  # <- here


def mixture_logs(pi, sigma, mu, y):
    log_sigma = sigma.clamp(-7.0, 7.0)
    normal = -0.5 * ((y - mu) * torch.exp(-log_sigma)) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(torch.log_softmax(pi, 1) + normal, 1).mean()


def strokes(output, y, most=1.0):
    pi, mx, my, sx, sy, rho = torch.chunk(output, 6, 1)
    sx, sy, rho = torch.exp(sx.clamp(-6, 6)), torch.exp(sy.clamp(-6, 6)), most * torch.tanh(rho)
    dx, dy = (y[:, :1] - mx) / sx, (y[:, 1:] - my) / sy
    free = 1 - rho**2  # <- here
    near = -(dx**2 + dy**2 - 2 * rho * dx * dy) / (2 * free)  # <- here
    log_p = near - torch.log(2 * math.pi * sx * sy * torch.sqrt(free))  # <- here
    return -torch.logsumexp(torch.log_softmax(pi, 1) + log_p, 1).mean()


def strokes_of_less(output, y):
    return strokes(output, y, 0.99)


VAE = modelled(Encoder, bits(8, 8), bits(8))
SPARSELY = modelled(Sparse, unit(10, 8), unit(10, 8))
DREAMS = modelled(Boltzmann, bits(8, 8), bits(8, 8))
NOISE = modelled(Adversary, normal(4, 3), normal(4, 4))
PLANES = modelled(Critic, normal(4, 4), normal(4, 4))
CODE = given(logits=normal(8, 5))
CURVE = modelled(Mixture, normal(12, 1), normal(12, 1))
PEN = given(output=normal(3, 18), y=normal(3, 2), target="y")
LOUD = {"d.2.weight": 1e3}


def _dead(state):
    state["d.2.weight"].zero_()
    state["d.2.bias"].fill_(-1.0)


def _one_way(state):
    state["output"][0, 15] = 12.0


CASES = (
    bug(variational, VAE, "log", VARIATIONAL, fill({"sigma.weight": 0.0, "sigma.bias": 0.0}), verdict="limit defect"),
    sound(variational_of_softplus, VAE, VARIATIONAL, fill({"sigma.weight": 0.0, "sigma.bias": -30.0})),
    bug(sparse_cost, SPARSELY, "div log", SPARSE, fill({"enc.bias": -120.0})),
    sound(sparse_cost_held, SPARSELY, SPARSE),
    bug(divergence, DREAMS, "exp", RBM, scale(W=2e3), where=(Boltzmann.free_energy,)),
    sound(divergence_smooth, DREAMS, RBM, scale(W=2e2)),
    bug(d_loss, NOISE, "log", ADVERSARY, scale(LOUD)),
    sound(d_loss_with_floor, NOISE, ADVERSARY),
    bug(critic_loss, PLANES, "sqrt", PENALTY, _dead, phase="backward"),
    sound(critic_loss_with_floor, PLANES, PENALTY),
    bug(codes_kl, CODE, "log", CODES, scale(logits=200.0)),
    sound(codes_kl_with_floor, CODE, CODES),
    bug(mixture, CURVE, "log", MIXTURE, scale(targets=40.0)),
    sound(mixture_logs, CURVE, MIXTURE, scale(targets=40.0)),
    bug(strokes, PEN, "div log sub", STROKES, _one_way),
    sound(strokes_of_less, PEN, STROKES, _one_way),
)
