"""Variational bounds whose posterior is a normal draw pushed through a flow: right ones, and wrong by one symbol."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, given, normal, sound

PLANAR = "Rezende & Mohamed, Variational inference with normalizing flows, ICML 2015, equations 13 and 15"
COUPLING = "Dinh et al., Density estimation using Real NVP, ICLR 2017, as a posterior"
IAF = "Kingma et al., Improved variational inference with inverse autoregressive flow, NeurIPS 2016, algorithm 1"
SQUASHED = "Haarnoja et al., Soft actor-critic, ICML 2018, appendix C, as the posterior of a latent"
LOGIT_NORMAL = "Srivastava & Sutton, ICLR 2017: a logistic-normal latent; PyTorch, SigmoidTransform"
LOG_2PI = math.log(2 * math.pi)


def _normal(z, mean, log_var):
    return -0.5 * (LOG_2PI + log_var + (z - mean) ** 2 * torch.exp(-log_var)).sum(-1)


def _standard(z):
    return -0.5 * (z**2 + LOG_2PI).sum(-1)


def _drawn(mu, log_var):
    return mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)


def _held(log_var):
    return log_var.clamp(-8.0, 8.0)


def _likely(z, decoder, x):
    return -F.binary_cross_entropy_with_logits(z @ decoder, x, reduction="none").sum(-1)


def _planar(z, w, u, b):
    """One step, with u held where the map can be inverted (appendix A.1), and its log-determinant."""
    dot = (w * u).sum(-1, keepdim=True)
    safe = u + (F.softplus(dot) - 1 - dot) * w / ((w**2).sum(-1, keepdim=True) + 1e-8)
    hidden = torch.tanh((z * w).sum(-1, keepdim=True) + b)
    psi = (1 - hidden**2) * w
    return z + safe * hidden, torch.log(torch.abs(1 + (psi * safe).sum(-1)) + 1e-8)


def planar_vae(mu, log_var, w, u, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _planar(z0, w, u, b)
    log_q = _normal(z0, mu, log_var) - log_det
    return -(_likely(z, decoder, x) + _standard(z) - log_q).mean()


def planar_vae_with_wrong_sign(mu, log_var, w, u, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _planar(z0, w, u, b)
    log_q = _normal(z0, mu, log_var) + log_det  # <- here
    return -(_likely(z, decoder, x) + _standard(z) - log_q).mean()


def planar_vae_without_determinant(mu, log_var, w, u, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, _ = _planar(z0, w, u, b)  # <- here
    log_q = _normal(z0, mu, log_var)  # <- here
    return -(_likely(z, decoder, x) + _standard(z) - log_q).mean()  # <- here


def planar_vae_by_two_steps(mu, log_var, w, u, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z1, first = _planar(z0, w, u, b)
    z, second = _planar(z1, u, w, -b)
    kl = _normal(z0, mu, log_var) - first - second - _standard(z)
    return (kl - _likely(z, decoder, x)).mean()


def planar_vae_by_two_steps_one_forgotten(mu, log_var, w, u, b, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z1, first = _planar(z0, w, u, b)
    z, _ = _planar(z1, u, w, -b)  # <- here
    kl = _normal(z0, mu, log_var) - first - _standard(z)  # <- here
    return (kl - _likely(z, decoder, x)).mean()


def _coupled(z, shift, log_scale):
    """The second half moved by what the first half says."""
    kept, moved = z.chunk(2, -1)
    scale = torch.tanh(kept * log_scale)
    return torch.cat([kept, moved * torch.exp(scale) + kept * shift], -1), scale.sum(-1)


def coupling_vae(mu, log_var, shift, log_scale, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _coupled(z0, shift, log_scale)
    kl = _normal(z0, mu, log_var) - log_det - _standard(z)
    return (kl - _likely(z, decoder, x)).mean()


def coupling_vae_with_wrong_sign(mu, log_var, shift, log_scale, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _coupled(z0, shift, log_scale)
    kl = _normal(z0, mu, log_var) + log_det - _standard(z)  # <- here
    return (kl - _likely(z, decoder, x)).mean()


def coupling_vae_with_half_the_determinant(mu, log_var, shift, log_scale, decoder, x):
    log_var = _held(log_var)
    z0 = _drawn(mu, log_var)
    z, log_det = _coupled(z0, shift, log_scale)
    kl = _normal(z0, mu, log_var) - 0.5 * log_det - _standard(z)  # <- here
    return (kl - _likely(z, decoder, x)).mean()


def _autoregressive(z, mix, gate):
    """Each number scaled by a sigmoid of those before it, with no other bias than the sigmoid's (their section 4)."""
    before = z @ torch.tril(mix, -1).t()
    sigma = torch.sigmoid(before + gate)
    return sigma * z + (1 - sigma) * before, F.logsigmoid(before + gate).sum(-1)


def autoregressive_vae(mu, log_var, mix, gate, decoder, x):
    log_var = _held(log_var)
    sigma = torch.exp(0.5 * log_var)
    eps = torch.randn_like(mu)
    log_q = -(torch.log(sigma) + 0.5 * eps**2 + 0.5 * LOG_2PI).sum(-1)
    z, log_det = _autoregressive(mu + sigma * eps, mix, gate)
    return -(_likely(z, decoder, x) + _standard(z) - (log_q - log_det)).mean()


def autoregressive_vae_with_log_variance_for_sigma(mu, log_var, mix, gate, decoder, x):
    log_var = _held(log_var)
    sigma = torch.exp(0.5 * log_var)
    eps = torch.randn_like(mu)
    log_q = -(log_var + 0.5 * eps**2 + 0.5 * LOG_2PI).sum(-1)  # <- here
    z, log_det = _autoregressive(mu + sigma * eps, mix, gate)
    return -(_likely(z, decoder, x) + _standard(z) - (log_q - log_det)).mean()


def autoregressive_vae_with_wrong_sign(mu, log_var, mix, gate, decoder, x):
    log_var = _held(log_var)
    sigma = torch.exp(0.5 * log_var)
    eps = torch.randn_like(mu)
    log_q = -(torch.log(sigma) + 0.5 * eps**2 + 0.5 * LOG_2PI).sum(-1)
    z, log_det = _autoregressive(mu + sigma * eps, mix, gate)
    return -(_likely(z, decoder, x) + _standard(z) - (log_q + log_det)).mean()  # <- here


def squashed_vae(mu, log_var, decoder, x):
    log_var = _held(log_var)
    u = _drawn(mu, log_var)
    z = torch.tanh(u)
    log_q = _normal(u, mu, log_var) - 2 * (math.log(2) - u - F.softplus(-2 * u)).sum(-1)
    return -(_likely(z, decoder, x) - math.log(2) * mu.shape[-1] - log_q).mean()


def squashed_vae_with_wrong_sign(mu, log_var, decoder, x):
    log_var = _held(log_var)
    u = _drawn(mu, log_var)
    z = torch.tanh(u)
    log_q = _normal(u, mu, log_var) + 2 * (math.log(2) - u - F.softplus(-2 * u)).sum(-1)  # <- here
    return -(_likely(z, decoder, x) - math.log(2) * mu.shape[-1] - log_q).mean()


def logit_normal_vae(mu, log_var, decoder, x):
    log_var = _held(log_var)
    q = torch.distributions.TransformedDistribution(
        torch.distributions.Normal(mu.clamp(-5.0, 5.0), torch.exp(0.5 * log_var)),
        torch.distributions.SigmoidTransform(),
    )
    z = q.rsample()
    prior = torch.distributions.Beta(torch.full_like(mu, 2.0), torch.full_like(mu, 2.0))
    kl = (q.log_prob(z) - prior.log_prob(z)).sum(-1)
    return (kl - _likely(z, decoder, x)).mean()


def logit_normal_vae_with_wrong_sign(mu, log_var, decoder, x):
    log_var = _held(log_var)
    q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
    u = q.rsample()
    log_det = F.logsigmoid(u) + F.logsigmoid(-u)
    prior = torch.distributions.Beta(torch.full_like(mu, 2.0), torch.full_like(mu, 2.0))
    z = torch.sigmoid(u)
    kl = (q.log_prob(u) + log_det - prior.log_prob(z)).sum(-1)  # <- here
    return (kl - _likely(z, decoder, x)).mean()


POSTERIOR = {"mu": normal(12, 4, scale=0.7), "log_var": normal(12, 4, scale=0.4, shift=-0.5)}
DATA = {"decoder": normal(4, 6), "x": bits(12, 6)}
STEP = given("x", **POSTERIOR, w=normal(12, 4), u=normal(12, 4), b=normal(12, 1), **DATA)
HALVES = given("x", **POSTERIOR, shift=normal(12, 2), log_scale=normal(12, 2), **DATA)
CHAIN = given("x", **POSTERIOR, mix=normal(4, 4, scale=0.5), gate=normal(12, 4, shift=1.0), **DATA)
PLAIN = given("x", **POSTERIOR, **DATA)
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}
CASES = (
    sound(planar_vae, STEP, PLANAR),
    bug(planar_vae_with_wrong_sign, STEP, "log add sub sum mean", PLANAR, **WRONG),
    bug(planar_vae_without_determinant, STEP, "add sub mul sum mean", PLANAR, **WRONG),
    sound(planar_vae_by_two_steps, STEP, PLANAR),
    bug(planar_vae_by_two_steps_one_forgotten, STEP, "log add sub mul sum mean", PLANAR, **WRONG),
    sound(coupling_vae, HALVES, COUPLING),
    bug(coupling_vae_with_wrong_sign, HALVES, "tanh sum add sub mean", COUPLING, **WRONG),
    bug(coupling_vae_with_half_the_determinant, HALVES, "tanh sum mul sub mean", COUPLING, **WRONG),
    sound(autoregressive_vae, CHAIN, IAF),
    bug(autoregressive_vae_with_log_variance_for_sigma, CHAIN, "add sum neg mean", IAF, **WRONG),
    bug(autoregressive_vae_with_wrong_sign, CHAIN, "log add sub sum mean", IAF, **WRONG),
    sound(squashed_vae, PLAIN, SQUASHED),
    bug(squashed_vae_with_wrong_sign, PLAIN, "add mul sum softplus sub mean", SQUASHED, **WRONG),
    sound(logit_normal_vae, PLAIN, LOGIT_NORMAL),
    bug(logit_normal_vae_with_wrong_sign, PLAIN, "add sub sum mean", LOGIT_NORMAL, **WRONG),
)  # fmt: skip
