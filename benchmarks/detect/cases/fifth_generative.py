"""Generative models of old scripts: adversaries, autoencoders, machines, flows; each beside its repair."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fill, given, modelled, normal, put, sound, unit

GAN = "GAN of a tutorial, both players' logarithms of probabilities"
CRITIC = "WGAN-GP (Gulrajani et al. 2017), the norm of slopes by hand"
WARM = "variational autoencoder with a warm-up, log of sigma squared from a raw head"
SPARSE = "sparse autoencoder of a course (Ng 2011): KL(rho || rho_hat)"
MACHINE = "restricted Boltzmann machine, free energy by hand"
RELAXED = "classifier of noisy scores, Gumbel noise (Jang et al. 2017) of given uniform draws"
BALL = "Poincaré embeddings (Nickel & Kiela 2017)"
ENERGY = "energy-based model on a grid: its partition function by hand"
SQUASH = "flow that ends in tanh: log of its slope"
LIMIT = {"verdict": "limit"}


class Players(nn.Module):
    def __init__(self):
        super().__init__()
        self.make = nn.Sequential(nn.Linear(3, 12), nn.ReLU(), nn.Linear(12, 4))
        self.judge = nn.Sequential(nn.Linear(4, 12), nn.LeakyReLU(0.2), nn.Linear(12, 1))


def discriminator_loss(model, batch):
    z, real = batch
    d_real = torch.sigmoid(model.judge(real))
    d_fake = torch.sigmoid(model.judge(model.make(z).detach()))
    return -torch.mean(torch.log(d_real) + torch.log(1.0 - d_fake))  # <- here


def discriminator_loss_of_scores(model, batch):
    z, real = batch
    s_real, s_fake = model.judge(real), model.judge(model.make(z).detach())
    return (F.softplus(-s_real) + F.softplus(s_fake)).mean()


def critic_loss(model, batch):
    z, real = batch
    fake = model.make(z).detach()
    between = (0.5 * real + 0.5 * fake).requires_grad_()
    slope = torch.autograd.grad(model.judge(between).sum(), between, create_graph=True)[0]
    length = torch.sqrt((slope**2).sum(1))  # <- here
    return (model.judge(fake) - model.judge(real)).mean() + 10 * ((length - 1) ** 2).mean()


def critic_loss_inside_the_root(model, batch):
    z, real = batch
    fake = model.make(z).detach()
    between = (0.5 * real + 0.5 * fake).requires_grad_()
    slope = torch.autograd.grad(model.judge(between).sum(), between, create_graph=True)[0]
    length = torch.sqrt((slope**2).sum(1) + 1e-8)
    return (model.judge(fake) - model.judge(real)).mean() + 10 * ((length - 1) ** 2).mean()


class Coder(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc = nn.Sequential(nn.Linear(6, 10), nn.ReLU())
        self.mu, self.sigma = nn.Linear(10, 2), nn.Linear(10, 2)
        self.dec = nn.Sequential(nn.Linear(2, 10), nn.ReLU(), nn.Linear(10, 6))
        nn.init.constant_(self.sigma.bias, 1.0)
        nn.init.normal_(self.sigma.weight, std=0.05)


def elbo_warming(model, batch, step=300, warm=1000):
    x, _ = batch
    h = model.enc(x)
    mu, sigma = model.mu(h), model.sigma(h)
    z = mu + sigma * torch.randn_like(mu)
    latent = -0.5 * torch.sum(1 + torch.log(sigma**2) - mu**2 - sigma**2, 1)  # <- here
    image = F.binary_cross_entropy_with_logits(model.dec(z), x, reduction="none").sum(1)
    return (image + min(1.0, step / warm) * latent).mean()


def elbo_warming_with_a_floor(model, batch, step=300, warm=1000):
    x, _ = batch
    h = model.enc(x)
    mu, sigma = model.mu(h), model.sigma(h)
    z = mu + sigma * torch.randn_like(mu)
    latent = -0.5 * torch.sum(1 + torch.log(1e-8 + sigma**2) - mu**2 - sigma**2, 1)
    image = F.binary_cross_entropy_with_logits(model.dec(z), x, reduction="none").sum(1)
    return (image + min(1.0, step / warm) * latent).mean()


class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        self.w1, self.w2 = nn.Linear(8, 12), nn.Linear(12, 8)

    def forward(self, x):
        a = torch.sigmoid(self.w1(x))
        return self.w2(a), a


def sparse_cost(recon, a, x, rho=0.05, beta=3.0):
    rho_hat = a.mean(0)
    kl = rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))  # <- here
    return 0.5 * ((recon - x) ** 2).sum(1).mean() + beta * kl.sum()


def sparse_cost_inside(recon, a, x, rho=0.05, beta=3.0):
    rho_hat = a.mean(0).clamp(1e-5, 1 - 1e-5)
    kl = rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))
    return 0.5 * ((recon - x) ** 2).sum(1).mean() + beta * kl.sum()


class Machine(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(8, 6))
        self.bv, self.bh = nn.Parameter(torch.zeros(8)), nn.Parameter(torch.zeros(6))

    def free_energy(self, v):
        hidden = torch.log(1 + torch.exp(v @ self.W + self.bh)).sum(1)  # <- here
        return -(v @ self.bv) - hidden


class Softened(Machine):
    def free_energy(self, v):
        return -(v @ self.bv) - F.softplus(v @ self.W + self.bh).sum(1)


def contrastive_divergence(model, batch):
    data, chain = batch
    return (model.free_energy(data) - model.free_energy(chain)).mean()


def relaxed_loss(score, u, y):
    gumbel = -torch.log(-torch.log(u))  # <- here
    return F.cross_entropy(score + gumbel, y)


def relaxed_loss_with_two_epsilons(score, u, y):
    gumbel = -torch.log(1e-10 - torch.log(u + 1e-10))
    return F.cross_entropy(score + gumbel, y)


class Ball(nn.Module):
    """Twelve points inside the unit ball."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(0.3 * torch.rand(12, 3) - 0.15)


def poincare(u, v):
    gap = ((u - v) ** 2).sum(-1)
    room = (1 - (u**2).sum(-1)) * (1 - (v**2).sum(-1))
    arg = 1 + 2 * gap / room  # <- here
    return torch.log(arg + torch.sqrt(arg**2 - 1))  # <- here


def guarded(u, v):
    gap = ((u - v) ** 2).sum(-1)
    room = (1 - (u**2).sum(-1)).clamp_min(1e-3) * (1 - (v**2).sum(-1)).clamp_min(1e-3)
    arg = 1 + 2 * gap / room
    return torch.log(arg + torch.sqrt((arg**2 - 1).clamp_min(1e-6)))


def embedding_loss(model, batch):
    pairs, _ = batch
    d = poincare(model.table[pairs[:, 0]], model.table[pairs[:, 1]])
    return (d - 1.0).square().mean()


def embedding_loss_guarded(model, batch):
    pairs, _ = batch
    d = guarded(model.table[pairs[:, 0]], model.table[pairs[:, 1]])
    return (d - 1.0).square().mean()


def energy_loss(model, batch):
    x, _ = batch
    grid = torch.linspace(-3, 3, 61, dtype=x.dtype)[:, None]
    partition = torch.sum(torch.exp(-model(grid))) * 0.1  # <- here
    return model(x).mean() + torch.log(partition)  # <- here


def energy_loss_in_logs(model, batch):
    x, _ = batch
    grid = torch.linspace(-3, 3, 61, dtype=x.dtype)[:, None]
    return model(x).mean() + torch.logsumexp(-model(grid)[:, 0], 0) + math.log(0.1)


def squash_loss(out, y):
    mu, a = out[:, :2], torch.tanh(out[:, 2:])
    slope = torch.log(1 - a**2).sum(1)  # <- here
    return (0.5 * ((y - mu) ** 2).sum(1) - slope).mean()


def squash_loss_of_softplus(out, y):
    mu, raw = out[:, :2], out[:, 2:]
    slope = 2 * (math.log(2.0) - raw - F.softplus(-2 * raw)).sum(1)
    return (0.5 * ((y - mu) ** 2).sum(1) - slope).mean()


def pairs(_):
    return torch.tensor([[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [0, 5], [3, 9]])


def together(state):
    state["table"][1] = state["table"][0]


GAME = modelled(Players, normal(12, 3), normal(12, 4))
CODED = modelled(Coder, unit(12, 6), unit(12, 6))
HIDDEN = modelled(Sparse, normal(14, 8), normal(14, 8))
PLACED = modelled(Ball, pairs, normal(8))
NOISE = given(score=normal(10, 4), u=unit(10, 4), y=classes(10, 4), target="u y")
FIELD = modelled(lambda: nn.Sequential(nn.Linear(1, 12), nn.Tanh(), nn.Linear(12, 1)), normal(16, 1), normal(16))
FLOW = modelled(lambda: nn.Sequential(nn.Linear(3, 10), nn.ReLU(), nn.Linear(10, 4)), normal(12, 3), normal(12, 2))
CASES = (
    bug(discriminator_loss, GAME, "log", GAN, fill({"judge.2.bias": 40.0})),
    sound(discriminator_loss_of_scores, GAME, GAN, fill({"judge.2.bias": 40.0})),
    bug(critic_loss, GAME, "sqrt", CRITIC, fill({"judge.2.weight": 0.0}), phase="backward", verdict="defect limit"),
    sound(critic_loss_inside_the_root, GAME, CRITIC, fill({"judge.2.weight": 0.0})),
    bug(elbo_warming, CODED, "log", WARM, fill({"sigma.bias": 0.0, "sigma.weight": 0.0}), **LIMIT),
    sound(elbo_warming_with_a_floor, CODED, WARM),
    bug(sparse_cost, HIDDEN, "div log", SPARSE, fill({"w1.bias": 200.0})),
    sound(sparse_cost_inside, HIDDEN, SPARSE),
    bug(
        contrastive_divergence,
        modelled(Machine, unit(12, 8), unit(12, 8)),
        "exp",
        MACHINE,
        fill(bh=100.0),
        where=(Machine,),
    ),
    sound(contrastive_divergence, modelled(Softened, unit(12, 8), unit(12, 8)), MACHINE, fill(bh=100.0)),
    bug(relaxed_loss, NOISE, "log", RELAXED, fill(u=0.0), **LIMIT),
    sound(relaxed_loss_with_two_epsilons, NOISE, RELAXED, put(u=0.0)),
    bug(embedding_loss, PLACED, "sqrt div log", BALL, together, where=(poincare,), verdict="defect limit"),
    sound(embedding_loss_guarded, PLACED, BALL),
    bug(energy_loss, FIELD, "exp log", ENERGY, fill({"2.bias": -100.0})),
    sound(energy_loss_in_logs, FIELD, ENERGY, fill({"2.bias": -100.0})),
    bug(squash_loss, FLOW, "log", SQUASH, fill({"2.bias": 20.0})),
    sound(squash_loss_of_softplus, FLOW, SQUASH, fill({"2.bias": 20.0})),
)
