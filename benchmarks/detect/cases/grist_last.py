"""A last round of ported programs: recurrent, attentive and convolutional models, some of them sound."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bug,
    classes,
    fill,
    modelled,
    normal,
    positive,
    scale,
    sound,
)

RNN = "sentiment with a recurrent network, cross entropy by hand: TensorFlow notebooks"
CAPTION = "captions with attention by hand: Show, attend and tell ports"
POINTER = "pointer-generator mixture of two distributions: See et al. 2017"
TAGGER = "convolutional tagger with a dictionary of outputs"
DRL = "actor and critic with a normal policy: MuJoCo ports"
SURVIVAL = "Weibull time to event with a recurrent network: WTTE-RNN ports"
CAPTCHA = "several softmax heads multiplied: captcha readers"


class Reader(nn.Module):
    def __init__(self):
        super().__init__()
        self.emb, self.rnn, self.out = nn.Embedding(10, 4), nn.GRU(4, 5, batch_first=True), nn.Linear(5, 3)

    def forward(self, words):
        _, h = self.rnn(self.emb(words))
        return F.softmax(self.out(h[-1]), dim=-1)


def read_cost(probs, onehot):
    return -torch.sum(onehot * torch.log(probs), dim=1).mean()  # <- here


class Attend(nn.Module):
    eps = 0.0

    def __init__(self):
        super().__init__()
        self.score, self.out = nn.Linear(4, 1), nn.Linear(4, 3)

    def forward(self, x):
        e = torch.exp(self.score(x))  # <- here
        alpha = e / (e.sum(dim=1, keepdim=True) + self.eps)
        return self.out((alpha * x).sum(1))


class AttendFixed(Attend):
    def forward(self, x):
        alpha = torch.softmax(self.score(x), dim=1)
        return self.out((alpha * x).sum(1))


def caption_cost(logits, y):
    return F.cross_entropy(logits, y)


class Pointer(nn.Module):
    def __init__(self):
        super().__init__()
        self.vocab, self.copy, self.gate = nn.Linear(5, 6), nn.Linear(5, 6), nn.Linear(5, 1)

    def forward(self, h):
        p = torch.sigmoid(self.gate(h))
        return p * torch.softmax(self.vocab(h), -1) + (1 - p) * torch.softmax(self.copy(h), -1)


def pointer_nll(probs, word):
    return -torch.mean(torch.log(probs.gather(1, word[:, None])))  # <- here


def pointer_nll_floored(probs, word):
    return -torch.mean(torch.log(probs.gather(1, word[:, None]) + 1e-12))


class Tagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.mean, self.std = nn.Conv1d(2, 4, 3, padding=1), nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, x):
        h = torch.relu(self.conv(x)).amax(-1)
        return {"mean": self.mean(h)[:, 0], "std": torch.relu(self.std(h)[:, 0] + 2.0)}


def tag_cost(out, y):
    return torch.mean(torch.log(out["std"]) + 0.5 * ((y - out["mean"]) / out["std"]) ** 2)  # <- here


def tag_cost_floored(out, y):
    std = out["std"] + 1e-2
    return torch.mean(torch.log(std) + 0.5 * ((y - out["mean"]) / std) ** 2)


class Actor(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.mu, self.sigma = nn.Linear(4, 8), nn.Linear(8, 2), nn.Linear(8, 2)

    def forward(self, x):
        h = torch.tanh(self.body(x))
        return self.mu(h), F.softplus(self.sigma(h))


def actor_cost(model, batch):
    state, action = batch
    mu, sigma = model(state)
    pdf = torch.exp(-0.5 * ((action - mu) / sigma) ** 2) / (2.5066283 * sigma)
    return -torch.mean(torch.sum(torch.log(pdf), dim=1))  # <- here


def actor_cost_by_library(model, batch):
    state, action = batch
    mu, sigma = model(state)
    return -torch.distributions.Normal(mu, sigma + 1e-3).log_prob(action).sum(1).mean()


class Weibull(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn, self.out = nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)

    def forward(self, x):
        out = self.out(self.rnn(x)[0][:, -1])
        return torch.exp(out[:, 0]), F.softplus(out[:, 1])


def weibull_nll(model, batch):
    x, t = batch
    a, b = model(x)
    hazard_now, hazard_next = torch.pow(t / a, b), torch.pow((t + 1.0) / a, b)
    return -torch.mean(torch.log(torch.exp(hazard_next - hazard_now) - 1.0) - hazard_next)  # <- here


class Captcha(nn.Module):
    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(6, 4) for _ in range(3))

    def forward(self, x):
        return torch.stack([torch.softmax(head(x), -1) for head in self.heads], 1)


def read_all(probs, y):
    right = probs.gather(2, y[..., None])[..., 0].prod(1)
    return -torch.log(right).mean()  # <- here


WORDS = modelled(Reader, lambda g: torch.randint(10, (6, 5), generator=g), lambda g: torch.eye(3)[torch.arange(6) % 3])
FRAMES, LABEL = normal(5, 4, 4), classes(5, 3)
HIDDEN, SIGNAL = modelled(Pointer, normal(6, 5), classes(6, 6)), modelled(Tagger, normal(6, 2, 8), normal(6))
STATES, TIMES = modelled(Actor, normal(8, 4), normal(8, 2)), modelled(Weibull, normal(6, 4, 3), positive(6, around=3.0))


def _flat_hazard(state):
    state["out.bias"][1] = -30.0


CASES = (
    bug(read_cost, WORDS, "log", RNN, scale({"out.weight": 1e4})),
    bug(
        caption_cost,
        modelled(Attend, FRAMES, LABEL),
        "exp div",
        CAPTION,
        scale({"score.weight": 300.0}),
        where=(Attend.forward,),
    ),
    sound(caption_cost, modelled(AttendFixed, FRAMES, LABEL), CAPTION, scale({"score.weight": 300.0})),
    bug(pointer_nll, HIDDEN, "log", POINTER, scale({"vocab.weight": 500.0, "copy.weight": 500.0})),
    sound(pointer_nll_floored, HIDDEN, POINTER),
    bug(tag_cost, SIGNAL, "log div", TAGGER, fill({"std.bias": -9.0}), verdict="limit"),
    sound(tag_cost_floored, SIGNAL, TAGGER),
    bug(actor_cost, STATES, "log", DRL, scale({"mu.weight": 100.0})),
    sound(actor_cost_by_library, STATES, DRL, scale({"mu.weight": 10.0})),
    bug(weibull_nll, TIMES, "log exp sub", SURVIVAL, _flat_hazard),
    bug(
        read_all,
        modelled(Captcha, normal(5, 6), lambda g: torch.randint(4, (5, 3), generator=g)),
        "log prod",
        CAPTCHA,
        scale({"heads.0.weight": 500.0, "heads.1.weight": 500.0}),
    ),
)
