"""Rankings, contrasts, energies and several heads of classifiers, each with its defect and its repair."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, modelled, normal, onehot, scale, sound

RANKS = "ranking loss of multi-label networks (Zhang & Zhou 2006, eq. 3); github.com/vanHavel/bp-mll-tensorflow"
CONTRAST = "local contrast normalisation (Jarrett et al. 2009) by average pooling, before a classifier"
ENERGY = "classifier as an energy-based model (Grathwohl et al. 2020, eq. 6); github.com/wgrathwohl/JEM"
HEADS = "two heads of a face network, gender by a logistic function and age by a softmax, both written out"
SPARSE = "1.5-entmax by sorting (Peters et al. 2019, algorithm 2); github.com/deep-spin/entmax"


class Multi(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(6, 10), nn.Linear(10, 5)

    def forward(self, x):
        return torch.tanh(self.out(torch.tanh(self.hidden(x))))


def pairs_of_labels(c, y):
    wrong_by = torch.exp(-(c[:, :, None] - c[:, None, :])) * y[:, :, None] * (1 - y)[:, None, :]
    count = y.sum(1) * (1 - y).sum(1)
    return (wrong_by.sum((1, 2)) / count).mean()  # <- here


def pairs_of_labels_or_none(c, y):
    wrong_by = torch.exp(-(c[:, :, None] - c[:, None, :])) * y[:, :, None] * (1 - y)[:, None, :]
    count = y.sum(1) * (1 - y).sum(1)
    return (wrong_by.sum((1, 2)) / count.clamp(min=1)).mean()


class LocalContrast(nn.Module):
    least = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.first, self.out = nn.Conv2d(1, 3, 3, padding=1), nn.Linear(3 * 36, 4)

    def forward(self, x):
        h = self.first(x)
        mean = F.avg_pool2d(h, 3, stride=1, padding=1, count_include_pad=False)
        square = F.avg_pool2d((h - mean) ** 2, 3, stride=1, padding=1, count_include_pad=False)
        h = (h - mean) / torch.sqrt(square + self.least)  # <- here
        return self.out(h.flatten(1))


class LocalContrastHeld(LocalContrast):
    least = 1e-4


def label_loss(scores, label):
    return F.cross_entropy(scores, label)


class Scores(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.f = nn.Sequential(nn.Linear(5, 16), nn.LeakyReLU(0.2), nn.Linear(16, 3))

    def energy(self, x):
        return -torch.log(torch.exp(self.f(x)).sum(1))  # <- here


class ScoresInLogs(Scores):
    def energy(self, x):
        return -torch.logsumexp(self.f(x), 1)


def joint_energy(model, batch):
    x, label = batch
    near = x + 0.1 * torch.linspace(-1, 1, x.numel()).view_as(x)
    return model.energy(x).mean() - model.energy(near).mean() + F.cross_entropy(model.f(x), label)


class Faces(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.gender, self.age = nn.Linear(16, 1), nn.Linear(16, 5)


def faces_loss(model, batch):
    x, y = batch
    h = model.trunk(x)
    is_woman = 1.0 / (1.0 + torch.exp(-model.gender(h)[:, 0]))
    raw = torch.exp(model.age(h) - model.age(h).max(1, keepdim=True)[0])
    age = raw / raw.sum(1, keepdim=True)
    gender_loss = -(y[:, 0] * torch.log(is_woman) + (1 - y[:, 0]) * torch.log(1 - is_woman))  # <- here
    age_loss = -(y[:, 1:] * torch.log(age)).sum(1)  # <- here
    return (gender_loss + age_loss).mean()


def faces_loss_of_scores(model, batch):
    x, y = batch
    h = model.trunk(x)
    gender_loss = F.softplus(model.gender(h)[:, 0]) - y[:, 0] * model.gender(h)[:, 0]
    shifted = model.age(h) - model.age(h).max(1, keepdim=True)[0]
    age_loss = -(y[:, 1:] * (shifted - torch.log(torch.exp(shifted).sum(1, keepdim=True)))).sum(1)
    return (gender_loss + age_loss).mean()


class Sparsely(nn.Module):
    """Sparse probabilities of five classes, squared error against one-hot labels."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(4, 5)

    def room(self, mean, square, k):
        return (1 - k * (square - mean**2)) / k

    def forward(self, x):
        z = self.out(x)
        z = (z - z.amax(1, keepdim=True)) / 2
        ranked = torch.sort(z, dim=1, descending=True)[0]
        k = torch.arange(1, 6)
        mean, square = ranked.cumsum(1) / k, (ranked**2).cumsum(1) / k
        tau = mean - torch.sqrt(self.room(mean, square, k))  # <- here
        support = (tau <= ranked).sum(1, keepdim=True)
        return torch.relu(z - tau.gather(1, support - 1)) ** 2


class SparselyHeld(Sparsely):
    def room(self, mean, square, k):
        return super().room(mean, square, k).clamp(min=1e-6)


def brier_of_sparse(p, y):
    return ((p - y) ** 2).sum(1).mean()


def labels_of_some(g):
    y = torch.randint(2, (8, 5), generator=g).float()
    y[:, 0], y[:, 1] = 1.0, 0.0
    return y


def gender_and_age(g):
    return torch.cat([(torch.arange(6) % 2).float()[:, None], torch.eye(5)[torch.arange(6) % 5]], 1)


def _all_labels(state):
    state["targets"][0] = 1.0


def _no_filter(state):
    state["first.weight"][1] = 0.0
    state["first.bias"][1] = 0.0


RANKED = modelled(Multi, normal(8, 6), labels_of_some)
FACES = modelled(Faces, normal(6, 1, 6, 6), gender_and_age)
THREE = modelled(Scores, normal(8, 5), classes(8, 3))
LOOSE = scale({"out.weight": 20.0})
WHITE = modelled(LocalContrast, normal(5, 1, 6, 6), classes(5, 4))


CASES = (
    bug(pairs_of_labels, RANKED, "div", RANKS, _all_labels, verdict="limit"),
    sound(pairs_of_labels_or_none, RANKED, RANKS, _all_labels),
    bug(label_loss, WHITE, "div sqrt", CONTRAST, _no_filter, verdict="limit defect", where=(LocalContrast.forward,)),
    sound(label_loss, modelled(LocalContrastHeld, normal(5, 1, 6, 6), classes(5, 4)), CONTRAST, _no_filter),
    bug(joint_energy, THREE, "exp log", ENERGY, scale({"f.2.weight": 2e3}), where=(Scores.energy,)),
    sound(joint_energy, modelled(ScoresInLogs, normal(8, 5), classes(8, 3)), ENERGY, scale({"f.2.weight": 1e2})),
    bug(faces_loss, FACES, "log", HEADS, scale({"gender.weight": 3e3})),
    sound(faces_loss_of_scores, FACES, HEADS, scale({"gender.weight": 1e2})),
    bug(
        brier_of_sparse,
        modelled(Sparsely, normal(6, 4, scale=0.3), onehot(6, 5)),
        "sqrt",
        SPARSE,
        LOOSE,
        phase="backward",
        where=(Sparsely.forward,),
    ),
    sound(brier_of_sparse, modelled(SparselyHeld, normal(6, 4, scale=0.3), onehot(6, 5)), SPARSE, LOOSE),
)
