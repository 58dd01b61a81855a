"""Held out, written before the tool was run on it: networks whose fault lies inside, beside their repair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, modelled, normal, put, sound

DEBAR = "Zhang et al., DEBAR, Detecting numerical bugs in neural network architectures, ESEC/FSE 2020"
ATTENTION = "Bahdanau et al., ICLR 2015; " + DEBAR
BATCH_NORM = "Ioffe & Szegedy, ICML 2015, with and without the epsilon; github.com/pytorch/pytorch issue 5410"
RMS_NORM = "Zhang & Sennrich, Root mean square layer normalization, NeurIPS 2019"
UNIT = "Wang et al., NormFace, ACM MM 2017: an embedding of length zero"
RECURRENT = "Hochreiter & Schmidhuber, LSTM, 1997; hand-written gates, " + DEBAR
POOLING = "Pinheiro & Collobert, From image-level to pixel-level labeling, CVPR 2015: log-sum-exp pooling"
GEOMETRIC = "Hinton, Products of experts, 2002: a geometric mean of activations"


def cross_entropy(output, target):
    return F.cross_entropy(output, target)


class Attend(nn.Module):
    """Scores over steps by hand, then a weighted sum."""

    def __init__(self) -> None:
        super().__init__()
        self.score, self.head = nn.Linear(4, 1), nn.Linear(4, 3)

    def weights(self, s):
        e = torch.exp(s)  # <- here
        return e / e.sum(1, keepdim=True)

    def forward(self, x):
        return self.head((self.weights(self.score(x)) * x).sum(1))


class AttendSoftmax(Attend):
    def weights(self, s):
        return torch.softmax(s, 1)


class BatchNormByHand(nn.Module):
    eps = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.body(x)
        mean, var = h.mean(0), ((h - h.mean(0)) ** 2).mean(0)
        h = (h - mean) / torch.sqrt(var + self.eps)  # <- here
        return self.head(F.relu(h))


class BatchNormByHandEps(BatchNormByHand):
    eps = 1e-5


class RootMeanSquare(nn.Module):
    eps = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6, bias=False), nn.Linear(6, 3)

    def forward(self, x):
        h = self.body(x)
        return self.head(h * torch.rsqrt(h.pow(2).mean(-1, keepdim=True) + self.eps))  # <- here


class RootMeanSquareEps(RootMeanSquare):
    eps = 1e-6


class UnitEmbedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 5, bias=False)
        self.centres = nn.Parameter(torch.randn(3, 5))

    def unit_of(self, h):
        return h / h.norm(dim=-1, keepdim=True)  # <- here

    def forward(self, x):
        return 10 * self.unit_of(self.embed(x)) @ F.normalize(self.centres, dim=-1).t()


class UnitEmbeddingLibrary(UnitEmbedding):
    def unit_of(self, h):
        return F.normalize(h, dim=-1)


class GatedCell(nn.Module):
    """A minimal gated recurrent unit whose sigmoid is spelt out."""

    def __init__(self) -> None:
        super().__init__()
        self.gate, self.new, self.head = nn.Linear(7, 4), nn.Linear(7, 4), nn.Linear(4, 3)

    def sigmoid(self, a):
        return torch.exp(a) / (1 + torch.exp(a))  # <- here

    def forward(self, x):
        h = x.new_zeros(len(x), 4)
        for t in range(x.shape[1]):
            both = torch.cat([x[:, t], h], -1)
            z = self.sigmoid(self.gate(both))
            h = (1 - z) * h + z * torch.tanh(self.new(both))
        return self.head(h)


class GatedCellLibrary(GatedCell):
    def sigmoid(self, a):
        return torch.sigmoid(a)


class PoolByExp(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 3)

    def pool(self, h):
        return torch.log(torch.exp(5 * h).mean(1)) / 5  # <- here

    def forward(self, x):
        return self.pool(self.body(x))


class PoolByLogsumexp(PoolByExp):
    def pool(self, h):
        return torch.logsumexp(5 * h, 1) / 5


class GeometricPool(nn.Module):
    floor = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = torch.sigmoid(self.body(x)) + self.floor
        return self.head(torch.exp(torch.log(h).mean(1)))  # <- here


class GeometricPoolFloor(GeometricPool):
    floor = 1e-4


def _still(state):
    state["body.weight"][1].zero_()


ROWS, STEPS, Y = normal(12, 4), normal(8, 5, 4), classes(12, 3)
FEW, NODES = classes(8, 3), classes(6, 3)
TIE = {"phase": "forward backward", "verdict": "limit defect"}
ZERO_ROW = lambda s: s["inputs"][0].zero_()  # noqa: E731


def _pair(loss, model, mended, inputs, targets, op, origin, extreme, **kind):
    """A bug and its repair, on the same batches."""
    return (
        bug(loss, modelled(model, inputs, targets), op, origin, extreme, where=(model,), **kind),
        sound(loss, modelled(mended, inputs, targets), origin, extreme),
    )


CASES = (
    *_pair(cross_entropy, Attend, AttendSoftmax, STEPS, FEW, "exp div", ATTENTION, put({"score.bias": 120.0})),
    *_pair(cross_entropy, BatchNormByHand, BatchNormByHandEps, ROWS, Y, "div sqrt", BATCH_NORM, _still, **TIE),
    *_pair(cross_entropy, RootMeanSquare, RootMeanSquareEps, ROWS, Y, "rsqrt mul", RMS_NORM, ZERO_ROW, **TIE),
    *_pair(cross_entropy, UnitEmbedding, UnitEmbeddingLibrary, ROWS, Y, "div norm", UNIT, ZERO_ROW, **TIE),
    *_pair(cross_entropy, GatedCell, GatedCellLibrary, normal(8, 4, 3), FEW, "exp div", RECURRENT,
           put({"gate.bias": 120.0})),
    *_pair(cross_entropy, PoolByExp, PoolByLogsumexp, STEPS, FEW, "exp log mean", POOLING, put({"body.bias": 30.0})),
    *_pair(cross_entropy, GeometricPool, GeometricPoolFloor, STEPS, FEW, "log", GEOMETRIC, put({"body.bias": -150.0})),
)  # fmt: skip
