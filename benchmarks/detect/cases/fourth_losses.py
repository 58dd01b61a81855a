"""Losses of a fourth round of public repositories, re-expressed: most beside a repaired twin."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, fill, given, modelled, normal, put, sound

MIXTURE = "mixture density network of a latent dynamics model, log-sum-exp written by hand"
STROKES = "handwriting synthesis (Graves 2013, eqs. 24 and 26), the normaliser inside the half"
WEIGHTS = "Bayes by backprop (Blundell et al. 2015), densities clipped at 1 before the logarithm"
TIMES = "survival by a mixture of densities: log of the hazard at an event, less its integral"
SQUASHED = "soft actor-critic with a scaled action (Haarnoja et al. 2018, eq. 21)"
SEGMENT = "cross-entropy of two channels, exponentials summed by hand, times a mask"
LOUDNESS = "log of the norm of a mel spectrum, of exponentials of its normalised log"
WRONG = {"kind": "wrong-density unbounded", "verdict": "wrong-formula"}


def mixture_nll(share, mean, raw, y):
    each = torch.log_softmax(share, -1) - 0.5 * ((y[:, None] - mean) / torch.exp(raw)) ** 2 - raw
    top = each.max(-1, keepdim=True)[0]
    return (-torch.log(torch.exp(each - top).sum(-1)) + top[:, 0]).mean()  # <- here


def mixture_nll_below_its_top(share, mean, raw, y):
    raw = raw.clamp(-5, 5)
    each = torch.log_softmax(share, -1) - 0.5 * ((y[:, None] - mean) / torch.exp(raw)) ** 2 - raw
    top = each.max(-1, keepdim=True)[0]
    return (-torch.log(torch.exp(each - top).sum(-1)) - top[:, 0]).mean()


def stroke_nll(mean, raw, y):
    scale = F.softplus(raw) + 1e-3
    gap = ((y - mean) / scale).square().sum(-1)
    return 0.5 * (torch.log(2 * math.pi * scale[:, 0] * scale[:, 1]) + gap).mean()  # <- here


def stroke_nll_with_all_of_it(mean, raw, y):
    scale = F.softplus(raw) + 1e-3
    gap = ((y - mean) / scale).square().sum(-1)
    return (torch.log(2 * math.pi * scale[:, 0] * scale[:, 1]) + 0.5 * gap).mean()


class Drawn(nn.Module):
    """Two layers of drawn weights; what it returns is their log q less log p, and the scores."""

    top = math.inf

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = (nn.Parameter(0.3 * torch.randn(*size)) for size in ((6, 5), (3, 6)))
        self.wide = nn.Parameter(torch.full((6, 5), -4.0))

    def density(self, noise, scale):
        bell = torch.exp(-0.5 * noise**2) / (2.5066283 * scale)
        return torch.clamp(bell, 1e-10, self.top)  # <- here

    def loss(self, x, y):
        noise, scale = torch.randn(6, 5), F.softplus(self.wide) + 1e-4
        weight = self.inner + scale * noise
        hidden = torch.relu(x @ weight.T - 0.5)
        known = torch.log(self.density(noise, scale)).sum() + 0.5 * (weight**2).sum()
        return F.cross_entropy(hidden @ self.outer.T, y, reduction="sum") + 0.1 * known


class Clipped(Drawn):
    """The same with densities that are kept below 1, where those of narrow weights never are."""

    top = 1.0


def of_drawn(model, batch):
    return model.loss(*batch)


def of_clipped(model, batch):
    return model.loss(*batch)


def times_nll(raw, time, came):
    scale, shape = torch.exp(raw[:, 0].clamp(-5, 5)), 0.5 + F.softplus(raw[:, 1])
    hazard = shape / scale * (time / scale) ** (shape - 1)
    return (-came * torch.log(hazard.clamp(min=1e-8)) + (time / scale) ** shape).mean()


def times_nll_of_densities(raw, time, came):
    gap = (torch.log(time) - raw[:, 0]) * F.softplus(raw[:, 1])
    survived = torch.sigmoid(-gap)
    hazard = survived * torch.sigmoid(gap) * F.softplus(raw[:, 1]) / (time * survived)  # <- here
    return (-came * torch.log(hazard) - torch.log(survived)).mean()  # <- here


def scaled_action(mean, raw, gain):
    pre = mean + torch.exp(raw.clamp(-5, 2)) * torch.randn(8, 2)
    action = 2 * torch.tanh(pre)
    log_q = -raw.clamp(-5, 2) - torch.log(1 - action**2 + 1e-6)  # <- here
    return (0.2 * log_q.sum(-1) - (gain * action).sum(-1)).mean()


def scaled_action_by_softplus(mean, raw, gain):
    pre = mean + torch.exp(raw.clamp(-5, 2)) * torch.randn(8, 2)
    log_q = -raw.clamp(-5, 2) - 2 * (math.log(2) + 0.5 * math.log(2) - pre - F.softplus(-2 * pre))
    return (0.2 * log_q.sum(-1) - (gain * 2 * torch.tanh(pre)).sum(-1)).mean()


def segment(out, label, mask):
    both = torch.log(torch.exp(out[:, 0]) + torch.exp(out[:, 1]))  # <- here
    return ((both - label * out[:, 0] - (1 - label) * out[:, 1]) * mask).mean()


def segment_by_softplus(out, label, mask):
    gap = out[:, 1] - out[:, 0]
    return ((F.softplus(gap) - (1 - label) * gap) * mask).mean()


def loudness(mel, wave):
    return F.l1_loss(torch.log(torch.exp(4 * mel - 4).norm(dim=1)), wave)  # <- here


def loudness_in_logs(mel, wave):
    return F.l1_loss(0.5 * torch.logsumexp(2 * (4 * mel - 4), 1), wave)


def times(g):
    return 0.2 + 2 * torch.rand(8, generator=g)


def _classes(g):
    return torch.randint(3, (12,), generator=g)


SHARES = given(share=normal(8, 3), mean=normal(8, 3), raw=normal(8, 3, scale=0.3), y=normal(8), target="y")
PAIR = given(mean=normal(8, 2), raw=normal(8, 2), y=normal(8, 2), target="y")
COMING = given(raw=normal(8, 2), time=times, came=bits(8), target="came")
ACTION = given(mean=normal(8, 2), raw=normal(8, 2, scale=0.3), gain=normal(8, 2), target="gain")
PIXELS = given(out=normal(2, 2, 6), label=bits(2, 6), mask=bits(2, 6), target="label mask")
MELS = given(mel=normal(4, 6, 5), wave=normal(4, 5), target="wave")
SETUP = {top: modelled(top, normal(12, 5), _classes) for top in (Drawn, Clipped)}

CASES = (
    bug(mixture_nll, SHARES, "mean add sum neg log", MIXTURE, **WRONG),
    sound(mixture_nll_below_its_top, SHARES, MIXTURE, put(share=120.0)),
    bug(stroke_nll, PAIR, "mean mul log add", STROKES, **WRONG),
    sound(stroke_nll_with_all_of_it, PAIR, STROKES, fill(raw=-20.0)),
    bug(of_clipped, SETUP[Clipped], "clamp", WEIGHTS, kind="dead-gradient", verdict="silent", phase="backward",
        where=(Drawn.density,)),
    sound(of_drawn, SETUP[Drawn], WEIGHTS),
    bug(times_nll_of_densities, COMING, "div log sigmoid mul", TIMES, put(raw=-120.0)),
    sound(times_nll, COMING, TIMES, put(raw=30.0)),
    bug(scaled_action, ACTION, "log", SQUASHED, fill(mean=1.0), verdict="limit"),
    sound(scaled_action_by_softplus, ACTION, SQUASHED, fill(mean=30.0)),
    bug(segment, PIXELS, "exp log", SEGMENT, put(out=95.0)),
    sound(segment_by_softplus, PIXELS, SEGMENT, put(out=95.0)),
    bug(loudness, MELS, "exp norm", LOUDNESS, put(mel=24.0)),
    sound(loudness_in_logs, MELS, LOUDNESS, put(mel=24.0)),
)  # fmt: skip
