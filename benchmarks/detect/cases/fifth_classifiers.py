"""Small classifiers of old tutorials, re-expressed: what is wrong, and the same with a guard at the right place."""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    fill,
    given,
    modelled,
    normal,
    onehot,
    put,
    scale,
    sound,
)

DIGITS = "softmax regression of a first tutorial, the softmax written out"
CHURN = "logistic regression of a course, cross-entropy of both sides by hand"
TAGS = "multi-label tagging, the logistic function written out"
COOLED = "calibration by a trained temperature (Guo et al. 2017)"
SMOOTHED = "label smoothing over probabilities (Szegedy et al. 2016)"
STUDENT = "distillation at a temperature (Hinton et al. 2015), divergence by hand"
FOCAL = "focal loss (Lin et al. 2017) with a root as its modulating factor"
GRADES = "ordinal regression, cumulative logits: log of a difference of logistic functions"
BALANCED = "class-balanced cross-entropy, weights from the batch's own counts"
LIMIT = {"verdict": "limit"}


def net(*sizes: int, act: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    layers: list[nn.Module] = []
    for wide, narrow in pairwise(sizes):
        layers += [nn.Linear(wide, narrow), act()]
    return nn.Sequential(*layers[:-1])


def mnist_cost(model, batch):
    image, label = batch
    score = model(image)
    e = torch.exp(score)  # <- here
    guess = e / e.sum(1, keepdim=True)  # <- here
    return torch.mean(-torch.sum(label * torch.log(guess), dim=1))  # <- here


def mnist_cost_with_clipped_probabilities(model, batch):
    image, label = batch
    score = model(image)
    e = torch.exp(score - score.max(1, keepdim=True).values)
    guess = e / e.sum(1, keepdim=True)
    return torch.mean(-torch.sum(label * torch.log(guess.clamp(1e-10, 1.0)), dim=1))


class Churn(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(7, 12)
        self.out = nn.Linear(12, 1)

    def forward(self, x):
        return torch.sigmoid(self.out(torch.tanh(self.dense(x))))[:, 0]


def churn_cost(p, y):
    gain = y * torch.log(p + 1e-7)
    lost = (1 - y) * torch.log(1 - p)  # <- here
    return -(gain + lost).mean()


def churn_cost_of_both_sides(p, y):
    gain = y * torch.log(p + 1e-7)
    lost = (1 - y) * torch.log(1 - p + 1e-7)
    return -(gain + lost).mean()


def tag_loss(z, tags):
    p = 1.0 / (1.0 + torch.exp(-z))
    per_tag = tags * p.log() + (1 - tags) * (1 - p).log()  # <- here
    return -per_tag.sum(1).mean()


def tag_loss_of_scores(z, tags):
    per_tag = tags * F.logsigmoid(z) + (1 - tags) * F.logsigmoid(-z)
    return -per_tag.sum(1).mean()


class Cooled(nn.Module):
    """Scores over a temperature that is trained with them."""

    def __init__(self):
        super().__init__()
        self.body = net(6, 16, 4)
        self.temperature = nn.Parameter(torch.ones(1) * 1.5)

    def forward(self, x):
        return self.body(x) / self.temperature  # <- here


class CooledAbove(Cooled):
    def forward(self, x):
        return self.body(x) / (F.softplus(self.temperature) + 0.05)


def calibrated(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def calibrated_with_a_floor(model, batch):
    return F.cross_entropy(model(batch[0]), batch[1])


def smoothed(out, y, eps=0.1):
    prob = torch.softmax(out, dim=-1)
    k = out.shape[-1]
    soft = F.one_hot(y, k).float() * (1 - eps) + eps / k
    return -(soft * prob.log()).sum(-1).mean()  # <- here


def smoothed_in_logs(out, y, eps=0.1):
    k = out.shape[-1]
    soft = F.one_hot(y, k).float() * (1 - eps) + eps / k
    return -(soft * F.log_softmax(out, dim=-1)).sum(-1).mean()


def distilled(model, batch, T=4.0):
    x, teacher = batch
    q = F.softmax(model(x) / T, dim=1)
    p = F.softmax(teacher / T, dim=1)
    return T * T * torch.sum(p * torch.log(p / q), dim=1).mean()  # <- here


def distilled_in_logs(model, batch, T=4.0):
    x, teacher = batch
    log_q = F.log_softmax(model(x) / T, dim=1)
    log_p = F.log_softmax(teacher / T, dim=1)
    return T * T * torch.sum(log_p.exp() * (log_p - log_q), dim=1).mean()


def focal_root(out, y):
    p = torch.sigmoid(out[:, 0])
    pt = torch.where(y > 0, p, 1 - p)
    return -(torch.pow(1 - pt, 0.5) * torch.log(pt)).mean()  # <- here


def focal_root_clipped(out, y):
    p = torch.sigmoid(out[:, 0])
    pt = torch.where(y > 0, p, 1 - p).clamp(1e-6, 1 - 1e-6)
    return -(torch.pow(1 - pt, 0.5) * torch.log(pt)).mean()


class Grades(nn.Module):
    """Five grades: a score and four cut points in order."""

    def __init__(self):
        super().__init__()
        self.score = net(5, 10, 1, act=nn.Tanh)
        self.first = nn.Parameter(torch.tensor([-1.5]))
        self.steps = nn.Parameter(torch.zeros(3))

    def cuts(self):
        return torch.cat([self.first, self.first + torch.cumsum(F.softplus(self.steps) + 0.01, 0)])


def grade_loss(model, batch):
    x, grade = batch
    s = model.score(x)
    below = torch.sigmoid(model.cuts() - s)
    upper = torch.cat([below, torch.ones_like(s)], 1).gather(1, grade[:, None])
    lower = torch.cat([torch.zeros_like(s), below], 1).gather(1, grade[:, None])
    return -torch.log(upper - lower).mean()  # <- here


def grade_loss_with_a_floor(model, batch):
    x, grade = batch
    s = model.score(x)
    below = torch.sigmoid(model.cuts() - s)
    upper = torch.cat([below, torch.ones_like(s)], 1).gather(1, grade[:, None])
    lower = torch.cat([torch.zeros_like(s), below], 1).gather(1, grade[:, None])
    return -torch.log((upper - lower).clamp_min(1e-7)).mean()


def balanced(out, y):
    hot = F.one_hot(y, out.shape[1]).float()
    weight = len(y) / (out.shape[1] * hot.sum(0))  # <- here
    each = -(hot * torch.log_softmax(out, 1)) * weight
    return each.sum(1).mean()


def balanced_from_one_up(out, y):
    hot = F.one_hot(y, out.shape[1]).float()
    weight = len(y) / (out.shape[1] * hot.sum(0).clamp(min=1.0))
    each = -(hot * torch.log_softmax(out, 1)) * weight
    return each.sum(1).mean()


def absent(state):
    state["y"].fill_(1)


DIGIT = modelled(lambda: net(10, 16, 16, 5), normal(16, 10), onehot(16, 5))
CUSTOMER = modelled(Churn, normal(20, 7), bits(20))
PHOTO = modelled(lambda: net(8, 12, 6), normal(12, 8), bits(12, 6))
TAUGHT = modelled(lambda: net(6, 10, 4), normal(12, 6), normal(12, 4, scale=3.0))
FIVE = modelled(lambda: net(6, 12, 5), normal(14, 6), classes(14, 5))
RARE = modelled(lambda: net(6, 12, 1), normal(14, 6), bits(14))
GRADED = modelled(Grades, normal(16, 5), classes(16, 5))

CASES = (
    bug(mnist_cost, DIGIT, "exp div log", DIGITS, scale({"4.weight": 1e4})),
    sound(mnist_cost_with_clipped_probabilities, DIGIT, DIGITS),
    bug(churn_cost, CUSTOMER, "log", CHURN, fill({"out.bias": 40.0})),
    sound(churn_cost_of_both_sides, CUSTOMER, CHURN),
    bug(tag_loss, PHOTO, "log div exp", TAGS, fill({"2.bias": 40.0})),
    sound(tag_loss_of_scores, PHOTO, TAGS, fill({"2.bias": 40.0})),
    bug(
        calibrated,
        modelled(Cooled, normal(12, 6), classes(12, 4)),
        "div",
        COOLED,
        fill(temperature=0.0),
        where=(Cooled,),
        **LIMIT,
    ),
    sound(calibrated_with_a_floor, modelled(CooledAbove, normal(12, 6), classes(12, 4)), COOLED),
    bug(smoothed, FIVE, "log", SMOOTHED, put({"2.bias": 200.0})),
    sound(smoothed_in_logs, FIVE, SMOOTHED, put({"2.bias": 200.0})),
    bug(distilled, TAUGHT, "div log mul", STUDENT, put({"2.bias": 2000.0})),
    sound(distilled_in_logs, TAUGHT, STUDENT, put({"2.bias": 2000.0})),
    bug(focal_root, RARE, "pow log", FOCAL, fill({"2.bias": 200.0})),
    sound(focal_root_clipped, RARE, FOCAL),
    bug(grade_loss, GRADED, "log", GRADES, fill({"score.2.bias": -50.0})),
    sound(grade_loss_with_a_floor, GRADED, GRADES),
    bug(balanced, given(out=normal(12, 4), y=classes(12, 4), target="y"), "div", BALANCED, absent, **LIMIT),
    sound(balanced_from_one_up, given(out=normal(12, 4), y=classes(12, 4), target="y"), BALANCED, absent),
)
