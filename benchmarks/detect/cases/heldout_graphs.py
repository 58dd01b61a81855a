"""Held out, written before the tool was run on it: graphs, capsules and units, beside their repair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, modelled, normal, positive, put, scale, sound
from benchmarks.detect.cases.heldout_networks import FEW, NODES, ROWS, STEPS, TIE, ZERO_ROW, Y, _pair, cross_entropy

GRAPH = "Kipf & Welling, Semi-supervised classification with graph convolutional networks, ICLR 2017: isolated nodes"
GAT = "Velickovic et al., Graph attention networks, ICLR 2018; pyGAT fills with -9e15"
CAPSULE = "Sabour et al., Dynamic routing between capsules, NeurIPS 2017: squash at zero"
RADIAL = "Moody & Darken, Fast learning in networks of locally-tuned processing units, 1989: normalised units"
NOISY_OR = "Maron & Lozano-Perez, Multiple-instance learning, NeurIPS 1998; Pearl 1988: noisy-or"
KERNEL = "Specht, Probabilistic neural networks, 1990"
TRANSFORMER = "Rush, The annotated transformer, 2018: layer norm by mean and std with epsilon outside"
ENERGY = "Gulcehre et al., Learned-norm pooling, ECML 2014: the L2 unit"
HIGHWAY = "Clevert et al., ELU, ICLR 2016, written with where"
LINEAR_ATTENTION = "Katharopoulos et al., Transformers are RNNs, ICML 2020: the normaliser of linear attention"
BILINEAR = "Lin et al., Bilinear CNN models, ICCV 2015: signed square root"


def squared(output, target):
    return F.mse_loss(output, target)


def multi_instance(output, target):
    return -(target * output[0] + (1 - target) * output[1]).mean()


class GraphLayer(nn.Module):
    """The input is the adjacency matrix; the nodes' features are learnt."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes, self.head = nn.Parameter(torch.randn(6, 4)), nn.Linear(4, 3)

    def degree(self, adjacency):
        return adjacency.sum(1) ** -0.5  # <- here

    def forward(self, adjacency):
        d = self.degree(adjacency)
        return self.head((d[:, None] * adjacency * d[None, :]) @ self.nodes)


class GraphLayerBounded(GraphLayer):
    def degree(self, adjacency):
        return adjacency.sum(1).clamp(min=1.0) ** -0.5


class GraphAttention(nn.Module):
    nowhere = float("-inf")

    def __init__(self) -> None:
        super().__init__()
        self.nodes, self.head = nn.Parameter(torch.randn(6, 4)), nn.Linear(4, 3)
        self.left, self.right = nn.Linear(4, 1), nn.Linear(4, 1)

    def forward(self, adjacency):
        score = F.leaky_relu(self.left(self.nodes) + self.right(self.nodes).t(), 0.2)
        score = torch.where(adjacency > 0, score, self.nowhere)
        return self.head(torch.softmax(score, -1) @ self.nodes)  # <- here


class GraphAttentionFinite(GraphAttention):
    nowhere = -9e15


class Capsules(nn.Module):
    eps = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 12, bias=False)

    def forward(self, x):
        s = self.body(x).view(-1, 3, 4)
        n = (s**2).sum(-1, keepdim=True)
        v = n / (1 + n) * s / torch.sqrt(n + self.eps)  # <- here
        return 10 * v.sum(-1)


class CapsulesEps(Capsules):
    eps = 1e-8


class RadialUnits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.centres, self.head = nn.Parameter(torch.randn(5, 4)), nn.Linear(5, 1)

    def share(self, distance):
        e = torch.exp(-distance)
        return e / e.sum(-1, keepdim=True)  # <- here

    def forward(self, x):
        distance = ((x[:, None] - self.centres) ** 2).sum(-1)
        return self.head(self.share(distance))


class RadialUnitsSoftmax(RadialUnits):
    def share(self, distance):
        return torch.softmax(-distance, -1)


class NoisyOr(nn.Module):
    """The log-probabilities that a bag has, and has not, a positive instance."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 1)

    def forward(self, x):
        none = torch.prod(1 - torch.sigmoid(self.body(x).squeeze(-1)), 1)
        return torch.log(1 - none), torch.log(none)  # <- here


class NoisyOrInLogs(NoisyOr):
    def forward(self, x):
        none = F.softplus(self.body(x).squeeze(-1)).sum(1) + 1e-6
        return torch.log(-torch.expm1(-none)), -none


class KernelClassifier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.prototypes = nn.Linear(4, 2), nn.Parameter(torch.randn(3, 4, 2))

    def density(self, distance):
        return torch.log(torch.exp(-distance).sum(-1))  # <- here

    def forward(self, x):
        distance = ((self.body(x)[:, None, None] - self.prototypes) ** 2).sum(-1)
        return self.density(distance)


class KernelClassifierInLogs(KernelClassifier):
    def density(self, distance):
        return torch.logsumexp(-distance, -1)


class AnnotatedNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        h = self.body(x)
        return self.head((h - h.mean(-1, keepdim=True)) / (h.std(-1, keepdim=True) + 1e-6))


class EnergyUnits(nn.Module):
    eps = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 12, bias=False), nn.Linear(4, 1)

    def forward(self, x):
        h = self.body(x).view(-1, 4, 3)
        return self.head(torch.sqrt((h**2).sum(-1) + self.eps))  # <- here


class EnergyUnitsEps(EnergyUnits):
    eps = 1e-6


class RectifiedEnergy(nn.Module):
    """The slope of the root is infinite at 0, but the rectifier below it lets nothing through."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 12), nn.Linear(4, 1)

    def forward(self, x):
        h = F.relu(self.body(x)).view(-1, 4, 3)
        return self.head(torch.sqrt((h**2).sum(-1)))


class WhereActivation(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 1)

    def activate(self, h):
        return torch.where(h > 0, h, 1.6 * (torch.exp(h) - 1))  # <- here

    def forward(self, x):
        return self.head(self.activate(self.body(x)))


class WhereActivationBounded(WhereActivation):
    def activate(self, h):
        return torch.where(h > 0, h, 1.6 * torch.expm1(h.clamp(max=0.0)))


class LinearAttention(nn.Module):
    eps = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x):
        q, k = F.elu(self.q(x)) + 1, F.elu(self.k(x)) + 1  # <- here
        mixed = q @ (k.transpose(1, 2) @ x)
        total = (q * k.sum(1, keepdim=True)).sum(-1, keepdim=True)
        return self.head((mixed / (total + self.eps)).mean(1))  # <- here


class LinearAttentionEps(LinearAttention):
    eps = 1e-6


class SignedRoot(nn.Module):
    eps = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 6, bias=False), nn.Linear(4, 6, bias=False)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        h = self.left(x) * self.right(x)
        return self.head(torch.sign(h) * torch.sqrt(h.abs() + self.eps))  # <- here


class SignedRootEps(SignedRoot):
    eps = 1e-5


def _ring(generator):
    return torch.eye(6) + torch.roll(torch.eye(6), 1, 0) + torch.roll(torch.eye(6), -1, 0)


def _ring_without_loops(generator):
    return _ring(generator) - torch.eye(6)


def _alone(state):
    state["inputs"][2].zero_()
    state["inputs"][:, 2].zero_()


def _closed(state):
    state["q.bias"].fill_(-30.0)


CASES = (
    *_pair(cross_entropy, GraphLayer, GraphLayerBounded, _ring, NODES, "pow mul", GRAPH, _alone, **TIE),
    *_pair(cross_entropy, GraphAttention, GraphAttentionFinite, _ring_without_loops, NODES, "softmax where", GAT,
           _alone, **TIE),
    *_pair(cross_entropy, Capsules, CapsulesEps, ROWS, Y, "div sqrt", CAPSULE, ZERO_ROW, **TIE),
    *_pair(squared, RadialUnits, RadialUnitsSoftmax, ROWS, normal(12, 1), "div exp", RADIAL, scale(inputs=30.0)),
    *_pair(multi_instance, NoisyOr, NoisyOrInLogs, normal(8, 5, 4), bits(8), "log sub mul prod", NOISY_OR,
           put({"body.bias": -60.0})),
    *_pair(cross_entropy, KernelClassifier, KernelClassifierInLogs, ROWS, Y, "log exp", KERNEL, scale(inputs=60.0)),
    sound(cross_entropy, modelled(AnnotatedNorm, ROWS, Y), TRANSFORMER, lambda s: (s["body.weight"].zero_(), s[
        "body.bias"].fill_(1.0))),
    *_pair(squared, EnergyUnits, EnergyUnitsEps, positive(12, 4), normal(12, 1), "sqrt", ENERGY,
           ZERO_ROW, phase="backward", verdict="defect limit"),
    sound(squared, modelled(RectifiedEnergy, positive(12, 4), normal(12, 1)), ENERGY,
          lambda s: s["body.bias"].fill_(-50.0)),
    *_pair(squared, WhereActivation, WhereActivationBounded, ROWS, normal(12, 1), "exp", HIGHWAY,
           put({"body.bias": 120.0}), phase="backward"),
    *_pair(cross_entropy, LinearAttention, LinearAttentionEps, STEPS, FEW, "div add", LINEAR_ATTENTION, _closed),
    *_pair(cross_entropy, SignedRoot, SignedRootEps, ROWS, Y, "sqrt", BILINEAR, ZERO_ROW,
           phase="backward", verdict="defect limit"),
)  # fmt: skip
