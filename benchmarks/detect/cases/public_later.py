"""A small later round of public losses, written after the tool had been mended on the first, with their twins."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, counts, fill, given, normal, positive, same, simplex, sound, unit

LIMIT = "limit defect"
UMAP_A, UMAP_B = 1.577, 0.895


def listed_order(score):
    left = torch.flip(torch.cumsum(torch.flip(torch.exp(score), (1,)), 1), (1,))  # <- here
    return (torch.log(left) - score).sum(1).mean()  # <- here


def listed_order_in_logs(score):
    left = torch.flip(torch.logcumsumexp(torch.flip(score, (1,)), 1), (1,))
    return (left - score).sum(1).mean()


def duel(winner, loser):
    strong, weak = torch.exp(winner), torch.exp(loser)  # <- here
    return -torch.log(strong / (strong + weak)).mean()  # <- here


def duel_in_logs(winner, loser):
    return -F.logsigmoid(winner - loser).mean()


def undecided_gates(logits, worth):
    p = torch.sigmoid(logits)
    entropy = -(p * torch.log(p) + (1 - p) * torch.log(1 - p))  # <- here
    return (p * worth).mean() + 0.1 * entropy.mean()


def undecided_gates_in_logs(logits, worth):
    p = torch.sigmoid(logits)
    entropy = F.softplus(-logits) + (1 - p) * logits
    return (p * worth).mean() + 0.1 * entropy.mean()


def speaker_angle(voice, centre):
    cosine = (F.normalize(voice) * F.normalize(centre)).sum(-1)
    return torch.acos(cosine.clamp(-1 + 1e-8, 1 - 1e-8)).mean()  # <- here


def speaker_angle_kept(voice, centre):
    cosine = (F.normalize(voice) * F.normalize(centre)).sum(-1)
    return torch.acos(cosine.clamp(-1 + 1e-4, 1 - 1e-4)).mean()


def volume(raw, z):
    scale = F.softplus(raw)
    x = z * scale
    return (0.5 * (x**2).sum(-1) - torch.log(scale.prod(-1))).mean()  # <- here


def volume_in_logs(raw, z):
    scale = F.softplus(raw) + 1e-3
    x = z * scale
    return (0.5 * (x**2).sum(-1) - torch.log(scale).sum(-1)).mean()


def roughness(image, truth):
    right, down = image[:, :-1, 1:] - image[:, :-1, :-1], image[:, 1:, :-1] - image[:, :-1, :-1]
    return ((image - truth) ** 2).mean() + 0.1 * torch.sqrt(right**2 + down**2).mean()  # <- here


def roughness_smoothed(image, truth):
    right, down = image[:, :-1, 1:] - image[:, :-1, :-1], image[:, 1:, :-1] - image[:, :-1, :-1]
    return ((image - truth) ** 2).mean() + 0.1 * torch.sqrt(right**2 + down**2 + 1e-5).mean()


def rates(raw, seen):
    rate = torch.relu(raw)
    return (rate - seen * torch.log(rate)).mean()  # <- here


def rates_above_0(raw, seen):
    rate = F.softplus(raw) + 1e-4
    return (rate - seen * torch.log(rate)).mean()


def layout(one, two):
    gap = ((one - two) ** 2).sum(-1)
    return torch.log1p(UMAP_A * gap**UMAP_B).mean()  # <- here


def layout_kept(one, two):
    gap = ((one - two) ** 2).sum(-1)
    return torch.log1p(UMAP_A * (gap + 1e-3) ** UMAP_B).mean()


def key_point_spread(heat, place):
    p, grid = torch.softmax(heat, -1), torch.linspace(0, 1, 8).to(heat)
    mean = (p * grid).sum(-1)
    spread = torch.sqrt((p * grid**2).sum(-1) - mean**2)  # <- here
    return ((mean - place) ** 2 + 0.1 * spread).mean()


def key_point_spread_kept(heat, place):
    p, grid = torch.softmax(heat, -1), torch.linspace(0, 1, 8).to(heat)
    mean = (p * grid).sum(-1)
    spread = torch.sqrt((p * (grid - mean[:, None]) ** 2).sum(-1) + 1e-6)
    return ((mean - place) ** 2 + 0.1 * spread).mean()


def match_by_hand(one, two):
    alike = (one * two).sum(-1) / (torch.sqrt((one**2).sum(-1)) * torch.sqrt((two**2).sum(-1)))  # <- here
    return (1 - alike).mean()


def match_by_library(one, two):
    return (1 - F.cosine_similarity(one, two, dim=-1)).mean()


def surprise(logits, word):
    return torch.exp(F.cross_entropy(logits, word))  # <- here


def soft_teacher(student, teacher):
    return -(teacher * F.log_softmax(student, -1)).sum(-1).mean() + torch.xlogy(teacher, teacher).sum(-1).mean()


def chosen_cells(score, open_, worth):
    filled = score.masked_fill(open_ == 0, -1e4)
    weight = torch.softmax(filled, -1) * open_
    return (weight * worth).sum(-1).pow(2).mean()


PAIR = {"one": normal(8, 3), "two": normal(8, 3)}
CASES = (
    bug(listed_order, given(score=normal(6, 5)), "exp log", "allegro/allRank: ListMLE", fill(score=-110.0)),
    sound(listed_order_in_logs, given(score=normal(6, 5)), "allegro/allRank: ListMLE in logs", fill(score=-110.0)),
    bug(
        duel,
        given(winner=normal(8), loser=normal(8)),
        "exp div log",
        "lucasmaystre/choix: Bradley and Terry by hand",
        fill(winner=100.0),
    ),
    sound(
        duel_in_logs, given(winner=normal(8), loser=normal(8)), "OpenRLHF/OpenRLHF: reward model", fill(winner=100.0)
    ),
    bug(
        undecided_gates,
        given("worth", logits=normal(10), worth=normal(10)),
        "log",
        "AMLab-Amsterdam/L0_regularization style gates with an entropy",
        fill(logits=120.0),
    ),
    sound(
        undecided_gates_in_logs,
        given("worth", logits=normal(10), worth=normal(10)),
        "the entropy of gates by their logits, as tensorflow/probability has it",
        fill(logits=120.0),
    ),
    bug(
        speaker_angle,
        given("centre", voice=normal(8, 3), centre=normal(8, 3)),
        "acos",
        "clovaai/voxceleb_trainer: an epsilon that float32 does not hold",
        same("voice", "centre"),
        verdict=LIMIT,
    ),
    sound(
        speaker_angle_kept,
        given("centre", voice=normal(8, 3), centre=normal(8, 3)),
        "clovaai/voxceleb_trainer",
        same("voice", "centre"),
    ),
    bug(
        volume,
        given("z", raw=normal(8, 10), z=normal(8, 10)),
        "prod log",
        "karpathy/pytorch-normalizing-flows: the log of a product",
        fill(raw=-15.0),
    ),
    sound(
        volume_in_logs,
        given("z", raw=normal(8, 10), z=normal(8, 10)),
        "karpathy/pytorch-normalizing-flows",
        fill(raw=-15.0),
    ),
    bug(
        roughness,
        given("truth", image=normal(2, 5, 5), truth=normal(2, 5, 5)),
        "sqrt",
        "jxgu1016/Total_Variation_Loss: a flat picture",
        fill(image=0.5),
        verdict=LIMIT,
        phase="backward",
    ),
    sound(
        roughness_smoothed,
        given("truth", image=normal(2, 5, 5), truth=normal(2, 5, 5)),
        "jxgu1016/Total_Variation_Loss with an epsilon",
        fill(image=0.5),
    ),
    bug(
        rates,
        given("seen", raw=positive(10), seen=counts(10)),
        "log",
        "sinzlab/neuralpredictors: Poisson loss of a rectified rate",
        fill(raw=-1.0),
        verdict=LIMIT,
    ),
    sound(rates_above_0, given("seen", raw=normal(10), seen=counts(10)), "sinzlab/neuralpredictors", fill(raw=-120.0)),
    bug(
        layout,
        given(**PAIR),
        "pow",
        "lmcinnes/umap: parametric UMAP, points in one place",
        same("one", "two"),
        verdict=LIMIT,
        phase="backward",
    ),
    sound(layout_kept, given(**PAIR), "lmcinnes/umap with an epsilon", same("one", "two")),
    bug(
        key_point_spread,
        given("place", heat=normal(8, 8), place=unit(8)),
        "sqrt",
        "anibali/dsntnn: the spread of a sure heat map",
        lambda s: s["heat"][:, 3].fill_(120.0),
        verdict=LIMIT,
    ),
    sound(
        key_point_spread_kept,
        given("place", heat=normal(8, 8), place=unit(8)),
        "anibali/dsntnn",
        lambda s: s["heat"][:, 3].fill_(120.0),
    ),
    bug(
        match_by_hand,
        given(**PAIR),
        "sqrt div",
        "UKPLab/sentence-transformers before util.cos_sim: a row of zeros",
        lambda s: s["one"][0].zero_(),
        verdict=LIMIT,
    ),
    sound(match_by_library, given(**PAIR), "UKPLab/sentence-transformers", lambda s: s["one"][0].zero_()),
    bug(
        surprise,
        given("word", logits=normal(6, 5), word=classes(6, 5)),
        "exp",
        "pytorch/examples: perplexity as a loss",
        lambda s: s["logits"].scatter_(1, s["word"][:, None], -200.0),
        verdict="limit",
    ),
    sound(
        soft_teacher,
        given("teacher", student=normal(8, 5), teacher=simplex(8, 5)),
        "huggingface/transformers: distillation",
        lambda s: s["student"].mul_(100),
    ),
    sound(
        chosen_cells,
        given("open_ worth", score=normal(8, 5), open_=bits(8, 5), worth=normal(8, 5)),
        "allenai/allennlp: masked_softmax",
        fill(open_=0.0),
    ),
)
