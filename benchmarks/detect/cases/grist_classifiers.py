"""Small classifiers, language and click models ported from TensorFlow tutorials: each with its repaired twin."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fill, given, modelled, normal, onehot, put, scale, sound

MNIST = "softmax regression by hand: TensorFlow examples, basic models"
CNN = "convolutional network with a cross entropy by hand: TensorFlow examples, MNIST"
LOGISTIC = "logistic cost by hand: deep learning courses in TensorFlow 1"
DISTILL = "distillation: Hinton, Vinyals and Dean 2015, by hand"
ENTROPY = "entropy bonus of an actor: Mnih et al., A3C, 2016, as ported from TensorFlow"
FOCAL = "focal term with a fractional gamma: Lin et al. 2017"
CAPSULE = "squash of a capsule: Sabour, Frosst and Hinton 2017"


class Regression(nn.Module):
    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(6, 4))
        self.b = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return x @ self.W + self.b


class ConvNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 3, padding=1)
        self.fc1 = nn.Linear(3 * 2 * 2, 8)
        self.out = nn.Linear(8, 3)

    def forward(self, x):
        h = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        return self.out(torch.relu(self.fc1(h.flatten(1))))


class Probabilities(ConvNet):
    def forward(self, x):
        return torch.softmax(super().forward(x), dim=1)


def softmax_regression_cost(model, batch):
    x, y = batch
    pred = torch.softmax(model(x), dim=1)
    cost = torch.mean(-torch.sum(y * torch.log(pred), dim=1))  # <- here
    return cost


def softmax_regression_cost_fixed(model, batch):
    x, y = batch
    return torch.mean(-torch.sum(y * F.log_softmax(model(x), dim=1), dim=1))


def exp_over_sum(model, batch):
    x, y = batch
    e = torch.exp(model(x))  # <- here
    p = e / torch.sum(e, dim=1, keepdim=True)
    return -torch.mean(torch.log(torch.sum(p * y, dim=1)))


def exp_over_sum_shifted(model, batch):
    x, y = batch
    z = model(x)
    z = z - z.max(dim=1, keepdim=True).values.detach()
    return torch.mean(torch.log(torch.sum(torch.exp(z), dim=1)) - torch.sum(z * y, dim=1))


def conv_cross_entropy(y_conv, y_):
    cross_entropy = -torch.sum(y_ * torch.log(y_conv))  # <- here
    return cross_entropy


def conv_cross_entropy_clipped(y_conv, y_):
    return -torch.sum(y_ * torch.log(torch.clamp(y_conv, 1e-10, 1.0)))


def logistic_cost(model, batch):
    x, y = batch
    hypothesis = torch.sigmoid(model(x))
    return -torch.mean(y * torch.log(hypothesis) + (1 - y) * torch.log(1 - hypothesis))  # <- here


def logistic_cost_fixed(model, batch):
    x, y = batch
    return F.binary_cross_entropy_with_logits(model(x), y)


def clipped_after_the_log(y_conv, y_):
    return -torch.mean(torch.sum(y_ * torch.clamp(torch.log(y_conv), min=-20.0), dim=1))  # <- here


def clipped_before_the_log(y_conv, y_):
    return -torch.mean(torch.sum(y_ * torch.log(torch.clamp(y_conv, min=1e-9)), dim=1))


def epsilon_outside_the_log(y_conv, y_):
    return -torch.mean(y_ * (torch.log(y_conv) + 1e-8))  # <- here


def epsilon_inside_the_log(y_conv, y_):
    return -torch.mean(y_ * torch.log(y_conv + 1e-8))


def distilled(student, teacher, y):
    p = torch.softmax(teacher / 0.5, dim=1)
    q = torch.softmax(student / 0.5, dim=1)
    soft = torch.sum(p * torch.log(p / q), dim=1).mean()  # <- here
    return F.cross_entropy(student, y) + soft


def distilled_in_logs(student, teacher, y):
    p, q = F.log_softmax(teacher / 0.5, dim=1), F.log_softmax(student / 0.5, dim=1)
    return F.cross_entropy(student, y) + torch.sum(p.exp() * (p - q), dim=1).mean()


def actor_with_entropy(logits, action, advantage):
    pi = torch.softmax(logits, dim=-1)
    log_pi = torch.log(pi)  # <- here
    chosen = torch.sum(log_pi * action, dim=1)
    entropy = -torch.sum(pi * log_pi, dim=1)
    return -(chosen * advantage + 0.01 * entropy).mean()


def actor_with_entropy_fixed(logits, action, advantage):
    log_pi = F.log_softmax(logits, dim=-1)
    entropy = -torch.sum(log_pi.exp() * log_pi, dim=1)
    return -(torch.sum(log_pi * action, dim=1) * advantage + 0.01 * entropy).mean()


def focal_of_half(logits, y):
    p = torch.softmax(logits, dim=1).gather(1, y[:, None])[:, 0]
    nll = F.cross_entropy(logits, y, reduction="none")
    return (torch.pow(1.0 - p, 0.5) * nll).mean()  # <- here


def focal_of_two(logits, y):
    p = torch.softmax(logits, dim=1).gather(1, y[:, None])[:, 0]
    return ((1.0 - p) ** 2 * F.cross_entropy(logits, y, reduction="none")).mean()


def capsule_margin(s, y):
    norm = torch.sqrt(torch.sum(s**2, dim=-1, keepdim=True))
    v = norm**2 / (1 + norm**2) * s / norm  # <- here
    length = v.abs().sum(-1)
    return (y * torch.relu(0.9 - length) ** 2 + 0.5 * (1 - y) * torch.relu(length - 0.1) ** 2).sum(1).mean()


def capsule_margin_fixed(s, y):
    squared = torch.sum(s**2, dim=-1, keepdim=True)
    length = (squared / (1 + squared) * s / torch.sqrt(squared + 1e-9)).abs().sum(-1)
    return (y * torch.relu(0.9 - length) ** 2 + 0.5 * (1 - y) * torch.relu(length - 0.1) ** 2).sum(1).mean()


X64, IMAGE = normal(8, 6), normal(6, 1, 4, 4)
REGRESSION = modelled(Regression, X64, onehot(8, 4))
BINARY = modelled(Regression, X64, lambda g: torch.randint(2, (8, 4), generator=g).float())
PROBS = modelled(Probabilities, IMAGE, onehot(6, 3))
SOFT = given("teacher y", student=normal(6, 4), teacher=normal(6, 4), y=classes(6, 4))
ACTOR = given("action advantage", logits=normal(8, 3), action=onehot(8, 3), advantage=normal(8))
CAPS = given("y", s=normal(5, 3, 4), y=onehot(5, 3))
LARGE, SURE, FAR = scale(W=3e3), scale({"out.weight": 2e3}), put(logits=-300.0)


CASES = (
    bug(softmax_regression_cost, REGRESSION, "log", MNIST, LARGE),
    sound(softmax_regression_cost_fixed, REGRESSION, MNIST, LARGE),
    bug(exp_over_sum, REGRESSION, "exp", MNIST, LARGE),
    sound(exp_over_sum_shifted, REGRESSION, MNIST, LARGE),
    bug(conv_cross_entropy, PROBS, "log", CNN, SURE),
    sound(conv_cross_entropy_clipped, PROBS, CNN),
    bug(logistic_cost, BINARY, "log", LOGISTIC, LARGE),
    sound(logistic_cost_fixed, BINARY, LOGISTIC, LARGE),
    bug(clipped_after_the_log, PROBS, "log", CNN, SURE, phase="backward"),
    sound(clipped_before_the_log, PROBS, CNN),
    bug(epsilon_outside_the_log, PROBS, "log", CNN, SURE),
    sound(epsilon_inside_the_log, PROBS, CNN),
    bug(distilled, SOFT, "log div", DISTILL, scale(student=80.0, teacher=80.0)),
    sound(distilled_in_logs, SOFT, DISTILL, scale(student=80.0, teacher=80.0)),
    bug(actor_with_entropy, ACTOR, "log", ENTROPY, FAR),
    sound(actor_with_entropy_fixed, ACTOR, ENTROPY, FAR),
    bug(focal_of_half, given("y", logits=normal(6, 4), y=classes(6, 4)), "pow", FOCAL, scale(logits=-100.0)),
    sound(focal_of_two, given("y", logits=normal(6, 4), y=classes(6, 4)), FOCAL, scale(logits=-100.0)),
    bug(capsule_margin, CAPS, "div", CAPSULE, fill(s=0.0), verdict="defect limit"),
    sound(capsule_margin_fixed, CAPS, CAPSULE),
)
