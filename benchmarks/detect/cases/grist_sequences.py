"""Word vectors, sentences, chains and click models ported from TensorFlow tutorials: each with its repaired twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, given, modelled, normal, scale, sound, unit

SKIPGRAM = "negative sampling: Mikolov et al. 2013, by hand"
CRF = "forward algorithm of a linear chain: Lafferty et al. 2001, in linear space"
SEQUENCE = "probability of a sentence as a product: char-rnn tutorials"
FM = "factorisation machine: Rendle 2010, logistic loss of labels -1 and 1"


class SkipGram(nn.Module):
    def __init__(self):
        super().__init__()
        self.center, self.context = nn.Embedding(12, 5), nn.Embedding(12, 5)

    def forward(self, words):
        return (self.center(words)[:, None, :] * self.context.weight).sum(-1)


class Machine(nn.Module):
    def __init__(self):
        super().__init__()
        self.w0 = nn.Parameter(torch.zeros(1))
        self.w = nn.Linear(6, 1, bias=False)
        self.v = nn.Parameter(0.3 * torch.randn(6, 3))

    def forward(self, x):
        pairs = 0.5 * ((x @ self.v) ** 2 - (x**2) @ (self.v**2)).sum(1)
        return self.w0 + self.w(x)[:, 0] + pairs


def sentence_perplexity(logits, words):
    nll = F.cross_entropy(logits, words, reduction="sum")
    return torch.exp(nll)  # <- here


def sentence_nll(logits, words):
    return F.cross_entropy(logits, words)


def negative_sampling(model, batch):
    center, context = batch
    scores = model(center)
    positive = torch.log(torch.sigmoid(scores.gather(1, context[:, None])))  # <- here
    negative = torch.log(1 - torch.sigmoid(scores[:, :3])).sum(1)  # <- here
    return -(positive[:, 0] + negative).mean()


def negative_sampling_fixed(model, batch):
    center, context = batch
    scores = model(center)
    return -(F.logsigmoid(scores.gather(1, context[:, None]))[:, 0] + F.logsigmoid(-scores[:, :3]).sum(1)).mean()


def chain_likelihood(emit, trans, tags):
    alpha = torch.exp(emit[0])  # <- here
    for score in emit[1:]:
        alpha = (alpha @ torch.exp(trans)) * torch.exp(score)  # <- here
    path = emit.gather(1, tags[:, None]).sum() + trans[tags[:-1], tags[1:]].sum()
    return torch.log(alpha.sum()) - path


def chain_likelihood_in_logs(emit, trans, tags):
    alpha = emit[0]
    for score in emit[1:]:
        alpha = torch.logsumexp(alpha[:, None] + trans, dim=0) + score
    path = emit.gather(1, tags[:, None]).sum() + trans[tags[:-1], tags[1:]].sum()
    return torch.logsumexp(alpha, 0) - path


def sentence_product(logits, words):
    p = torch.softmax(logits, dim=-1).gather(1, words[:, None])
    return -torch.log(p.prod())  # <- here


def sentence_sum(logits, words):
    return -F.log_softmax(logits, dim=-1).gather(1, words[:, None]).sum()


def machine_logistic(score, y):
    return torch.mean(torch.log(1 + torch.exp(-y * score)))  # <- here


def machine_logistic_fixed(score, y):
    return torch.mean(F.softplus(-y * score))


SENTENCE = given("words", logits=normal(9, 5), words=classes(9, 5))
WORDS = modelled(SkipGram, classes(7, 12), classes(7, 12))
CHAIN = given("tags", emit=normal(6, 3), trans=normal(3, 3), tags=classes(6, 3))
FIELDS = modelled(Machine, unit(8, 6), lambda g: torch.randint(2, (8,), generator=g).float() * 2 - 1)


CASES = (
    bug(sentence_perplexity, SENTENCE, "exp", SEQUENCE, scale(logits=40.0), verdict="limit"),
    sound(sentence_nll, SENTENCE, SEQUENCE, scale(logits=40.0)),
    bug(negative_sampling, WORDS, "log", SKIPGRAM, scale({"center.weight": 300.0})),
    sound(negative_sampling_fixed, WORDS, SKIPGRAM, scale({"center.weight": 300.0})),
    bug(chain_likelihood, CHAIN, "exp matmul mul", CRF, scale(emit=60.0)),
    sound(chain_likelihood_in_logs, CHAIN, CRF, scale(emit=60.0)),
    bug(sentence_product, SENTENCE, "log prod", SEQUENCE, scale(logits=40.0)),
    sound(sentence_sum, SENTENCE, SEQUENCE, scale(logits=40.0)),
    bug(machine_logistic, FIELDS, "exp", FM, scale({"w.weight": 1e3})),
    sound(machine_logistic_fixed, FIELDS, FM, scale({"w.weight": 1e3})),
)
