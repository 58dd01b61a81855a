"""Densities written by hand, as scripts of students have them: mixtures, counts, durations, angles, each repaired."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, counts, fill, given, modelled, normal, positive, put, sound, unit

MDN = "mixture density network of a tutorial (Bishop 1994), densities added as they are"
STROKE = "handwriting tutorial (Graves 2013): a normal of two correlated coordinates"
COUNTS = "Poisson regression of a script, the rate behind a rectifier"
READS = "negative binomial autoencoder of reads, one logarithm a side"
RAIN = "gamma regression of rain by hand"
FAILURES = "Weibull time to event (Martinsson 2016), raw heads under exp"
HETERO = "heteroscedastic regression, sigma as the head gives it"
TAILS = "Student-t noise with trained degrees of freedom"
ANGLES = "von Mises regression of angles, Bessel function as it is"
EM = "a step of EM for a mixture of normals, then its expected loss"
SHARES = "beta regression of shares"
LIMIT = {"verdict": "limit"}


class Mixture(nn.Module):
    """Three components from one input."""

    def __init__(self):
        super().__init__()
        self.hidden = nn.Linear(3, 16)
        self.z_pi, self.z_mu, self.z_sigma = nn.Linear(16, 3), nn.Linear(16, 3), nn.Linear(16, 3)

    def forward(self, x):
        h = torch.tanh(self.hidden(x))
        return torch.softmax(self.z_pi(h), -1), self.z_mu(h), torch.exp(self.z_sigma(h))


def mdn_loss(pi, mu, sigma, y):
    kernel = torch.exp(-0.5 * ((y - mu) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    result = torch.sum(kernel * pi, dim=1)
    return torch.mean(-torch.log(result))  # <- here


def mdn_loss_in_logs(pi, mu, sigma, y):
    log_sigma = torch.log(sigma + 1e-6)
    kernel = -0.5 * ((y - mu) / (sigma + 1e-6)) ** 2 - log_sigma - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(kernel + torch.log(pi + 1e-12), dim=1).mean()


def stroke_loss(out, pen):
    mx, my, sx, sy, rho = out.unbind(-1)
    sx, sy, rho = sx.exp(), sy.exp(), torch.tanh(rho)
    dx, dy = (pen[:, 0] - mx) / sx, (pen[:, 1] - my) / sy
    z = dx**2 + dy**2 - 2 * rho * dx * dy
    one = 1 - rho**2
    log_n = -z / (2 * one) - torch.log(2 * math.pi * sx * sy * torch.sqrt(one))  # <- here
    return -log_n.mean()


def stroke_loss_held_inside(out, pen):
    mx, my, lx, ly, rho = out.unbind(-1)
    lx, ly, rho = lx.clamp(-5, 5), ly.clamp(-5, 5), 0.95 * torch.tanh(rho)
    dx, dy = (pen[:, 0] - mx) * torch.exp(-lx), (pen[:, 1] - my) * torch.exp(-ly)
    z = dx**2 + dy**2 - 2 * rho * dx * dy
    one = 1 - rho**2
    return (z / (2 * one) + math.log(2 * math.pi) + lx + ly + 0.5 * torch.log(one)).mean()


def count_loss(rate, y):
    return (rate - y * torch.log(rate)).mean()  # <- here


def count_loss_above_zero(rate, y):
    rate = rate + 1e-3
    return (rate - y * torch.log(rate)).mean()


def reads_nll(model, batch):
    x, n = batch
    raw_r, raw_p = model(x).chunk(2, -1)
    r, p = F.softplus(raw_r) + 0.1, torch.sigmoid(raw_p)
    coef = torch.lgamma(n + r) - torch.lgamma(r) - torch.lgamma(n + 1)
    return -(coef + r * torch.log(1 - p) + n * torch.log(p)).sum(1).mean()  # <- here


def reads_nll_of_scores(model, batch):
    x, n = batch
    raw_r, raw_p = model(x).chunk(2, -1)
    r = F.softplus(raw_r) + 0.1
    coef = torch.lgamma(n + r) - torch.lgamma(r) - torch.lgamma(n + 1)
    return -(coef + r * F.logsigmoid(-raw_p) + n * F.logsigmoid(raw_p)).sum(1).mean()


def rain_loss(out, mm):
    a, b = F.softplus(out[:, 0]), F.softplus(out[:, 1])
    ll = a * torch.log(b) - torch.lgamma(a) + (a - 1) * torch.log(mm) - b * mm  # <- here
    return -ll.mean()


def rain_loss_above_a_floor(out, mm):
    a, b = F.softplus(out[:, 0]) + 1e-3, F.softplus(out[:, 1]) + 1e-3
    ll = a * torch.log(b) - torch.lgamma(a) + (a - 1) * torch.log(mm) - b * mm
    return -ll.mean()


def weibull_loss(out, t):
    lam, k = torch.exp(out[:, 0]), torch.exp(out[:, 1])
    ratio = t / lam  # <- here
    hazard = torch.log(k / lam) + (k - 1) * torch.log(ratio)  # <- here
    return -(hazard - torch.pow(ratio, k)).mean()  # <- here


def weibull_loss_of_bounded_heads(out, t):
    log_lam = 4 * torch.tanh(out[:, 0] / 4)
    k = 0.5 + 2 * torch.sigmoid(out[:, 1])
    log_ratio = torch.log(t) - log_lam
    return -(torch.log(k) - log_lam + (k - 1) * log_ratio - torch.exp(k * log_ratio)).mean()


def noise_loss(out, y):
    mu, sigma = out[:, 0], out[:, 1]
    return (torch.log(sigma) + (y - mu) ** 2 / (2 * sigma**2)).mean()  # <- here


def noise_loss_of_softplus(out, y):
    mu, sigma = out[:, 0], F.softplus(out[:, 1]) + 1e-3
    return (torch.log(sigma) + (y - mu) ** 2 / (2 * sigma**2)).mean()


class Tails(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
        self.nu = nn.Parameter(torch.tensor(4.0))
        self.log_scale = nn.Parameter(torch.tensor(0.0))


def tail_loss(model, batch):
    x, y = batch
    nu = model.nu
    z = (y - model.mean(x)[:, 0]) * torch.exp(-model.log_scale)
    norm = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * torch.log(nu * math.pi)  # <- here
    return -(norm - model.log_scale - (nu + 1) / 2 * torch.log1p(z**2 / nu)).mean()  # <- here


def tail_loss_above_two(model, batch):
    x, y = batch
    nu = 2 + F.softplus(model.nu)
    z = (y - model.mean(x)[:, 0]) * torch.exp(-model.log_scale.clamp(-5, 5))
    norm = torch.lgamma((nu + 1) / 2) - torch.lgamma(nu / 2) - 0.5 * torch.log(nu * math.pi)
    return -(norm - model.log_scale.clamp(-5, 5) - (nu + 1) / 2 * torch.log1p(z**2 / nu)).mean()


def angle_loss(out, angle):
    mu, kappa = math.pi * torch.tanh(out[:, 0]), F.softplus(out[:, 1])
    norm = torch.log(2 * math.pi * torch.i0(kappa))  # <- here
    return (norm - kappa * torch.cos(angle - mu)).mean()


def angle_loss_scaled(out, angle):
    mu, kappa = math.pi * torch.tanh(out[:, 0]), F.softplus(out[:, 1])
    norm = math.log(2 * math.pi) + torch.log(torch.special.i0e(kappa)) + kappa
    return (norm - kappa * torch.cos(angle - mu)).mean()


def em_loss(mu, log_sd, share, x):
    gap = (x[:, None] - mu) / log_sd.exp()
    pdf = torch.softmax(share, 0) * torch.exp(-0.5 * gap**2) / log_sd.exp()
    resp = (pdf / pdf.sum(1, keepdim=True)).detach()  # <- here
    return -(resp * (torch.log_softmax(share, 0) - 0.5 * gap**2 - log_sd)).sum(1).mean()


def em_loss_in_logs(mu, log_sd, share, x):
    log_sd = log_sd.clamp(-4, 4)
    gap = (x[:, None] - mu) / log_sd.exp()
    joint = torch.log_softmax(share, 0) - 0.5 * gap**2 - log_sd
    resp = torch.softmax(joint, 1).detach()
    return -(resp * joint).sum(1).mean()


def share_loss(out, y):
    a, b = 1 + F.softplus(out).unbind(-1)[0], 1 + F.softplus(out).unbind(-1)[1]
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return (log_beta - (a - 1) * torch.log(y) - (b - 1) * torch.log(1 - y)).mean()  # <- here


def share_loss_inside(out, y):
    a, b = 1 + F.softplus(out).unbind(-1)[0], 1 + F.softplus(out).unbind(-1)[1]
    y = y.clamp(1e-4, 1 - 1e-4)
    log_beta = torch.lgamma(a) + torch.lgamma(b) - torch.lgamma(a + b)
    return (log_beta - (a - 1) * torch.log(y) - (b - 1) * torch.log(1 - y)).mean()


def heads(count, hidden=12):
    return lambda: nn.Sequential(nn.Linear(4, hidden), nn.Tanh(), nn.Linear(hidden, count))


def positive_at_first():
    """Both heads start near 1, as an initial bias of 1 has them."""
    model = heads(2)()
    nn.init.constant_(model[2].bias, 1.0)
    nn.init.normal_(model[2].weight, std=0.05)
    return model


def rated():
    return nn.Sequential(nn.Linear(4, 12), nn.ReLU(), nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 1), nn.Softplus())


def rectified():
    return nn.Sequential(*list(rated())[:-1], nn.ReLU())


X = normal(16, 4)
MIXED = modelled(Mixture, normal(16, 3), normal(16, 1))
PEN = modelled(heads(5), X, normal(16, 2))
READ = modelled(heads(6), X, counts(16, 3))
RAINED = modelled(heads(2), X, positive(16))
NOISY = modelled(heads(2), X, normal(16))
BUNDLED = given(mu=normal(3), log_sd=normal(3, scale=0.1), share=normal(3), x=normal(20), target="x")
CASES = (
    bug(mdn_loss, MIXED, "log", MDN, fill({"z_mu.bias": 50.0})),
    sound(mdn_loss_in_logs, MIXED, MDN, fill({"z_mu.bias": 50.0})),
    bug(stroke_loss, PEN, "div log sqrt", STROKE, fill({"2.bias": 20.0})),
    sound(stroke_loss_held_inside, PEN, STROKE, fill({"2.bias": 4.0})),
    bug(count_loss, modelled(rectified, X, counts(16, 1)), "log", COUNTS, fill({"4.bias": -9.0}), **LIMIT),
    sound(count_loss_above_zero, modelled(rated, X, counts(16, 1)), COUNTS),
    bug(reads_nll, READ, "log", READS, fill({"2.bias": 40.0})),
    sound(reads_nll_of_scores, READ, READS, fill({"2.bias": 40.0})),
    bug(rain_loss, RAINED, "log lgamma digamma", RAIN, fill({"2.bias": -110.0})),
    sound(rain_loss_above_a_floor, RAINED, RAIN),
    bug(weibull_loss, RAINED, "div log pow exp", FAILURES, put({"2.bias": -110.0}), verdict="defect limit"),
    sound(weibull_loss_of_bounded_heads, RAINED, FAILURES),
    bug(noise_loss, modelled(positive_at_first, X, normal(16)), "log", HETERO, fill({"2.bias": -3.0}), **LIMIT),
    sound(noise_loss_of_softplus, NOISY, HETERO),
    bug(tail_loss, modelled(Tails, X, normal(16)), "lgamma log div log1p", TAILS, fill(nu=-0.5), **LIMIT),
    sound(tail_loss_above_two, modelled(Tails, X, normal(16)), TAILS),
    bug(angle_loss, NOISY, "i0", ANGLES, fill({"2.bias": 100.0})),
    sound(angle_loss_scaled, NOISY, ANGLES, fill({"2.bias": 100.0})),
    bug(em_loss, BUNDLED, "div", EM, fill(mu=60.0)),
    sound(em_loss_in_logs, BUNDLED, EM, fill(mu=60.0)),
    bug(share_loss, modelled(heads(2), X, unit(16)), "log", SHARES, put(targets=0.0), **LIMIT),
    sound(share_loss_inside, modelled(heads(2), X, unit(16)), SHARES, put(targets=0.0)),
)
