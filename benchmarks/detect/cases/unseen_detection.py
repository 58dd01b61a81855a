"""Losses of detection, key points, segmentation and speech as public repositories have them: defective and sound.
Written before the tool was run on them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, fixed, given, normal, positive, scale, sound

EITHER = "limit defect"


# ---- heat maps ----------------------------------------------------------------------------------------------------


def heatmap_focal(raw, gt):
    p = torch.sigmoid(raw)
    at = gt.eq(1).float()
    good = torch.log(p) * (1 - p) ** 2 * at  # <- here
    bad = torch.log(1 - p) * p**2 * (1 - gt) ** 4 * (1 - at)  # <- here
    return -(good.sum() + bad.sum()) / at.sum().clamp(min=1)


def heatmap_focal_clamped(raw, gt):
    p = torch.sigmoid(raw).clamp(1e-4, 1 - 1e-4)
    at = gt.eq(1).float()
    good = torch.log(p) * (1 - p) ** 2 * at
    bad = torch.log(1 - p) * p**2 * (1 - gt) ** 4 * (1 - at)
    return -(good.sum() + bad.sum()) / at.sum().clamp(min=1)


def focal_from_logits(raw, y):
    p = torch.sigmoid(raw)
    ce = F.binary_cross_entropy_with_logits(raw, y, reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    return ((0.25 * y + 0.75 * (1 - y)) * ce * (1 - p_t) ** 2).mean()


def coordinate_js(raw, gt):
    p = torch.softmax(raw.flatten(1), 1)
    m = 0.5 * (p + gt)
    kl = lambda a, b: (a * (torch.log(a) - torch.log(b))).sum(1)  # noqa: E731  # <- here
    return (0.5 * kl(p, m) + 0.5 * kl(gt, m)).mean()


def coordinate_js_eps(raw, gt):
    p = torch.softmax(raw.flatten(1), 1)
    m = 0.5 * (p + gt)
    kl = lambda a, b: (a * (torch.log(a + 1e-24) - torch.log(b + 1e-24))).sum(1)  # noqa: E731
    return (0.5 * kl(p, m) + 0.5 * kl(gt, m)).mean()


# ---- boxes --------------------------------------------------------------------------------------------------------


def _overlap(p, g):
    left, right = torch.maximum(p[:, :2], g[:, :2]), torch.minimum(p[:, 2:], g[:, 2:])
    inner = (right - left).clamp(min=0).prod(1)
    union = (p[:, 2:] - p[:, :2]).prod(1) + (g[:, 2:] - g[:, :2]).prod(1) - inner
    hull = torch.maximum(p[:, 2:], g[:, 2:]) - torch.minimum(p[:, :2], g[:, :2])
    return inner, union, hull


def log_iou(centre, size, gt):
    p = torch.cat([centre - F.softplus(size), centre + F.softplus(size)], 1)
    inner, union, _ = _overlap(p, gt)
    return -torch.log(inner / union).mean()  # <- here


def log_iou_floor(centre, size, gt):
    p = torch.cat([centre - F.softplus(size), centre + F.softplus(size)], 1)
    inner, union, _ = _overlap(p, gt)
    return -torch.log((inner / union.clamp(min=1e-6)).clamp(min=1e-6)).mean()


def aspect_term(wh, gt):
    iou = torch.minimum(wh, gt).prod(1) / torch.maximum(wh, gt).prod(1)
    v = 4 / math.pi**2 * (torch.atan(gt[:, 0] / gt[:, 1]) - torch.atan(wh[:, 0] / wh[:, 1])) ** 2
    alpha = v / (1 - iou + v)  # <- here
    return (1 - iou + alpha * v).mean()


def aspect_term_fixed(wh, gt):
    iou = torch.minimum(wh, gt).prod(1) / torch.maximum(wh, gt).prod(1)
    v = 4 / math.pi**2 * (torch.atan(gt[:, 0] / gt[:, 1]) - torch.atan(wh[:, 0] / wh[:, 1].clamp(min=1e-6))) ** 2
    with torch.no_grad():
        alpha = v / (1 - iou + v).clamp(min=1e-6)
    return (1 - iou + alpha * v).mean()


def giou_eps(centre, size, gt):
    p = torch.cat([centre - F.softplus(size), centre + F.softplus(size)], 1)
    inner, union, hull = _overlap(p, gt)
    area = hull.prod(1).clamp(min=1e-7)
    return (1 - inner / union.clamp(min=1e-7) + (area - union) / area).mean()


def diou_eps(centre, size, gt):
    p = torch.cat([centre - F.softplus(size), centre + F.softplus(size)], 1)
    inner, union, hull = _overlap(p, gt)
    gap = ((p[:, :2] + p[:, 2:] - gt[:, :2] - gt[:, 2:]) ** 2).sum(1) / 4
    return (1 - inner / (union + 1e-7) + gap / ((hull**2).sum(1) + 1e-7)).mean()


def decoded_size(delta, anchor, gt):
    wh = anchor * torch.exp(delta.clamp(-4, math.log(1000 / 16)))
    return F.smooth_l1_loss(torch.log(wh / anchor), torch.log(gt / anchor), beta=1 / 9)


def laplace_keypoint(mu, raw, y):
    sigma = torch.sigmoid(raw)
    return (torch.abs(y - mu) / sigma + torch.log(2 * sigma)).mean()  # <- here


def laplace_keypoint_logs(mu, log_b, y):
    return (torch.abs(y - mu) * torch.exp(-log_b) + log_b).mean()


def wing(x, y):
    d = (x - y).abs()
    c = 10 - 10 * math.log1p(10 / 2)
    return torch.where(d < 10, 10 * torch.log1p(d / 2), d - c).mean()


def pixel_distance(xy, gt):
    return torch.sqrt(((xy - gt) ** 2).sum(-1)).mean()  # <- here


def adaptive_robust(x, alpha, y):
    b = torch.abs(alpha - 2)
    z = ((x - y) / 0.5) ** 2
    return (b / alpha * ((z / b + 1) ** (alpha / 2) - 1)).mean()  # <- here


# ---- segmentation -------------------------------------------------------------------------------------------------


def tversky(raw, y):
    p = torch.sigmoid(raw)
    tp, fp, fn = (p * y).sum(1), (p * (1 - y)).sum(1), ((1 - p) * y).sum(1)
    return (1 - (tp + 1) / (tp + 0.3 * fp + 0.7 * fn + 1)).mean()


def log_cosh_dice(raw, y):
    p = torch.sigmoid(raw)
    dice = (2 * (p * y).sum(1) + 1) / (p.sum(1) + y.sum(1) + 1)
    return torch.log(torch.cosh(1 - dice)).mean()


def log_cosh(pred, y):
    return torch.log(torch.cosh(pred - y)).mean()  # <- here


def log_cosh_stable(pred, y):
    d = pred - y
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def generalised_dice(raw, y):
    p = torch.softmax(raw, 1)
    w = 1 / y.sum((0, 2)) ** 2  # <- here
    inter, both = (p * y).sum((0, 2)), (p + y).sum((0, 2))
    return 1 - 2 * (w * inter).sum() / (w * both).sum()  # <- here


# ---- speech -------------------------------------------------------------------------------------------------------

N = torch.arange(16.0)
BASIS_C, BASIS_S = torch.cos(2 * math.pi * N[:, None] * N[:9] / 16), torch.sin(2 * math.pi * N[:, None] * N[:9] / 16)


def spectral(wave, clean):
    mag = torch.sqrt((wave @ BASIS_C.to(wave)) ** 2 + (wave @ BASIS_S.to(wave)) ** 2)  # <- here
    ref = torch.sqrt((clean @ BASIS_C.to(wave)) ** 2 + (clean @ BASIS_S.to(wave)) ** 2)
    return F.l1_loss(torch.log(mag), torch.log(ref)) + (ref - mag).norm() / ref.norm()  # <- here


def spectral_clamped(wave, clean):
    mag = torch.sqrt(((wave @ BASIS_C.to(wave)) ** 2 + (wave @ BASIS_S.to(wave)) ** 2).clamp(min=1e-7))
    ref = torch.sqrt(((clean @ BASIS_C.to(wave)) ** 2 + (clean @ BASIS_S.to(wave)) ** 2).clamp(min=1e-7))
    return F.l1_loss(torch.log(mag), torch.log(ref))


def si_snr(estimate, clean):
    s = (estimate * clean).sum(1, keepdim=True) * clean / (clean**2).sum(1, keepdim=True)
    return -10 * torch.log10((s**2).sum(1) / ((estimate - s) ** 2).sum(1)).mean()  # <- here


def si_snr_eps(estimate, clean):
    s = (estimate * clean).sum(1, keepdim=True) * clean / ((clean**2).sum(1, keepdim=True) + 1e-8)
    return -10 * torch.log10(((s**2).sum(1) + 1e-8) / (((estimate - s) ** 2).sum(1) + 1e-8)).mean()


def ctc(logits, labels, frames, lengths):
    log_p = torch.log_softmax(logits, 2)
    return F.ctc_loss(log_p, labels, frames, lengths)  # <- here


def ctc_zero_infinity(logits, labels, frames, lengths):
    return F.ctc_loss(torch.log_softmax(logits, 2), labels, frames, lengths, zero_infinity=True)


def transducer(logits, labels):
    """The forward recursion of a transducer over frames and labels, in logarithms."""
    log_p = torch.log_softmax(logits, -1)
    frames, count = log_p.shape[1], labels.shape[1]
    rows = torch.arange(labels.shape[0])
    column = [torch.zeros(labels.shape[0])]
    for u in range(count):
        column.append(column[u] + log_p[rows, 0, u, labels[:, u]])
    for t in range(1, frames):
        new = [column[0] + log_p[:, t - 1, 0, 0]]
        for u in range(count):
            stay, emit = column[u + 1] + log_p[:, t - 1, u + 1, 0], new[u] + log_p[rows, t, u, labels[:, u]]
            new.append(torch.logaddexp(stay, emit))
        column = new
    return -(column[-1] + log_p[:, -1, count, 0]).mean()


def mel_distance(raw, mel):
    return F.l1_loss(torch.log(torch.clamp(raw.exp(), min=1e-5)), torch.log(torch.clamp(mel, min=1e-5)))  # <- here


def duration(raw, frames):
    return F.mse_loss(raw, torch.log(frames + 1))


def both_zero(*names):
    def change(state):
        for n in names:
            state[n].zero_()

    return change


def copied(one, other):
    def change(state):
        state[one].copy_(state[other])

    return change


def short(state):
    state["frames"].fill_(2)


def far(state):
    state["centre"].fill_(50.0)


def empty_class(state):
    state["y"].zero_()
    state["y"][:, 0] = 1


HEAT = {"raw": normal(4, 9), "gt": lambda g: torch.where(torch.rand(4, 9, generator=g) < 0.2, 1.0, 0.3)}
SHARES = {"raw": normal(4, 3, 3), "gt": lambda g: torch.softmax(torch.randn(4, 9, generator=g), 1)}
BOXES = {"centre": normal(6, 2, scale=0.3), "size": normal(6, 2),
             "gt": fixed([[-1.0, -1.2, 1.1, 0.9]] * 6)}  # fmt: skip
WAVES = {"wave": normal(4, 16), "clean": normal(4, 16)}
TALK = {"estimate": normal(4, 16), "clean": normal(4, 16)}
SPELLING = {"logits": normal(8, 3, 6), "labels": lambda g: torch.randint(1, 6, (3, 3), generator=g),
                "frames": fixed([8, 8, 7]), "lengths": fixed([3, 3, 2])}  # fmt: skip
DICE = {"raw": normal(3, 4, 8), "y": lambda g: F.one_hot(torch.arange(24).view(3, 8) % 4, 4).transpose(1, 2).float()}
CASES = (
    bug(heatmap_focal, given(**HEAT, target="gt"), "log sub mul", "issue RTM3D#13: log of a heat map",
        lambda s: s["raw"].fill_(120)),
    sound(heatmap_focal_clamped, given(**HEAT, target="gt"), "Zhou et al., CenterNet, arXiv:1904.07850, clamped",
          lambda s: s["raw"].fill_(120)),
    sound(focal_from_logits, given(raw=normal(8), y=bits(8), target="y"), "Lin et al., ICCV 2017, torchvision's form",
          scale(raw=50)),
    bug(coordinate_js, given(**SHARES, target="gt"), "log mul", "Nibali et al., DSNT, arXiv:1801.07372, without eps",
        scale(raw=300)),
    sound(coordinate_js_eps, given(**SHARES, target="gt"), "Nibali et al. 2018", scale(raw=300)),
    bug(log_iou, given(**BOXES, target="gt"), "log", "pull request mmdetection#733: log of an IoU of 0", far,
        verdict=EITHER),
    sound(log_iou_floor, given(**BOXES, target="gt"), "pull request mmdetection#733, merged", far),
    bug(aspect_term, given(wh=positive(6, 2), gt=positive(6, 2), target="gt"), "div", "issue DIoU-pytorch-detectron#3: "
        "a perfect box", copied("wh", "gt"), verdict=EITHER),
    sound(aspect_term_fixed, given(wh=positive(6, 2), gt=positive(6, 2), target="gt"), "issue YOLOX#1565: clamped",
          copied("wh", "gt")),
    sound(giou_eps, given(**BOXES, target="gt"), "Rezatofighi et al., CVPR 2019", far),
    sound(diou_eps, given(**BOXES, target="gt"), "Zheng et al., AAAI 2020", far),
    sound(decoded_size, given(delta=normal(6, 2), anchor=positive(6, 2), gt=positive(6, 2), target="anchor gt"),
          "Ren et al., Faster R-CNN, NeurIPS 2015, torchvision's clamp"),
    bug(laplace_keypoint, given(mu=normal(8), raw=normal(8), y=normal(8), target="y"), "div log",
        "Li et al., Residual log-likelihood estimation, ICCV 2021: sigma of a sigmoid", lambda s: s["raw"].fill_(-110),
        verdict=EITHER),
    sound(laplace_keypoint_logs, given(mu=normal(8), log_b=normal(8), y=normal(8), target="y"),
          "Kendall & Gal, NeurIPS 2017: a Laplace density by its log scale", lambda s: s["log_b"].fill_(20)),
    sound(wing, given(x=normal(8, scale=8), y=normal(8), target="y"), "Feng et al., Wing loss, CVPR 2018",
          copied("x", "y")),
    bug(pixel_distance, given(xy=normal(8, 2), gt=normal(8, 2), target="gt"), "sqrt", "pose repositories: the mean "
        "Euclidean error as a loss", copied("xy", "gt"), verdict=EITHER),
    bug(adaptive_robust, given(x=normal(8), alpha=fixed([1.2]), y=normal(8), target="y"), "div", "Barron, CVPR 2019, "
        "eq. 8 without its cases at 0 and 2", both_zero("alpha"), verdict=EITHER),
    sound(tversky, given(raw=normal(4, 8), y=bits(4, 8), target="y"), "Salehi et al., arXiv:1706.05721",
          lambda s: s["raw"].fill_(-120)),
    sound(log_cosh_dice, given(raw=normal(4, 8), y=bits(4, 8), target="y"), "Jadon, arXiv:2006.14822",
          lambda s: s["raw"].fill_(-120)),
    bug(log_cosh, given(pred=normal(8, scale=5), y=normal(8, scale=5), target="y"), "cosh log", "regression tutorials: "
        "log(cosh(x))", lambda s: s["pred"].fill_(120)),
    sound(log_cosh_stable, given(pred=normal(8, scale=5), y=normal(8, scale=5), target="y"), "Keras: log_cosh",
          lambda s: s["pred"].fill_(120)),
    bug(generalised_dice, given(**DICE, target="y"), "div", "Sudre et al., 2017: a class that is absent", empty_class,
        verdict=EITHER),
    bug(spectral, given(**WAVES, target="clean"), "sqrt log", "issue auraloss#63: magnitudes of silence",
        both_zero("wave"), verdict=EITHER),
    sound(spectral_clamped, given(**WAVES, target="clean"), "Yamamoto et al., ICASSP 2020, as published",
          both_zero("wave")),
    bug(si_snr, given(**TALK, target="clean"), "log10 div", "Luo & Mesgarani, Conv-TasNet, without eps",
        both_zero("estimate"), verdict=EITHER),
    sound(si_snr_eps, given(**TALK, target="clean"), "Luo & Mesgarani, IEEE TASLP 2019", both_zero("estimate")),
    bug(ctc, given(**SPELLING, target="labels frames lengths"), "ctc_loss", "PyTorch forum: an utterance that is "
        "shorter than its transcript", short, verdict=EITHER),
    sound(ctc_zero_infinity, given(**SPELLING, target="labels frames lengths"), "torch documentation: zero_infinity",
          short),
    sound(transducer, given(logits=normal(3, 5, 4, 6), labels=lambda g: torch.randint(1, 6, (3, 3), generator=g),
          target="labels"), "Graves, arXiv:1211.3711", scale(logits=50)),
    bug(mel_distance, given(raw=normal(4, 8), mel=positive(4, 8), target="mel"), "exp", "HiFi-GAN: log of clamped mel "
        "energies; called sound at first, but the log of an exp overflows where it need not",
        lambda s: s["raw"].fill_(100)),
    sound(duration, given(raw=normal(8), frames=lambda g: torch.randint(1, 9, (8,), generator=g).float(),
          target="frames"), "Ren et al., FastSpeech 2, arXiv:2006.04558"),
)  # fmt: skip
