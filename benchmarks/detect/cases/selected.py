"""Losses that keep some samples as the model's output decides; and steps compared with what was read of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, modelled, normal, put, sound

HARD = "online hard examples by a threshold on the loss (Shrivastava et al., CVPR 2016, section 3)"
SURE = "pseudo-labels above a confidence (Sohn et al., FixMatch, NeurIPS 2020, equation 4)"
PACED = "self-paced learning (Kumar et al., NeurIPS 2010): samples below a loss are learned from"
CORRECTED = "training on the wrongly classified (perceptron, Rosenblatt 1958)"
LETTERS = "character models (Graves, arXiv:1308.0850, equation 5), the shift by one left out"


def hard_examples(scores, y):
    each = F.binary_cross_entropy_with_logits(scores[:, 0], y, reduction="none")
    return each[each > 0.5].mean()  # <- here


def hard_examples_or_none(scores, y):
    each = F.binary_cross_entropy_with_logits(scores[:, 0], y, reduction="none")
    kept = each[each > 0.5]
    return kept.sum() / (each > 0.5).sum().clamp(min=1)


def sure_pseudo_labels(scores, y):
    top, guess = torch.softmax(scores.detach(), -1).max(-1)
    return F.cross_entropy(scores[top > 0.45], guess[top > 0.45])  # <- here


def sure_pseudo_labels_weighed(scores, y):
    top, guess = torch.softmax(scores.detach(), -1).max(-1)
    return (F.cross_entropy(scores, guess, reduction="none") * (top > 0.45)).mean()


def easy_first(scores, y):
    each = F.cross_entropy(scores, y, reduction="none")
    return torch.masked_select(each, each < 3.0).sum() / len(y)


def logs_of_the_hard(scores, y):
    chance = torch.softmax(scores, -1)[torch.arange(len(y)), y]
    return -torch.log(chance[chance < 0.9]).sum() / len(y)  # <- here


def logs_of_the_hard_kept_above_zero(scores, y):
    log_chance = torch.log_softmax(scores, -1)[torch.arange(len(y)), y]
    return -log_chance[log_chance < -0.1].sum() / len(y)


def scores_of_the_wrong(scores, y):
    wrong = scores.argmax(-1) != y
    return (scores[wrong].max(-1)[0] - scores[wrong, y[wrong]]).sum() / len(y)


class Letters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.read, self.step, self.score = nn.Embedding(5, 6), nn.GRU(6, 8, batch_first=True), nn.Linear(8, 5)

    def forward(self, x):
        return self.score(self.step(self.read(x))[0])


def letters_nll(model, batch):
    x, _ = batch
    return F.nll_loss(F.log_softmax(model(x), -1).flatten(0, 1), x.flatten())  # <- here


def letters_nll_shifted(model, batch):
    x, _ = batch
    return F.nll_loss(F.log_softmax(model(x[:, :-1]), -1).flatten(0, 1), x[:, 1:].flatten())


def two() -> nn.Module:
    return nn.Linear(4, 1)


def three() -> nn.Module:
    return nn.Linear(4, 3)


ROWS, WORDS = normal(16, 4), lambda generator: torch.randint(0, 5, (8, 9), generator=generator)
NOTHING = {"kind": "nan", "verdict": "limit defect"}
WRONG = {"kind": "wrong-density", "verdict": "wrong-formula"}

CASES = (
    bug(hard_examples, modelled(two, ROWS, bits(16)), "mean div index sum", HARD,
        fill(weight=0.0, bias=9.0, targets=1.0), **NOTHING),
    sound(hard_examples_or_none, modelled(two, ROWS, bits(16)), HARD),
    bug(sure_pseudo_labels, modelled(three, ROWS, classes(16, 3)), "cross_entropy nll_loss mean div index", SURE,
        fill(weight=0.0, bias=0.0), **NOTHING),
    sound(sure_pseudo_labels_weighed, modelled(three, ROWS, classes(16, 3)), SURE),
    sound(easy_first, modelled(three, ROWS, classes(16, 3)), PACED),
    bug(logs_of_the_hard, modelled(three, ROWS, classes(16, 3)), "log", HARD, put(bias=-200.0)),
    sound(logs_of_the_hard_kept_above_zero, modelled(three, ROWS, classes(16, 3)), HARD),
    sound(scores_of_the_wrong, modelled(three, ROWS, classes(16, 3)), CORRECTED),
    bug(letters_nll, modelled(Letters, WORDS, classes(8, 3)), "nll_loss log_softmax mean", LETTERS, **WRONG),
    sound(letters_nll_shifted, modelled(Letters, WORDS, classes(8, 3)), LETTERS),
)  # fmt: skip
