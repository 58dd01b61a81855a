"""Programs whose bug sits in a layer or in what the loss does with a gradient; each with its repair. Written before
the tool was run on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import classes, counts, modelled, normal, unit
from benchmarks.detect.cases.categorical import GRIST
from benchmarks.detect.cases.unseen_models import plain_entropy
from benchmarks.detect.cases.unseen_tutorials import DEBAR, EITHER, both, by


class Stack(nn.Module):
    """Linear, something, linear."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.last = nn.Linear(5, 6), nn.Linear(6, 3)

    def middle(self, h):
        return h

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


class Moments(Stack):
    def middle(self, h):
        mean = h.mean(0)
        variance = ((h - mean) ** 2).mean(0)
        return torch.relu((h - mean) / torch.sqrt(variance))  # <- here


class MomentsEps(Stack):
    def middle(self, h):
        mean = h.mean(0)
        variance = ((h - mean) ** 2).mean(0)
        return torch.relu((h - mean) / torch.sqrt(variance + 1e-3))


class PeakScaled(Stack):
    def middle(self, h):
        h = torch.relu(h)
        return h / h.max(1, keepdim=True)[0]  # <- here


class PeakScaledBounded(Stack):
    def middle(self, h):
        h = torch.relu(h)
        return h / h.max(1, keepdim=True)[0].clamp(min=1e-5)


class Filterbank(Stack):
    """Log energies of a learned filterbank."""

    def middle(self, h):
        return torch.log(h**2)  # <- here


class FilterbankFloor(Stack):
    def middle(self, h):
        return torch.log(h**2 + 1e-6)


class TermShares(Stack):
    """Bags of words as shares: an empty document."""

    def forward(self, x):
        return self.last(torch.relu(self.first(x / torch.sum(x, 1, keepdim=True))))  # <- here


class TermSharesBounded(Stack):
    def forward(self, x):
        return self.last(torch.relu(self.first(x / torch.sum(x, 1, keepdim=True).clamp(min=1.0))))


class Topics(nn.Module):
    """A topic model with a decoder that is written out: exp over its sum."""

    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(5, 3), nn.Linear(3, 5)

    def words(self, z):
        e = torch.exp(z)  # <- here
        return torch.log(e / e.sum(1, keepdim=True) + 1e-10)  # <- here

    def forward(self, x):
        return self.words(self.decode(torch.relu(self.encode(x))))


class TopicsLogSoftmax(Topics):
    def words(self, z):
        return torch.log_softmax(z, 1)


def bag_loss(log_words, x):
    return -(x * log_words).sum(1).mean()


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 1)

    def forward(self, x):
        return self.two(torch.relu(self.one(x)))


def wasserstein(model, batch):
    fake, real = batch
    between = (0.3 * real + 0.7 * fake).requires_grad_()
    (slope,) = torch.autograd.grad(model(between).sum(), between, create_graph=True)
    size = torch.sqrt(torch.sum(slope**2, 1))  # <- here
    return model(fake).mean() - model(real).mean() + 10 * ((size - 1) ** 2).mean()


def wasserstein_eps(model, batch):
    fake, real = batch
    between = (0.3 * real + 0.7 * fake).requires_grad_()
    (slope,) = torch.autograd.grad(model(between).sum(), between, create_graph=True)
    size = torch.sqrt(torch.sum(slope**2, 1) + 1e-12)
    return model(fake).mean() - model(real).mean() + 10 * ((size - 1) ** 2).mean()


class Matcher(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.answer = nn.Linear(4, 5), nn.Linear(4, 5)

    def forward(self, x):
        return self.query(x[:, 0]), self.answer(x[:, 1])


def cosine_match(query, answer, y):
    lengths = torch.sqrt((query**2).sum(1)) * torch.sqrt((answer**2).sum(1))  # <- here
    return ((1 - (query * answer).sum(1) / lengths) * y).mean()  # <- here


def cosine_match_bounded(query, answer, y):
    return ((1 - F.cosine_similarity(query, answer, dim=1, eps=1e-6)) * y).mean()


def silent(name: str):
    def change(state):
        state[f"{name}.weight"].zero_()
        state[f"{name}.bias"].zero_()

    return change


def below_zero(state):
    state["first.weight"].zero_()
    state["first.bias"].fill_(-1)


X, LABELS = normal(10, 5), classes(10, 3)


def layered(bad, good, op, origin, extreme, inputs=X, **more):
    return both(plain_entropy, plain_entropy, modelled(bad, inputs, LABELS), op, origin, extreme,
                modelled(good, inputs, LABELS), where=(bad,), **more)  # fmt: skip


CASES = (
    *layered(Moments, MomentsEps, "div sqrt", DEBAR + ": batch normalisation by hand", silent("first"), verdict=EITHER),
    *layered(PeakScaled, PeakScaledBounded, "div", DEBAR + ": divided by reduce_max", below_zero, verdict=EITHER),
    *layered(Filterbank, FilterbankFloor, "log pow", DEBAR + ": log energies", silent("first"), verdict=EITHER),
    *layered(TermShares, TermSharesBounded, "div", GRIST + ": divided by reduce_sum", lambda s: s["inputs"][0].zero_(),
             counts(10, 5), verdict=EITHER),
    *both(bag_loss, bag_loss, modelled(Topics, counts(10, 5), counts(10, 5)), "exp div",
          "Miao et al., Neural variational inference for text, ICML 2016; " + DEBAR, by("decode.weight", 1000),
          modelled(TopicsLogSoftmax, counts(10, 5), counts(10, 5)), where=(Topics,)),
    *both(wasserstein, wasserstein_eps, modelled(Critic, normal(8, 4), normal(8, 4)), "sqrt",
          "Gulrajani et al., NeurIPS 2017, the norm of the penalty; " + GRIST, silent("two"), verdict=EITHER),
    *both(cosine_match, cosine_match_bounded, modelled(Matcher, normal(8, 2, 4), unit(8)), "div sqrt",
          DEBAR + ": cosine of two towers", silent("query"), verdict=EITHER),
)  # fmt: skip
