"""Taggers, policies, attention and trained step sizes, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, modelled, scale, sound

FIELD = "conditional random field of a tagger, the forward recursion by hand"
HIDDEN = "hidden Markov model trained by gradient, the forward recursion in probabilities"

POOLED = "attention over words with the padding masked by a product"

LANGUAGE = "perplexity of a recurrent language model as a power of two"
NOTES = "recurrent network over piano rolls, both logarithms of a sigmoid with an epsilon in the wrong place"


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.rnn = nn.Embedding(15, 5), nn.RNN(5, 8, batch_first=True)
        self.out, self.moves = nn.Linear(8, 4), nn.Parameter(0.1 * torch.randn(4, 4))

    def forward(self, words):
        return self.out(self.rnn(self.embed(words))[0])


def path_score(scores, moves, tags):
    own = scores.gather(2, tags[..., None]).sum((1, 2))
    return own + moves[tags[:, :-1], tags[:, 1:]].sum(1)


def field_nll(model, batch):
    scores, tags = model(batch[0]), batch[1]
    alpha = scores[:, 0]
    for t in range(1, scores.shape[1]):
        total = torch.exp(alpha[:, :, None] + model.moves + scores[:, t, None])  # <- here
        alpha = torch.log(total.sum(1))  # <- here
    norm = torch.log(torch.exp(alpha).sum(1))  # <- here
    return (norm - path_score(scores, model.moves, tags)).mean()


def field_nll_logs(model, batch):
    scores, tags = model(batch[0]), batch[1]
    alpha = scores[:, 0]
    for t in range(1, scores.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + model.moves + scores[:, t, None], 1)
    return (torch.logsumexp(alpha, 1) - path_score(scores, model.moves, tags)).mean()


class Markov(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.start, self.moves = nn.Parameter(torch.randn(3)), nn.Parameter(torch.randn(3, 3))
        self.emit = nn.Parameter(torch.randn(3, 6))


def markov_nll(model, batch):
    move, emit = torch.softmax(model.moves, 1), torch.softmax(model.emit, 1)
    seen = batch[0]
    alpha = torch.softmax(model.start, 0) * emit[:, seen[:, 0]].T
    for t in range(1, seen.shape[1]):
        alpha = (alpha @ move) * emit[:, seen[:, t]].T
    return -torch.log(alpha.sum(1)).mean()  # <- here


def markov_nll_logs(model, batch):
    move, emit = torch.log_softmax(model.moves, 1), torch.log_softmax(model.emit, 1)
    seen = batch[0]
    alpha = torch.log_softmax(model.start, 0) + emit[:, seen[:, 0]].T
    for t in range(1, seen.shape[1]):
        alpha = torch.logsumexp(alpha[:, :, None] + move, 1) + emit[:, seen[:, t]].T
    return -torch.logsumexp(alpha, 1).mean()


class Pooled(nn.Module):
    """Words weighed by a score, nothing where the word is 0."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.score, self.out = nn.Embedding(15, 6), nn.Linear(6, 1), nn.Linear(6, 3)

    def forward(self, words):
        e = self.embed(words)
        weight = torch.exp(self.score(torch.tanh(e)).squeeze(-1)) * (words > 0)  # <- here
        share = weight / weight.sum(1, keepdim=True)  # <- here
        return self.out((share[..., None] * e).sum(1))


class PooledSafely(Pooled):
    def forward(self, words):
        e = self.embed(words)
        score = self.score(torch.tanh(e)).squeeze(-1).masked_fill(words == 0, -1e9)
        return self.out((torch.softmax(score, 1)[..., None] * e).sum(1))


def pooled_cost(output, target):
    return F.cross_entropy(output, target)


def perplexity(output, target):
    p = torch.softmax(output, -1).gather(2, target[..., None])
    return 2 ** (-torch.log2(p).mean())  # <- here


def perplexity_logs(output, target):
    log_p = torch.log_softmax(output, -1).gather(2, target[..., None])
    return torch.exp(-log_p.mean())


class Roll(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.out = nn.GRU(5, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x):
        return torch.sigmoid(self.out(self.rnn(x)[0]))


def notes_cost(y_pred, y):
    return -torch.mean(y * torch.log(y_pred) + (1 - y) * torch.log(1 - y_pred + 1e-8))  # <- here


def notes_cost_both(y_pred, y):
    return -torch.mean(y * torch.log(y_pred + 1e-8) + (1 - y) * torch.log(1 - y_pred + 1e-8))


def tags(g):
    return torch.randint(4, (3, 4), generator=g)


def sentences(g):
    words = torch.randint(1, 15, (6, 5), generator=g)
    words[1, 3:], words[4, 2:] = 0, 0
    return words


TEXT = modelled(Tagger, lambda g: torch.randint(15, (3, 4), generator=g), tags)
CHAIN = modelled(Markov, lambda g: torch.randint(6, (4, 10), generator=g), bits(4))
PIANO = modelled(Roll, bits(4, 6, 5), bits(4, 6, 5))


def _padded(state):
    state["inputs"][0] = 0


CASES = (
    bug(field_nll, TEXT, "exp log", FIELD, fill({"out.bias": 60.0})),
    sound(field_nll_logs, TEXT, FIELD, fill({"out.bias": 60.0})),
    bug(markov_nll, CHAIN, "log", HIDDEN, scale(emit=200.0)),
    sound(markov_nll_logs, CHAIN, HIDDEN, scale(emit=20.0)),
    bug(
        pooled_cost,
        modelled(Pooled, sentences, classes(6, 3)),
        "div exp",
        POOLED,
        _padded,
        verdict="limit defect",
        where=(Pooled.forward,),
    ),
    sound(pooled_cost, modelled(PooledSafely, sentences, classes(6, 3)), POOLED),
    bug(
        perplexity,
        modelled(Tagger, lambda g: torch.randint(15, (3, 4), generator=g), tags),
        "log2 log",
        LANGUAGE,
        scale({"out.weight": 1e3}),
    ),
    sound(perplexity_logs, TEXT, LANGUAGE, scale({"out.weight": 10.0})),
    bug(notes_cost, PIANO, "log", NOTES, scale({"out.weight": 1e4})),
    sound(notes_cost_both, PIANO, NOTES),
)
