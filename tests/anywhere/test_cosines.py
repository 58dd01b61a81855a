"""Scores between directions lie in [-1, 1], and are moved no further; all other products go anywhere."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import nllcheck
from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.target import Target, split_batch

X = torch.linspace(-1, 1, 18).view(6, 3)
Y = torch.tensor([0, 1, 2, 3, 0, 1])


class Classifier(nn.Module):
    def __init__(self, score) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.centres, self.score = nn.Linear(3, 5), nn.Parameter(torch.randn(4, 5)), score

    def forward(self, x):
        return self.score(self.body(x), self.centres)


def cosines(z, w):
    return F.linear(F.normalize(z, dim=-1), F.normalize(w, dim=-1))


def scaled(z, w):
    return 16 * (F.normalize(z) @ F.normalize(w).T)


def divided(z, w):
    return (z / z.norm(dim=-1, keepdim=True)) @ (w / (w.norm(dim=-1, keepdim=True) + 1e-8)).t()


def of_columns(z, w):
    return F.normalize(z, dim=1) @ F.normalize(w.t(), dim=0)


def one_of_both(z, w):
    return F.normalize(z, dim=-1) @ w.t()


def the_wrong_way(z, w):
    return F.normalize(z, dim=-1) @ F.normalize(w, dim=0).t()


def by_other_lengths(z, w):
    return (z / (z + 1).norm(dim=-1, keepdim=True)) @ F.normalize(w, dim=-1).t()


def by_sums(z, w):
    return (z / z.norm(1, dim=-1, keepdim=True)) @ F.normalize(w, dim=-1).t()


def naive(output, target):
    return -torch.log(F.softmax(output, -1)[torch.arange(6), target]).mean()


def angle(output, target):
    return torch.acos(output)[torch.arange(6), target].mean()


WITHIN = (cosines, scaled, divided, of_columns)
ANYWHERE = (one_of_both, the_wrong_way, by_other_lengths, by_sums)


def domains(score):
    batch = split_batch((X, Y))
    graph = capture(Target("t", naive, "t", Classifier(score), (batch,), "output"), batch)
    return {a.domain for a in default_axes(graph)[0] if a.role == "output" and a.mode == "set"}


@pytest.mark.parametrize("score", WITHIN, ids=lambda f: f.__name__)
def test_cosines_stay_cosines(score):
    assert domains(score) == {(-1.0, 1.0)}


@pytest.mark.parametrize("score", ANYWHERE, ids=lambda f: f.__name__)
def test_other_products_go_anywhere(score):
    assert domains(score) == {(-math.inf, math.inf)}


def test_a_gap_that_no_cosines_have_is_no_alarm_and_the_end_of_their_range_is_one():
    assert nllcheck.check(naive, model=Classifier(scaled), batch=(X, Y), fail_on="warning").ok
    found = nllcheck.check(angle, model=Classifier(cosines), batch=(X, Y)).findings
    assert [(f.op, f.phase) for f in found if f.severity == "error"] == [("acos", "backward")]
