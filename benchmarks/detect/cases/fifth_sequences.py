"""Policies, attention, tags, inner steps and survival of small programs, each as it stood and as it was repaired."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fill, given, modelled, normal, put, scale, sound

RATIOS = "proximal policy optimisation (Schulman et al. 2017), the ratio clipped, not its logarithm"
ATTENTION = "document classifier with attention (Yang et al. 2016), a mask times exponentials"
TAGGER = "linear-chain CRF of a tutorial: forward sums in linear space"
INNER = "an inner step of RMSprop, differentiated through"
RISK = "Cox regression (Katzman et al. 2018), risks summed by hand"
HAZARD = "discrete hazards (Gensheimer & Narasimhan 2019), survival as a product"
ENTROPY = "actor-critic with a bonus of entropy, p log p"
LIMIT = {"verdict": "limit"}


def mlp(inside, outside, *last, hidden=12):
    return lambda: nn.Sequential(nn.Linear(inside, hidden), nn.ReLU(), nn.Linear(hidden, outside), *last)


def surrogate(new, old, gain, clip=0.2):
    ratio = torch.exp(new - old)  # <- here
    return -torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain).mean()


def surrogate_bounded(new, old, gain, clip=0.2):
    ratio = torch.exp((new - old).clamp(-10, 10))
    return -torch.minimum(ratio * gain, ratio.clamp(1 - clip, 1 + clip) * gain).mean()


class Reader(nn.Module):
    """Attention over six words of four numbers; a word of zeros is padding."""

    def __init__(self):
        super().__init__()
        self.hidden, self.context, self.out = nn.Linear(4, 8), nn.Linear(8, 1, bias=False), nn.Linear(4, 3)

    def scores(self, x):
        return self.context(torch.tanh(self.hidden(x)))[..., 0]

    def forward(self, x):
        mask = (x.abs().sum(-1) > 0).float()
        a = torch.exp(self.scores(x)) * mask
        a = a / a.sum(1, keepdim=True)  # <- here
        return self.out((a[..., None] * x).sum(1))


class CarefulReader(Reader):
    def forward(self, x):
        mask = (x.abs().sum(-1) > 0).float()
        s = self.scores(x).masked_fill(mask == 0, -1e9)
        a = torch.exp(s - s.amax(1, keepdim=True)) * mask
        a = a / (a.sum(1, keepdim=True) + 1e-7)
        return self.out((a[..., None] * x).sum(1))


def document_loss(out, y):
    return F.cross_entropy(out, y)


def padded(g):
    words = torch.randn(8, 6, 4, generator=g)
    words[0, 4:] = 0.0
    words[3, 2:] = 0.0
    return words


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.emit = nn.Linear(3, 4)
        self.trans = nn.Parameter(0.1 * torch.randn(4, 4))

    def summed(self, alpha, e):
        return torch.log(torch.exp(alpha[:, :, None] + self.trans).sum(1)) + e  # <- here

    def loss(self, x, tags):
        e = self.emit(x)
        alpha, path = e[:, 0], e[:, 0].gather(1, tags[:, :1])[:, 0]
        for t in range(1, x.shape[1]):
            alpha = self.summed(alpha, e[:, t])
            path = path + self.trans[tags[:, t - 1], tags[:, t]] + e[:, t].gather(1, tags[:, t : t + 1])[:, 0]
        return (torch.logsumexp(alpha, 1) - path).mean()


class CarefulTagger(Tagger):
    def summed(self, alpha, e):
        return torch.logsumexp(alpha[:, :, None] + self.trans, 1) + e


def tagger_loss(model, batch):
    return model.loss(*batch)


def inner_loss(w, x, y):
    score = torch.tanh(x @ w)
    slope = x.T @ ((score - y) * (1 - score**2)) / len(x)
    quick = w - 0.1 * slope / (torch.sqrt(slope**2) + 1e-8)  # <- here
    return ((torch.tanh(x @ quick) - y) ** 2).mean()


def inner_loss_inside_the_root(w, x, y):
    score = torch.tanh(x @ w)
    slope = x.T @ ((score - y) * (1 - score**2)) / len(x)
    quick = w - 0.1 * slope / torch.sqrt(slope**2 + 1e-6)
    return ((torch.tanh(x @ quick) - y) ** 2).mean()


def cox(risk, rows):
    time, event = rows[:, 0], rows[:, 1]
    risk = risk[torch.argsort(time, descending=True), 0]
    event = event[torch.argsort(time, descending=True)]
    at_risk = torch.log(torch.cumsum(torch.exp(risk), 0))  # <- here
    return -((risk - at_risk) * event).sum() / event.sum().clamp(min=1)


def cox_in_logs(risk, rows):
    time, event = rows[:, 0], rows[:, 1]
    risk = risk[torch.argsort(time, descending=True), 0]
    event = event[torch.argsort(time, descending=True)]
    at_risk = torch.logcumsumexp(risk, 0)
    return -((risk - at_risk) * event).sum() / event.sum().clamp(min=1)


def patients(g):
    return torch.stack([torch.rand(16, generator=g) + 0.1, (torch.arange(16) % 3 > 0).float()], 1)


def hazard_loss(h, until):
    keep = torch.cumprod(1 - h, 1)
    last = keep.gather(1, until[:, None])[:, 0]
    died = h.gather(1, until[:, None])[:, 0]
    return -(torch.log(last) + torch.log(died) - torch.log(1 - died)).mean()  # <- here


def hazard_loss_of_scores(z, until):
    steps = torch.arange(z.shape[1])
    before = (steps < until[:, None]).float()
    at = (steps == until[:, None]).float()
    return -(before * F.logsigmoid(-z) + at * F.logsigmoid(z)).sum(1).mean()


def entropy_bonus(pi, gain):
    entropy = -(pi * torch.log(pi)).sum(1)  # <- here
    return (pi[:, 0] * gain - 0.01 * entropy).mean()


def entropy_bonus_guarded(pi, gain):
    entropy = -(pi * torch.log(pi + 1e-8)).sum(1)
    return (pi[:, 0] * gain - 0.01 * entropy).mean()


def taggings(g):
    return torch.randint(4, (6, 5), generator=g)


POLICY = mlp(5, 4, nn.Softmax(-1))
OLD = given(new=normal(14), old=normal(14), gain=normal(14), target="old gain")
WORDS = [modelled(kind, padded, classes(8, 3)) for kind in (Reader, CarefulReader)]
TAGGED = [modelled(kind, normal(6, 5, 3), taggings) for kind in (Tagger, CarefulTagger)]
STEP = given(w=normal(3), x=normal(10, 3), y=normal(10), target="x y")
CASES = (
    bug(surrogate, OLD, "exp mul", RATIOS, fill(new=100.0), verdict="defect limit"),
    sound(surrogate_bounded, OLD, RATIOS),
    bug(document_loss, WORDS[0], "div exp", ATTENTION, fill({"inputs": 0.0}), where=(Reader,), verdict="limit defect"),
    sound(document_loss, WORDS[1], ATTENTION),
    bug(tagger_loss, TAGGED[0], "exp log", TAGGER, scale({"emit.bias": 1e4}), where=(Tagger,)),
    sound(tagger_loss, TAGGED[1], TAGGER),
    bug(inner_loss, STEP, "sqrt", INNER, fill(x=0.0), phase="backward", verdict="defect limit"),
    sound(inner_loss_inside_the_root, STEP, INNER),
    bug(cox, modelled(mlp(5, 1), normal(16, 5), patients), "exp log", RISK, fill({"2.bias": 100.0})),
    sound(cox_in_logs, modelled(mlp(5, 1), normal(16, 5), patients), RISK, fill({"2.bias": 90.0})),
    bug(
        hazard_loss,
        modelled(mlp(5, 4, nn.Sigmoid()), normal(12, 5), classes(12, 4)),
        "log",
        HAZARD,
        fill({"2.bias": 40.0}),
    ),
    sound(hazard_loss_of_scores, modelled(mlp(5, 4), normal(12, 5), classes(12, 4)), HAZARD, fill({"2.bias": 40.0})),
    bug(entropy_bonus, modelled(POLICY, normal(16, 5), normal(16)), "log mul", ENTROPY, put({"2.bias": 200.0})),
    sound(entropy_bonus_guarded, modelled(POLICY, normal(16, 5), normal(16)), ENTROPY),
)
