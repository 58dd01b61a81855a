"""Programs that look as if they failed and do not: each has its guard, its bounded input or its arithmetic."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, fill, given, modelled, normal, positive, scale, sound

KERNEL = "Wasserstein autoencoder with inverse multiquadrics (Tolstikhin et al. 2018, section 4)"
TRANSPORT = "entropic transport in logarithms (Peyre & Cuturi 2019, eq. 4.43) with costs of a network"
GROWTH = "logarithm of a portfolio's growth (Cover 1991), weights by a softmax, prices relative"
SKELETON = "overlap of soft skeletons (Shit et al. 2021, algorithm 1-2); github.com/jocpae/clDice"
TRANSDUCER = "transducer (Graves 2012, eq. 16-18), the lattice summed in logarithms"
ART = "value normalised by running moments (van Hasselt et al., PopArt, 2016), deviation with a floor"
PHASES = "phases locked to each other: length of a mean of unit vectors, a floor under the root"
STUDENT = "multivariate Student likelihood of a network, precision as identity plus a square"
PROTOTYPES = "angular prototypical loss (Chung et al. 2020): library cosines, a positive scale"
SOFTSIGN = "hidden layers by softsign and by log(1 + x^2), as in old recurrent codes"
MASKED = "scores of absent answers at -1e4 before a softmax, at least one answer present"
ADAPTED = "inner step scaled by moments of the gradient (Adam's first step), its floor beside the root"
SPIKES = "log-Gaussian Cox process of binned spikes, rates by exp of a bounded score"
QUANTILES = "monotone quantiles by a cumulative sum of softplus (Gasthaus et al. 2019) and their pinball"
RANKED = "smooth average precision (Brown et al. 2020): sigmoids of differences, ranks from one up"
EXPECTILE = "expectile regression (Newey & Powell 1987), as in implicit Q-learning"


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(6, 3), nn.Linear(3, 6)


def matched_codes(model, batch):
    x, prior = batch
    z = model.enc(x)
    total = F.mse_loss(model.dec(z), x)
    for c in (0.5, 2.0, 6.0):
        a, b, ab = (c / (c + torch.cdist(u, v).square()) for u, v in ((z, z), (prior, prior), (z, prior)))
        total = total + a.mean() + b.mean() - 2 * ab.mean()
    return total


def transported(model, batch, eps=0.2):
    x, y = (model.enc(v) for v in batch)
    cost = ((x[:, None] - y) ** 2).sum(2) / eps
    f, g, level = torch.zeros(len(x)), torch.zeros(len(y)), -math.log(len(x))
    for _ in range(4):
        f = level - torch.logsumexp(g - cost, 1)
        g = level - torch.logsumexp(f[:, None] - cost, 0)
    return (torch.exp(f[:, None] + g - cost) * cost * eps).sum()


class Weights(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.GRU(3, 5, batch_first=True)
        self.out = nn.Linear(5, 3)

    def forward(self, x):
        return torch.softmax(self.out(self.net(x)[0][:, -1]), 1)


def growth(weight, relative):
    return -torch.log((weight * relative).sum(1)).mean()


def _thinned(x):
    opened = F.max_pool2d(-F.max_pool2d(-x, 3, 1, 1), 3, 1, 1)
    skeleton = F.relu(x - opened)
    for _ in range(2):
        x = -F.max_pool2d(-x, 3, 1, 1)
        rest = F.relu(x - F.max_pool2d(-F.max_pool2d(-x, 3, 1, 1), 3, 1, 1))
        skeleton = skeleton + F.relu(rest - skeleton * rest)
    return skeleton


def skeletons(logits, mask, smooth=1.0):
    p = torch.sigmoid(logits)
    a, b = _thinned(p), _thinned(mask)
    precision = ((a * mask).sum() + smooth) / (a.sum() + smooth)
    recall = ((b * p).sum() + smooth) / (b.sum() + smooth)
    return 1 - 2 * precision * recall / (precision + recall)


def transducer(scores, label):
    """`scores` of (time, label position, vocabulary); the last row of positions only emits blanks."""
    log_p = F.log_softmax(scores, -1)
    emit = log_p[:, :-1].gather(2, label[None, :, None].expand(len(log_p), -1, 1))[..., 0]
    rows, below = log_p.shape[0], None
    for t in range(rows):
        row = [below[0] + log_p[t - 1, 0, 0] if t else log_p.new_zeros(())]
        for u in range(1, log_p.shape[1]):
            by_label = row[u - 1] + emit[t, u - 1]
            row.append(torch.logaddexp(below[u] + log_p[t - 1, u, 0], by_label) if t else by_label)
        below = row
    return -(below[-1] + log_p[-1, -1, 0])


class Critic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
        self.register_buffer("mean", torch.tensor(0.3))
        self.register_buffer("square", torch.tensor(0.5))

    def forward(self, x):
        return self.net(x)[:, 0]


def normalised_value(model, batch):
    state, back = batch
    mean = 0.9 * model.mean + 0.1 * back.mean()
    square = 0.9 * model.square + 0.1 * (back**2).mean()
    sigma = torch.sqrt((square - mean**2).clamp(min=1e-2))
    return F.smooth_l1_loss(model(state), (back - mean) / sigma)


def locked(phase, other):
    d = phase - other
    length = torch.sqrt(torch.cos(d).mean(1) ** 2 + torch.sin(d).mean(1) ** 2 + 1e-6)
    return (1 - length).mean()


class Tails(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 8))

    def forward(self, x):
        out = self.net(x)
        return out[:, :2], out[:, 2:6].view(-1, 2, 2), F.softplus(out[:, 6]) + 2.1


def student(mean, root, nu, y):
    precision = torch.eye(2) + root @ root.transpose(1, 2)
    d = (y - mean)[:, :, None]
    far = (d.transpose(1, 2) @ precision @ d)[:, 0, 0]
    base = torch.lgamma(nu / 2 + 1) - torch.lgamma(nu / 2) - torch.log(nu * math.pi)
    return -(base + 0.5 * torch.logdet(precision) - (nu / 2 + 1) * torch.log1p(far / nu)).mean()


class Speaker(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net, self.w, self.b = nn.Linear(5, 4), nn.Parameter(torch.tensor(10.0)), nn.Parameter(torch.tensor(-5.0))


def prototypes(model, batch):
    support, query = batch
    cosine = F.cosine_similarity(model.net(query)[:, None], model.net(support)[None], dim=2)
    return F.cross_entropy(cosine * torch.clamp(model.w, 1e-6) + model.b, torch.arange(len(query)))


class Softsign(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(5, 8), nn.Linear(8, 8), nn.Linear(8, 1)

    def forward(self, x):
        h = self.a(x)
        h = self.b(h / (1 + h.abs()))
        return self.c(torch.log1p(h**2))[:, 0]


def least_squares(pred, y):
    return F.mse_loss(pred, y)


def answers(scores, present, label):
    masked = scores + (1 - present) * -1e4
    return F.cross_entropy(masked, label)


def adapted(model, batch, rate=0.05, floor=1e-3):
    x, y = batch
    names = dict(model.named_parameters())
    inner = F.mse_loss(torch.func.functional_call(model, names, (x[:5],)), y[:5])
    slopes = torch.autograd.grad(inner, list(names.values()), create_graph=True)
    moved = {
        n: p - rate * g / (torch.sqrt(g**2 + 1e-8) + floor) for (n, p), g in zip(names.items(), slopes, strict=True)
    }
    return F.mse_loss(torch.func.functional_call(model, moved, (x[5:],)), y[5:])


def spikes(score, count):
    log_rate = 5 * torch.tanh(score / 5)
    smooth = 0.1 * (log_rate.diff(dim=1) ** 2).sum(1).mean()
    return (torch.exp(log_rate) - count * log_rate).sum(1).mean() + smooth


def spline(first, steps, y):
    level = torch.linspace(0.1, 0.9, 5)
    quantile = torch.cat([first, first + F.softplus(steps).cumsum(1)], 1)
    gap = y - quantile
    return torch.maximum(level * gap, (level - 1) * gap).mean()


def precision_of_ranks(score, relevant, tau=0.1):
    over = torch.sigmoid((score[:, None, :] - score[:, :, None]) / tau)
    over = over * (1 - torch.eye(score.shape[1]))
    rank, among = 1 + over.sum(2), 1 + (over * relevant[:, None]).sum(2)
    return 1 - ((relevant * among / rank).sum(1) / relevant.sum(1).clamp(min=1)).mean()


def expectile(value, q, tau=0.8):
    gap = q - value
    return (torch.where(gap > 0, tau, 1 - tau) * gap**2).mean()


def one_at_least(g):
    mask = torch.randint(2, (6, 5), generator=g).float()
    mask[:, 0] = 1.0
    return mask


CODED = modelled(Coder, normal(8, 6), normal(8, 3))
CLOUDS = modelled(Coder, normal(6, 6), normal(6, 6))
TOTAL = given(phase=normal(5, 7), other=normal(5, 7), target="other")
LATTICE = given(scores=normal(5, 4, 6), label=lambda g: torch.randint(1, 6, (3,), generator=g), target="label")
PRESENT = given(
    scores=normal(6, 5), present=one_at_least, label=lambda g: torch.zeros(6, dtype=torch.long), target="label"
)
ITEMS = given(score=normal(5, 6), relevant=bits(5, 6), target="relevant")

CASES = (
    sound(matched_codes, CODED, KERNEL, scale({"enc.weight": 0.0})),
    sound(transported, CLOUDS, TRANSPORT, scale({"enc.weight": 5.0})),
    sound(growth, modelled(Weights, normal(6, 4, 3), positive(6, 3)), GROWTH, scale({"out.weight": 1e3})),
    sound(
        skeletons, given(logits=normal(2, 1, 8, 8), mask=bits(2, 1, 8, 8), target="mask"), SKELETON, fill(logits=-90.0)
    ),
    sound(transducer, LATTICE, TRANSDUCER, scale(scores=40.0)),
    sound(normalised_value, modelled(Critic, normal(8, 4), normal(8)), ART, fill(targets=0.7)),
    sound(locked, TOTAL, PHASES, scale(phase=30.0)),
    sound(student, modelled(Tails, normal(8, 4), normal(8, 2)), STUDENT, scale(targets=1e3)),
    sound(prototypes, modelled(Speaker, normal(6, 5), normal(6, 5)), PROTOTYPES, fill(w=-1.0)),
    sound(least_squares, modelled(Softsign, normal(8, 5), normal(8)), SOFTSIGN, scale({"b.weight": 1e3})),
    sound(answers, PRESENT, MASKED, scale(scores=50.0)),
    sound(adapted, modelled(Softsign, normal(10, 5), normal(10)), ADAPTED),
    sound(spikes, given(score=normal(4, 10), count=bits(4, 10), target="count"), SPIKES, scale(score=100.0)),
    sound(
        spline, given(first=normal(8, 1), steps=normal(8, 4), y=normal(8, 1), target="y"), QUANTILES, fill(steps=-120.0)
    ),
    sound(precision_of_ranks, ITEMS, RANKED, scale(score=100.0)),
    sound(expectile, modelled(Critic, normal(8, 4), normal(8)), EXPECTILE, scale(targets=100.0)),
)
