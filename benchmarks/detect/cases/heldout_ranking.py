"""Held out, written before the tool was run on it: rankings, recommenders and sequences."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    counts,
    fixed,
    given,
    normal,
    positive,
    put,
    scale,
    sound,
)

BPR = "Rendle et al., BPR, UAI 2009; github.com/maciejkula/triplet_recommendations_keras issue 1"
GLOVE = "Pennington et al., GloVe, EMNLP 2014: pairs that never meet"
LISTNET = "Cao et al., Learning to rank, ICML 2007"
RANKNET = "Burges et al., Learning to rank using gradient descent, ICML 2005; github.com/allegro/allRank"
DKD = "Zhao et al., Decoupled knowledge distillation, CVPR 2022"
UNCERTAIN = "Kendall et al., Multi-task learning using uncertainty, CVPR 2018"
SOFT_DTW = "Cuturi & Blondel, Soft-DTW, ICML 2017"
HUGGING = "Vaswani et al., NeurIPS 2017; masks of -10000 in github.com/huggingface/transformers, modeling_bert"
CORAL = "Cao et al., Rank consistent ordinal regression, 2020; github.com/Raschka-research-group/coral-cnn"
PROCESS = "Rasmussen & Williams, Gaussian processes for machine learning, 2006, section 2.2: jitter"


def pairwise_ranking(user, liked, other):
    gap = (user * liked).sum(-1) - (user * other).sum(-1)
    return -torch.log(torch.sigmoid(gap)).mean() + 1e-3 * (user**2).mean()  # <- here


def pairwise_ranking_softplus(user, liked, other):
    gap = (user * liked).sum(-1) - (user * other).sum(-1)
    return F.softplus(-gap).mean() + 1e-3 * (user**2).mean()


def word_vectors(a, b, bias, y):
    weight = (y / 10).clamp(max=1.0) ** 0.75
    return (weight * ((a * b).sum(-1) + bias - torch.log(y)) ** 2).mean()  # <- here


def word_vectors_log1p(a, b, bias, y):
    weight = (y / 10).clamp(max=1.0) ** 0.75
    return (weight * ((a * b).sum(-1) + bias - torch.log1p(y)) ** 2).mean()


def top_one(scores, y):
    return -(torch.softmax(y, -1) * torch.log(torch.softmax(scores, -1))).sum(-1).mean()  # <- here


def top_one_log_softmax(scores, y):
    return -(torch.softmax(y, -1) * torch.log_softmax(scores, -1)).sum(-1).mean()


def pairs_by_exp(scores, y):
    gap = scores[:, None] - scores[None, :]
    return (torch.log2(1 + torch.exp(-gap)) * (y[:, None] > y[None, :])).mean()  # <- here


def pairs_by_softplus(scores, y):
    gap = scores[:, None] - scores[None, :]
    return (F.softplus(-gap) * (y[:, None] > y[None, :])).mean()


def decoupled_distillation(student, teacher, y):
    p, q = (torch.softmax(v / 4.0, -1).gather(1, y[:, None]) for v in (student, teacher))
    return -(q * torch.log(p) + (1 - q) * torch.log(1 - p)).mean()  # <- here


def decoupled_distillation_in_logs(student, teacher, y):
    q = torch.softmax(teacher / 4.0, -1).gather(1, y[:, None])
    total = torch.logsumexp(student / 4.0, -1, keepdim=True)
    hit = (student / 4.0).gather(1, y[:, None]) - total
    rest = torch.logsumexp((student / 4.0).scatter(1, y[:, None], float("-inf")), -1, keepdim=True) - total
    return -(q * hit + (1 - q) * rest).mean()


def task_weights(losses, sigma):
    return (losses / (2 * sigma**2) + torch.log(sigma)).sum()  # <- here


def task_weights_in_logs(losses, log_var):
    return (0.5 * torch.exp(-log_var.clamp(-10.0, 10.0)) * losses + 0.5 * log_var.clamp(-10.0, 10.0)).sum()


def _alignment(cost, softest):
    rows = [[torch.zeros(()), *[torch.full((), float("inf"))] * len(cost)]]
    for i in range(len(cost)):
        row = [torch.full((), float("inf"))]
        for j in range(len(cost)):
            row.append(cost[i, j] + softest(torch.stack([rows[i][j], rows[i][j + 1], row[j]])))
        rows.append(row)
    return rows[-1][-1]


def soft_alignment_by_exp(x, y):
    def softest(v):
        return -torch.log(torch.exp(-v).sum())  # <- here

    return _alignment((x[:, None] - y[None, :]) ** 2, softest)


def soft_alignment(x, y):
    return _alignment((x[:, None] - y[None, :]) ** 2, lambda v: -torch.logsumexp(-v, 0))


def additive_mask(score, mask, value, y):
    weight = torch.softmax(score + (1 - mask) * -10000.0, -1)
    return F.mse_loss((weight * value).sum(-1), y)


def ordinal_levels(logits, y):
    return -(F.logsigmoid(logits) * y + (F.logsigmoid(logits) - logits) * (1 - y)).sum(-1).mean()


def process_without_jitter(log_length, log_noise, x, y):
    gap = (x[:, None] - x[None, :]) / torch.exp(log_length)
    k = torch.exp(-0.5 * gap**2) + torch.exp(log_noise) * torch.eye(len(x))
    chol = torch.linalg.cholesky(k)  # <- here
    white = torch.linalg.solve_triangular(chol, y[:, None], upper=False)
    return 0.5 * (white**2).sum() + torch.log(chol.diagonal()).sum()


def process_with_floor(log_length, raw_noise, x, y):
    gap = (x[:, None] - x[None, :]) / (F.softplus(log_length) + 0.1)
    k = torch.exp(-0.5 * gap**2) + (F.softplus(raw_noise) + 1e-2) * torch.eye(len(x))
    chol = torch.linalg.cholesky(k)
    white = torch.linalg.solve_triangular(chol, y[:, None], upper=False)
    return 0.5 * (white**2).sum() + torch.log(chol.diagonal()).sum()


def inverse_softplus(sigma):
    raw = torch.log(torch.exp(sigma) - 1)  # <- here
    return (raw**2).mean()


def inverse_softplus_expm1(sigma):
    sigma = sigma.clamp(min=1e-4)
    return ((sigma + torch.log(-torch.expm1(-sigma))) ** 2).mean()


FACTORS = given(user=normal(8, 4), liked=normal(8, 4), other=normal(8, 4))
WORDS = given(a=normal(8, 4), b=normal(8, 4), bias=normal(8), y=counts(8, mean=6.0), target="y")
LIST = given(scores=normal(4, 6), y=normal(4, 6), target="y")
ITEMS = given(scores=normal(6), y=fixed([0.0, 2, 1, 0, 3, 1]), target="y")
SCHOOL = given(student=normal(6, 5), teacher=normal(6, 5), y=classes(6, 5), target="teacher y")
WARP = given(x=normal(4), y=normal(4), target="y")
MASK = fixed([[1.0, 1, 1, 0, 0], [1, 1, 1, 1, 1], [0, 0, 0, 0, 0]])
LINE = {"x": fixed([-2.0, -1.0, 0.0, 0.8, 2.0, 3.0]), "y": normal(6)}
CASES = (
    bug(pairwise_ranking, FACTORS, "log", BPR, scale(user=100.0)),
    sound(pairwise_ranking_softplus, FACTORS, BPR, scale(user=100.0)),
    bug(word_vectors, given(a=normal(8, 4), b=normal(8, 4), bias=normal(8), y=lambda g: 1 + torch.poisson(torch.full((
        8,), 5.0), generator=g), target="y"), "log mul", GLOVE, put(y=0.0), verdict="limit defect"),
    sound(word_vectors_log1p, WORDS, GLOVE, put(y=0.0)),
    bug(top_one, LIST, "log mul", LISTNET, scale(scores=200.0)),
    sound(top_one_log_softmax, LIST, LISTNET, scale(scores=200.0)),
    bug(pairs_by_exp, ITEMS, "exp log2 add", RANKNET, put(scores=150.0)),
    sound(pairs_by_softplus, ITEMS, RANKNET, put(scores=150.0)),
    bug(decoupled_distillation, SCHOOL, "log mul", DKD, scale(student=400.0)),
    sound(decoupled_distillation_in_logs, SCHOOL, DKD, scale(student=400.0)),
    bug(task_weights, given(losses=positive(3), sigma=positive(3)), "log div", UNCERTAIN, put(sigma=-0.1),
        verdict="limit"),
    sound(task_weights_in_logs, given(losses=positive(3), log_var=normal(3)), UNCERTAIN, put(log_var=60.0)),
    bug(soft_alignment_by_exp, WARP, "exp log", SOFT_DTW, put(x=12.0)),
    sound(soft_alignment, WARP, SOFT_DTW, put(x=12.0)),
    sound(additive_mask, given(score=normal(3, 5), mask=MASK, value=normal(3, 5), y=normal(3), target="mask value y"),
          HUGGING, scale(score=30.0)),
    sound(ordinal_levels, given(logits=normal(8, 3), y=bits(8, 3), target="y"), CORAL, scale(logits=300.0)),
    bug(process_without_jitter, given(log_length=fixed([-0.5]), log_noise=fixed([-1.0]), **LINE, target="x y"),
        "cholesky", PROCESS, put(log_noise=-40.0, log_length=4.0), kind="nan inf raises", verdict="defect limit"),
    sound(process_with_floor, given(log_length=fixed([-0.5]), raw_noise=fixed([-1.0]), **LINE, target="x y"), PROCESS,
          put(raw_noise=-40.0)),
    bug(inverse_softplus, given(sigma=positive(8)), "exp log sub", "Blundell et al., Weight uncertainty, ICML 2015: "
        "the inverse of rho -> sigma", put(sigma=120.0)),
    sound(inverse_softplus_expm1, given(sigma=positive(8)), "Maechler, Accurately computing log(1 - exp(-|a|)), 2012",
          put(sigma=120.0)),
)  # fmt: skip
