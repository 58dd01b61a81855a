"""Third set written before the tool was run on it: likelihoods of public code as they stand, guards and all.

Two of them were called sound at first and are not, by exact arithmetic: they are defects here.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    counts,
    fill,
    given,
    modelled,
    normal,
    positive,
    simplex,
    sound,
    unit,
)

HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


def small(outputs: int, width: int = 8):
    """Four features, one hidden layer."""
    return lambda: nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Linear(width, outputs))


def normal_inverse_gamma(output, target):
    raw = F.softplus(output[:, 1:]) + 1e-6
    location, precision, shape, rate = output[:, 0], raw[:, 0], raw[:, 1] + 1.0, raw[:, 2]
    omega = 2 * rate * (1 + precision)
    error = target[:, 0] - location
    nll = 0.5 * torch.log(math.pi / precision) - shape * torch.log(omega)
    nll = nll + (shape + 0.5) * torch.log(precision * error**2 + omega) + torch.lgamma(shape)
    nll = nll - torch.lgamma(shape + 0.5)
    return (nll + 0.01 * error.abs() * (2 * precision + shape)).mean()


def evidence_of_classes(output, target):
    alpha = F.softplus(output) + 1.0
    total = alpha.sum(-1, keepdim=True)
    fit = (target * (torch.digamma(total) - torch.digamma(alpha))).sum(-1)
    other = target + (1 - target) * alpha
    mass = other.sum(-1)
    log_norm = torch.lgamma(mass) - torch.lgamma(other).sum(-1) - math.lgamma(output.shape[-1])
    spread = torch.digamma(other) - torch.digamma(mass).unsqueeze(-1)
    return (fit + 0.1 * (log_norm + ((other - 1) * spread).sum(-1))).mean()


def mixture_elu(output, target):
    weights, mu, raw = output.view(-1, 3, 3).unbind(1)
    sigma = F.elu(raw) + 1 + 1e-4
    z = (target - mu) / sigma
    parts = torch.log_softmax(weights, -1) - 0.5 * z**2 - torch.log(sigma) - HALF_LOG_TWO_PI
    return -torch.logsumexp(parts, -1).mean()


def mixture_of_factors(output, target):
    parts = output.view(-1, 3, 6)
    factor = torch.diag_embed(F.softplus(parts[..., 3:5]) + 1e-3)
    lower = torch.zeros_like(factor)
    lower[..., 1, 0] = parts[..., 5]
    factor = factor + lower
    away = (target.unsqueeze(1) - parts[..., 1:3]).unsqueeze(-1)
    white = torch.linalg.solve_triangular(factor, away, upper=False).squeeze(-1)
    log_det = torch.log(torch.diagonal(factor, dim1=-2, dim2=-1)).sum(-1)
    log_p = -0.5 * (white**2).sum(-1) - log_det - 2 * HALF_LOG_TWO_PI
    return -torch.logsumexp(torch.log_softmax(parts[..., 0], -1) + log_p, -1).mean()


class Coupling(nn.Module):
    """Two affine couplings with bounded log-scales."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(2, 4), nn.Linear(2, 4)

    def forward(self, x):
        a, b = x.chunk(2, -1)
        raw, shift = self.first(a).chunk(2, -1)
        s = 2 * torch.tanh(raw)
        b = b * torch.exp(s) + shift
        raw, shift = self.second(b).chunk(2, -1)
        t = 2 * torch.tanh(raw)
        return torch.cat([a * torch.exp(t) + shift, b, s + t], -1)


def flow_of_couplings(output, target):
    z, log_det = output[:, :4], output[:, 4:].sum(-1)
    return (0.5 * (z**2).sum(-1) + 4 * HALF_LOG_TWO_PI - log_det).mean()


class GatedStep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 8)

    def forward(self, x):
        raw, mean = self.layer(x).chunk(2, -1)
        gate = torch.sigmoid(raw + 2)
        return torch.cat([gate * x + (1 - gate) * mean, F.logsigmoid(raw + 2)], -1)


def inverse_autoregressive(output, target):
    z, log_gate = output.chunk(2, -1)
    return (0.5 * (z**2).sum(-1) - log_gate.sum(-1) + 0.1 * (z - target).abs().sum(-1)).mean()


def free_bits(output, target):
    logits, mu, log_var = output[:, :4], output[:, 4:6], output[:, 6:].clamp(-10, 10)
    kl = 0.5 * (mu**2 + torch.exp(log_var) - 1 - log_var)
    per_unit = kl.mean(0).clamp(min=0.05).sum()
    return F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / len(target) + per_unit


def inflated_negative_binomial(x, logits, share, theta):
    library = x.sum(-1, keepdim=True) + 1.0
    mu, r = torch.softmax(logits, -1) * library, torch.exp(theta)
    log_r_mu = torch.log(r + mu + 1e-8)
    zero = -share + r * (torch.log(r + 1e-8) - log_r_mu)
    at_zero = F.softplus(zero) - F.softplus(-share)
    above = zero - F.softplus(-share) + x * (torch.log(mu + 1e-8) - log_r_mu)
    above = above + torch.lgamma(x + r) - torch.lgamma(r) - torch.lgamma(x + 1)  # <- here
    return -torch.where(x < 0.5, at_zero, above).sum(-1).mean()


def inflated_poisson(output, target):
    rate = F.softplus(output[:, :1]) + 1e-6
    closed, open_ = F.logsigmoid(output[:, 1:]), F.logsigmoid(-output[:, 1:])
    count = open_ + target * torch.log(rate) - rate - torch.lgamma(target + 1)
    return -torch.where(target == 0, torch.logaddexp(closed, open_ - rate), count).mean()


def lifetime_value(output, target):
    is_buyer = (target > 0).float()
    sold = F.binary_cross_entropy_with_logits(output[:, :1], is_buyer)
    scale = F.softplus(output[:, 2:]).clamp(min=1e-3)
    amount = is_buyer * target + (1 - is_buyer)
    log_p = D.LogNormal(output[:, 1:2], scale).log_prob(amount)
    return sold - (is_buyer * log_p).mean()


def gamma_deviance(output, target):
    return (target * torch.exp(-output) + output).mean()


def compound_poisson(output, target):
    return (2 * torch.exp(0.5 * output) + 2 * target * torch.exp(-0.5 * output)).mean()


def overdispersed(output, target):
    law = D.NegativeBinomial(F.softplus(output[:, :1]) + 1e-3, logits=output[:, 1:])
    return -law.log_prob(target).mean()


def share_of_a_whole(output, target):
    law = D.Beta(F.softplus(output[:, :1]) + 1e-2, F.softplus(output[:, 1:]) + 1e-2)
    return -law.log_prob(target).mean()


def heavy_tails(output, target):
    df, scale = 2 + F.softplus(output[:, 1:2]), F.softplus(output[:, 2:]) + 1e-3
    z = (target - output[:, :1]) / scale
    norm = torch.lgamma(0.5 * (df + 1)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(math.pi * df) - torch.log(scale)
    return (0.5 * (df + 1) * torch.log1p(z**2 / df) - norm).mean()


def heading(output, target):
    law = D.VonMises(torch.atan2(output[:, 0], output[:, 1] + 1e-6), F.softplus(output[:, 2]) + 1e-2)
    return -law.log_prob(target[:, 0]).mean()


def laplace_paths(output, target):
    mean, scale = output[:, :2], F.elu(output[:, 2:]) + 1 + 1e-3
    return (torch.log(2 * scale) + (target - mean).abs() / scale).mean()


def ranked_probability(output, target):
    sigma = F.softplus(output[:, 1:]) + 1e-4
    z = (target - output[:, :1]) / sigma
    density = torch.exp(-0.5 * z**2 - HALF_LOG_TWO_PI)
    return (sigma * (z * torch.erf(z / math.sqrt(2)) + 2 * density - 1 / math.sqrt(math.pi))).mean()


def low_rank_normal(output, target):
    factor = output[:, 3:6].unsqueeze(-1)
    law = D.LowRankMultivariateNormal(output[:, :3], factor, F.softplus(output[:, 6:]) + 1e-3)
    return -law.log_prob(target).mean()


def composition(output, target):
    return -D.Dirichlet(F.softplus(output) + 1e-2).log_prob(target).mean()


def process_evidence(x, y, log_length, log_scale, raw_noise):
    gap = (x.unsqueeze(0) - x.unsqueeze(1)).square().sum(-1)
    kernel = torch.exp(log_scale) * torch.exp(-0.5 * gap * torch.exp(-2 * log_length))
    noisy = kernel + (F.softplus(raw_noise) + 1e-3) * torch.eye(len(x))
    factor = torch.linalg.cholesky(noisy)  # <- here
    white = torch.linalg.solve_triangular(factor, y.unsqueeze(-1), upper=False)
    return 0.5 * white.square().sum() + torch.log(torch.diagonal(factor)).sum() + len(x) * HALF_LOG_TWO_PI


def filtered(series, raw_drift, raw_noise, raw_gain):
    drift, noise, decay = F.softplus(raw_drift) + 1e-4, F.softplus(raw_noise) + 1e-3, torch.tanh(raw_gain)
    mean, spread, nll = torch.zeros(series.shape[0]), torch.ones(series.shape[0]), 0.0
    for step in range(series.shape[1]):
        mean, spread = decay * mean, decay**2 * spread + drift
        total = spread + noise
        error = series[:, step] - mean
        nll = nll + 0.5 * (torch.log(total) + error**2 / total) + HALF_LOG_TWO_PI
        gain = spread / total
        mean, spread = mean + gain * error, (1 - gain) * spread
    return nll.mean()


def volatility(returns, raw):
    base, react, keep = F.softplus(raw[0]) + 1e-4, 0.5 * torch.sigmoid(raw[1]), 0.5 * torch.sigmoid(raw[2])
    variance, nll = returns.var(-1) + 1e-4, 0.0
    for step in range(returns.shape[1]):
        nll = nll + 0.5 * (torch.log(variance) + returns[:, step] ** 2 / variance)
        variance = base + react * returns[:, step] ** 2 + keep * variance
    return nll.mean()


GENE_COUNTS = {"x": counts(16, 5), "logits": normal(16, 5), "share": normal(16, 5), "theta": normal(5)}
SCVI = "github.com/scverse/scvi-tools, log_zinb_positive; FactVAE, loss.py"

CASES = (
    sound(
        normal_inverse_gamma,
        modelled(small(4), normal(32, 4), normal(32, 1)),
        "Amini et al. 2020, arXiv:1910.02600; trainsn/Evidential-Surrogate, loss_helper.py, softplus heads",
    ),
    sound(
        evidence_of_classes,
        modelled(small(4), normal(32, 4), lambda g: torch.eye(4)[torch.randint(4, (32,), generator=g)]),
        "Sensoy et al. 2018, arXiv:1806.01768; public PyTorch ports with softplus evidence",
    ),
    sound(
        mixture_elu,
        modelled(small(9), normal(32, 4), normal(32, 1)),
        "github.com/tonyduan/mixture-density-network, pull 4: ELU + 1 + eps and logits",
    ),
    sound(
        mixture_of_factors,
        modelled(small(18), normal(32, 4), normal(32, 2)),
        "github.com/blei-lab/edward, issue 880: full-covariance mixtures by Cholesky factors, with softplus diagonals",
    ),
    sound(
        flow_of_couplings,
        modelled(Coupling, normal(32, 4), normal(32, 1)),
        "Dinh et al. 2017, arXiv:1605.08803; public RealNVP ports with tanh-bounded scales",
    ),
    sound(
        inverse_autoregressive,
        modelled(GatedStep, normal(32, 4), normal(32, 4)),
        "Kingma et al. 2016, arXiv:1606.04934, gated step with logsigmoid",
    ),
    sound(
        free_bits,
        modelled(small(8), normal(32, 4), bits(32, 4)),
        "Kingma et al. 2016, arXiv:1606.04934, eq. 15 (free bits); public VAE training code",
    ),
    bug(
        inflated_negative_binomial,
        given("x", **GENE_COUNTS),
        "lgamma",
        SCVI + "; lgamma(x + r) - lgamma(r) cancels from theta = 9 on",
        fill(theta=-104.0),
        kind="nan inf sign-flip precision",
        verdict="defect limit silent",
    ),
    sound(
        inflated_poisson,
        modelled(small(2), normal(32, 4), counts(32, 1, mean=1.5)),
        "Lambert 1992; public zero-inflated Poisson losses in log space",
    ),
    sound(
        lifetime_value,
        modelled(small(3), normal(32, 4), lambda g: torch.relu(torch.randn(32, 1, generator=g)) * 3),
        "Wang et al. 2019, arXiv:1912.07753; PyTorch ports of zero_inflated_lognormal_loss",
    ),
    sound(gamma_deviance, modelled(small(1), normal(32, 4), positive(32, 1)), "scikit-learn HalfGammaLoss, log link"),
    sound(
        compound_poisson,
        modelled(small(1), normal(32, 4), lambda g: torch.relu(torch.randn(32, 1, generator=g))),
        "LightGBM tweedie objective at rho = 1.5, log link",
    ),
    sound(
        overdispersed,
        modelled(small(2), normal(32, 4), counts(32, 1)),
        "torch.distributions.NegativeBinomial with logits, DeepAR ports",
    ),
    sound(
        share_of_a_whole,
        modelled(small(2), normal(32, 4), unit(32, 1)),
        "Beta regression heads in public code, softplus + 1e-2",
    ),
    sound(heavy_tails, modelled(small(3), normal(32, 4), normal(32, 1)), "GluonTS StudentT output: df = 2 + softplus"),
    sound(
        heading,
        modelled(small(3), normal(32, 4), lambda g: 6 * torch.rand(32, 1, generator=g) - 3),
        "torch.distributions.VonMises on (sin, cos) heads, pose estimation code",
    ),
    sound(
        laplace_paths,
        modelled(small(4), normal(32, 4), normal(32, 2)),
        "github.com/ZikangZhou/HiVT, laplace_nll_loss with elu + 1 + min_scale",
    ),
    sound(
        ranked_probability,
        modelled(small(2), normal(32, 4), normal(32, 1)),
        "Gneiting et al. 2005, closed-form CRPS of a normal; properscoring ports",
    ),
    sound(
        low_rank_normal,
        modelled(small(9), normal(32, 4), normal(32, 3)),
        "torch.distributions.LowRankMultivariateNormal, GluonTS output",
    ),
    sound(
        composition,
        modelled(small(4), normal(32, 4), simplex(32, 4)),
        "Dirichlet regression heads in public code, softplus + 1e-2",
    ),
    bug(
        process_evidence,
        given("x y", x=normal(16, 2), y=normal(16), log_length=normal(), log_scale=normal(), raw_noise=normal()),
        "cholesky",
        "Rasmussen & Williams 2006, eq. 2.30; a noise floor that does not grow with the scale of the kernel",
        fill(log_length=13.0, log_scale=11.0, raw_noise=-11.0),
        kind="nan inf raises",
    ),
    sound(
        filtered,
        given("series", series=normal(16, 8), raw_drift=normal(), raw_noise=normal(), raw_gain=normal()),
        "state-space likelihood by the Kalman recursion, public PyTorch code",
    ),
    sound(
        volatility,
        given("returns", returns=normal(16, 8), raw=normal(3)),
        "Bollerslev 1986, GARCH(1,1) by gradient descent in public code",
    ),
)
