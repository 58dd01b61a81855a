"""Latent variables: variational autoencoders, RBMs, flows, relaxed samples, optimal transport."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, given, normal, positive, put, scale, simplex, sound, unit
from benchmarks.detect.cases.categorical import GRIST

VAE = "Kingma & Welling, Auto-encoding variational Bayes, arXiv:1312.6114"
POSTERIOR = given(mu=normal(8, 4), log_var=normal(8, 4, scale=0.5))
RBM = given(weight=normal(6, 4, scale=0.1), bias=normal(4), v=bits(8, 6), target="v")


def kl_of_log_variance(mu, log_var):
    return -0.5 * (1 + log_var - mu**2 - torch.exp(log_var)).sum(-1).mean()


def kl_of_sigma(mu, raw):
    sigma = torch.exp(raw)
    return (0.5 * (mu**2 + sigma**2 - 1) - torch.log(sigma)).sum(-1).mean()  # <- here


def kl_with_log_of_variance(mu, raw):
    var = torch.sigmoid(raw)
    return 0.5 * (mu**2 + var - 1 - torch.log(var)).sum(-1).mean()  # <- here


def kl_by_distributions(mu, log_var):
    q = torch.distributions.Normal(mu, torch.exp(0.5 * log_var))
    p = torch.distributions.Normal(torch.zeros_like(mu), torch.ones_like(mu))
    return torch.distributions.kl_divergence(q, p).sum(-1).mean()  # <- here


def elbo_with_bernoulli_by_hand(mu, log_var, decoder, x):
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    p = torch.sigmoid(z @ decoder)
    rec = -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(-1)  # <- here
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)
    return (rec + kl).mean()


def elbo_with_logits(mu, log_var, decoder, x):
    z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
    rec = F.binary_cross_entropy_with_logits(z @ decoder, x, reduction="none").sum(-1)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)
    return (rec + kl).mean()


def rbm_free_energy_by_hand(weight, bias, v):
    hidden = v @ weight + bias
    return -torch.log(1 + torch.exp(hidden)).sum(-1).mean()  # <- here


def rbm_free_energy(weight, bias, v):
    return -F.softplus(v @ weight + bias).sum(-1).mean()


def sparse_autoencoder(raw):
    rho_hat = torch.sigmoid(raw).mean(0)
    rho = 0.05
    kl = rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))  # <- here
    return kl.sum()


def sparse_autoencoder_bounded(raw):
    rho_hat = torch.sigmoid(raw).mean(0).clamp(1e-4, 1 - 1e-4)
    rho = 0.05
    return (rho * torch.log(rho / rho_hat) + (1 - rho) * torch.log((1 - rho) / (1 - rho_hat))).sum()


def gumbel_by_hand(logits, u):
    gumbel = -torch.log(-torch.log(u))  # <- here
    y = torch.softmax((logits + gumbel) / 0.5, -1)
    return (y * torch.arange(4.0)).sum(-1).mean()


def gumbel_bounded(logits, u):
    gumbel = -torch.log(-torch.log(u.clamp(1e-6, 1 - 1e-6)))
    y = torch.softmax((logits + gumbel) / 0.5, -1)
    return (y * torch.arange(4.0)).sum(-1).mean()


def coupling_flow(log_scale, shift, x):
    bounded = 2.0 * torch.tanh(log_scale)
    z = x * torch.exp(bounded) + shift
    return (0.5 * z**2 + 0.5 * math.log(2 * math.pi) - bounded).sum(-1).mean()


def tanh_flow(raw, mu):
    action = torch.tanh(raw)
    log_prob = -0.5 * (raw - mu) ** 2 - torch.log(1 - action**2)  # <- here
    return log_prob.sum(-1).mean()


def tanh_flow_softplus(raw, mu):
    log_jacobian = 2.0 * (math.log(2.0) - raw - F.softplus(-2.0 * raw))
    return (-0.5 * (raw - mu) ** 2 - log_jacobian).sum(-1).mean()


def tanh_flow_with_epsilon(raw, mu):
    action = torch.tanh(raw)
    return (-0.5 * (raw - mu) ** 2 - torch.log(1 - action**2 + 1e-6)).sum(-1).mean()


def planar_flow(w, u, x):
    hidden = torch.tanh(x @ w)
    psi = (1 - hidden**2)[:, None] * w
    log_det = torch.log(torch.abs(1 + psi @ u))  # <- here
    z = x + hidden[:, None] * u
    return (0.5 * z.pow(2).sum(-1) - log_det).mean()


def inverse_sigmoid_by_hand(x, shift):
    z = torch.log(x) - torch.log(1 - x)  # <- here
    log_det = -torch.log(x) - torch.log(1 - x)
    return (0.5 * (z - shift) ** 2 - log_det).mean()


def dequantised_logit_flow(x, shift):
    safe = 0.05 + 0.9 * x
    z = torch.logit(safe)
    log_det = -torch.log(safe) - torch.log1p(-safe)
    return (0.5 * (z - shift) ** 2 - log_det).mean()


def sinkhorn_by_division(cost, a, b):
    kernel = torch.exp(-cost / 0.05)
    u = torch.ones_like(a)
    for _ in range(5):
        v = b / (kernel.t() @ u)  # <- here
        u = a / (kernel @ v)  # <- here
    return (u[:, None] * kernel * v[None, :] * cost).sum()


def sinkhorn_in_logs(cost, a, b):
    score, log_a, log_b = -cost / 0.05, torch.log(a), torch.log(b)
    f, g = torch.zeros_like(a), torch.zeros_like(b)
    for _ in range(5):
        g = log_b - torch.logsumexp(score + f[:, None], 0)
        f = log_a - torch.logsumexp(score + g[None, :], 1)
    return (torch.exp(score + f[:, None] + g[None, :]) * cost).sum()


def discretised_logistic(mean, raw, x):
    inv = torch.exp(-raw)
    plus, minus = inv * (x - mean + 1 / 255), inv * (x - mean - 1 / 255)
    delta = torch.sigmoid(plus) - torch.sigmoid(minus)
    return -torch.log(delta).mean()  # <- here


def importance_weighted(log_p, log_q):
    w = torch.exp(log_p - log_q)  # <- here
    return -torch.log(w.mean(-1)).mean()  # <- here


def importance_weighted_logsumexp(log_p, log_q):
    return -(torch.logsumexp(log_p - log_q, -1) - math.log(log_p.shape[-1])).mean()


def concrete_dropout_entropy(p_logit):
    p = torch.sigmoid(p_logit)
    return (p * torch.log(p) + (1 - p) * torch.log(1 - p)).sum()  # <- here


def concrete_dropout_entropy_by_logits(p_logit):
    p = torch.sigmoid(p_logit)
    return (p * F.logsigmoid(p_logit) + (1 - p) * F.logsigmoid(-p_logit)).sum()


def vector_quantised(z, codebook):
    distance = torch.cdist(z, codebook).detach()
    nearest = codebook[distance.argmin(1)]
    return F.mse_loss(nearest, z.detach()) + 0.25 * F.mse_loss(z, nearest.detach())


def score_matching(score, noise):
    return 0.5 * ((score * 0.1 + noise) ** 2).sum(-1).mean()


def wasserstein_of_gaussians(mu, s1, s2):
    return (mu**2 + (torch.sqrt(s1) - torch.sqrt(s2)) ** 2).mean()


def free_bits(mu, log_var):
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).mean(0)
    return torch.clamp(kl, min=0.1).sum()


LATENT = given(mu=normal(8, 4), log_var=normal(8, 4, scale=0.5), decoder=normal(4, 6), x=bits(8, 6), target="x")
TANH = given(raw=normal(8, 2), mu=normal(8, 2))
TRANSPORT = given(cost=lambda g: torch.rand(5, 5, generator=g), a=simplex(5), b=simplex(5))
WEIGHTS = given(log_p=normal(8, 6), log_q=normal(8, 6))
CASES = (
    sound(kl_of_log_variance, POSTERIOR, VAE, put(log_var=-60.0)),
    bug(kl_of_sigma, given(mu=normal(8, 4), raw=normal(8, 4, scale=0.5)), "exp log pow", VAE + "; " + GRIST,
        put(raw=-120.0)),
    bug(kl_with_log_of_variance, given(mu=normal(8, 4), raw=normal(8, 4)), "log", GRIST, put(raw=-200.0)),
    bug(kl_by_distributions, POSTERIOR, "log", "PyTorch documentation, torch.distributions.kl_divergence: the log of a "
        "ratio of variances", put(log_var=-110.0)),
    bug(elbo_with_bernoulli_by_hand, LATENT, "log mul", VAE + "; " + GRIST, scale(decoder=100.0)),
    sound(elbo_with_logits, LATENT, VAE + "; github.com/pytorch/examples vae", scale(decoder=100.0)),
    bug(rbm_free_energy_by_hand, RBM, "exp log", GRIST + ": RBM", put(bias=120.0)),
    sound(rbm_free_energy, RBM, "Hinton, A practical guide to training RBMs, 2010", put(bias=120.0)),
    bug(sparse_autoencoder, given(raw=normal(10, 4)), "log div", "Ng, Sparse autoencoder, CS294A lecture notes 2011",
        lambda s: s["raw"].fill_(-200.0)),
    sound(sparse_autoencoder_bounded, given(raw=normal(10, 4)), "Ng 2011, bounded", lambda s: s["raw"].fill_(-20.0)),
    bug(gumbel_by_hand, given(logits=normal(8, 4), u=unit(8, 4), target="u"), "log add softmax", "Jang et al., "
        "Categorical reparameterization with Gumbel-softmax, ICLR 2017", lambda s: s["u"][0].fill_(0.0),
        verdict="defect limit"),
    sound(gumbel_bounded, given(logits=normal(8, 4), u=unit(8, 4), target="u"), "Jang et al., ICLR 2017",
          lambda s: s["u"][0].fill_(0.0)),
    sound(coupling_flow, given(log_scale=normal(8, 3), shift=normal(8, 3), x=normal(8, 3), target="x"),
          "Dinh et al., Density estimation using Real NVP, ICLR 2017", put(log_scale=50.0)),
    bug(tanh_flow, TANH, "tanh log sub pow", "Haarnoja et al., Soft actor-critic, ICML 2018, appendix C",
        put(raw=12.0)),
    sound(tanh_flow_softplus, TANH, "PyTorch documentation, torch.distributions.transforms.TanhTransform",
          put(raw=12.0)),
    sound(tanh_flow_with_epsilon, TANH, "Haarnoja et al., ICML 2018, released code adds 1e-6"),
    bug(planar_flow, given(w=normal(2), u=normal(2), x=normal(8, 2), target="x"), "log", "Rezende & Mohamed, "
        "Variational inference with normalizing flows, ICML 2015, appendix A.1: u must be constrained",
        lambda s: (s["w"].fill_(1.0), s["x"][0].fill_(0.0), s["u"].fill_(-0.5)), verdict="defect limit"),
    bug(inverse_sigmoid_by_hand, given(x=unit(10), shift=normal(10), target="x"), "log sub", "Dinh et al., ICLR 2017, "
        "section 4.1: data at 0 and 1 need alpha", put(x=1.0), verdict="defect limit"),
    sound(dequantised_logit_flow, given(x=unit(10), shift=normal(10), target="x"), "Dinh et al., ICLR 2017",
          put(x=1.0)),
    bug(sinkhorn_by_division, TRANSPORT, "exp div", "Cuturi, Sinkhorn distances, NeurIPS 2013; Schmitzer, Stabilized "
        "sparse scaling algorithms, SIAM 2019", lambda s: s["cost"][0].fill_(20.0)),
    sound(sinkhorn_in_logs, TRANSPORT, "Peyre & Cuturi, Computational optimal transport, 2019, section 4.4",
          lambda s: s["cost"][0].fill_(20.0)),
    bug(discretised_logistic, given(mean=normal(10, scale=0.2), raw=normal(10, scale=0.3, shift=-2.0),
        x=normal(10, scale=0.2), target="x"), "log sub sigmoid", "Salimans et al., PixelCNN++, ICLR 2017, section 2.1",
        put(mean=40.0)),
    bug(importance_weighted, WEIGHTS, "exp log", "Burda et al., Importance weighted autoencoders, ICLR 2016",
        lambda s: s["log_p"].fill_(-200.0)),
    sound(importance_weighted_logsumexp, WEIGHTS, "Burda et al., ICLR 2016", lambda s: s["log_p"].fill_(-200.0)),
    bug(concrete_dropout_entropy, given(p_logit=normal(6)), "log mul", "Gal et al., Concrete dropout, NeurIPS 2017",
        put(p_logit=60.0)),
    sound(concrete_dropout_entropy_by_logits, given(p_logit=normal(6)), "Gal et al., NeurIPS 2017", put(p_logit=60.0)),
    sound(vector_quantised, given(z=normal(8, 3), codebook=normal(5, 3)), "van den Oord et al., Neural discrete "
          "representation learning, NeurIPS 2017", lambda s: s["z"].copy_(s["codebook"][:1].expand(8, 3))),
    sound(score_matching, given(score=normal(8, 3), noise=normal(8, 3), target="noise"),
          "Vincent, A connection between score matching and denoising autoencoders, 2011", scale(score=100.0)),
    sound(wasserstein_of_gaussians, given(mu=normal(6), s1=positive(6), s2=positive(6)),
          "Dowson & Landau, The Frechet distance between multivariate normal distributions, 1982"),
    sound(free_bits, POSTERIOR, "Kingma et al., Inverse autoregressive flow, NeurIPS 2016", put(log_var=-30.0)),
)  # fmt: skip
