"""Losses of a third round of public repositories, re-expressed: each with a defect, most beside a repaired twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, fill, given, normal, put, sound

RAO = "Fisher-Rao distance of two normals (Costa et al. 2015, eq. 13), of noise-contrastive priors"
STUDENT = "Student-t likelihood of forecasting heads, the square before the logarithm"
SURFACE = "angles of surface normals (Bae et al. 2021): the mean of the valid pixels"
SPARSE = "KL of Bernoulli variables in sparse attention codes, a clamp that float32 rounds away"
RENYI = "Renyi divergence of two softmaxes, the order below one"
TVERSKY = "focal Tversky loss (Abraham & Khan 2019), the exponent below one"
DEPTH = "ranking of relative depths (Chen et al. 2016, eq. 1), of predicted log depths"
PULSE = "negative Pearson correlation of remote pulse measurement, a clamp after the root"
MTLR = "multi-task logistic regression for survival (Yu et al. 2011), the exponentials summed"
LIMIT = "limit defect"


def rao(mean, raw, prior):
    at, wide = torch.unbind(prior, -1)
    scale = torch.exp(raw)
    gap = (at - mean) ** 2
    share = torch.sqrt((gap + 2 * (wide - scale) ** 2) / (gap + 2 * (wide + scale) ** 2))  # <- here
    return torch.atanh(share).mean()  # <- here


def rao_by_area(mean, raw, prior):
    """acosh(1 + gap) of the same two points, by asinh; a little under the root keeps its slope finite."""
    at, wide = torch.unbind(prior, -1)
    apart = (torch.log(wide) - raw).clamp(-20, 20)
    gap = ((at - mean) ** 2 / 2 * torch.exp(-raw.clamp(-20, 20)) / wide) / 4 + torch.sinh(apart / 2) ** 2
    return 2 * torch.asinh(torch.sqrt(gap + 1e-7)).mean()


def priors(g):
    return torch.stack([torch.randn(8, generator=g), 0.5 + torch.rand(8, generator=g)], -1)


def heavy(mu, log_s, y):
    z = (y - mu) / torch.exp(log_s)
    return (log_s + 2.5 * torch.log1p(z.pow(2) / 4)).mean()  # <- here


def heavy_in_logs(mu, log_s, y):
    """log(1 + z^2 / 4) = softplus(2 log|z| - log 4), the logarithm taken before the scale divides."""
    gap = torch.log((y - mu) ** 2 / 4 + 1e-12)
    return (log_s + 2.5 * F.softplus(gap - 2 * log_s)).mean()


def angles(out, goal, valid):
    dot = F.cosine_similarity(out, goal, dim=-1)[valid > 0.5]
    return torch.acos(dot.clamp(-0.999, 0.999)).mean()  # <- here


def angles_or_none(out, goal, valid):
    angle = torch.acos(F.cosine_similarity(out, goal, dim=-1).clamp(-0.999, 0.999))
    return (angle * valid).sum() / valid.sum().clamp(min=1)


def sparse(raw):
    p = torch.sigmoid(raw).clamp(1e-8, 1 - 1e-8)
    return (p * torch.log(p / 0.1) + (1 - p) * torch.log((1 - p) / 0.9)).mean()  # <- here


def sparse_by_logits(raw):
    p = torch.sigmoid(raw)
    return (p * (F.logsigmoid(raw) + 2.302585) + (1 - p) * (F.logsigmoid(-raw) + 0.105361)).mean()


def renyi(one, other):
    p, q = torch.softmax(one, -1), torch.softmax(other, -1)
    return (torch.log((p**0.6 * q**0.4).sum(-1)) / -0.4).mean()  # <- here


def renyi_in_logs(one, other):
    both = 0.6 * torch.log_softmax(one, -1) + 0.4 * torch.log_softmax(other, -1)
    return (torch.logsumexp(both, -1) / -0.4).mean()


def tversky(raw, mask):
    p = torch.sigmoid(raw)
    hit, missed, false = (p * mask).sum(-1), ((1 - p) * mask).sum(-1), (p * (1 - mask)).sum(-1)
    index = (hit + 1) / (hit + 0.7 * missed + 0.3 * false + 1)
    return ((1 - index) ** 0.75).mean()  # <- here


def tversky_with_room(raw, mask):
    p = torch.sigmoid(raw)
    hit, missed, false = (p * mask).sum(-1), ((1 - p) * mask).sum(-1), (p * (1 - mask)).sum(-1)
    index = (hit + 1) / (hit + 0.7 * missed + 0.3 * false + 1)
    return ((1 - index + 1e-4) ** 0.75).mean()


def _exactly(state):
    state["raw"].copy_(200 * state["mask"] - 100)


def ranks(near, far, order):
    gap = torch.exp(near) - torch.exp(far)
    return torch.log(1 + torch.exp(-order * gap)).mean()  # <- here


def ranks_by_softplus(near, far, order):
    gap = torch.exp(near.clamp(max=10)) - torch.exp(far.clamp(max=10))
    return F.softplus(-order * gap).mean()


def signs(g):
    return torch.where(torch.rand(8, generator=g) < 0.5, -1.0, 1.0)


def pulse(out, wave):
    out, wave = out - out.mean(-1, keepdim=True), wave - wave.mean(-1, keepdim=True)
    length = torch.sqrt((out**2).sum(-1) * (wave**2).sum(-1)).clamp(min=1e-8)  # <- here
    return (1 - (out * wave).sum(-1) / length).mean()


def pulse_with_room(out, wave):
    out, wave = out - out.mean(-1, keepdim=True), wave - wave.mean(-1, keepdim=True)
    length = torch.sqrt((out**2).sum(-1) + 1e-8) * torch.sqrt((wave**2).sum(-1) + 1e-8)
    return (1 - (out * wave).sum(-1) / length).mean()


def tasks(score, died):
    held = torch.cat([score.flip(-1).cumsum(-1).flip(-1), torch.zeros(len(score), 1)], -1)
    weights = torch.exp(held)  # <- here
    return -torch.log(weights.gather(1, died[:, None])[:, 0] / weights.sum(-1)).mean()  # <- here


def tasks_in_logs(score, died):
    held = torch.cat([score.flip(-1).cumsum(-1).flip(-1), torch.zeros(len(score), 1)], -1)
    return F.cross_entropy(held, died)


NORMALS = given(out=normal(8, 3), goal=normal(8, 3), valid=bits(8), target="goal valid")
PRIOR = given(mean=normal(8), raw=normal(8, scale=0.3), prior=priors, target="prior")
HEAVY = given(mu=normal(8), log_s=normal(8, scale=0.3), y=normal(8), target="y")
TVERSKIES = given(raw=normal(4, 6), mask=bits(4, 6), target="mask")
PAIRS = given(near=normal(8), far=normal(8), order=signs, target="order")
WAVES = given(out=normal(4, 8), wave=normal(4, 8), target="wave")
TASKS = given(score=normal(6, 4), died=classes(6, 5), target="died")

CASES = (
    bug(rao, PRIOR, "sqrt atanh div", RAO, fill(raw=-18.0)),
    sound(rao_by_area, PRIOR, RAO, fill(raw=-18.0)),
    bug(heavy, HEAVY, "pow div exp log1p mul", STUDENT, put(log_s=-46.0)),
    sound(heavy_in_logs, HEAVY, STUDENT, put(log_s=-46.0)),
    bug(angles, NORMALS, "mean", SURFACE, fill(valid=0.0), verdict=LIMIT),
    sound(angles_or_none, NORMALS, SURFACE, fill(valid=0.0)),
    bug(sparse, given(raw=normal(8, 3)), "log mul div", SPARSE, put(raw=20.0)),
    sound(sparse_by_logits, given(raw=normal(8, 3)), SPARSE, put(raw=110.0)),
    bug(renyi, given(one=normal(6, 4), other=normal(6, 4)), "pow", RENYI, put(one=-120.0), phase="backward"),
    sound(renyi_in_logs, given(one=normal(6, 4), other=normal(6, 4)), RENYI, put(one=-120.0)),
    bug(tversky, TVERSKIES, "pow", TVERSKY, _exactly, phase="backward"),
    sound(tversky_with_room, TVERSKIES, TVERSKY, _exactly),
    bug(ranks, PAIRS, "exp log", DEPTH, fill(near=0.0, far=6.0, order=1.0)),
    sound(ranks_by_softplus, PAIRS, DEPTH, fill(near=0.0, far=6.0, order=1.0)),
    bug(pulse, WAVES, "sqrt div", PULSE, fill(out=0.5), phase="backward"),
    sound(pulse_with_room, WAVES, PULSE, fill(out=0.5)),
    bug(tasks, TASKS, "exp log div sum", MTLR, put(score=95.0)),
    sound(tasks_in_logs, TASKS, MTLR, put(score=95.0)),
)  # fmt: skip
