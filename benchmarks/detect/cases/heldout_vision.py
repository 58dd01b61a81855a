"""Held out, written before the tool was run on it: boxes, masks, images and depth."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    fixed,
    given,
    normal,
    onehot,
    positive,
    put,
    same,
    sound,
    unit,
)

CIOU = "Zheng et al., Distance-IoU loss, AAAI 2020; github.com/Zzh-tju/DIoU-pytorch-detectron issue 3"
GIOU = "Rezatofighi et al., Generalized intersection over union, CVPR 2019"
UNITBOX = "Yu et al., UnitBox, ACM MM 2016; Tian et al., FCOS, ICCV 2019 adds one"
GENERALISED = "Sudre et al., Generalised Dice overlap, DLMIA 2017; github.com/wolny/pytorch-3dunet bounds the weights"
FOCAL_TVERSKY = "Abraham & Khan, arXiv:1810.07842; github.com/shruti-jadon/Semantic-Segmentation-Loss-Functions issue 2"
OHEM = "Shrivastava et al., Online hard example mining, CVPR 2016"
MSSSIM = "github.com/jorge-pessoa/pytorch-msssim issue 2; github.com/VainF/pytorch-msssim issue 7"
SILOG = "Eigen et al., NeurIPS 2014; github.com/vinvino02/GLPDepth issue 30; github.com/isl-org/ZoeDepth issue 54"
PSNR = "Chen et al., NAFNet, ECCV 2022: PSNR as a loss, with 1e-8"
BARRON = "Barron, A general and adaptive robust loss function, CVPR 2019: removable at 0 and 2"


def _overlap(p, y):
    low, high = torch.maximum(p[:, :2], y[:, :2]), torch.minimum(p[:, 2:], y[:, 2:])
    inter = (high - low).clamp(min=0).prod(1)
    area = (p[:, 2:] - p[:, :2]).prod(1) + (y[:, 2:] - y[:, :2]).prod(1)
    return inter, area - inter


def complete_iou(p, y):
    inter, union = _overlap(p, y)
    iou = inter / union
    outer = torch.maximum(p[:, 2:], y[:, 2:]) - torch.minimum(p[:, :2], y[:, :2])
    gap = ((p[:, 2:] + p[:, :2] - y[:, 2:] - y[:, :2]) / 2).pow(2).sum(1) / outer.pow(2).sum(1)
    angle = [torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1])) for b in (p, y)]
    v = 4 / math.pi**2 * (angle[0] - angle[1]) ** 2
    alpha = v / (1 - iou + v)  # <- here
    return (1 - iou + gap + alpha.detach() * v).mean()


def _decoded(p):
    half = torch.exp(p[:, 2:].clamp(max=4.0)) / 2
    return torch.cat([p[:, :2] - half, p[:, :2] + half], 1)


def complete_iou_with_eps(p, y):
    p = _decoded(p)
    inter, union = _overlap(p, y)
    iou = inter / (union + 1e-7)
    outer = torch.maximum(p[:, 2:], y[:, 2:]) - torch.minimum(p[:, :2], y[:, :2])
    gap = ((p[:, 2:] + p[:, :2] - y[:, 2:] - y[:, :2]) / 2).pow(2).sum(1) / (outer.pow(2).sum(1) + 1e-7)
    angle = [torch.atan((b[:, 2] - b[:, 0]) / (b[:, 3] - b[:, 1] + 1e-7)) for b in (p, y)]
    v = 4 / math.pi**2 * (angle[0] - angle[1]) ** 2
    alpha = v / (1 - iou + v + 1e-7)
    return (1 - iou + gap + alpha.detach() * v).mean()


def generalised_iou(p, y):
    p = _decoded(p)
    inter, union = _overlap(p, y)
    outer = (torch.maximum(p[:, 2:], y[:, 2:]) - torch.minimum(p[:, :2], y[:, :2])).clamp(min=0).prod(1)
    iou = inter / union.clamp(min=1e-6)
    return (1 - iou + (outer - union) / outer.clamp(min=1e-6)).mean()


def log_of_iou(p, y):
    inter, union = _overlap(p, y)
    return -torch.log(inter / union).mean()  # <- here


def log_of_iou_plus_one(p, y):
    p = _decoded(p)
    inter, union = _overlap(p, y)
    return -torch.log((inter + 1.0) / (union + 1.0)).mean()


def class_weighted_dice(logits, y):
    p = torch.softmax(logits, -1)
    weight = 1 / y.sum(0) ** 2  # <- here
    overlap, total = (weight * (p * y).sum(0)).sum(), (weight * (p + y).sum(0)).sum()
    return 1 - 2 * overlap / total  # <- here


def class_weighted_dice_bounded(logits, y):
    p = torch.softmax(logits, -1)
    weight = 1 / (y.sum(0) ** 2).clamp(min=1e-2)
    overlap, total = (weight * (p * y).sum(0)).sum(), (weight * (p + y).sum(0)).sum()
    return 1 - 2 * overlap / total.clamp(min=1e-6)


def focal_tversky(logits, y):
    p = torch.sigmoid(logits)
    hit, missed, extra = (p * y).sum(), ((1 - p) * y).sum(), (p * (1 - y)).sum()
    index = (hit + 1) / (hit + 0.7 * missed + 0.3 * extra + 1)
    return (1 - index) ** 0.75  # <- here


def focal_tversky_bounded(logits, y):
    p = torch.sigmoid(logits)
    hit, missed, extra = (p * y).sum(), ((1 - p) * y).sum(), (p * (1 - y)).sum()
    index = (hit + 1) / (hit + 0.7 * missed + 0.3 * extra + 1)
    return (1 - index).clamp(min=1e-4) ** 0.75


def hard_examples_only(logits, y):
    loss = F.cross_entropy(logits, y, reduction="none")
    return loss[loss > 0.35].mean()  # <- here


def hardest_examples(logits, y):
    loss = F.cross_entropy(logits, y, reduction="none")
    return loss.topk(4).values.mean()


def lovasz_hinge(logits, y):
    errors, order = torch.sort(1 - logits * (2 * y - 1), descending=True)
    truth = y[order]
    inter, union = truth.sum() - truth.cumsum(0), truth.sum() + (1 - truth).cumsum(0)
    jaccard = 1 - inter / union
    step = torch.cat([jaccard[:1], jaccard[1:] - jaccard[:-1]])
    return torch.dot(F.relu(errors), step)


def _structure(a, b):
    x, y = a - a.mean(-1, keepdim=True), b - b.mean(-1, keepdim=True)
    return (2 * (x * y).mean(-1) + 9e-4) / ((x * x).mean(-1) + (y * y).mean(-1) + 9e-4)


def multi_scale_similarity(x, y):
    coarse = _structure(F.avg_pool1d(x, 2), F.avg_pool1d(y, 2))
    return 1 - (_structure(x, y) ** 0.3 * coarse**0.7).mean()  # <- here


def multi_scale_similarity_shifted(x, y):
    coarse = _structure(F.avg_pool1d(x, 2), F.avg_pool1d(y, 2))
    return 1 - (((1 + _structure(x, y)) / 2) ** 0.3 * ((1 + coarse) / 2) ** 0.7).mean()


def peak_signal_to_noise(x, y):
    return 10 * torch.log10(((x - y) ** 2).mean(-1)).mean()  # <- here


def peak_signal_to_noise_eps(x, y):
    return 10 * torch.log10(((x - y) ** 2).mean(-1) + 1e-8).mean()


def scale_invariant_depth(log_depth, y):
    d = log_depth - torch.log(y)
    return 10 * torch.sqrt((d**2).mean() - 0.85 * d.mean() ** 2)  # <- here


def scale_invariant_depth_eps(log_depth, y):
    d = log_depth - torch.log(y.clamp(min=1e-3))
    return 10 * torch.sqrt(d.var(unbiased=False) + 0.15 * d.mean() ** 2 + 1e-6)


def log_of_relu_depth(raw, y):
    depth = F.relu(raw)
    return (torch.log(depth) - torch.log(y)).abs().mean()  # <- here


def general_robust(x, alpha, y):
    rest = (alpha - 2).abs()
    return (rest / alpha * ((((x - y) ** 2) / rest + 1) ** (alpha / 2) - 1)).mean()  # <- here


BOXES = fixed([[0.0, 0.0, 2.0, 2.0], [1.0, 1.0, 3.0, 4.0], [0.5, 0.2, 2.0, 3.0], [2.0, 1.0, 5.0, 3.0]])
GUESSES = fixed([[0.1, 0.2, 2.2, 1.9], [0.8, 1.3, 3.2, 3.7], [0.4, 0.1, 1.8, 3.4], [2.3, 1.2, 4.6, 3.1]])
BOX = given(p=GUESSES, y=BOXES, target="y")
CENTRED = given(
    p=fixed([[1.2, 0.9, 0.6, 0.8], [1.8, 2.6, 0.5, 1.0], [1.1, 1.5, 0.3, 0.9], [3.4, 2.2, 0.9, 0.5]]),
    y=BOXES,
    target="y",
)
SEGMENTS = given(logits=normal(12), y=bits(12), target="y")
REGIONS = given(logits=normal(12, 3), y=onehot(12, 3), target="y")
PIXELS = given(logits=normal(10, 4), y=classes(10, 4), target="y")


def _ramps(generator):
    return torch.sort(torch.rand(3, 8, generator=generator), -1).values


IMAGES = given(x=unit(3, 8), y=_ramps, target="y")
IMAGES_ALIKE = given(x=_ramps, y=_ramps, target="y")
CASES = (
    bug(complete_iou, BOX, "div", CIOU + ": 0/0 for a perfect box", same("p", "y"), verdict="limit defect"),
    sound(complete_iou_with_eps, CENTRED, CIOU, lambda s: s["p"][:, 2:].fill_(-12.0)),
    sound(generalised_iou, CENTRED, GIOU, lambda s: s["p"].add_(50.0)),
    bug(log_of_iou, BOX, "log", UNITBOX, lambda s: s["p"].add_(50.0), verdict="limit"),
    sound(log_of_iou_plus_one, CENTRED, UNITBOX, lambda s: s["p"].add_(50.0)),
    bug(class_weighted_dice, REGIONS, "div pow mul", GENERALISED, lambda s: s["y"].copy_(torch.eye(3)[[0] * 12]),
        verdict="limit defect"),
    sound(class_weighted_dice_bounded, REGIONS, GENERALISED, lambda s: s["y"].copy_(torch.eye(3)[[0] * 12])),
    bug(focal_tversky, SEGMENTS, "pow", FOCAL_TVERSKY, lambda s: s["logits"].copy_(400 * s["y"] - 200),
        verdict="defect limit"),
    sound(focal_tversky_bounded, SEGMENTS, FOCAL_TVERSKY, lambda s: s["logits"].copy_(400 * s["y"] - 200)),
    bug(hard_examples_only, PIXELS, "mean", OHEM + ": no hard example is left", lambda s: s["logits"].copy_(
        40 * torch.eye(4)[s["y"]]), verdict="limit defect"),
    sound(hardest_examples, PIXELS, OHEM, lambda s: s["logits"].copy_(40 * torch.eye(4)[s["y"]])),
    sound(lovasz_hinge, SEGMENTS, "Yu & Blaschko, The Lovasz hinge, ICML 2015; Berman et al., CVPR 2018",
          lambda s: s["y"].zero_()),
    bug(multi_scale_similarity, IMAGES_ALIKE, "pow", MSSSIM, lambda s: s["x"].copy_(1 - s["x"]), verdict="limit"),
    sound(multi_scale_similarity_shifted, IMAGES, MSSSIM, lambda s: s["x"].copy_(1 - s["y"])),
    bug(peak_signal_to_noise, IMAGES, "log10", PSNR, same("x", "y"), verdict="limit"),
    sound(peak_signal_to_noise_eps, IMAGES, PSNR, same("x", "y")),
    bug(scale_invariant_depth, given(log_depth=normal(12), y=positive(12), target="y"), "sqrt", SILOG,
        lambda s: s["log_depth"].copy_(torch.log(s["y"])), verdict="defect limit"),
    sound(scale_invariant_depth_eps, given(log_depth=normal(12), y=positive(12), target="y"), SILOG,
          lambda s: s["log_depth"].copy_(torch.log(s["y"]))),
    bug(log_of_relu_depth, given(raw=positive(12), y=positive(12), target="y"), "log",
        "github.com/shariqfarooq123/AdaBins issue 16: a depth of zero", put(raw=-1.0), verdict="limit"),
    bug(general_robust, given(x=normal(8), alpha=fixed([1.0]), y=normal(8), target="y"), "div pow mul", BARRON,
        put(alpha=2.0), kind="nan inf precision", verdict="limit defect"),
)  # fmt: skip
