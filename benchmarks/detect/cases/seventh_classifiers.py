"""Whole classifiers with probabilities of their own making, each with its defect and its repair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fill, modelled, normal, onehot, scale, sound

CONFIDENCE = "learned confidence (DeVries & Taylor 2018, eq. 2-4); github.com/uoguelph-mlrg/confidence_estimation"
TREE = "soft decision tree (Frosst & Hinton 2017, eq. 4-5); github.com/kimhc6028/soft-decision-tree"
FOREST = "deep neural decision forests (Kontschieder et al. 2015); github.com/jingxil/Neural-Decision-Forests"
NOISY = "forward correction of noisy labels (Patrini et al. 2017, theorem 2)"


class Confident(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(6, 12), nn.BatchNorm1d(12), nn.ReLU())
        self.classify, self.confide = nn.Linear(12, 4), nn.Linear(12, 1)

    def forward(self, x):
        h = self.body(x)
        return self.classify(h), self.confide(h)


def hinted(scores, raw, label):
    pred, confidence = torch.softmax(scores, dim=-1), torch.sigmoid(raw)
    own = F.one_hot(label, 4).float()
    mixed = pred * confidence + own * (1 - confidence)
    confidence_loss = torch.mean(-torch.log(confidence))  # <- here
    return F.nll_loss(torch.log(mixed + 1e-12), label) + 0.1 * confidence_loss


def hinted_clamped(scores, raw, label):
    pred = torch.softmax(scores, dim=-1).clamp(1e-6, 1 - 1e-6)
    confidence = torch.sigmoid(raw).clamp(1e-6, 1 - 1e-6)
    own = F.one_hot(label, 4).float()
    mixed = pred * confidence + own * (1 - confidence)
    return F.nll_loss(torch.log(mixed), label) + 0.1 * torch.mean(-torch.log(confidence))


class SoftTree(nn.Module):
    """Depth two: three gates, four leaves, a penalty on gates that send all one way."""

    floor = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.leaves = nn.Linear(5, 3), nn.Parameter(torch.randn(4, 3))

    def forward(self, x):
        p = torch.sigmoid(self.gates(x))
        left, right = p[:, :1], 1 - p[:, :1]
        reach = torch.cat([torch.ones_like(left), left, right], dim=1)
        path = torch.stack(
            [reach[:, 1] * p[:, 1], reach[:, 1] * (1 - p[:, 1]), reach[:, 2] * p[:, 2], reach[:, 2] * (1 - p[:, 2])], 1
        )
        share = (reach * p).sum(0) / reach.sum(0)  # <- here
        penalty = -0.5 * (torch.log(share + self.floor) + torch.log(1 - share + self.floor)).sum()  # <- here
        return path, F.log_softmax(self.leaves, 1), penalty


class SoftTreeHeld(SoftTree):
    def forward(self, x):
        p = torch.sigmoid(self.gates(x)).clamp(1e-4, 1 - 1e-4)
        left, right = p[:, :1], 1 - p[:, :1]
        reach = torch.cat([torch.ones_like(left), left, right], dim=1)
        sides = torch.stack([p[:, 1:], 1 - p[:, 1:]], 2) * reach[:, 1:, None]
        share = (reach * p).sum(0) / reach.sum(0)
        penalty = -0.5 * (torch.log(share) + torch.log(1 - share)).sum()
        return sides.flatten(1), F.log_softmax(self.leaves, 1), penalty


def tree_loss(path, log_q, penalty, y):
    return -(path * (y @ log_q.T)).sum(1).mean() + 0.1 * penalty


class Forest(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Linear(6, 8), nn.ReLU())
        self.decide, self.pi = nn.Linear(8, 3), nn.Parameter(torch.rand(4, 4))

    def forward(self, x):
        d = torch.sigmoid(self.decide(self.features(x)))
        both = torch.stack((d, 1 - d), dim=2)
        mu = torch.ones(len(x), 1, 1)
        start = 0
        for layer in range(2):
            mu = mu.reshape(len(x), -1, 1).repeat(1, 1, 2) * both[:, start : start + 2**layer]
            start += 2**layer
        return mu.reshape(len(x), 4) @ torch.softmax(self.pi, 1)


def forest_nll(prob, target):
    return F.nll_loss(torch.log(prob), target)  # <- here


def forest_nll_clamped(prob, target):
    return F.nll_loss(torch.log(prob.clamp(min=1e-6, max=1)), target)


class Corrected(nn.Module):
    """Scores, and how labels turn into their neighbours."""

    def __init__(self, rest=0.0) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.Tanh(), nn.Linear(12, 4))
        turned = 0.7 * torch.eye(4) + 0.3 * torch.roll(torch.eye(4), 1, 1)
        self.register_buffer("T", (1 - 4 * rest) * turned + rest)

    def forward(self, x):
        return torch.softmax(self.net(x), 1) @ self.T


class CorrectedFull(Corrected):
    def __init__(self) -> None:
        super().__init__(0.05)


def corrected_nll(noisy, label):
    return -torch.log(noisy.gather(1, label[:, None])).mean()  # <- here


SURE = modelled(Confident, normal(10, 6), classes(10, 4))
BRANCHED = modelled(SoftTree, normal(10, 5), onehot(10, 3))
TREES = modelled(Forest, normal(8, 6), classes(8, 4))
ONE_WAY = fill({"gates.bias": -150.0})


CASES = (
    bug(hinted, SURE, "log", CONFIDENCE, fill({"confide.bias": -150.0})),
    sound(hinted_clamped, SURE, CONFIDENCE),
    bug(tree_loss, BRANCHED, "div log", TREE, ONE_WAY, verdict="defect limit", where=(SoftTree.forward,)),
    sound(tree_loss, modelled(SoftTreeHeld, normal(10, 5), onehot(10, 3)), TREE),
    bug(forest_nll, TREES, "log", FOREST, scale(pi=600.0)),
    sound(forest_nll_clamped, TREES, FOREST),
    bug(corrected_nll, modelled(Corrected, normal(8, 6), classes(8, 4)), "log", NOISY, scale({"net.2.weight": 3e3})),
    sound(corrected_nll, modelled(CorrectedFull, normal(8, 6), classes(8, 4)), NOISY, scale({"net.2.weight": 3e3})),
)
