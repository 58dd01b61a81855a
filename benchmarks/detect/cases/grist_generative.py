"""GANs, autoencoders, mixtures and flows ported from TensorFlow programs: each with its repaired twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, fill, given, modelled, normal, put, scale, sound, unit

GAN = "losses of a discriminator and a generator: Goodfellow et al. 2014, TensorFlow examples"
VAE = "cross entropy of a decoder with 1e-10 inside: variational autoencoder tutorials"
SIGMA = "KL of a standard deviation that a linear layer gives: draw and VAE ports"
MDN = "mixture density network: Bishop 1994, as in TensorFlow notebooks"
RBM = "free energy of a restricted Boltzmann machine: Hinton 2002, Theano tutorials"
GMM = "responsibilities from densities: expectation maximisation by gradient"
GP = "gradient penalty: Gulrajani et al. 2017"


class Gan(nn.Module):
    def __init__(self):
        super().__init__()
        self.G = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 5))
        self.D = nn.Sequential(nn.Linear(5, 8), nn.LeakyReLU(0.2), nn.Linear(8, 1))

    def forward(self, z):
        return self.G(z)


class Autoencoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.enc, self.mu, self.sigma = nn.Linear(6, 8), nn.Linear(8, 2), nn.Linear(8, 2)
        self.dec = nn.Linear(2, 6)

    def encode(self, x):
        h = torch.tanh(self.enc(x))
        return self.mu(h), self.sigma(h)

    def forward(self, x):
        return self.dec(self.encode(x)[0])


class Boltzmann(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(6, 4))
        self.vb, self.hb = nn.Parameter(torch.zeros(6)), nn.Parameter(torch.zeros(4))

    def forward(self, v):
        return torch.sigmoid(torch.sigmoid(v @ self.W + self.hb) @ self.W.T + self.vb)


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


def discriminator_loss(model, batch):
    z, real = batch
    d_real, d_fake = torch.sigmoid(model.D(real)), torch.sigmoid(model.D(model(z)))
    return -torch.mean(torch.log(d_real) + torch.log(1.0 - d_fake))  # <- here


def discriminator_loss_fixed(model, batch):
    z, real = batch
    return torch.mean(F.softplus(-model.D(real)) + F.softplus(model.D(model(z))))


def generator_loss(model, batch):
    z, _ = batch
    prob = torch.sigmoid(model.D(model(z)))
    return torch.mean(-torch.log(prob))  # <- here


def generator_loss_fixed(model, batch):
    z, _ = batch
    return F.binary_cross_entropy_with_logits(model.D(model(z)), torch.ones(len(z), 1))


def reconstruction(logits, x):
    out = torch.sigmoid(logits)
    ll = x * torch.log(1e-10 + out) + (1 - x) * torch.log(1e-10 + 1 - out)  # <- here
    return -torch.sum(ll, 1).mean()


def reconstruction_in_order(logits, x):
    out = torch.sigmoid(logits)
    ll = x * torch.log(out + 1e-10) + (1 - x) * torch.log((1 - out) + 1e-10)
    return -torch.sum(ll, 1).mean()


def vae_of_sigma(model, batch):
    x, target = batch
    mu, sigma = model.encode(x)
    kl = 0.5 * torch.sum(mu**2 + sigma**2 - torch.log(sigma**2) - 1, 1)  # <- here
    return (F.mse_loss(model.dec(mu), target, reduction="none").sum(1) + kl).mean()


def vae_of_sigma_fixed(model, batch):
    x, target = batch
    mu, sigma = model.encode(x)
    kl = 0.5 * torch.sum(mu**2 + sigma**2 - torch.log(1e-8 + sigma**2) - 1, 1)
    return (F.mse_loss(model.dec(mu), target, reduction="none").sum(1) + kl).mean()


def mixture_density(out, y):
    pi, mu, sigma = torch.softmax(out[:, :3], 1), out[:, 3:6], torch.exp(out[:, 6:])
    density = torch.exp(-0.5 * ((y - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    return torch.mean(-torch.log(torch.sum(pi * density, 1)))  # <- here


def mixture_density_fixed(out, y):
    log_pi, mu, raw = F.log_softmax(out[:, :3], 1), out[:, 3:6], out[:, 6:].clamp(-7, 7)
    each = -0.5 * ((y - mu) * torch.exp(-raw)) ** 2 - raw - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(log_pi + each, 1).mean()


def free_energy(model, batch):
    v, sample = batch

    def energy(x):
        hidden = torch.sum(torch.log(1 + torch.exp(x @ model.W + model.hb)), 1)  # <- here
        return -hidden - x @ model.vb

    return torch.mean(energy(v)) - torch.mean(energy(sample)) + 0.1 * (model.W**2).sum()


def free_energy_fixed(model, batch):
    v, sample = batch

    def energy(x):
        return -torch.sum(F.softplus(x @ model.W + model.hb), 1) - x @ model.vb

    return torch.mean(energy(v)) - torch.mean(energy(sample)) + 0.1 * (model.W**2).sum()


def expected_likelihood(mu, raw, y):
    sigma = F.softplus(raw) + 1e-2
    density = torch.exp(-0.5 * ((y - mu) / sigma) ** 2) / sigma
    r = density / torch.sum(density, 1, keepdim=True)  # <- here
    return torch.mean(torch.sum(r.detach() * (0.5 * ((y - mu) / sigma) ** 2 + torch.log(sigma)), 1))


def expected_likelihood_fixed(mu, raw, y):
    sigma = F.softplus(raw) + 1e-2
    cost = 0.5 * ((y - mu) / sigma) ** 2 + torch.log(sigma)
    return torch.mean(torch.sum(torch.softmax(-cost, 1).detach() * cost, 1))


def critic_with_penalty(model, batch):
    fake, real = batch
    mixed = (0.5 * fake + 0.5 * real).requires_grad_(True)
    slope = torch.autograd.grad(model(mixed).sum(), mixed, create_graph=True)[0]
    norm = torch.sqrt(torch.sum(slope**2, dim=1))  # <- here
    return model(fake).mean() - model(real).mean() + 10.0 * torch.mean((norm - 1.0) ** 2)


def critic_with_penalty_fixed(model, batch):
    fake, real = batch
    mixed = (0.5 * fake + 0.5 * real).requires_grad_(True)
    slope = torch.autograd.grad(model(mixed).sum(), mixed, create_graph=True)[0]
    norm = torch.sqrt(torch.sum(slope**2, dim=1) + 1e-12)
    return model(fake).mean() - model(real).mean() + 10.0 * torch.mean((norm - 1.0) ** 2)


GANS = modelled(Gan, normal(8, 3), normal(8, 5))
AUTO = modelled(Autoencoder, normal(8, 6), normal(8, 6))
PIXELS = given("x", logits=normal(4, 6), x=lambda g: torch.randint(2, (4, 6), generator=g).float())
MIXED = given("y", out=normal(8, 9), y=normal(8, 1))
VISIBLE = modelled(Boltzmann, unit(8, 6), unit(8, 6))
COMPONENTS = given("y", mu=normal(8, 3), raw=normal(8, 3), y=normal(8, 1))
CRITIC = modelled(Critic, normal(8, 4), normal(8, 4))


def _sure(state):
    state["D.2.bias"].fill_(120.0)


def _unsure(state):
    state["D.2.bias"].fill_(-120.0)


def _zero_sigma(state):
    state["sigma.weight"].zero_()
    state["sigma.bias"].zero_()


def _dead_units(state):
    state["layers.0.bias"].fill_(-100.0)


CASES = (
    bug(discriminator_loss, GANS, "log", GAN, _sure),
    sound(discriminator_loss_fixed, GANS, GAN, _sure),
    bug(generator_loss, GANS, "log", GAN, _unsure),
    sound(generator_loss_fixed, GANS, GAN, _unsure),
    bug(reconstruction, PIXELS, "log", VAE, fill(logits=40.0)),
    sound(reconstruction_in_order, PIXELS, VAE),
    bug(vae_of_sigma, AUTO, "log", SIGMA, _zero_sigma, verdict="limit defect"),
    sound(vae_of_sigma_fixed, AUTO, SIGMA, _zero_sigma),
    bug(mixture_density, MIXED, "log exp", MDN, put(y=300.0)),
    sound(mixture_density_fixed, MIXED, MDN, put(y=300.0)),
    bug(free_energy, VISIBLE, "exp", RBM, scale(W=3e3)),
    sound(free_energy_fixed, VISIBLE, RBM, scale(W=3e3)),
    bug(expected_likelihood, COMPONENTS, "div", GMM, put(y=300.0)),
    sound(expected_likelihood_fixed, COMPONENTS, GMM, put(y=300.0)),
    bug(critic_with_penalty, CRITIC, "sqrt", GP, _dead_units, phase="backward", verdict="defect limit"),
    sound(critic_with_penalty_fixed, CRITIC, GP, _dead_units),
)
