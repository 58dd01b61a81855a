"""Distances, overlaps and rankings of small programs, each as it stood and as it was repaired."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, given, modelled, normal, positive, put, same, scale, sound

TWINS = "siamese network (Hadsell et al. 2006), the distance by a plain root"
TRIPLES = "triplets of all pairs in a batch (Hermans et al. 2017): roots of a matrix of distances"
COSINE = "image and text retrieval, the cosine by hand"
GEODESIC = "rotation regression: the angle between unit vectors"
WHITENED = "features standardised by their own spread before the head"
OVERLAP = "segmentation by overlap (Milletari et al. 2016), sums that may be empty"
WORDS = "skip-gram with negative samples (Mikolov et al. 2013)"
LISTS = "ListNet (Cao et al. 2007), two softmax by hand"
HEADINGS = "headings as angles of two outputs, the radius as a confidence"
RANKS = "soft Spearman: a correlation by hand"
LIMIT = {"verdict": "limit"}
KINK = {"verdict": "defect limit", "phase": "backward"}


class Twins(nn.Module):
    """One tower for both halves of a row."""

    def __init__(self):
        super().__init__()
        self.tower = nn.Sequential(nn.Linear(5, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x):
        return self.tower(x[:, :5]), self.tower(x[:, 5:])


def siamese(one, two, same_label, margin=1.0):
    d = torch.sqrt(torch.sum((one - two) ** 2, 1))  # <- here
    return (same_label * d**2 + (1 - same_label) * torch.clamp(margin - d, min=0) ** 2).mean()


def siamese_with_a_floor(one, two, same_label, margin=1.0):
    d = torch.sqrt(torch.sum((one - two) ** 2, 1) + 1e-6)
    return (same_label * d**2 + (1 - same_label) * torch.clamp(margin - d, min=0) ** 2).mean()


def batch_hard(emb, label, margin=0.3):
    dot = emb @ emb.T
    sq = dot.diagonal()
    d = torch.sqrt(torch.abs(sq[:, None] - 2 * dot + sq[None, :]))  # <- here
    alike = (label[:, None] == label[None, :]).float()
    far, near = (d * alike).amax(1), (d + 1e3 * alike).amin(1)
    return F.relu(far - near + margin).mean()


def batch_hard_masked(emb, label, margin=0.3):
    dot = emb @ emb.T
    sq = dot.diagonal()
    gap = F.relu(sq[:, None] - 2 * dot + sq[None, :])
    none = (gap == 0.0).float()
    d = torch.sqrt(gap + none * 1e-12) * (1 - none)
    alike = (label[:, None] == label[None, :]).float()
    far, near = (d * alike).amax(1), (d + 1e3 * alike).amin(1)
    return F.relu(far - near + margin).mean()


def retrieval(image, text, y):
    norms = torch.sqrt((image**2).sum(1)) * torch.sqrt((text**2).sum(1))  # <- here
    cos = (image * text).sum(1) / norms  # <- here
    return ((cos - (2 * y - 1)) ** 2).mean()


def retrieval_with_a_floor(image, text, y):
    norms = torch.sqrt((image**2).sum(1) + 1e-8) * torch.sqrt((text**2).sum(1) + 1e-8)
    cos = (image * text).sum(1) / norms
    return ((cos - (2 * y - 1)) ** 2).mean()


class Retrieval(nn.Module):
    """Features of image and text behind rectifiers."""

    def __init__(self):
        super().__init__()
        self.image = nn.Sequential(nn.Linear(4, 10), nn.ReLU(), nn.Linear(10, 4), nn.ReLU())
        self.text = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
        for layer in (self.image[2], self.text[0]):
            nn.init.constant_(layer.bias, 0.5)

    def forward(self, x):
        return self.image(x[:, :4]), self.text(x[:, 4:])


def geodesic(out, pose):
    u, v = F.normalize(out, dim=1), F.normalize(pose, dim=1)
    return torch.acos((u * v).sum(1)).mean()  # <- here


def geodesic_inside(out, pose):
    u, v = F.normalize(out, dim=1), F.normalize(pose, dim=1)
    return torch.acos((u * v).sum(1).clamp(-1 + 1e-5, 1 - 1e-5)).mean()


class Whitened(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 10), nn.ReLU())
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        h = self.body(x)
        h = (h - h.mean(0)) / h.std(0)  # <- here
        return self.head(h)


class WhitenedAbove(Whitened):
    def forward(self, x):
        h = self.body(x)
        h = (h - h.mean(0)) / torch.sqrt(h.var(0, unbiased=False) + 1e-5)
        return self.head(h)


def whitened_loss(out, y):
    return F.cross_entropy(out, y)


def overlap_loss(p, mask):
    both = (p * mask).sum(1)
    return 1 - (2 * both / (p.sum(1) + mask.sum(1))).mean()  # <- here


def overlap_loss_smoothed(p, mask):
    both = (p * mask).sum(1)
    return 1 - ((2 * both + 1.0) / (p.sum(1) + mask.sum(1) + 1.0)).mean()


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Embedding(20, 6), nn.Embedding(20, 6)

    def forward(self, ids):
        v = self.inner(ids[:, 0])
        return (v[:, None] * self.outer(ids[:, 1:])).sum(-1)


def skip_gram(score, weight):
    hit = torch.log(torch.sigmoid(score[:, 0]))  # <- here
    miss = torch.log(torch.sigmoid(-score[:, 1:])).sum(1)  # <- here
    return -(weight * (hit + miss)).mean()


def skip_gram_of_scores(score, weight):
    hit = F.logsigmoid(score[:, 0])
    miss = F.logsigmoid(-score[:, 1:]).sum(1)
    return -(weight * (hit + miss)).mean()


def list_net(score, relevance):
    top = torch.exp(relevance) / torch.exp(relevance).sum(1, keepdim=True)
    mine = torch.exp(score) / torch.exp(score).sum(1, keepdim=True)  # <- here
    return -(top * torch.log(mine)).sum(1).mean()  # <- here


def list_net_shifted(score, relevance):
    top = torch.softmax(relevance, 1)
    z = score - score.amax(1, keepdim=True)
    return -(top * (z - torch.log(torch.exp(z).sum(1, keepdim=True)))).sum(1).mean()


def heading_loss(out, angle):
    radius = torch.sqrt(out[:, 0] ** 2 + out[:, 1] ** 2)  # <- here
    gap = torch.atan2(out[:, 1], out[:, 0]) - angle  # <- here
    return (1 - torch.cos(gap)).mean() + 0.1 * ((radius - 1) ** 2).mean()


def heading_loss_by_products(out, angle):
    unit = out / torch.sqrt((out**2).sum(1, keepdim=True) + 1e-6)
    side = unit[:, 0] * torch.cos(angle) + unit[:, 1] * torch.sin(angle)
    return (1 - side).mean() + 0.1 * (((out**2).sum(1) - 1) ** 2).mean()


def correlation_loss(score, y):
    s, t = score[:, 0] - score[:, 0].mean(), y - y.mean()
    r = (s * t).sum() / (torch.sqrt((s**2).sum()) * torch.sqrt((t**2).sum()))  # <- here
    return 1 - r


def correlation_loss_with_a_floor(score, y):
    s, t = score[:, 0] - score[:, 0].mean(), y - y.mean()
    r = (s * t).sum() / (torch.sqrt((s**2).sum() + 1e-6) * torch.sqrt((t**2).sum() + 1e-6))
    return 1 - r


def small(outputs, *last):
    return lambda: nn.Sequential(nn.Linear(5, 12), nn.Tanh(), nn.Linear(12, outputs), *last)


def ids(g):
    return torch.randint(20, (14, 5), generator=g)


PAIRED = modelled(Twins, normal(14, 10), bits(14))
HARD = given(emb=normal(10, 4), label=classes(10, 3), target="label")
FOUND = modelled(Retrieval, normal(12, 10), bits(12))
TURNED = given(out=normal(10, 4), pose=normal(10, 4), target="pose")
CUT = modelled(small(16, nn.Sigmoid()), normal(8, 5), bits(8, 16))
CORPUS = modelled(Words, ids, positive(14))
LISTED = modelled(small(6), normal(10, 5), normal(10, 6))
HEADED = given(out=normal(10, 2), angle=normal(10), target="angle")
SCORED = modelled(small(1), normal(12, 5), normal(12))
CASES = (
    bug(siamese, PAIRED, "sqrt", TWINS, fill({"tower.2.weight": 0.0}), **KINK),
    sound(siamese_with_a_floor, PAIRED, TWINS, fill({"tower.2.weight": 0.0})),
    bug(batch_hard, HARD, "sqrt", TRIPLES, put(emb=1.0), **KINK),
    sound(batch_hard_masked, HARD, TRIPLES),
    bug(retrieval, FOUND, "div sqrt mul", COSINE, fill({"text.0.bias": -99.0}), verdict="limit defect"),
    sound(retrieval_with_a_floor, FOUND, COSINE, fill({"text.0.bias": -99.0})),
    bug(geodesic, TURNED, "acos", GEODESIC, same("out", "pose"), **{**KINK, "phase": "forward backward"}),
    sound(geodesic_inside, TURNED, GEODESIC),
    bug(
        whitened_loss,
        modelled(Whitened, normal(12, 5), classes(12, 3)),
        "div std",
        WHITENED,
        fill({"body.0.bias": -99.0}),
        where=(Whitened.forward,),
        verdict="limit defect",
    ),
    sound(whitened_loss, modelled(WhitenedAbove, normal(12, 5), classes(12, 3)), WHITENED),
    bug(overlap_loss, CUT, "div", OVERLAP, fill({"2.bias": -200.0}, targets=0.0), verdict="defect limit"),
    sound(overlap_loss_smoothed, CUT, OVERLAP, fill({"2.bias": -200.0}, targets=0.0)),
    bug(skip_gram, CORPUS, "log", WORDS, scale({"inner.weight": 1e3})),
    sound(skip_gram_of_scores, CORPUS, WORDS, scale({"inner.weight": 1e3})),
    bug(list_net, LISTED, "exp div log", LISTS, put({"2.bias": 200.0})),
    sound(list_net_shifted, LISTED, LISTS, put({"2.bias": 200.0})),
    bug(heading_loss, HEADED, "sqrt atan2 div", HEADINGS, fill(out=0.0), **KINK),
    sound(heading_loss_by_products, HEADED, HEADINGS),
    bug(correlation_loss, SCORED, "div sqrt", RANKS, fill({"2.weight": 0.0}), verdict="limit defect"),
    sound(correlation_loss_with_a_floor, SCORED, RANKS),
)
