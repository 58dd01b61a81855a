"""Losses of public research repositories, re-expressed: survival, time series, retrieval, cells, finance, poses."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, counts, fill, given, modelled, normal, positive, put, unit

DSM = "Deep Survival Machines (Nagpal et al. 2021): normal primitives, events picked out by numpy"
DEEPAR = "DeepAR ports: time steps without a reading are left out by their zeros"
GLPN = "scale-invariant depth loss of monocular depth networks (Eigen et al. 2014)"
VAMP = "discretised logistic of VampPrior and IAF codes (Kingma et al. 2016)"
POSE = "rotation error of pose refinement codes: the bound of the cosine is 1 - 1e-8"
BALANCED = "class-balanced focal loss (Cui et al. 2019), its modulating factor by hand"
CELLS = "negative binomial of single-cell autoencoders, dispersion up to a million"
KENDALL = "uncertainty weights of several tasks (Kendall et al. 2018), the scale itself trained"
SHARPE = "end-to-end portfolio codes: a Sharpe ratio of every rolling window"
DIVERSE = "diversity of a population by the determinant of a kernel (Parker-Holder et al. 2020)"
MULTILABEL = "supervised contrast over keys in few-shot codes: exponentials of scores, both signs"
STUDENT = "Student-t regression of sensor codes: log of a square root of an exponential"
CRPS = "CRPS of a normal in weather codes, its spread the absolute value of an output"
MMD = "maximum mean discrepancy with its bandwidth from the batch (Long et al. 2015), read past autograd"
LIMIT = "limit defect"


def events(mu, scale, t, seen):
    gone = 0.5 - 0.5 * torch.erf((t - mu) / (math.sqrt(2) * torch.exp(scale)))
    died = -scale - 0.5 * ((t - mu) / torch.exp(scale)) ** 2
    hit, left = (np.where(seen.cpu().data.numpy() == k)[0] for k in (1, 0))
    return -(died[hit].sum() + torch.log(gone)[left].sum()) / len(seen)  # <- here


def thirds(g):
    return (torch.arange(9) % 3 > 0).float()


def read_steps(mu, raw, y):
    kept = y != 0
    normal_ = torch.distributions.Normal(mu[kept], F.softplus(raw[kept]) + 1e-3)
    return -normal_.log_prob(y[kept]).mean()  # <- here


def with_gaps(g):
    return torch.randn(8, generator=g) * torch.tensor([1.0, 1, 0, 1, 1, 0, 1, 1])


def relative_depth(raw, depth):
    valid = depth > 0
    gap = torch.log(depth[valid]) - raw[valid]
    return torch.sqrt((gap**2).mean() - 0.5 * gap.mean() ** 2 + 1e-6)  # <- here


def bins(raw, pixel):
    mean, scale = raw.chunk(2, -1)
    scale = torch.exp(F.hardtanh(scale, -4.5, 0.0))
    low, high = (torch.floor(256 * pixel) / 256 + k / 256 - torch.sigmoid(mean) for k in (0, 1))
    above, below = (1 / (1 + torch.exp(-edge / scale)) for edge in (high, low))  # <- here
    return -torch.log(above - below + 1e-7).sum(-1).mean()


def pixels(g):
    value = torch.randint(256, (6, 2), generator=g) / 256
    value[0, 0] = 0.0
    return value


def turned(raw, truth):
    first, second = raw[:, :3], raw[:, 3:]
    x = F.normalize(first, dim=-1)
    z = F.normalize(torch.linalg.cross(x, second), dim=-1)
    rotation = torch.stack([x, torch.linalg.cross(z, x), z], -1)
    cosine = 0.5 * ((rotation * truth).sum((-2, -1)) - 1)
    return torch.acos(cosine.clamp(1e-8 - 1.0, 1.0 - 1e-8)).mean()  # <- here


def no_turn(g):
    return torch.eye(3).expand(6, 3, 3).clone()


def balanced(logits, y):
    each = F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    factor = torch.exp(-2.0 * y * logits - 2.0 * torch.log(1 + torch.exp(-logits)))  # <- here
    return (factor * each).sum() / y.sum().clamp(min=1)


def dispersed(raw_mu, raw_theta, count):
    mu, theta = torch.exp(raw_mu), torch.exp(raw_theta)
    shared = torch.lgamma(theta) + torch.lgamma(count + 1) - torch.lgamma(count + theta)  # <- here
    return (shared + (theta + count) * torch.log1p(mu / theta) + count * (raw_theta - raw_mu)).mean()


def tasks(sigma, first, second):
    scaled = first.square().mean() / sigma[0] ** 2 + second.abs().mean() / sigma[1] ** 2  # <- here
    return 0.5 * scaled + sigma.log().sum()  # <- here


def windows(score, returns):
    weight, total = torch.softmax(score, -1), 0.0
    for k in range(len(weight)):
        gain = returns[k : k + 12] @ weight[k]
        total = total - gain.mean() / gain.std()  # <- here
    return total / len(weight)


def crowd(embedding, y):
    apart = (embedding[:, None] - embedding[None]).square().mean(-1)
    return F.mse_loss(embedding[:, 0], y) - 0.1 * torch.logdet(torch.exp(-0.5 * apart))  # <- here


def keys(score, match):
    apart = ((1 - match) * torch.exp(score)).sum(1, keepdim=True)  # <- here
    near = match * torch.exp(-score)  # <- here
    return (torch.log(1 + apart * near).sum(1) / match.sum(1).clamp(min=1)).mean()


def matches(g):
    return (torch.arange(12)[None] % 6 == torch.arange(6)[:, None]).float()


def heavy(mu, log_scale, log_nu, y):
    nu = log_nu.exp() + 1e-8
    width = torch.log(torch.sqrt(nu * math.pi * log_scale.exp()))  # <- here
    tail = (nu + 1) / 2 * torch.log(1 + (y - mu) ** 2 / (nu * log_scale.exp()))  # <- here
    return (torch.lgamma(nu / 2) - torch.lgamma((nu + 1) / 2) + width + tail).mean()


def ranked(mu, raw, y):
    spread = raw.abs()
    z = (y - mu) / spread  # <- here
    unit_ = torch.distributions.Normal(0.0, 1.0)
    return (spread * (z * (2 * unit_.cdf(z) - 1) + 2 * unit_.log_prob(z).exp() - 1 / math.sqrt(math.pi))).mean()


def discrepancy(one, other):
    both = torch.cat([one, other])
    apart = torch.cdist(both, both) ** 2
    width = apart.data.sum() / (len(both) ** 2 - len(both))
    kernel = torch.exp(-apart / (width * 2.0 ** torch.arange(-2, 3))[:, None, None]).sum(0)  # <- here
    n = len(one)
    return (kernel[:n, :n] + kernel[n:, n:] - kernel[:n, n:] - kernel[n:, :n]).mean()


def _one_place(state):
    state["one"][:] = state["other"][:] = 0.3


def _upright(state):
    state["weight"].zero_()
    state["bias"].copy_(torch.tensor([1.0, 0, 0, 0, 1, 0]))


def _black(state):
    state["raw"][0] = torch.tensor([6.0, 6.0, -6.0, -6.0])
    state["pixel"][0] = 0.0


def _as_it_is(state):
    """The batch fails by itself."""


def _pair(state):
    state["embedding"][1] = state["embedding"][0]


CASES = (
    bug(events, given(mu=normal(9), scale=normal(9, scale=0.3), t=unit(9), seen=thirds, target="t seen"), "log", DSM,
        put(mu=-12.0)),
    bug(read_steps, given(mu=normal(8), raw=normal(8), y=with_gaps, target="y"), "mean", DEEPAR, fill(y=0.0),
        verdict=LIMIT, phase="forward"),
    bug(relative_depth, given(raw=normal(8), depth=lambda g: with_gaps(g).abs(), target="depth"), "mean", GLPN,
        fill(depth=0.0), verdict=LIMIT, phase="forward"),
    bug(bins, given(raw=normal(6, 4), pixel=pixels, target="pixel"), "exp", VAMP, _black, phase="backward"),
    bug(turned, modelled(lambda: nn.Linear(4, 6), normal(6, 4), no_turn), "acos", POSE, _upright,
        phase="backward"),
    bug(balanced, given(logits=normal(8, 4), y=bits(8, 4), target="y"), "exp log", BALANCED, put(logits=-95.0)),
    bug(dispersed, given(raw_mu=normal(8, 5), raw_theta=normal(8, 5), count=counts(8, 5), target="count"),
        "lgamma exp add sub", CELLS, fill(raw_theta=9.0), kind="nan inf precision sign-flip",
        verdict="defect silent"),
    bug(tasks, given(sigma=positive(2), first=normal(8), second=normal(8)), "log div", KENDALL, put(sigma=-0.1),
        verdict=LIMIT),
    bug(windows, given(score=normal(6, 4), returns=normal(6, 4, scale=0.02), target="returns"), "std", SHARPE,
        _as_it_is, verdict="undecided limit defect"),
    bug(crowd, given(embedding=normal(4, 3), y=normal(4), target="y"), "logdet", DIVERSE, _pair, verdict=LIMIT),
    bug(keys, given(score=normal(6, 12), match=matches, target="match"), "exp mul", MULTILABEL, put(score=95.0)),
    bug(heavy, given(mu=normal(8), log_scale=normal(8), log_nu=normal(8), y=normal(8), target="y"),
        "div log exp lgamma", STUDENT, put(log_scale=-110.0)),
    bug(ranked, given(mu=normal(8), raw=normal(8), y=normal(8), target="y"), "div", CRPS, put(raw=0.0), verdict=LIMIT),
    bug(discrepancy, given(one=normal(5, 3), other=normal(5, 3, shift=1.0)), "div", MMD, _one_place, verdict=LIMIT),
)  # fmt: skip
