"""A second blind round: written after the tool was improved on the first, and before it was run on these."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, counts, given, modelled, normal, positive, scale, sound, unit
from benchmarks.detect.cases.unseen_density import at_zero
from benchmarks.detect.cases.unseen_detection import EITHER

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


# ---- models -------------------------------------------------------------------------------------------------------


class Triples(nn.Module):
    """Head, relation and tail of a knowledge graph."""

    def __init__(self) -> None:
        super().__init__()
        self.entity, self.relation = nn.Parameter(torch.randn(7, 4)), nn.Parameter(torch.randn(3, 4))

    def unit(self, e):
        return e / torch.sqrt((e**2).sum(-1, keepdim=True))  # <- here

    def forward(self, ids):
        e = self.unit(self.entity)
        return (e[ids[:, 0]] + self.relation[ids[:, 1]] - e[ids[:, 2]]).abs().sum(1)


class TriplesNormalised(Triples):
    def unit(self, e):
        return F.normalize(e, dim=-1)


def margin_of_triples(model, batch):
    true, corrupt = batch
    return torch.relu(1.0 + model(true) - model(corrupt)).mean()


class Speaker(nn.Module):
    """Frames to an utterance by mean and deviation."""

    def __init__(self) -> None:
        super().__init__()
        self.frame, self.out = nn.Linear(4, 5), nn.Linear(10, 3)

    def pooled(self, h):
        mean = h.mean(1, keepdim=True)
        return torch.cat([mean[:, 0], torch.sqrt(((h - mean) ** 2).mean(1))], 1)  # <- here

    def forward(self, x):
        return self.out(self.pooled(torch.relu(self.frame(x))))


class SpeakerEps(Speaker):
    def pooled(self, h):
        return torch.cat([h.mean(1), torch.sqrt(h.var(1) + 1e-5)], 1)


def label_entropy(logits, y):
    return F.cross_entropy(logits, y)


class Polar(nn.Module):
    """A field in polar coordinates, at points of the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(2, 6), nn.Linear(6, 1)

    def features(self, xy):
        r = torch.sqrt((xy**2).sum(1))
        return torch.stack([torch.log(r), xy[:, 0] / r], 1)  # <- here

    def forward(self, xy):
        return self.head(torch.tanh(self.body(self.features(xy))))[:, 0]


class PolarEps(Polar):
    def features(self, xy):
        r = torch.sqrt((xy**2).sum(1) + 1e-6)
        return torch.stack([torch.log(r), xy[:, 0] / r], 1)


def field_error(u, goal):
    return ((u - goal) ** 2).mean()


class Standardising(nn.Module):
    """Targets are standardised by statistics that are kept as buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 1)
        self.register_buffer("centre", torch.tensor([0.7]))
        self.register_buffer("spread", torch.tensor([1.9]))

    def forward(self, x):
        return self.net(x)[:, 0]


def standardised_error(model, batch):
    x, y = batch
    weights = torch.ones(len(y)) / len(y)
    return F.huber_loss(model(x), (y - model.centre) / model.spread, reduction="none") @ weights.to(x)


class Judge(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.two(F.softplus(self.one(x)))[:, 0]


def r1_regularised(model, batch):
    fake, real = batch
    real = real.clone().requires_grad_(True)
    score = model(real)
    (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
    return F.softplus(-score).mean() + F.softplus(model(fake)).mean() + 5 * (slope**2).sum(1).mean()


# ---- bare losses, each with what is wrong and a form that holds ---------------------------------------------------


def gate_entropy(scores, cost):
    p = torch.softmax(scores, -1)
    return (p * cost).sum(-1).mean() + 0.01 * (p * torch.log(p)).sum(-1).mean()  # <- here


def gate_entropy_logs(scores, cost):
    log_p = torch.log_softmax(scores, -1)
    return (log_p.exp() * cost).sum(-1).mean() + 0.01 * (log_p.exp() * log_p).sum(-1).mean()


def kumaraswamy(raw_a, raw_b, x):
    a, b = F.softplus(raw_a), F.softplus(raw_b)
    return -(torch.log(a * b) + (a - 1) * torch.log(x) + (b - 1) * torch.log(1 - x**a)).mean()  # <- here


def kumaraswamy_expm1(raw_a, raw_b, x):
    a, b = F.softplus(raw_a) + 1e-3, F.softplus(raw_b) + 1e-3
    log_x = torch.log(x)
    rest = torch.log(-torch.expm1(a * log_x))
    return -(torch.log(a) + torch.log(b) + (a - 1) * log_x + (b - 1) * rest).mean()


def tweedie(raw, y):
    mu = F.softplus(raw)
    return (y * 2 * mu**-0.5 + 2 * mu**0.5).mean()  # <- here


def tweedie_floor(raw, y):
    mu = F.softplus(raw) + 1e-4
    return (y * 2 * mu**-0.5 + 2 * mu**0.5).mean()


def noise_contrast(anchor, near, far):
    good = torch.exp((anchor * near).sum(1) / 0.07)  # <- here
    bad = torch.exp(anchor @ far.T / 0.07).sum(1)  # <- here
    return -torch.log(good / (good + bad + 1e-7)).mean()  # <- here


def noise_contrast_logs(anchor, near, far):
    logits = torch.cat([(anchor * near).sum(1, keepdim=True), anchor @ far.T], 1) / 0.07
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.long))


def balanced_bce(raw, y):
    weight = (1 - y).sum() / y.sum()  # <- here
    return F.binary_cross_entropy_with_logits(raw, y, pos_weight=weight)


def balanced_bce_bounded(raw, y):
    weight = ((1 - y).sum() / y.sum().clamp(min=1)).clamp(max=100)
    return F.binary_cross_entropy_with_logits(raw, y, pos_weight=weight)


def kernel_gap(x, y):
    z = torch.cat([x, y])
    d = ((z[:, None] - z) ** 2).sum(-1)
    k = torch.exp(-d / d.mean())  # <- here
    n = len(x)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def kernel_gap_eps(x, y):
    z = torch.cat([x, y])
    d = ((z[:, None] - z) ** 2).sum(-1)
    k = torch.exp(-d / (d.mean().detach() + 1e-6))
    n = len(x)
    return k[:n, :n].mean() + k[n:, n:].mean() - 2 * k[:n, n:].mean()


def failure_time(mu, log_sigma, log_t, event):
    z = (log_t - mu) * torch.exp(-log_sigma.clamp(-3, 3))
    dies = -0.5 * z**2 - log_sigma.clamp(-3, 3) - HALF_LOG_2PI
    lives = torch.log(0.5 * (1 - torch.erf(z / math.sqrt(2))))  # <- here
    return -(event * dies + (1 - event) * lives).mean()


def failure_time_ndtr(mu, log_sigma, log_t, event):
    z = (log_t - mu) * torch.exp(-log_sigma.clamp(-3, 3))
    dies = -0.5 * z**2 - log_sigma.clamp(-3, 3) - HALF_LOG_2PI
    return -(event * dies + (1 - event) * torch.special.log_ndtr(-z)).mean()


def inverse_variance(raw, residual):
    precision = 1 / torch.exp(raw) ** 2  # <- here
    return (precision * residual**2 + 2 * raw).mean()


def inverse_variance_logs(raw, residual):
    raw = raw.clamp(-8, 8)
    return (torch.exp(-2 * raw) * residual**2 + 2 * raw).mean()


def crf_free_pairs(raw, y):
    p = torch.sigmoid(raw)
    entropy = -(p * torch.log(p) + (1 - p) * torch.log(1 - p))  # <- here
    return F.binary_cross_entropy_with_logits(raw, y) - 0.1 * entropy.mean()


def bernoulli_entropy_logits(raw, y):
    p = torch.sigmoid(raw)
    entropy = F.softplus(raw) - raw * p
    return F.binary_cross_entropy_with_logits(raw, y) - 0.1 * entropy.mean()


def overdispersed(log_mu, log_r, y):
    mu, r = torch.exp(log_mu), torch.exp(log_r)
    gap = torch.lgamma(y + r) - torch.lgamma(r)  # <- here
    return -(gap + r * torch.log(r / (r + mu)) + y * torch.log(mu / (r + mu)) - torch.lgamma(y + 1)).mean()  # <- here


def asymmetric(raw, y):
    p = torch.sigmoid(raw)
    q = (1 - p + 0.05).clamp(max=1)
    good, bad = y * torch.log(p.clamp(min=1e-8)), (1 - y) * torch.log(q.clamp(min=1e-8))
    return -((good + bad) * (1 - p * y - q * (1 - y)) ** 2).mean()


def mixup_categorical(logits, share):
    return -(share * F.log_softmax(logits, dim=1)).sum(1).mean()


def advantage_actor(mu, log_std, action, gain):
    log_std = log_std.clamp(-3, 1)
    log_prob = -0.5 * ((action - mu) * torch.exp(-log_std)) ** 2 - log_std - HALF_LOG_2PI
    gain = (gain - gain.mean()) / (gain.std() + 1e-8)
    return -(log_prob * gain).mean()


def expected_dirichlet(raw, y):
    alpha = F.softplus(raw) + 1
    total = alpha.sum(1, keepdim=True)
    risk = (y * (torch.digamma(total) - torch.digamma(alpha))).sum(1)
    flat = y + (1 - y) * alpha
    count = flat.sum(1, keepdim=True)
    kl = (torch.lgamma(count)[:, 0] - torch.lgamma(flat).sum(1) - math.lgamma(4)
          + ((flat - 1) * (torch.digamma(flat) - torch.digamma(count))).sum(1))  # fmt: skip
    return (risk + 0.1 * kl).mean()


def aligned_kernels(x, y):
    a, b = x @ x.T, y @ y.T
    centre = torch.eye(len(x)) - torch.ones(len(x), len(x)) / len(x)
    a, b = centre.to(x) @ a @ centre.to(x), centre.to(x) @ b @ centre.to(x)
    return 1 - (a * b).sum() / ((a.norm() + 1e-6) * (b.norm() + 1e-6))


def coincide(state):
    state["x"].fill_(0.5)
    state["y"].fill_(0.5)


def silence(state):
    state["frame.weight"].zero_()
    state["frame.bias"].fill_(0.5)  # below 0 the relu's gradient would hide the NaN


TRIPLES = lambda g: torch.stack([torch.randint(k, (9,), generator=g) for k in (7, 3, 7)], 1)  # noqa: E731
TIMES = {"mu": normal(8), "log_sigma": normal(8, scale=0.3), "log_t": normal(8), "event": bits(8)}
CLOUDS = {"x": normal(5, 2), "y": normal(5, 2)}
ROWS, LABELS = normal(8, 6, 4), classes(8, 3)
CASES = (
    bug(margin_of_triples, modelled(Triples, TRIPLES, TRIPLES), "div sqrt", "Bordes et al., TransE, NeurIPS 2013, "
        "normalised by hand", at_zero("entity"), verdict=EITHER, where=(Triples,)),
    sound(margin_of_triples, modelled(TriplesNormalised, TRIPLES, TRIPLES), "Bordes et al. 2013, the repair",
          at_zero("entity")),
    bug(label_entropy, modelled(Speaker, ROWS, LABELS), "sqrt", "Snyder et al., ICASSP 2018: a unit that is constant "
        "over time", silence, verdict=EITHER, where=(Speaker,)),
    sound(label_entropy, modelled(SpeakerEps, ROWS, LABELS), "Snyder et al. 2018, the repair", silence),
    bug(field_error, modelled(Polar, normal(8, 2), normal(8)), "log div sqrt", "physics-informed networks in polar "
        "coordinates: a point at the origin", lambda s: s["inputs"][0].zero_(), verdict=EITHER, where=(Polar,)),
    sound(field_error, modelled(PolarEps, normal(8, 2), normal(8)), "the same, bounded",
          lambda s: s["inputs"][0].zero_()),
    sound(standardised_error, modelled(Standardising, normal(8, 4), normal(8)), "forecasting repositories: targets "
          "standardised by buffers"),
    sound(r1_regularised, modelled(Judge, normal(8, 4), normal(8, 4)), "Mescheder et al., ICML 2018: R1",
          lambda s: s["two.weight"].zero_()),
    bug(gate_entropy, given(scores=normal(6, 4), cost=positive(6, 4), target="cost"), "log mul", "Shazeer et al., ICLR "
        "2017: the entropy of gates by hand", scale(scores=100)),
    sound(gate_entropy_logs, given(scores=normal(6, 4), cost=positive(6, 4), target="cost"), "the same in logarithms",
          scale(scores=100)),
    bug(kumaraswamy, given(raw_a=normal(8), raw_b=normal(8), x=unit(8), target="x"), "log sub pow",
        "Nalisnick & Smyth, "
        "ICLR 2017: 1 - x**a", lambda s: s["raw_a"].fill_(-20)),
    sound(kumaraswamy_expm1, given(raw_a=normal(8), raw_b=normal(8), x=unit(8), target="x"), "the same with expm1",
          lambda s: s["raw_a"].fill_(-20)),
    bug(tweedie, given(raw=normal(8), y=positive(8), target="y"), "pow", "actuarial repositories: mu**(1 - p)",
        lambda s: s["raw"].fill_(-120)),
    sound(tweedie_floor, given(raw=normal(8), y=positive(8), target="y"), "the same with a floor",
          lambda s: s["raw"].fill_(-120)),
    bug(noise_contrast, given(anchor=normal(6, 4), near=normal(6, 4), far=normal(9, 4)), "exp div log",
        "Tian et al., CRD, "
        "ICLR 2020, on raw features", scale(anchor=20)),
    sound(noise_contrast_logs, given(anchor=normal(6, 4), near=normal(6, 4), far=normal(9, 4)),
        "the same by cross_entropy",
          scale(anchor=20)),
    bug(balanced_bce, given(raw=normal(8), y=bits(8), target="y"), "div", "forum threads on pos_weight: no positives",
        at_zero("y"), verdict=EITHER),
    sound(balanced_bce_bounded, given(raw=normal(8), y=bits(8), target="y"), "the same, bounded", at_zero("y")),
    bug(kernel_gap, given(**CLOUDS, target="y"), "div", "Long et al., DAN, ICML 2015: the bandwidth of equal points",
        coincide, verdict=EITHER),
    sound(kernel_gap_eps, given(**CLOUDS, target="y"), "the same with a floor", coincide),
    bug(failure_time, given(**TIMES, target="log_t event"), "log sub", "accelerated failure time by erf",
        lambda s: s["mu"].fill_(-9)),
    sound(failure_time_ndtr, given(**TIMES, target="log_t event"), "the same by log_ndtr", lambda s: s["mu"].fill_(-9)),
    bug(inverse_variance, given(raw=normal(8), residual=normal(8), target="residual"), "div pow exp", "heteroscedastic "
        "regression: 1 / exp(raw)**2", lambda s: s["raw"].fill_(90)),
    sound(inverse_variance_logs, given(raw=normal(8), residual=normal(8), target="residual"), "the same, bounded",
          lambda s: s["raw"].fill_(60)),
    bug(crf_free_pairs, given(raw=normal(8), y=bits(8), target="y"), "log sub mul",
        "semi-supervised repositories: binary "
        "entropy", lambda s: s["raw"].fill_(60)),
    sound(bernoulli_entropy_logits, given(raw=normal(8), y=bits(8), target="y"), "the same from logits",
          lambda s: s["raw"].fill_(60)),
    bug(overdispersed, given(log_mu=normal(8), log_r=normal(8, shift=2), y=counts(8), target="y"),
        "sub div lgamma exp log",
        "issue scvi-tools#2965: a large inverse dispersion", lambda s: s["log_r"].fill_(16),
        kind="precision nan inf", verdict="silent defect"),
    sound(asymmetric, given(raw=normal(8), y=bits(8), target="y"), "Ridnik et al., ICCV 2021",
          lambda s: s["raw"].fill_(60)),
    sound(mixup_categorical, given(logits=normal(8, 4), share=lambda g: torch.softmax(torch.randn(8, 4, generator=g),
        1),
          target="share"), "Zhang et al., mixup, ICLR 2018", scale(logits=50)),
    sound(advantage_actor, given(mu=normal(8), log_std=normal(8, scale=0.3), action=normal(8), gain=normal(8),
          target="action gain"), "A2C repositories: normalised advantages"),
    sound(expected_dirichlet, given(raw=normal(8, 4), y=lambda g: torch.eye(4)[torch.randint(4, (8,), generator=g)],
          target="y"), "Sensoy et al., NeurIPS 2018, with its KL", lambda s: s["raw"].fill_(-60)),
    sound(aligned_kernels, given(x=normal(6, 3), y=normal(6, 4), target="y"), "Kornblith et al., CKA, ICML 2019"),
)  # fmt: skip
