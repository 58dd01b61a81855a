"""The losses of `public_defects` and `public_densities` as their repositories repaired them; two are half repaired."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, classes, fill, fixed, given, normal, positive, put, simplex
from benchmarks.detect.case import sound as right
from benchmarks.detect.cases import public_defects as broken


def frame_correlation(estimate, clean):
    x, y = estimate - estimate.mean(-1, keepdim=True), clean - clean.mean(-1, keepdim=True)
    size_x, size_y = torch.sqrt((x**2).sum(-1) + 1e-8), torch.sqrt((y**2).sum(-1) + 1e-8)
    return -((x * y).sum(-1) / (size_x * size_y)).mean()


def grey_world(image):
    red, green, blue = image.mean(-1).unbind(1)
    rg, rb, gb = (red - green) ** 2, (red - blue) ** 2, (green - blue) ** 2
    return torch.pow(rg**2 + rb**2 + gb**2 + 1e-5, 0.5).mean()


def additive_angle_head(feature, centre, label):
    cosine = F.normalize(feature) @ F.normalize(centre).T
    sine = torch.sqrt((1.0 - cosine**2).clamp(1e-6, 1))
    shifted = cosine * math.cos(0.5) - sine * math.sin(0.5)
    hot = F.one_hot(label, cosine.shape[1]).to(cosine)
    return F.cross_entropy(16.0 * (hot * shifted + (1 - hot) * cosine), label)


def quaternion_angle(q, truth):
    cosine = (F.normalize(q, dim=-1) * truth).sum(-1).abs()
    return (2 * torch.acos(cosine.clamp(-0.9999, 0.9999))).mean()


def box_shape_penalty(raw, box):
    w, h = torch.exp(raw[:, 0].clamp(-4, 4)), torch.exp(raw[:, 1].clamp(-4, 4))
    inner = torch.minimum(w, box[:, 0]) * torch.minimum(h, box[:, 1])
    iou = inner / (w * h + box[:, 0] * box[:, 1] - inner + 1e-16)
    skew = torch.atan(box[:, 0] / box[:, 1]) - torch.atan(w / (h + 1e-16))
    return (1 - iou + 4 / math.pi**2 * skew**2).mean()


def same_class_pull(embedding, label):
    z = F.normalize(embedding, dim=-1)
    score = z @ z.T / 0.1
    other = 1 - torch.eye(len(z)).to(z)
    pairs = (label[:, None] == label[None]).to(z) * other
    log_p = score - torch.log((torch.exp(score) * other).sum(1, keepdim=True))
    count = pairs.sum(1)
    count = torch.where(count < 1e-6, torch.ones_like(count), count)
    return -((pairs * log_p).sum(1) / count).mean()


def scaled_squash(mean, log_std, noise):
    log_std = log_std.clamp(-20, 2)
    raw = mean + torch.exp(log_std) * noise
    log_p = -0.5 * noise**2 - log_std - 0.5 * math.log(2 * math.pi)
    log_p = log_p - 2 * (math.log(2) - raw - F.softplus(-2 * raw)) - math.log(2.0)
    return log_p.sum(-1).mean()


def ranked_items(user, liked, other):
    margin = (user * liked).sum(-1) - (user * other).sum(-1)
    return F.softplus(-margin).mean() + 1e-4 * (user**2).sum()


def atoms_cross_entropy(logits, projected):
    return -(projected * F.log_softmax(logits, -1)).sum(-1).mean()


def reference_penalty_capped(logp, reference, advantage):
    gap = (reference - logp).clamp(-20, 20)
    penalty = torch.exp(gap) - gap - 1
    return (-advantage * logp + 0.04 * penalty.clamp(-10, 10)).mean()


def one_step_similarity(image, truth):
    mx, my = image.mean(-1), truth.mean(-1)
    vx, vy = image.var(-1, unbiased=False), truth.var(-1, unbiased=False)
    cov = (image * truth).mean(-1) - mx * my
    light = (2 * mx * my + 1e-4) / (mx**2 + my**2 + 1e-4)
    shape = (2 * cov + 9e-4) / (vx + vy + 9e-4)
    return 1 - (((light + 1) / 2).clamp(min=1e-4) ** 0.13 * ((shape + 1) / 2).clamp(min=1e-4) ** 0.29).mean()


def separation_ratio(estimate, source):
    share = ((estimate * source).sum(-1, keepdim=True) + 1e-8) / ((source**2).sum(-1, keepdim=True) + 1e-8)
    wanted = share * source
    ratio = (wanted**2).sum(-1) / (((estimate - wanted) ** 2).sum(-1) + 1e-8)
    return -10 * torch.log10(ratio + 1e-8).mean()


def separation_ratio_half(estimate, source):
    share = (estimate * source).sum(-1, keepdim=True) / ((source**2).sum(-1, keepdim=True) + 1e-8)
    wanted = share * source
    ratio = (wanted**2).sum(-1) / (((estimate - wanted) ** 2).sum(-1) + 1e-8)
    return -10 * torch.log10(ratio).mean()  # <- here


def magnitude_distance(wave, magnitude):
    steps = (2 * math.pi * torch.arange(16.0)[:, None] * torch.arange(9.0) / 16).to(wave)
    power = (wave @ torch.cos(steps)) ** 2 + (wave @ torch.sin(steps)) ** 2
    return (torch.sqrt(power + 1e-8) - magnitude).abs().mean()


def twin_correlation(one, two):
    a, b = F.batch_norm(one, None, None, training=True), F.batch_norm(two, None, None, training=True)
    table = a.T @ b / len(a)
    off = table - torch.diag(torch.diagonal(table))
    return ((torch.diagonal(table) - 1) ** 2).sum() + 5e-3 * (off**2).sum()


def circular_error(mean, raw, angle):
    kappa = F.softplus(raw)
    log_norm = torch.log(torch.special.i0e(kappa)) + kappa
    return (log_norm - kappa * torch.cos(angle - mean)).mean()


def weather_step(mean, raw, y):
    std = F.softplus(raw).clamp(min=1e-3)
    return (0.5 * ((y - mean) / std) ** 2 + torch.log(std) + 0.5 * math.log(2 * math.pi)).mean()


def partial_likelihood(risk, event):
    top = risk.max()
    log_sum = torch.log(torch.exp(risk - top).cumsum(0) + 1e-7) + top
    return -((risk - log_sum) * event).sum() / (event.sum() + 1e-6)


def transport_plan(one, two):
    cost = ((one[:, None] - two[None]) ** 2).sum(-1)
    left = torch.zeros_like(one[:, 0])
    for _ in range(4):
        right = -0.5 * torch.logsumexp((left[:, None] - cost) / 0.5, 0) - 0.5 * math.log(len(two))
        left = -0.5 * torch.logsumexp((right[None] - cost) / 0.5, 1) - 0.5 * math.log(len(one))
    return (torch.exp((left[:, None] + right[None] - cost) / 0.5) * cost).sum()


def log_cosine(output, y):
    gap = output - y
    return (gap + F.softplus(-2.0 * gap) - math.log(2.0)).mean()


def all_pairs(query, gallery, label):
    squares = (query**2).sum(1)[:, None] + (gallery**2).sum(1)[None]
    gaps = torch.sqrt((squares - 2 * query @ gallery.T).clamp(min=1e-12))
    alike = label[:, None] == label[None]
    farthest = (gaps * alike).max(1).values
    nearest = gaps.masked_fill(alike, 1e9).min(1).values
    return torch.relu(farthest - nearest + 0.3).mean()


def coupling(output, z):
    raw, shift = output.chunk(2, -1)
    x = (z + shift) * torch.sigmoid(raw + 2)
    return (0.5 * (x**2).sum(-1) - F.logsigmoid(raw + 2).sum(-1)).mean()


def gentle_focal(logits, label):
    p = torch.sigmoid(logits)
    hit = torch.pow(1 - p + 1e-6, 0.5) * label * F.logsigmoid(logits)
    miss = torch.pow(p + 1e-6, 0.5) * (1 - label) * F.logsigmoid(-logits)
    return -(0.25 * hit + 0.75 * miss).mean()


def excitation(raw, gaps):
    rate = torch.where(raw <= 0, torch.exp(torch.where(raw <= 0, raw, torch.zeros_like(raw))), 1 + raw)
    return (rate * gaps - torch.log(rate + 1e-6)).mean()


PAIRS = fixed([0, 0, 1, 1, 2, 2, 3, 3])
NUMBERS = {"mean": normal(12), "raw": normal(12), "y": normal(12)}
CASES = (
    right(
        frame_correlation,
        given("clean", estimate=fixed(broken.NOISY), clean=fixed(broken.WAVE)),
        "mpariente/pytorch_stoi, pull request 14",
        fill(estimate=0.0),
    ),
    right(
        grey_world,
        given(image=lambda g: torch.rand(8, 3, 16, generator=g)),
        "Li-Chongyi/Zero-DCE_extension#2",
        fill(image=0.5),
    ),
    right(
        additive_angle_head,
        given("label", feature=normal(8, 3), centre=normal(5, 3), label=classes(8, 5)),
        "ronghuaiyang/arcface-pytorch#91",
        broken._aligned,
    ),
    right(
        quaternion_angle,
        given("truth", q=normal(12, 4), truth=fixed(broken.UNIT_Q)),
        "papagina/RotationContinuity#11",
        broken._turned_right,
    ),
    right(
        box_shape_penalty,
        given("box", raw=normal(10, 2), box=positive(10, 2)),
        "WongKinYiu/ScaledYOLOv4#145 with bounded raw sizes",
        fill(raw=-100.0),
    ),
    right(
        same_class_pull,
        given("label", embedding=normal(8, 5), label=PAIRS),
        "HobbitLong/SupContrast#141",
        broken._all_different,
    ),
    right(
        scaled_squash,
        given("noise", mean=normal(8, 2), log_std=normal(8, 2, scale=0.1, shift=-1.0), noise=normal(8, 2)),
        "rlworkgroup/garage#1174",
        fill(mean=30.0),
    ),
    right(
        ranked_items,
        given(user=normal(12, 6), liked=normal(12, 6), other=normal(12, 6)),
        "xiangwang1223/neural_graph_collaborative_filtering#17",
        lambda s: s["liked"].copy_(-40 * s["user"]),
    ),
    right(
        atoms_cross_entropy,
        given("projected", logits=normal(8, 11), projected=simplex(8, 11)),
        "vwxyzjn/cleanrl#105",
        put(logits=-150.0),
    ),
    right(
        reference_penalty_capped,
        given(
            "reference advantage",
            logp=lambda g: -torch.rand(8, 6, generator=g) * 3,
            reference=lambda g: -torch.rand(8, 6, generator=g) * 3,
            advantage=normal(8, 6),
        ),
        "OpenRLHF/OpenRLHF, pull request 1335",
        put(logp=-120.0),
    ),
    right(
        one_step_similarity,
        given("truth", image=fixed(broken.DENOISED), truth=fixed(broken.IMAGE)),
        "jorge-pessoa/pytorch-msssim#2",
        lambda s: s["image"].copy_(1 - s["truth"]),
    ),
    right(
        separation_ratio,
        given("source", estimate=fixed(broken.NOISY), source=fixed(broken.WAVE)),
        "csteinmetz1/auraloss#25",
    ),
    bug(
        separation_ratio_half,
        given("source", estimate=fixed(broken.NOISY), source=fixed(broken.WAVE)),
        "log10",
        "csteinmetz1/auraloss#25, half repaired",
        fill(estimate=0.0),
        verdict="limit defect",
    ),
    right(
        magnitude_distance,
        given("magnitude", wave=normal(6, 16), magnitude=positive(6, 9)),
        "KinWaiCheuk/nnAudio#138",
        fill(wave=0.0),
    ),
    right(
        twin_correlation,
        given(one=normal(12, 4), two=normal(12, 4)),
        "yaohungt/Barlow-Twins-HSIC#6",
        broken._flat_feature,
    ),
    right(
        circular_error,
        given("angle", mean=normal(12, scale=1.2), raw=normal(12), angle=normal(12, scale=1.2)),
        "pymc-devs/pymc, pull request 2832",
        fill(raw=95.0),
    ),
    right(weather_step, given("y", **NUMBERS), "mllam/neural-lam, pull request 537", fill(raw=-120.0)),
    right(partial_likelihood, given("event", risk=normal(12), event=bits(12)), "havakv/pycox#124", fill(event=0.0)),
    right(
        transport_plan,
        given(one=normal(6, 2), two=normal(6, 2)),
        "google-research/ott#5: in logarithms",
        lambda s: s["one"].add_(20.0),
    ),
    right(
        log_cosine, given("y", output=normal(12), y=normal(12)), "tuantle/regression-losses-pytorch", fill(output=100.0)
    ),
    right(
        all_pairs,
        given("label", query=normal(8, 4), gallery=normal(8, 4), label=PAIRS),
        "michuanhaohao/reid-strong-baseline",
    ),
    right(
        coupling,
        given(output=normal(8, 6), z=normal(8, 3)),
        "rosinality/glow-pytorch by logsigmoid",
        fill(output=-120.0),
    ),
    right(gentle_focal, given("label", logits=normal(12), label=bits(12)), "kornia/kornia#918", fill(logits=120.0)),
    right(
        excitation,
        given("gaps", raw=normal(12), gaps=positive(12)),
        "tensorflow/tensorflow#27684: where twice",
        fill(raw=100.0),
    ),
)
