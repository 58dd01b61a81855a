"""Words, answers, trees and letters in a line, each with its defect and its repair."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, given, modelled, normal, scale, sound

HUFFMAN = "hierarchical softmax (Morin & Bengio 2005; Mikolov et al. 2013), one logistic unit a node of the path"
MASTERY = "Bayesian knowledge tracing (Corbett & Anderson 1994) trained by gradient"
PRUNING = "pruning (Felsenstein 1981) under the model of Jukes & Cantor 1969, branch lengths trained"
REPEATS = "unlikelihood of repeated tokens (Welleck et al. 2020, eq. 3)"
BASES = "language model told in bits a character, probabilities multiplied along the line"
NODES = torch.tensor([[0, 1, 2], [0, 1, 2], [0, 1, 3], [0, 1, 3], [0, 4, 5], [0, 4, 5], [0, 4, 6], [0, 4, 6]])
TURNS = torch.tensor([[(w >> k) & 1 for k in (2, 1, 0)] for w in range(8)]).float()


class Skipping(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.nodes = nn.Embedding(8, 5), nn.Embedding(7, 5)

    def forward(self, word):
        return self.words(word), self.nodes.weight


def path_nll(centre, nodes, word):
    score = torch.einsum("bd,bkd->bk", centre, nodes[NODES[word]])
    turn = torch.sigmoid(score)
    p = TURNS[word] * turn + (1 - TURNS[word]) * (1 - turn)
    return -torch.log(p.prod(1)).mean()  # <- here


def path_nll_logs(centre, nodes, word):
    score = torch.einsum("bd,bkd->bk", centre, nodes[NODES[word]])
    return F.softplus((1 - 2 * TURNS[word]) * score).sum(1).mean()


class Mastery(nn.Module):
    """Prior, learning, slip and guess as logistic functions; probability of a right answer at each step."""

    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([-0.5, -1.5, -2.0, -1.0]))

    def wrong(self, p, known, slip, guess):
        return 1 - p

    def forward(self, answers):
        known, learn, slip, guess = (self.least + (1 - 2 * self.least) * torch.sigmoid(self.raw)).unbind(0)
        known, right = known.expand(len(answers)), []
        for k in range(answers.shape[1]):
            p = known * (1 - slip) + (1 - known) * guess
            right.append(p)
            if_right, if_wrong = known * (1 - slip) / p, known * slip / self.wrong(p, known, slip, guess)  # <- here
            known = torch.where(answers[:, k] > 0.5, if_right, if_wrong)
            known = known + (1 - known) * learn
        return torch.stack(right, 1)


class MasteryHeld(Mastery):
    least = 1e-3

    def wrong(self, p, known, slip, guess):
        return known * slip + (1 - known) * (1 - guess)


def answers_nll(p, answers):
    return -(answers * torch.log(p) + (1 - answers) * torch.log(1 - p)).sum(1).mean()  # <- here


class Tree(nn.Module):
    """Four leaves, two cherries; branch lengths as exponentials, sites as one-hot rows."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.linspace(-1.5, -0.5, 6))

    def change(self, raw):
        return 0.25 - 0.25 * torch.exp(-4 * torch.exp(raw) / 3)  # <- here

    def forward(self, sites):
        other = self.change(self.raw)
        up = [x * (1 - 4 * q) + q * x.sum(-1, keepdim=True) for x, q in zip(sites.unbind(1), other[:4], strict=True)]
        left, right = up[0] * up[1], up[2] * up[3]
        left, right = (
            x * (1 - 4 * q) + q * x.sum(-1, keepdim=True) for x, q in zip((left, right), other[4:], strict=True)
        )
        return (0.25 * left * right).sum(-1)


class TreeByExpm1(Tree):
    def change(self, raw):
        return -0.25 * torch.expm1(-4 * torch.exp(raw.clamp(-12.0, 3.0)) / 3)


def sites_nll(p, _):
    return -torch.log(p).mean()  # <- here


def repeated(scores, word):
    own = F.one_hot(word, 6)
    earlier = F.pad(own.cumsum(1)[:, :-1], (0, 0, 1, 0)) > 0
    return F.log_softmax(scores, -1), earlier & (own == 0)


def unlikely(scores, word):
    log_p, seen = repeated(scores, word)
    against = -torch.log(1.0 - log_p.exp()) * seen  # <- here
    return F.nll_loss(log_p.transpose(1, 2), word) + against.sum() / word.numel()


def unlikely_clamped(scores, word):
    log_p, seen = repeated(scores, word)
    against = -torch.log(torch.clamp(1.0 - log_p.exp(), min=1e-5)) * seen
    return F.nll_loss(log_p.transpose(1, 2), word) + against.sum() / word.numel()


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell, self.out = nn.GRU(3, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x):
        return self.out(self.cell(x)[0])


def bits_a_letter(scores, letter):
    own = torch.softmax(scores, 2).gather(2, letter[..., None])[..., 0]
    return (-torch.log2(own.prod(1)) / letter.shape[1]).mean()  # <- here


def bits_a_letter_summed(scores, letter):
    own = torch.log_softmax(scores, 2).gather(2, letter[..., None])[..., 0]
    return (-own.sum(1) / (letter.shape[1] * math.log(2))).mean()


def letters(rows, steps, count):
    return lambda g: torch.randint(count, (rows, steps), generator=g)


def leaves(g):
    return torch.eye(4)[torch.randint(4, (10, 4), generator=g)]


SKIP = modelled(Skipping, classes(10, 8), classes(10, 8))
ASKED = bits(8, 6), bits(8, 6)
SITES = leaves, bits(10)
TOLD = given(scores=normal(4, 7, 6), word=letters(4, 7, 6), target="word")
LETTERS = modelled(Line, normal(4, 9, 3), letters(4, 9, 4))


CASES = (
    bug(path_nll, SKIP, "log", HUFFMAN, scale({"words.weight": 150.0})),
    sound(path_nll_logs, SKIP, HUFFMAN, scale({"words.weight": 150.0})),
    bug(answers_nll, modelled(Mastery, *ASKED), "div log", MASTERY, fill(raw=-120.0), verdict="defect limit",
        where=(Mastery.forward, answers_nll)),
    sound(answers_nll, modelled(MasteryHeld, *ASKED), MASTERY, fill(raw=-120.0)),
    bug(sites_nll, modelled(Tree, *SITES), "log sub", PRUNING, fill(raw=-20.0), kind="nan inf precision",
        verdict="defect silent", where=(Tree.change, sites_nll)),
    sound(sites_nll, modelled(TreeByExpm1, *SITES), PRUNING, fill(raw=-5.0)),
    bug(unlikely, TOLD, "log", REPEATS, scale(scores=60.0)),
    sound(unlikely_clamped, TOLD, REPEATS),
    bug(bits_a_letter, LETTERS, "log2 log", BASES, scale({"out.weight": 60.0})),
    sound(bits_a_letter_summed, LETTERS, BASES, scale({"out.weight": 60.0})),
)  # fmt: skip
