"""Losses of another round of public repositories, re-expressed: each with a defect, most beside a repaired twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, given, normal, positive, put, sound, unit

BALL = "distance in the Poincare ball (Nickel & Kiela 2017, eq. 1) as a loss of ontology embeddings, by torch.acosh"
CAMERA = "quaternion distance of pose trackers, of steps that the loss reads out of one row (Huynh 2009, eq. 6)"
COX = "Cox partial likelihood of multimodal survival codes: a column of risks, squeezed in vain"
RISKS = "Cox loss of pathology codes: the risk sets written into a matrix of zeros"
HEADING = "von Mises likelihood of trajectory predictors (Zhou et al. 2023), log I0 by two polynomials and where"
TRAFFIC = "masked percentage error of traffic forecasting (Li et al. 2018), the NaNs overwritten"
ROBUST = "robust InfoNCE (Chuang et al. 2022, eq. 6), the power of an exponential"
PERSON = "entropy loss of re-identification codes: log p inside where"
WORD = "Plackett-Luce likelihood by softmax, of crop or plan rankings"
GENES = "zero-inflated counts of graph learning toolkits: logarithms of what sigmoid leaves"
LIMIT = "limit defect"


def ball(x, goal):
    gap = 2 * ((x - goal) ** 2).sum(-1) / ((1 - (x**2).sum(-1)) * (1 - (goal**2).sum(-1)))
    return torch.acosh(1 + gap).mean()  # <- here


def ball_by_area(x, goal):
    """acosh(1 + gap) = 2 asinh(sqrt(gap / 2)); a little under the root keeps its slope finite."""
    gap = ((x - goal) ** 2).sum(-1) / ((1 - (x**2).sum(-1)).clamp(min=1e-3) * (1 - (goal**2).sum(-1)))
    return 2 * torch.asinh(torch.sqrt(gap + 1e-7)).mean()


def _as_goal(state):
    state["x"].copy_(state["goal"])


def near_the_middle(*shape: int):
    return lambda g: 0.1 * torch.randn(shape, generator=g)


def steps(raw, pose):
    cosine = (raw.view(3, 2, 4) * pose).sum(-1).abs().clamp(0.0, 1.0)
    return torch.acos(cosine).sum(1).mean()  # <- here


def steps_inside(raw, pose):
    unit_ = F.normalize(raw.view(3, 2, 4), dim=-1)
    return torch.acos((unit_ * pose).sum(-1).abs().clamp(0.0, 1 - 1e-6)).sum(1).mean()


def poses(g):
    return F.normalize(torch.randn((3, 2, 4), generator=g), dim=-1)


def ordered(risk, time, event):
    order = torch.argsort(time, descending=True)
    risk, event = risk[order], event[order]
    gained = risk.reshape(-1, 1) - torch.logcumsumexp(risk, 0)  # <- here
    return -(gained.squeeze(1) * event).sum() / (event.sum() + 1e-6)


def ordered_row(risk, time, event):
    order = torch.argsort(time, descending=True)
    risk, event = risk[order], event[order]
    return -((risk - torch.logcumsumexp(risk, 0)) * event).sum() / (event.sum() + 1e-6)


def written_down(risk, time, event):
    seen = event.bool()
    sets = torch.full((len(risk), len(risk)), -1e9)
    sets[time[None] >= time[:, None]] = risk.expand(len(risk), -1)[time[None] >= time[:, None]]
    return (torch.logsumexp(sets, 1) - risk)[seen].mean()  # <- here


def written_down_or_none(risk, time, event):
    seen = event.float()
    sets = torch.where(time[None] >= time[:, None], risk, -1e9)
    return ((torch.logsumexp(sets, 1) - risk) * seen).sum() / seen.sum().clamp(min=1)


# Abramowitz & Stegun 1964, 9.8.1 and 9.8.2
SMALL = (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.360768e-1, 0.45813e-2)
LARGE = (0.39894228, 0.1328592e-1, 0.225319e-2, -0.157565e-2, 0.916281e-2, -0.2057706e-1, 0.2635537e-1, -0.1647633e-1,
         0.392377e-2)  # fmt: skip


def polynomial(y, factors):
    total = torch.zeros_like(y)
    for factor in reversed(factors):
        total = factor + y * total  # <- here
    return total


def heading(mu, raw, angle):
    kappa = F.elu(raw) + 1 + 1e-6
    near = polynomial((kappa / 3.75) ** 2, SMALL).log()
    far = kappa - 0.5 * kappa.log() + polynomial(3.75 / kappa, LARGE).log()  # <- here
    return (torch.where(kappa < 3.75, near, far) - kappa * torch.cos(angle - mu)).mean()


def heading_scaled(mu, raw, angle):
    kappa = F.elu(raw) + 1 + 1e-6
    return (torch.log(torch.special.i0e(kappa)) + kappa * (1 - torch.cos(angle - mu))).mean() + math.log(2 * math.pi)


def percentage(out, y):
    mask = (y != 0).float()
    mask = mask / mask.mean()
    each = ((out - y) / y).abs() * mask  # <- here
    each[each != each] = 0
    return each.mean()


def percentage_kept(out, y):
    here = y != 0
    each = (out - y).abs() / torch.where(here, y, 1.0).abs()
    return torch.where(here, each, 0.0).sum() / here.sum().clamp(min=1)


def with_zeros(g):
    y = torch.rand((6, 3), generator=g) * 3 + 0.2
    y[0, 0] = y[4, 1] = 0.0
    return y


def _as_it_is(state):
    """The batch fails by itself."""


def powers(near, others):
    one, every = near.exp(), near.exp() + others.exp().sum(-1, keepdim=True)  # <- here
    return (-(one**0.5) / 0.5 + (0.025 * every) ** 0.5 / 0.5).mean()  # <- here


def powers_in_logs(near, others):
    every = torch.logsumexp(torch.cat([near, others], -1), -1)
    return (-torch.exp(0.5 * near[:, 0]) / 0.5 + torch.exp(0.5 * (every + math.log(0.025))) / 0.5).mean()


def unsure(logits):
    p = torch.softmax(logits, -1)
    return -torch.where(p > 0, p * p.log(), torch.zeros_like(p)).sum(-1).mean()  # <- here


def unsure_by_parts(logits):
    return torch.special.entr(torch.softmax(logits, -1) + 1e-12).sum(-1).mean()


def drawn_in_turn(score, place):
    left = torch.softmax(score, -1)
    total = 0.0
    for k in torch.argsort(place, descending=True).tolist():
        total = total - torch.log(left[k])  # <- here
        left = left * (torch.arange(len(score)) != k)
        left = left / (left.sum() + 1e-20)
    return total


def drawn_in_logs(score, place):
    ordered_ = score[torch.argsort(place, descending=True)]
    return (torch.logcumsumexp(ordered_.flip(0), 0).flip(0) - ordered_).sum()


def spare(shape, raw, zero, count):
    p, none = torch.sigmoid(raw), torch.sigmoid(zero)
    empty = torch.log(none + (1 - none) * p**shape)
    some = torch.log(1 - none) + shape * torch.log(p) + count * torch.log(1 - p)  # <- here
    factorial = torch.lgamma(shape + count) - torch.lgamma(shape) - torch.lgamma(count + 1)
    return -torch.where(count == 0, empty, some + factorial).mean()


def few(g):
    return torch.poisson(torch.full((8, 2), 1.5), generator=g)


CASES = (
    bug(ball, given(x=near_the_middle(5, 3), goal=near_the_middle(5, 3), target="goal"), "acosh", BALL, _as_goal,
        phase="backward"),
    sound(ball_by_area, given(x=near_the_middle(5, 3), goal=near_the_middle(5, 3), target="goal"), BALL, _as_goal),
    bug(steps, given(raw=normal(3, 8), pose=poses, target="pose"), "acos", CAMERA,
        lambda state: state["raw"].copy_(state["pose"].reshape(3, 8)), phase="backward", verdict=LIMIT),
    sound(steps_inside, given(raw=normal(3, 8), pose=poses, target="pose"), CAMERA),
    bug(ordered, given(risk=normal(8), time=unit(8), event=bits(8), target="time event"), "sub", COX,
        kind="wrong-density", verdict="wrong-formula"),
    sound(ordered_row, given(risk=normal(8), time=unit(8), event=bits(8), target="time event"), COX),
    bug(written_down, given(risk=normal(8), time=unit(8), event=classes(8, 2), target="time event"), "mean", RISKS,
        lambda state: state["event"].zero_(), verdict=LIMIT, phase="forward"),
    sound(written_down_or_none, given(risk=normal(8), time=unit(8), event=classes(8, 2), target="time event"), RISKS,
          lambda state: state["event"].zero_()),
    bug(heading, given(mu=normal(8), raw=normal(8), angle=normal(8), target="angle"), "mul add log div pow", HEADING,
        put(raw=-14.0), phase="backward", where=(heading, polynomial)),
    sound(heading_scaled, given(mu=normal(8), raw=normal(8), angle=normal(8), target="angle"), HEADING, put(raw=-14.0)),
    bug(percentage, given(out=normal(6, 3), y=with_zeros, target="y"), "div", TRAFFIC, _as_it_is, verdict=LIMIT,
        phase="backward"),
    sound(percentage_kept, given(out=normal(6, 3), y=with_zeros, target="y"), TRAFFIC),
    bug(powers, given(near=normal(6, 1), others=normal(6, 4)), "pow exp", ROBUST, put(near=-110.0)),
    sound(powers_in_logs, given(near=normal(6, 1), others=normal(6, 4)), ROBUST),
    bug(unsure, given(logits=normal(6, 4)), "log", PERSON, put(logits=-110.0), phase="backward"),
    sound(unsure_by_parts, given(logits=normal(6, 4)), PERSON, put(logits=-110.0)),
    bug(drawn_in_turn, given(score=normal(4), place=normal(4), target="place"), "log div", WORD, put(score=-120.0)),
    sound(drawn_in_logs, given(score=normal(4), place=normal(4), target="place"), WORD, put(score=-120.0)),
    bug(spare, given(shape=positive(8, 2), raw=normal(8, 2), zero=normal(8, 2), count=few, target="count"), "log",
        GENES, put(zero=20.0)),
)  # fmt: skip
