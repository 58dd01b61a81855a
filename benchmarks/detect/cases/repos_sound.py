"""Losses of public research repositories, re-expressed, that hold: sorts, norms of weights, graphs, topics, events."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, classes, counts, fill, given, modelled, normal, positive, put, sound

FOCUS = "focal losses over cross entropy in competition templates (Lin et al. 2017)"
LOVASZ = "Lovasz hinge (Berman et al. 2018)"
DECAY = "DeepSurv ports: the lengths of the weights added to the loss"
PENALTY = "gradient penalty of music generators (Gulrajani et al. 2017)"
ROTATE = "RotatE with self-adversarial negatives (Sun et al. 2019), its range a parameter that does not train"
TOPICS = "ProdLDA (Srivastava & Sutton 2017): a decoder with batch norm and noise"
WEIBULL = "Deep Survival Machines (Nagpal et al. 2021): Weibull primitives, events picked out by numpy"
HAWKES = "Transformer Hawkes process (Zuo et al. 2020): intensities with 1e-9, padding masked in place"
READ = "DeepAR ports: steps without a reading left out, their number at least 1"
HELD = "kernels with a bandwidth from the batch, read past autograd, with a floor"
WEIGHTS = "uncertainty weights by log variances (Kendall et al. 2018), told beside the loss"
TRANSPORT = "distillation by a few Sinkhorn steps over distances of probabilities"
NOISY = "early-learning regularisation for noisy labels (Liu et al. 2020), without its memory"
SURE = "angular error of rotations, its cosine held 1e-6 from its ends"


class EasyLess(nn.Module):
    def forward(self, logits, y):
        each = F.cross_entropy(logits, y, reduction="none")
        return ((1.0 - torch.exp(-each)) ** 2 * each).mean()


def ordered_hinge(score, y):
    error, order = torch.sort(1.0 - score * (2.0 * y - 1.0), descending=True)
    seen = y[order]
    overlap = seen.sum() - seen.cumsum(0)
    share = 1.0 - overlap / (seen.sum() + (1 - seen).cumsum(0))
    steps = torch.cat([share[:1], share[1:] - share[:-1]])
    return torch.dot(F.relu(error), steps)


def with_lengths(model, batch):
    x, y = batch
    length = sum(w.norm() for n, w in model.named_parameters() if "weight" in n)
    return F.mse_loss(model(x)[:, 0], y) + 1e-3 * length


def steep(model, batch):
    x, y = batch
    x = x.detach().clone().requires_grad_()
    slope = torch.autograd.grad(model(x).sum(), x, create_graph=True)[0]
    return ((1.0 - slope.norm(dim=1)) ** 2).mean() + (model(x)[:, 0] * y).mean()


class Triples(nn.Module):
    def __init__(self):
        super().__init__()
        self.reach = nn.Parameter(torch.tensor([2.0]), requires_grad=False)
        self.entity = nn.Parameter(torch.rand(10, 8) - 0.5)
        self.turn = nn.Parameter(torch.rand(3, 4) - 0.5)

    def forward(self, triple):
        head, tail = self.entity[triple[:, 0]], self.entity[triple[:, 2]]
        angle = self.turn[triple[:, 1]] / (self.reach.item() / 3.14159)
        real, other = head.chunk(2, -1)
        gap = torch.cat([real * angle.cos() - other * angle.sin(), real * angle.sin() + other * angle.cos()], -1) - tail
        return 6.0 - torch.stack(gap.chunk(2, -1)).norm(dim=0).sum(-1)


def against(score, weight):
    return -(weight * F.logsigmoid(score)).sum() / weight.sum()


def triples(g):
    return torch.stack([torch.randint(10, (6,), generator=g), torch.randint(3, (6,), generator=g),
                        torch.randint(10, (6,), generator=g)], 1)  # fmt: skip


class Topics(nn.Module):
    def __init__(self):
        super().__init__()
        self.mean, self.spread = nn.Linear(12, 3), nn.Linear(12, 3)
        self.words, self.norm = nn.Linear(3, 12), nn.BatchNorm1d(12, affine=False)

    def forward(self, x):
        m, v = self.mean(x), self.spread(x)
        share = torch.softmax(m + torch.exp(0.5 * v) * torch.randn_like(m), -1)
        return torch.softmax(self.norm(self.words(share)), -1), m, v


def topics_elbo(out, x):
    word, m, v = out
    kl = 0.5 * (v.exp() + m**2 - 1 - v).sum(1)
    return (-(x * torch.log(word + 1e-10)).sum(1) + kl).mean()


def weibull_events(raw, t, seen):
    shape, scale = torch.tanh(raw).unbind(-1)
    alive = -torch.pow(torch.exp(scale) * t, torch.exp(shape))
    died = shape + scale + (torch.exp(shape) - 1) * (scale + torch.log(t)) + alive
    hit, left = (np.where(seen.cpu().data.numpy() == k)[0] for k in (1, 0))
    return -(died[hit].sum() + alive[left].sum()) / len(seen)


def thirds(g):
    return (torch.arange(9) % 3 > 0).float()


def intensities(raw, time, kind):
    there = kind != 0
    rate = F.softplus(raw, threshold=10).gather(2, (kind - 1).clamp(min=0)[..., None])[..., 0]
    at = rate.clone()
    at += 1e-9
    at.masked_fill_(~there, 1.0)
    between = (time[:, 1:] - time[:, :-1]) * there[:, 1:]
    return -(torch.log(at).sum(1) - (0.5 * (rate[:, 1:] + rate[:, :-1]) * between).sum(1)).mean()


def kinds(g):
    return torch.cat([torch.randint(1, 4, (3, 4), generator=g), torch.zeros(3, 2, dtype=torch.long)], 1)


def read_steps_counted(mu, raw, y):
    kept = (y != 0).float()
    each = torch.distributions.Normal(mu, F.softplus(raw) + 1e-3).log_prob(y)
    return -(each * kept).sum() / kept.sum().clamp(min=1.0)


def held_bandwidth(one, other):
    apart = torch.cdist(one, other) ** 2
    return 1.0 - torch.exp(-apart / (apart.data.mean() + 1e-6)).mean()


class TwoTasks(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.log_vars = nn.Linear(4, 2), nn.Parameter(torch.zeros(2))


def told_weights(model, batch):
    x, y = batch
    out, s = model.body(x), model.log_vars
    errors = torch.stack([F.mse_loss(out[:, 0], y), F.l1_loss(out[:, 1], y)])
    assert len(s.data.tolist()) == 2
    return (torch.exp(-s) * errors + s).sum()


def few_steps(student, teacher):
    cost = torch.cdist(torch.softmax(student, -1), torch.softmax(teacher, -1), p=1)
    plan = torch.exp(-cost / 0.1)
    for _ in range(5):
        plan = plan / plan.sum(2, keepdim=True)
        plan = plan / plan.sum(1, keepdim=True)
    return (plan * cost).sum((1, 2)).mean()


def early(logits, y):
    sure = torch.softmax(logits, -1).clamp(1e-4, 1 - 1e-4)
    kept = (sure / sure.sum(1, keepdim=True)).detach()
    return F.cross_entropy(logits, y) + 3.0 * torch.log(1 - (0.7 * kept * sure).sum(1)).mean()


def turned_apart(raw, truth):
    x = F.normalize(raw[:, :3], dim=-1)
    z = F.normalize(torch.linalg.cross(x, raw[:, 3:]), dim=-1)
    cosine = 0.5 * ((torch.stack([x, torch.linalg.cross(z, x), z], -1) * truth).sum((-2, -1)) - 1)
    return torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)).mean()


PAIRS = given(raw=normal(3, 6, 3), time=lambda g: torch.rand(3, 6, generator=g).cumsum(1), kind=kinds,
              target="time kind")  # fmt: skip
CASES = (
    sound(EasyLess(), modelled(lambda: nn.Linear(4, 5), normal(8, 4), classes(8, 5)), FOCUS),
    sound(ordered_hinge, given(score=normal(12), y=bits(12), target="y"), LOVASZ),
    sound(with_lengths, modelled(lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 1)), normal(8, 4),
          normal(8)), DECAY),
    sound(steep, modelled(lambda: nn.Sequential(nn.Linear(3, 6), nn.Softplus(), nn.Linear(6, 1)), normal(6, 3),
          normal(6)), PENALTY),
    sound(against, modelled(Triples, triples, positive(6)), ROTATE),
    sound(topics_elbo, modelled(Topics, counts(6, 12), counts(6, 12)), TOPICS),
    sound(weibull_events, given(raw=normal(9, 2), t=positive(9), seen=thirds, target="t seen"), WEIBULL),
    sound(intensities, PAIRS, HAWKES),
    sound(read_steps_counted, given(mu=normal(8), raw=normal(8), y=counts(8), target="y"), READ, fill(y=0.0)),
    sound(held_bandwidth, given(one=normal(5, 3), other=normal(5, 3)), HELD, fill(one=0.3, other=0.3)),
    sound(told_weights, modelled(TwoTasks, normal(8, 4), normal(8)), WEIGHTS),
    sound(few_steps, given(student=normal(2, 4, 6), teacher=normal(2, 4, 6), target="teacher"), TRANSPORT,
          put(student=300.0)),
    sound(early, given(logits=normal(8, 4), y=classes(8, 4), target="y"), NOISY, put(logits=300.0)),
    sound(turned_apart, given(raw=normal(6, 6), truth=lambda g: torch.eye(3).expand(6, 3, 3).clone(), target="truth"),
          SURE),
)  # fmt: skip
