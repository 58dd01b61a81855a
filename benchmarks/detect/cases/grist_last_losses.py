"""The last round, losses of bare tensors: style, ranking, centres, mining, densities of crowds."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bug,
    classes,
    counts,
    fill,
    given,
    normal,
    scale,
    sound,
    unit,
)

STYLE = "style transfer by Gram matrices divided by their own norm"
CENTER = "pairwise margin with distances of normalised means: centre loss ports"
LAMBDA = "LambdaRank with the gain of an ideal order: learning to rank ports"
CURRICULUM = "weights by the loss itself: online hard example mining"
COUNTING = "crowd counting by a normalised density map"


def gram_distance(image, style):
    def gram(t):
        flat = t.flatten(2)
        g = flat @ flat.transpose(1, 2)
        return g / torch.linalg.norm(g, dim=(1, 2), keepdim=True)  # <- here

    return torch.mean((gram(image) - gram(style)) ** 2)


def centres(emb, y):
    member = F.one_hot(y, 3).to(emb.dtype)
    mean = member.T @ emb / member.sum(0)[:, None]  # <- here
    return torch.mean((emb - mean[y]) ** 2) + torch.mean(torch.relu(1.0 - torch.cdist(emb, mean)) ** 2)


def lambda_rank(score, gain):
    order = torch.argsort(gain, descending=True)
    discount = 1.0 / torch.log2(torch.arange(len(gain)) + 2.0)
    ideal = torch.sum((2.0 ** gain[order] - 1.0) * discount)
    weight = torch.abs(gain[:, None] - gain) / ideal  # <- here
    return torch.sum(weight * (gain[:, None] > gain) * F.softplus(score - score[:, None]))


def mined(logits, y):
    nll = F.cross_entropy(logits, y, reduction="none")
    weight = nll / nll.sum()  # <- here
    return torch.sum(weight * nll)


def crowd(raw, density):
    shape = torch.relu(raw).flatten(1)
    shape = shape / shape.sum(1, keepdim=True)  # <- here
    return torch.sum(torch.abs(shape - density.flatten(1)))


def crowd_by_softmax(raw, density):
    return torch.sum(torch.abs(torch.softmax(raw.flatten(1), 1) - density.flatten(1)))


MAPS = given("density", raw=normal(3, 4, 4), density=unit(3, 4, 4))


def _no_third(state):
    state["y"].clamp_(max=1)


def _all_right(state):
    state["logits"].copy_(200.0 * F.one_hot(state["y"], 4))


CASES = (
    bug(
        gram_distance,
        given("style", image=normal(2, 3, 4, 4), style=normal(2, 3, 4, 4)),
        "div norm",
        STYLE,
        fill(image=0.0),
        verdict="limit defect",
    ),
    bug(
        centres,
        given("y", emb=normal(9, 4), y=lambda g: torch.arange(9) % 3),
        "div",
        CENTER,
        _no_third,
        verdict="limit defect",
    ),
    bug(
        lambda_rank,
        given("gain", score=normal(8), gain=counts(8, mean=1.5)),
        "div",
        LAMBDA,
        fill(gain=0.0),
        verdict="limit defect",
    ),
    bug(mined, given("y", logits=normal(6, 4), y=classes(6, 4)), "div", CURRICULUM, _all_right),
    bug(crowd, MAPS, "div", COUNTING, fill(raw=-1.0), verdict="limit defect"),
    sound(crowd_by_softmax, MAPS, COUNTING, scale(raw=100.0)),
)
