"""Distances, angles, overlaps and rankings, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, given, modelled, normal, put, same, scale, sound

TRIPLETS = "triplet loss (FaceNet, Schroff et al. 2015) with distances by hand"
COSINES = "siamese network with the cosine of rectified features written out"
ANGLES = "angle between predicted and true direction, of gaze and pose estimation codes"
DISC = "distance in the Poincare disc (Nickel & Kiela 2017, eq. 1)"
WORDS = "skip-gram with negative samples (Mikolov et al. 2013, eq. 4)"
VIEWS = "contrast of two views (SimCLR, Chen et al. 2020) with a trained temperature"
MASKS = "soft Dice loss of a segmentation network"
BOXES = "intersection over union of boxes given by four distances (UnitBox, Yu et al. 2016)"
LISTS = "ListMLE (Xia et al. 2008) over scores sorted by relevance"


class Embedding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))

    def forward(self, x):
        return self.net(x)


class Rectified(Embedding):
    def forward(self, x):
        return torch.relu(self.net(x))


def triplets(anchor, positive, negative, margin=0.2):
    near = torch.sqrt(torch.sum((anchor - positive) ** 2, 1))  # <- here
    far = torch.sqrt(torch.sum((anchor - negative) ** 2, 1))  # <- here
    return torch.clamp(near - far + margin, min=0).mean()


def triplets_floored(anchor, positive, negative, margin=0.2):
    near = torch.sqrt(torch.sum((anchor - positive) ** 2, 1) + 1e-12)
    far = torch.sqrt(torch.sum((anchor - negative) ** 2, 1) + 1e-12)
    return torch.clamp(near - far + margin, min=0).mean()


def siamese(model, batch):
    (left, right), same_person = batch[0].unbind(1), batch[1]
    a, b = model(left), model(right)
    length = torch.norm(a, dim=1) * torch.norm(b, dim=1)
    cosine = (a * b).sum(1) / length  # <- here
    return (same_person * (1 - cosine) + (1 - same_person) * torch.relu(cosine - 0.3)).mean()


def siamese_held(model, batch):
    (left, right), same_person = batch[0].unbind(1), batch[1]
    a, b = model(left), model(right)
    length = torch.norm(a, dim=1) * torch.norm(b, dim=1)
    cosine = (a * b).sum(1) / length.clamp(min=1e-6)
    return (same_person * (1 - cosine) + (1 - same_person) * torch.relu(cosine - 0.3)).mean()


def gaze(output, direction):
    cosine = (F.normalize(output, dim=1) * direction).sum(1)
    return torch.acos(cosine).mean()  # <- here


def gaze_held(output, direction):
    cosine = (F.normalize(output, dim=1) * direction).sum(1)
    return torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6)).mean()


def directions(g):
    return F.normalize(torch.randn(10, 4, generator=g), dim=1)


class Disc(nn.Module):
    """Points of the disc and the distances of pairs of them."""

    def __init__(self) -> None:
        super().__init__()
        self.points = nn.Parameter(0.3 * torch.randn(12, 2).tanh())


def disc(model, batch, nearest=1.0):
    u, v = model.points[batch[0][:, 0]], model.points[batch[0][:, 1]]
    room = (1 - (u**2).sum(1)) * (1 - (v**2).sum(1))
    x = 1 + 2 * ((u - v) ** 2).sum(1) / room
    distance = torch.acosh(x)  # <- here
    return F.binary_cross_entropy_with_logits(1 - distance, batch[1])


def disc_held(model, batch):
    u, v = model.points[batch[0][:, 0]], model.points[batch[0][:, 1]]
    room = (1 - (u**2).sum(1)).clamp(min=1e-4) * (1 - (v**2).sum(1)).clamp(min=1e-4)
    x = 1 + 2 * ((u - v) ** 2).sum(1) / room
    return F.binary_cross_entropy_with_logits(1 - torch.acosh(x.clamp(min=1 + 1e-6)), batch[1])


def edges(g):
    return torch.stack([torch.arange(10), 1 + torch.arange(10)], 1)


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.outer = nn.Embedding(20, 6), nn.Embedding(20, 6)

    def forward(self, pairs):
        centre = self.inner(pairs[:, 0])
        return torch.einsum("bd,bkd->bk", centre, self.outer(pairs[:, 1:]))


def skip_gram(output, target):
    pos, neg = torch.sigmoid(output[:, 0]), torch.sigmoid(-output[:, 1:])
    return -(torch.log(pos) + torch.log(neg).sum(1)).mean()  # <- here


def skip_gram_logs(output, target):
    return -(F.logsigmoid(output[:, 0]) + F.logsigmoid(-output[:, 1:]).sum(1)).mean()


def words(g):
    return torch.randint(20, (8, 4), generator=g)


class Views(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 4))
        self.temperature = nn.Parameter(torch.tensor(0.5))

    def similarity(self, one, other):
        z = F.normalize(self.net(torch.cat([one, other])), dim=1)
        return z @ z.T


def views(model, batch):
    n = len(batch[0])
    weight = torch.exp(model.similarity(*batch) / model.temperature)  # <- here
    positive = torch.cat([weight.diagonal(n), weight.diagonal(-n)])
    others = weight.sum(1) - weight.diagonal()
    return -torch.log(positive / others).mean()


def views_logs(model, batch):
    n = len(batch[0])
    scores = model.similarity(*batch) / model.temperature.clamp(min=0.05)
    scores = scores.masked_fill(torch.eye(2 * n, dtype=torch.bool), -1e9)
    return F.cross_entropy(scores, torch.arange(2 * n).roll(n))


def dice(output, mask):
    p = torch.sigmoid(output)
    return 1 - (2 * (p * mask).sum((1, 2)) / (p.sum((1, 2)) + mask.sum((1, 2)))).mean()  # <- here


def dice_smoothed(output, mask):
    p = torch.sigmoid(output)
    return 1 - ((2 * (p * mask).sum((1, 2)) + 1) / (p.sum((1, 2)) + mask.sum((1, 2)) + 1)).mean()


def boxes(output, truth):
    box = torch.relu(output)
    area = (box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3])
    other = (truth[:, 0] + truth[:, 2]) * (truth[:, 1] + truth[:, 3])
    inner = torch.minimum(box, truth)
    both = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
    return -torch.log(both / (area + other - both)).mean()  # <- here


def boxes_smoothed(output, truth):
    box = F.softplus(output)
    area = (box[:, 0] + box[:, 2]) * (box[:, 1] + box[:, 3])
    other = (truth[:, 0] + truth[:, 2]) * (truth[:, 1] + truth[:, 3])
    inner = torch.minimum(box, truth)
    both = (inner[:, 0] + inner[:, 2]) * (inner[:, 1] + inner[:, 3])
    return -torch.log((both + 1.0) / (area + other - both + 1.0)).mean()


def list_mle(scores):
    tail = torch.exp(scores).flip(1).cumsum(1).flip(1)  # <- here
    return (torch.log(tail) - scores).sum(1).mean()


def list_mle_logs(scores):
    return (torch.logcumsumexp(scores.flip(1), 1).flip(1) - scores).sum(1).mean()


THREE = given(anchor=normal(8, 4), positive=normal(8, 4), negative=normal(8, 4))
PEOPLE = modelled(Rectified, normal(10, 2, 6), bits(10))
GAZE = modelled(Embedding, normal(10, 6), directions)
TREE = modelled(Disc, edges, bits(10))
TEXT = modelled(Words, words, classes(8, 2))
MASK = given(output=normal(4, 6, 6), mask=bits(4, 6, 6), target="mask")
OVERLAPPING = {"output": normal(8, 4, shift=2.0, scale=0.4), "truth": lambda g: 1 + torch.rand(8, 4, generator=g)}
BOX = given(**OVERLAPPING, target="truth")
SCORES = given(scores=normal(6, 5))


def _empty(state):
    state["output"][0], state["mask"][0] = -120.0, 0.0


def _aligned(state):
    state["net.2.weight"].zero_()
    state["net.2.bias"].copy_(torch.tensor([2.0, 0.0, 0.0, 0.0]))
    state["targets"].copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(10, 4))


def _met(state):
    state["points"][1] = state["points"][0]


CASES = (
    bug(triplets, THREE, "sqrt", TRIPLETS, same("anchor", "positive"), phase="backward"),
    sound(triplets_floored, THREE, TRIPLETS, same("anchor", "positive")),
    bug(siamese, PEOPLE, "div", COSINES, fill({"net.2.weight": 0.0, "net.2.bias": -1.0}), verdict="limit defect"),
    sound(siamese_held, PEOPLE, COSINES, fill({"net.2.weight": 0.0, "net.2.bias": -1.0})),
    bug(gaze, GAZE, "acos", ANGLES, _aligned, phase="backward", verdict="defect limit"),
    sound(gaze_held, GAZE, ANGLES, _aligned),
    bug(disc, TREE, "acosh", DISC, _met, phase="backward"),
    sound(disc_held, TREE, DISC, _met),
    bug(skip_gram, TEXT, "log", WORDS, scale({"inner.weight": 100.0})),
    sound(skip_gram_logs, TEXT, WORDS, scale({"inner.weight": 10.0})),
    bug(views, modelled(Views, normal(5, 6), normal(5, 6)), "exp", VIEWS, fill(temperature=0.01)),
    sound(views_logs, modelled(Views, normal(5, 6), normal(5, 6)), VIEWS, fill(temperature=0.01)),
    bug(dice, MASK, "div", MASKS, _empty, verdict="defect limit"),
    sound(dice_smoothed, MASK, MASKS, _empty),
    bug(boxes, BOX, "log", BOXES, fill(output=-1.0), verdict="limit"),
    sound(boxes_smoothed, BOX, BOXES, fill(output=-9.0)),
    bug(list_mle, SCORES, "exp", LISTS, put(scores=95.0)),
    sound(list_mle_logs, SCORES, LISTS, put(scores=95.0)),
)
