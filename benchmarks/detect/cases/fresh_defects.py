"""Third set, defective: what fails is inside the model or a change of weights away; threads and habits."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, counts, fill, given, modelled, normal, positive, put, scale

LIMIT = "defect limit"


def small(outputs: int, width: int = 8):
    """Four features, one hidden layer."""
    return lambda: nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, outputs))


def lifted(outputs: int):
    """Its output begins at 3, so that a ReLU after it is open on the batch."""

    def build():
        net = small(outputs)()
        nn.init.constant_(net[2].bias, 3.0)
        return net

    return build


def cross_entropy(output, target):
    return F.cross_entropy(output, target)


def squared_error(output, target):
    return F.mse_loss(output, target)


# ---- the loss ----------------------------------------------------------------------------------------------------


def odds_of_preference(output, target):
    log_p = torch.log_softmax(output, -1).gather(1, target.unsqueeze(1)).squeeze(1)
    chosen, rejected = log_p.chunk(2)
    odds = chosen - rejected - (torch.log1p(-chosen.exp()) - torch.log1p(-rejected.exp()))  # <- here
    return (-F.logsigmoid(odds) - 0.1 * chosen).mean()


def tags_unshifted(scores, transitions, tags):
    alpha, gold = scores[:, 0], scores[:, 0].gather(1, tags[:, :1]).squeeze(1)
    for step in range(1, scores.shape[1]):
        paths = alpha.unsqueeze(2) + transitions + scores[:, step].unsqueeze(1)
        alpha = torch.log(torch.exp(paths).sum(1))  # <- here
        gold = gold + scores[:, step].gather(1, tags[:, step : step + 1]).squeeze(1)
        gold = gold + transitions[tags[:, step - 1], tags[:, step]]
    return (torch.logsumexp(alpha, -1) - gold).mean()


def squashed_without_guard(output, target):
    mean, log_std = output[:, :2], output[:, 2:].clamp(-5, 2)
    raw = mean + log_std.exp() * target
    log_p = -0.5 * target**2 - log_std - 0.5 * math.log(2 * math.pi)
    log_p = log_p - torch.log(1 - torch.tanh(raw) ** 2)  # <- here
    return (0.2 * log_p.sum(-1) - torch.tanh(raw).sum(-1)).mean()


def distilled_by_hand(output, target):
    p, q = torch.softmax(output / 2, -1), torch.softmax(target / 2, -1)
    return (p * (p.log() - q.log())).sum(-1).mean()  # <- here


def bonus_by_hand(output, target):
    p = torch.softmax(output[:, :4], -1)
    entropy = -(p * torch.log(p)).sum(-1)  # <- here
    return (F.mse_loss(output[:, 4], target) - 0.01 * entropy).mean()


def two_passes_by_probability(output, target):
    first, second = output.chunk(2, -1)
    p, q = torch.log_softmax(first, -1), torch.log_softmax(second, -1)
    both = F.kl_div(p, q.exp(), reduction="batchmean") + F.kl_div(q, p.exp(), reduction="batchmean")  # <- here
    return F.cross_entropy(first, target) + F.cross_entropy(second, target) + 0.5 * both


def rotation_angle(one, other):
    trace = (one * other).sum((-1, -2))
    return torch.acos(((trace - 1) / 2).clamp(-1, 1)).mean()  # <- here


def frames(g):
    """Sixteen random rotations."""
    return torch.linalg.qr(torch.randn(16, 3, 3, generator=g)).Q


def rotation_from_six(output, target):
    first = F.normalize(output[:, :3], dim=-1)
    rest = output[:, 3:] - (first * output[:, 3:]).sum(-1, keepdim=True) * first
    second = F.normalize(rest, dim=-1)
    built = torch.stack([first, second, torch.linalg.cross(first, second)], 1)
    return rotation_angle(built, target)


def centres(rows, centre):
    gap = rows.square().sum(-1, keepdim=True) + centre.square().sum(-1) - 2 * rows @ centre.t()
    return torch.sqrt(gap.clamp(min=0)).min(-1).values.mean()  # <- here


def rate_by_relu(output, target):
    rate = torch.relu(output)
    return (rate - target * torch.log(rate)).mean()  # <- here


def power_transformed(y, power, mean, raw_scale):
    z = (y**power - 1) / power  # <- here
    sigma = F.softplus(raw_scale) + 1e-3
    return (0.5 * ((z - mean) / sigma) ** 2 + torch.log(sigma) - (power - 1) * torch.log(y)).mean()


def planar(x, weight, u, bias):
    h = torch.tanh(x @ weight + bias)
    log_det = torch.log(torch.abs(1 + (1 - h**2) * (u @ weight)))  # <- here
    z = x + h.unsqueeze(-1) * u
    return (0.5 * z.square().sum(-1) - log_det).mean()


def kernel_density(rows, centre, log_width):
    gap = (rows.unsqueeze(1) - centre.unsqueeze(0)).square().sum(-1) * torch.exp(-2 * log_width)
    density = torch.exp(-0.5 * gap).mean(-1)
    return (2 * log_width - torch.log(density)).mean()  # <- here


def risk_without_shift(output, target):
    order = target[:, 0].argsort(descending=True)
    score, event = output[order, 0], target[order, 1]
    return -((score - torch.log(torch.exp(score).cumsum(0))) * event).sum() / event.sum().clamp(min=1)  # <- here


def interval_cloglog(output, target):
    hazard = torch.exp(output)
    died = torch.log(1 - torch.exp(-hazard))  # <- here
    return -(target * died - (1 - target) * hazard).mean()


def hyperbolic(one, other):
    gap = (one - other).square().sum(-1)
    room = (1 - one.square().sum(-1)) * (1 - other.square().sum(-1))
    return torch.acosh(1 + 2 * gap / room).mean()  # <- here


def gentle_focus(output, target):
    log_p = torch.log_softmax(output, -1).gather(1, target.unsqueeze(1))
    return -((1 - log_p.exp()) ** 0.5 * log_p).mean()  # <- here


def scale_by_elu(output, target):
    sigma = F.elu(output[:, 1:]) + 1  # <- here
    return (0.5 * ((target - output[:, :1]) / sigma) ** 2 + torch.log(sigma)).mean()  # <- here


# ---- the model ---------------------------------------------------------------------------------------------------


class Layered(nn.Module):
    """Linear, ReLU, something, linear."""

    def __init__(self, width: int = 6, outputs: int = 3) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, width), nn.Linear(width, outputs)

    def between(self, h):
        return h

    def forward(self, x):
        return self.head(self.between(torch.relu(self.body(x))))


class RootMeanBare(Layered):
    def between(self, h):
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True))  # <- here


class Capsules(Layered):
    def between(self, h):
        length = torch.sqrt(h.square().sum(-1, keepdim=True))  # <- here
        return length**2 / (1 + length**2) * h / length  # <- here


class CosineHead(Layered):
    def between(self, h):
        return 8 * h / torch.sqrt((h * h).sum(-1, keepdim=True))  # <- here


class MapScaled(Layered):
    def between(self, h):
        low, high = h.min(-1, keepdim=True).values, h.max(-1, keepdim=True).values
        return (h - low) / (high - low)  # <- here


class OverTime(nn.Module):
    """Mean and deviation over time of ReLU features, the deviation from two moments."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(12, 3)
        nn.init.constant_(self.body.bias, 1.0)

    def forward(self, x):
        h = torch.relu(self.body(x))
        mean = h.mean(1)
        spread = torch.sqrt((h * h).mean(1) - mean * mean)  # <- here
        return self.head(torch.cat([mean, spread], -1))


class Restyled(OverTime):
    def forward(self, x):
        h = torch.relu(self.body(x))
        h = (h - h.mean(1, keepdim=True)) / h.var(1, keepdim=True).sqrt()  # <- here
        return self.head(torch.cat([h[:, 0], h[:, -1]], -1))


class PowerPooled(OverTime):
    def __init__(self) -> None:
        super().__init__()
        self.power = nn.Parameter(torch.tensor(3.0))

    def forward(self, x):
        h = torch.relu(self.body(x))
        pooled = h.pow(self.power).mean(1).pow(1 / self.power)  # <- here
        return self.head(torch.cat([pooled, pooled], -1))


class Mish(Layered):
    def forward(self, x):
        h = self.body(x)
        return self.head(h * torch.tanh(torch.log(1 + torch.exp(h))))  # <- here


class Swish(Layered):
    def forward(self, x):
        h = self.body(x)
        return self.head(h / (1 + torch.exp(-h)))  # <- here


class AttentionByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.head = nn.Linear(4, 12), nn.Linear(4, 3)

    def forward(self, x):
        q, k, v = self.qkv(x).chunk(3, -1)
        weight = torch.exp(q @ k.transpose(1, 2))  # <- here
        mixed = weight / weight.sum(-1, keepdim=True) @ v  # <- here
        return self.head(mixed.mean(1))


class ExponentialGates(nn.Module):
    """A recurrent cell with exponential input gate and a normaliser state, without the stabiliser."""

    def __init__(self) -> None:
        super().__init__()
        self.gates, self.head = nn.Linear(4, 9), nn.Linear(3, 3)

    def forward(self, x):
        cell, norm = torch.zeros(len(x), 3), torch.zeros(len(x), 3)
        for step in range(x.shape[1]):
            i, f, z = self.gates(x[:, step]).chunk(3, -1)
            opened = torch.exp(i)  # <- here
            cell = torch.sigmoid(f) * cell + opened * torch.tanh(z)
            norm = torch.sigmoid(f) * norm + opened
        return self.head(cell / norm)  # <- here


class LearntGraph(nn.Module):
    """Nodes with embeddings, whose products are the edges."""

    def __init__(self) -> None:
        super().__init__()
        self.nodes = nn.Parameter(torch.rand(6, 4))
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        link = torch.relu(torch.tanh(self.nodes @ self.nodes.t()))
        root = link.sum(1) ** -0.5  # <- here
        return self.head((root.unsqueeze(1) * link * root) @ x)


class NoisyWeights(nn.Module):
    """Variational dropout: the loss adds the divergence in terms of log alpha."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(3, 4) * 0.3)
        self.log_sigma2 = nn.Parameter(torch.full((3, 4), -6.0))


def sparse_dropout(model, batch):
    x, y = batch
    log_alpha = model.log_sigma2 - torch.log(model.weight**2)  # <- here
    divergence = 0.64 * torch.sigmoid(1.87 + 1.49 * log_alpha) - 0.5 * torch.log1p(torch.exp(-log_alpha)) - 0.64
    return F.cross_entropy(x @ model.weight.t(), y) - 0.01 * divergence.sum()


def ball(rows):
    def draw(g):
        length = 0.2 + 0.6 * torch.rand(rows, 1, generator=g)
        return F.normalize(torch.randn(rows, 3, generator=g), dim=-1) * length

    return draw


def timed_events(g):
    return torch.stack([torch.rand(32, generator=g) * 5, (torch.rand(32, generator=g) > 0.4).float()], 1)


def same_frames(state):
    state["one"].copy_(state["other"])


def upright(state):
    """The network gives the identity for every row, and the first target is it."""
    state["2.weight"].zero_()
    state["2.bias"].copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))
    state["targets"][0] = torch.eye(3)


def folded(state):
    """At x = 0 the determinant is 1 + u.w = 0."""
    state["x"][0], state["bias"][...] = 0.0, 0.0
    state["weight"].copy_(torch.tensor([1.0, 0.0]))
    state["u"].copy_(torch.tensor([-1.0, 0.0]))


def near(state):
    state["centre"][0] = state["rows"][0]


DEAD = fill({"body.weight": 0.0, "body.bias": -1.0})
STEADY = fill({"body.weight": 0.0, "body.bias": 1.1})
LARGE = scale({"0.weight": 30.0, "2.weight": 30.0})
ROWS, LABELS, STEPS = normal(32, 4), classes(32, 3), normal(16, 5, 4)

CASES = (
    bug(
        odds_of_preference,
        modelled(small(4), ROWS, classes(32, 4)),
        "log1p",
        "Hong et al. 2024, arXiv:2403.07691; ORPO code, log1p(-exp(log p))",
        LARGE,
    ),
    bug(
        tags_unshifted,
        given(
            "tags",
            scores=normal(16, 6, 4),
            transitions=normal(4, 4),
            tags=lambda g: torch.randint(4, (16, 6), generator=g),
        ),
        "exp log",
        "CRF layers in public code, log of summed exp without a shift",
        scale(scores=60.0),
    ),
    bug(
        squashed_without_guard,
        modelled(small(4), ROWS, normal(32, 2)),
        "log",
        "github.com/kengboon/RoadEnv, sac.py: log(1 - action^2)",
        LARGE,
    ),
    bug(
        distilled_by_hand,
        modelled(small(4), ROWS, normal(32, 4, scale=2.0)),
        "log mul",
        "public distillation code, p * (p.log() - q.log())",
        scale({"2.weight": 3000.0}),
    ),
    bug(
        bonus_by_hand,
        modelled(small(5), ROWS, normal(32)),
        "log mul",
        "public A2C code, entropy from softmax and log",
        scale({"2.weight": 3000.0}),
    ),
    bug(
        two_passes_by_probability,
        modelled(small(6), ROWS, LABELS),
        "kl_div log mul xlogy exp",
        "Liang et al. 2021, arXiv:2106.14448; R-Drop code, probabilities as the target that is trained, too",
        scale({"2.weight": 3000.0}),
    ),
    bug(
        rotation_angle,
        given("other", one=frames, other=frames),
        "acos",
        "github.com/papagina/RotationContinuity, issue 11; Fix NaNs in geodesic loss (xvr, pull 129)",
        same_frames,
        phase="backward",
        verdict=LIMIT,
    ),
    bug(
        rotation_from_six,
        modelled(small(6), normal(16, 4), frames),
        "acos",
        "github.com/naver/roma, issue 9: NaN with the geodesic loss",
        upright,
        phase="backward",
        verdict=LIMIT,
        where=(rotation_angle,),
    ),
    bug(
        centres,
        given("", rows=normal(24, 3), centre=normal(4, 3)),
        "sqrt",
        "pytorch issue 37154 and public centre losses: sqrt of a distance clamped at 0",
        near,
        phase="backward",
        verdict=LIMIT,
    ),
    bug(
        rate_by_relu,
        modelled(lifted(1), ROWS, counts(32, 1)),
        "log mul",
        "public Poisson regressions with a ReLU head",
        fill({"2.weight": 0.0, "2.bias": -1.0}),
        verdict=LIMIT,
    ),
    bug(
        power_transformed,
        given("y", y=positive(32), power=normal(shift=0.6, scale=0.1), mean=normal(), raw_scale=normal()),
        "div sub pow",
        "Box & Cox 1964 with a learnt power",
        fill(power=0.0),
        kind="nan inf precision",
        verdict="defect limit silent",
    ),
    bug(
        planar,
        given("", x=normal(32, 2), weight=normal(2), u=normal(2, scale=0.3), bias=normal()),
        "log",
        "Rezende & Mohamed 2015, arXiv:1505.05770, without the constraint on u",
        folded,
        verdict=LIMIT,
    ),
    bug(
        kernel_density,
        given("", rows=normal(32, 2), centre=normal(12, 2), log_width=normal(scale=0.1)),
        "log",
        "kernel density estimates as losses in public code",
        fill(log_width=-4.0),
    ),
    bug(
        risk_without_shift,
        modelled(small(1), ROWS, timed_events),
        "exp log",
        "public Cox losses, log(cumsum(exp))",
        scale({"2.weight": 3000.0}),
    ),
    bug(
        interval_cloglog,
        modelled(small(1), ROWS, bits(32, 1)),
        "log",
        "complementary log-log hazards; Maechler 2012 on log(1 - exp(-a))",
        fill({"2.weight": 0.0, "2.bias": -20.0}),
    ),
    bug(
        hyperbolic,
        given("", one=ball(24), other=ball(24)),
        "acosh",
        "Nickel & Kiela 2017, arXiv:1705.08039; Poincare distance without an epsilon",
        same_frames,
        phase="backward",
        verdict=LIMIT,
    ),
    bug(
        gentle_focus,
        modelled(small(3), ROWS, LABELS),
        "pow",
        "focal losses with a gamma below 1 in public code",
        scale({"2.weight": 300.0}),
        phase="backward",
        verdict=LIMIT,
    ),
    bug(
        scale_by_elu,
        modelled(small(2), ROWS, normal(32, 1)),
        "log div",
        "github.com/axelbrando/Mixture-Density-Networks-for-distribution-and-uncertainty-estimation, ELU + 1",
        fill({"2.weight": 0.0, "2.bias": -20.0}),
    ),
    bug(
        cross_entropy,
        modelled(RootMeanBare, ROWS, LABELS),
        "rsqrt mul",
        "RMSNorm written without its epsilon, public code",
        DEAD,
        verdict=LIMIT,
        where=(RootMeanBare,),
    ),
    bug(
        cross_entropy,
        modelled(Capsules, ROWS, LABELS),
        "div sqrt",
        "capsule networks, NaN from squash at a length of 0 (several threads)",
        DEAD,
        verdict=LIMIT,
        where=(Capsules,),
    ),
    bug(
        cross_entropy,
        modelled(CosineHead, ROWS, LABELS),
        "div sqrt",
        "cosine classifiers by hand in public few-shot code",
        DEAD,
        verdict=LIMIT,
        where=(CosineHead,),
    ),
    bug(
        cross_entropy,
        modelled(MapScaled, ROWS, LABELS),
        "div",
        "class-activation maps scaled to [0, 1] in the network",
        DEAD,
        verdict=LIMIT,
        where=(MapScaled,),
    ),
    bug(
        cross_entropy,
        modelled(OverTime, STEPS, classes(16, 3)),
        "sqrt",
        "x-vector statistics pooling from two moments",
        STEADY,
        verdict=LIMIT,
        where=(OverTime,),
    ),
    bug(
        cross_entropy,
        modelled(Restyled, STEPS, classes(16, 3)),
        "div sqrt",
        "AdaIN by hand without an epsilon; github.com/iKernels/transformers-lightning, pull 18",
        DEAD,
        verdict=LIMIT,
        where=(Restyled,),
    ),
    bug(
        cross_entropy,
        modelled(PowerPooled, STEPS, classes(16, 3)),
        "pow log",
        "GeM pooling without its clamp",
        DEAD,
        verdict=LIMIT,
        where=(PowerPooled,),
    ),
    bug(
        cross_entropy,
        modelled(Mish, ROWS, LABELS),
        "exp log",
        "Mish by hand: exp overflows, the backward is 0 * inf",
        scale({"body.weight": 100.0}),
        where=(Mish,),
    ),
    bug(
        cross_entropy,
        modelled(Swish, ROWS, LABELS),
        "exp div",
        "snntorch pull 433: exp(-x) overflows in a backward pass",
        scale({"body.weight": 100.0}),
        where=(Swish,),
    ),
    bug(
        cross_entropy,
        modelled(AttentionByHand, STEPS, classes(16, 3)),
        "exp div",
        "attention by hand in notebooks",
        scale({"qkv.weight": 30.0}),
        where=(AttentionByHand,),
    ),
    bug(
        cross_entropy,
        modelled(ExponentialGates, STEPS, classes(16, 3)),
        "exp div",
        "Beck et al. 2024, arXiv:2405.04517 (xLSTM) without eq. 15's stabiliser",
        scale({"gates.weight": 200.0}),
        where=(ExponentialGates,),
    ),
    bug(
        squared_error,
        modelled(LearntGraph, normal(6, 4), normal(6, 3)),
        "pow mul",
        "learnt adjacency in public traffic forecasting code: degree ** -0.5",
        fill(nodes=0.0),
        verdict=LIMIT,
        where=(LearntGraph,),
    ),
    bug(
        sparse_dropout,
        modelled(NoisyWeights, ROWS, LABELS),
        "log",
        "Molchanov et al. 2017, arXiv:1701.05369, without the 1e-8 of its code",
        put(weight=0.0),
        verdict=LIMIT,
    ),
)
