"""Variational bounds in other arrangements: priors that are learned, several levels, models that return their draws."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, given, modelled, normal, sound
from benchmarks.detect.cases.latent_flows import COUPLING, DATA, PLANAR, WRONG, _drawn, _held, _normal

LADDER = "Sonderby et al., Ladder variational autoencoders, NeurIPS 2016, equations 1 to 5"
VAMP = "Tomczak & Welling, VAE with a VampPrior, AISTATS 2018: a mixture as the prior"
FLOW_PRIOR = "Chen et al., Variational lossy autoencoder, ICLR 2017, section 3.2: a flow as the prior"
LANDING = "Roeder et al., Sticking the landing, NeurIPS 2017: log q without the gradient of its parameters"
LOG_2PI = math.log(2 * math.pi)


def _likely(z, decoder, x):
    return -F.binary_cross_entropy_with_logits(z @ decoder, x, reduction="none").sum(-1)


def _standard(z):
    return -0.5 * (z**2 + LOG_2PI).sum(-1)


def _stretched(z, w, b):
    """Each number stretched by a positive slope and bent by a sigmoid: monotone, so that it can be inverted."""
    slope = F.softplus(w) + 0.1
    log_det = torch.log(slope + torch.sigmoid(z + b) * torch.sigmoid(-z - b))
    return slope * z + torch.sigmoid(z + b), log_det.sum(-1)


def ladder(mu, log_var, down, decoder, x):
    log_var = _held(log_var)
    first = _drawn(mu, log_var)
    middle = torch.tanh(first @ down)
    second = middle + torch.exp(0.25 * middle) * torch.randn_like(middle)
    log_q = _normal(first, mu, log_var) + _normal(second, middle, 0.5 * middle)
    log_p = _standard(second) + _standard(first - torch.tanh(second @ down.t()))
    return (log_q - log_p - _likely(first, decoder, x)).mean()


def ladder_with_one_sign_turned(mu, log_var, down, decoder, x):
    log_var = _held(log_var)
    first = _drawn(mu, log_var)
    middle = torch.tanh(first @ down)
    second = middle + torch.exp(0.25 * middle) * torch.randn_like(middle)
    log_q = _normal(first, mu, log_var) - _normal(second, middle, 0.5 * middle)  # <- here
    log_p = _standard(second) + _standard(first - torch.tanh(second @ down.t()))
    return (log_q - log_p - _likely(first, decoder, x)).mean()  # <- here


def mixture_prior(mu, log_var, w, b, places, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _stretched(z0, w, b)
    log_p = torch.logsumexp(-0.5 * ((z[:, None] - places) ** 2 + LOG_2PI).sum(-1), -1) - math.log(3)
    return (_normal(z0, mu, log_var) - log_det - log_p - _likely(z, decoder, x)).mean()


def flow_prior(mu, log_var, w, b, decoder, x):
    log_var = _held(log_var)
    z = _drawn(mu, log_var)
    base, log_det = _stretched(z, w, b)
    return (_normal(z, mu, log_var) - (_standard(base) + log_det) - _likely(z, decoder, x)).mean()


def sticking_the_landing(mu, log_var, w, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _stretched(z0, w, b)
    log_q = _normal(z0, mu.detach(), log_var.detach()) - log_det
    return (log_q - _standard(z) - _likely(z, decoder, x)).mean()


def annealed_parts(mu, log_var, w, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _stretched(z0, w, b)
    kl = _normal(z0, mu, log_var).mean() - log_det.mean() - _standard(z).mean()
    return 0.25 * kl - _likely(z, decoder, x).mean()


def annealed_parts_but_for_the_flow(mu, log_var, w, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _stretched(z0, w, b)
    kl = _normal(z0, mu, log_var).mean() - _standard(z).mean()
    return 0.25 * kl - log_det.mean() - _likely(z, decoder, x).mean()  # <- here


class CouplingVAE(nn.Module):
    """Gives the logits, mu, log sigma^2, the first draw, the last and the log-determinant."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(8, 8), nn.Linear(4, 8)
        self.net = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 4))

    def forward(self, x):
        mu, log_var = self.encoder(x).chunk(2, -1)
        log_var = log_var.clamp(-8.0, 8.0)
        first = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        kept, moved = first.chunk(2, -1)
        scale, shift = self.net(kept).chunk(2, -1)
        scale = torch.tanh(scale)
        last = torch.cat([kept, moved * torch.exp(scale) + shift], -1)
        return self.decoder(last), mu, log_var, first, last, scale.sum(-1)


def coupling_elbo(output, x):
    logits, mu, log_var, first, last, log_det = output
    error = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    return (error + _normal(first, mu, log_var) - log_det - _standard(last)).mean()


def coupling_elbo_with_wrong_sign(output, x):
    logits, mu, log_var, first, last, log_det = output
    error = F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    return (error + _normal(first, mu, log_var) + log_det - _standard(last)).mean()  # <- here


POSTERIOR = {"mu": normal(12, 4, scale=0.7), "log_var": normal(12, 4, scale=0.4, shift=-0.5)}
BENT = given("x", **POSTERIOR, w=normal(12, 4), b=normal(12, 4), **DATA)
TWO = given("x", **POSTERIOR, down=normal(4, 4, scale=0.5), **DATA)
MODEL = modelled(CouplingVAE, bits(12, 8), bits(12, 8))
CASES = (
    sound(ladder, TWO, LADDER),
    bug(ladder_with_one_sign_turned, TWO, "sub add sum mean", LADDER, **WRONG),
    sound(mixture_prior, given("x", **POSTERIOR, w=normal(12, 4), b=normal(12, 4), places=normal(3, 4), **DATA), VAMP),
    sound(flow_prior, BENT, FLOW_PRIOR),
    sound(sticking_the_landing, BENT, LANDING),
    sound(annealed_parts, BENT, PLANAR),
    bug(annealed_parts_but_for_the_flow, BENT, "mean sub add", PLANAR, **WRONG),
    sound(coupling_elbo, MODEL, COUPLING),
    bug(coupling_elbo_with_wrong_sign, MODEL, "add sub sum mean", COUPLING, **WRONG),
)  # fmt: skip
