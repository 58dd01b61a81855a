"""Classifiers of old tutorials, each with what its author got wrong, and as they read once that is put right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, given, modelled, normal, onehot, scale, sound

IMAGES = "a convolutional network of the first TensorFlow tutorials, cross-entropy over probabilities"
UNITS = "logistic output of a two-layer perceptron trained with both logarithms written out"
BALANCE = "cross-entropy averaged class by class, so that rare classes count alike"
TEACHER = "distillation (Hinton et al. 2015) as the divergence of softened probabilities"
GRADES = "ordinal regression by a cumulative link (McCullagh 1980)"
EVIDENCE = "evidential classification (Sensoy et al. 2018, eq. 4), evidence as exp of the output"
FOCUS = "focal loss (Lin et al. 2017) with an exponent below one"


class Convolutions(nn.Module):
    """Two convolutions, a hidden layer and probabilities, as graphs of that time ended."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 8, 3, padding=1)
        self.hidden, self.out = nn.Linear(32, 16), nn.Linear(16, 5)

    def forward(self, x):
        x = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        return torch.softmax(self.out(torch.relu(self.hidden(x.flatten(1)))), dim=1)


def image_cost(pred, y):
    return torch.mean(-torch.sum(y * torch.log(pred), dim=1))  # <- here


def image_cost_clipped(pred, y):
    return torch.mean(-torch.sum(y * torch.log(torch.clip(pred, 1e-8, 1.0)), dim=1))


class Perceptron(nn.Module):
    def __init__(self, outputs=1) -> None:
        super().__init__()
        self.layer1, self.layer2, self.out = nn.Linear(6, 12), nn.Linear(12, 12), nn.Linear(12, outputs)

    def forward(self, x):
        return self.out(torch.tanh(self.layer2(torch.tanh(self.layer1(x)))))


class Grader(Perceptron):
    def __init__(self) -> None:
        super().__init__(4)


def unit_cost(model, batch):
    x, y = batch
    hypothesis = torch.sigmoid(model(x))
    cost = -y * torch.log(hypothesis) - (1 - y) * torch.log(1 - hypothesis)  # <- here
    return cost.mean()


def unit_cost_of_scores(model, batch):
    x, y = batch
    score = model(x)
    cost = torch.clamp(score, min=0) - score * y + torch.log(1 + torch.exp(-torch.abs(score)))
    return cost.mean()


def balanced(scores, label):
    own = F.one_hot(label, 4).float()
    each = F.cross_entropy(scores, label, reduction="none")
    by_class = (own * each[:, None]).sum(0) / own.sum(0)  # <- here
    return by_class.mean()


def balanced_present(scores, label):
    own = F.one_hot(label, 4).float()
    each = F.cross_entropy(scores, label, reduction="none")
    by_class = (own * each[:, None]).sum(0) / own.sum(0).clamp(min=1)
    return by_class.mean()


class Distilled(nn.Module):
    """Student's and teacher's scores at a temperature."""

    def __init__(self, temperature=3.0) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, student, teacher):
        q = torch.softmax(student / self.temperature, dim=-1)
        p = torch.softmax(teacher / self.temperature, dim=-1)
        kl = (p * torch.log(p / q)).sum(-1)  # <- here
        return self.temperature**2 * kl.mean()


class DistilledLogs(Distilled):
    def forward(self, student, teacher):
        log_q = torch.log_softmax(student / self.temperature, dim=-1)
        log_p = torch.log_softmax(teacher / self.temperature, dim=-1)
        return self.temperature**2 * (log_p.exp() * (log_p - log_q)).sum(-1).mean()


class Cuts(nn.Module):
    """A score and the increasing cuts between grades."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 1))
        self.first, self.steps = nn.Parameter(torch.tensor(-1.0)), nn.Parameter(torch.zeros(2))

    def forward(self, x):
        gaps = torch.cumsum(F.softplus(self.steps) + 0.05, 0)
        return self.net(x), torch.cat([self.first[None], self.first + gaps])


def grade_nll(score, cuts, grade):
    below = torch.sigmoid(cuts - score)
    ends = torch.ones_like(score)
    cdf = torch.cat([0 * ends, below, ends], 1)
    p = (cdf[:, 1:] - cdf[:, :-1]).gather(1, grade[:, None])
    return -torch.log(p).mean()  # <- here


def grade_nll_logs(score, cuts, grade):
    z = cuts - score
    up, down = F.logsigmoid(z), F.logsigmoid(-z)
    inner = up[:, 1:] + down[:, :-1] + torch.log(-torch.expm1(cuts[:-1] - cuts[1:]))
    every = torch.cat([up[:, :1], inner, down[:, -1:]], 1)
    return -every.gather(1, grade[:, None]).mean()


def evidential(output, y):
    alpha = torch.exp(output) + 1  # <- here
    total = alpha.sum(1, keepdim=True)
    return (y * (torch.digamma(total) - torch.digamma(alpha))).sum(1).mean()


def evidential_clamped(output, y):
    alpha = torch.exp(torch.clamp(output, -10, 10)) + 1
    total = alpha.sum(1, keepdim=True)
    return (y * (torch.digamma(total) - torch.digamma(alpha))).sum(1).mean()


def focal_root(output, target, gamma=0.5):
    log_p = F.log_softmax(output, 1).gather(1, target[:, None])[:, 0]
    p = log_p.exp()
    return -((1 - p) ** gamma * log_p).mean()  # <- here


def focal_root_floored(output, target, gamma=0.5):
    log_p = F.log_softmax(output, 1).gather(1, target[:, None])[:, 0]
    p = log_p.exp()
    return -((1 - p).clamp(min=1e-6) ** gamma * log_p).mean()


IMAGE = modelled(Convolutions, normal(8, 1, 8, 8), onehot(8, 5))
UNIT = modelled(Perceptron, normal(10, 6), bits(10, 1))
FOUR = modelled(Grader, normal(12, 6), lambda g: torch.arange(12) % 4)
GRADED = modelled(Cuts, normal(10, 6), classes(10, 4))
PAIR = given(student=normal(6, 5), teacher=normal(6, 5, scale=2.0), target="teacher")
HARD = scale({"out.weight": 3e3})


def _no_third(state):
    state["targets"][state["targets"] == 2] = 1


CASES = (
    bug(image_cost, IMAGE, "log", IMAGES, scale({"out.weight": 1e4})),
    sound(image_cost_clipped, IMAGE, IMAGES),
    bug(unit_cost, UNIT, "log", UNITS, HARD),
    sound(unit_cost_of_scores, UNIT, UNITS, scale({"out.weight": 1e2})),
    bug(balanced, FOUR, "div", BALANCE, _no_third, verdict="limit"),
    sound(balanced_present, FOUR, BALANCE, _no_third),
    bug(Distilled(), PAIR, "log div", TEACHER, scale(student=500.0), where=(Distilled.forward,)),
    sound(DistilledLogs(), PAIR, TEACHER, scale(student=50.0)),
    bug(grade_nll, GRADED, "log", GRADES, scale({"net.2.weight": 1e3})),
    sound(grade_nll_logs, GRADED, GRADES, scale({"net.2.weight": 1e2})),
    bug(evidential, modelled(Grader, normal(8, 6), onehot(8, 4)), "exp", EVIDENCE, HARD),
    sound(evidential_clamped, modelled(Grader, normal(8, 6), onehot(8, 4)), EVIDENCE),
    bug(focal_root, FOUR, "pow", FOCUS, HARD, phase="backward"),
    sound(focal_root_floored, FOUR, FOCUS),
)
