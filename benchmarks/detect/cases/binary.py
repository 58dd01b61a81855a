"""Losses of a yes or no: logistic regression, GANs, detection, preference."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from benchmarks.detect.case import bits, bug, given, normal, put, scale, sound, unit
from benchmarks.detect.cases.categorical import GRIST

GAN = "Goodfellow et al., Generative adversarial nets, NeurIPS 2014"
LOGITS = given(x=normal(12), y=bits(12), target="y")
CRITIC = given(real=normal(12), fake=normal(12))
FAR = put(x=-200.0)
LARGE = scale(x=100.0)


def logistic_by_hand(x, y):
    p = torch.sigmoid(x)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # <- here


def logistic_by_library(x, y):
    return F.binary_cross_entropy_with_logits(x, y)


def logistic_by_softplus(x, y):
    return (F.softplus(x) - x * y).mean()


def sigmoid_written_out(x, y):
    p = 1 / (1 + torch.exp(-x))
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # <- here


def log_one_plus_exp(x, y):
    return (torch.log(1 + torch.exp(x)) - x * y).mean()  # <- here


def log1p_of_exp(x, y):
    return (torch.log1p(torch.exp(x)) - x * y).mean()  # <- here


def log1p_of_exp_minus_abs(x, y):
    return (x.clamp(min=0) - x * y + torch.log1p(torch.exp(-x.abs()))).mean()


def generator_log_d(fake):
    d = torch.sigmoid(fake)
    return -torch.log(d).mean()  # <- here


def discriminator_log_d(real, fake):
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    return -(torch.log(d_real) + torch.log(1 - d_fake)).mean()  # <- here


def generator_saturating(fake):
    return torch.log(1 - torch.sigmoid(fake)).mean()  # <- here


def discriminator_logsigmoid(real, fake):
    return -(F.logsigmoid(real) + F.logsigmoid(-fake)).mean()


def discriminator_hinge(real, fake):
    return (F.relu(1 - real) + F.relu(1 + fake)).mean()


def discriminator_least_squares(real, fake):
    return 0.5 * ((real - 1) ** 2 + fake**2).mean()


def discriminator_log_eps(real, fake):
    d_real, d_fake = torch.sigmoid(real), torch.sigmoid(fake)
    return -(torch.log(d_real + 1e-6) + torch.log(1 - d_fake + 1e-6)).mean()


def eps_that_is_absorbed(x, y):
    p = torch.sigmoid(x).clamp(1e-12, 1 - 1e-12)  # <- here
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # <- here


def one_end_protected(x, y):
    p = torch.sigmoid(x).clamp(min=1e-7)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()  # <- here


def both_ends_protected(x, y):
    p = torch.sigmoid(x).clamp(1e-6, 1 - 1e-6)
    return -(y * torch.log(p) + (1 - y) * torch.log(1 - p)).mean()


def focal_gamma_below_one(x, y):
    p = torch.sigmoid(x)
    modulator = (1 - p) ** 0.5  # <- here
    return (-y * modulator * F.logsigmoid(x) - (1 - y) * F.logsigmoid(-x)).mean()


def focal_with_logits(x, y):
    p = torch.sigmoid(x)
    ce = F.binary_cross_entropy_with_logits(x, y, reduction="none")
    p_t = p * y + (1 - p) * (1 - y)
    return (ce * (1 - p_t) ** 2).mean()


def preference_by_hand(chosen, rejected):
    return -torch.log(torch.sigmoid(0.1 * (chosen - rejected))).mean()  # <- here


def preference(chosen, rejected):
    return -F.logsigmoid(0.1 * (chosen - rejected)).mean()


def logit_of_probability(p, y):
    z = torch.log(p / (1 - p))  # <- here
    return F.binary_cross_entropy_with_logits(2.0 * z, y)


def logit_of_bounded_probability(p, y):
    return F.binary_cross_entropy_with_logits(2.0 * torch.logit(p, eps=1e-6), y)


def weighted_logistic(x, y):
    weight = torch.tensor(20.0)
    return F.binary_cross_entropy_with_logits(x, y, pos_weight=weight)


def soft_margin(x, y):
    return F.soft_margin_loss(x, 2 * y - 1)  # <- here


def dice(x, y):
    p = torch.sigmoid(x)
    return 1 - (2 * (p * y).sum() + 1) / (p.sum() + y.sum() + 1)


def dice_without_smoothing(x, y):
    p = torch.sigmoid(x)
    return 1 - 2 * (p * y).sum() / (p.sum() + y.sum())  # <- here


def log_one_minus_exp(raw):
    x = -F.softplus(raw)
    return -torch.log(1 - torch.exp(x)).mean()  # <- here


def log_one_minus_exp_in_two_parts(raw):
    x = -(F.softplus(raw) + 1e-6)
    near = x > -0.6931471805599453
    left = torch.log(-torch.expm1(torch.where(near, x, -1.0)))
    right = torch.log1p(-torch.exp(torch.where(near, -1.0, x)))
    return -torch.where(near, left, right).mean()


RAW = given(raw=normal(12))
CASES = (
    bug(logistic_by_hand, LOGITS, "log mul", GRIST, FAR),
    sound(logistic_by_library, LOGITS, "PyTorch documentation, torch.nn.BCEWithLogitsLoss", LARGE),
    sound(logistic_by_softplus, LOGITS, "PyTorch documentation, torch.nn.Softplus", LARGE),
    bug(sigmoid_written_out, LOGITS, "log mul exp div", "github.com/carpedm20/DCGAN-tensorflow issue 15", FAR),
    bug(log_one_plus_exp, LOGITS, "exp log", GRIST + ": RBM free energy", put(x=120.0)),
    bug(log1p_of_exp, LOGITS, "exp log1p", "Hinton, A practical guide to training RBMs, 2010", put(x=120.0)),
    sound(log1p_of_exp_minus_abs, LOGITS, "TensorFlow documentation, sigmoid_cross_entropy_with_logits", LARGE),
    bug(generator_log_d, given(fake=normal(12)), "log", GAN + "; " + GRIST, put(fake=-200.0)),
    bug(discriminator_log_d, CRITIC, "log", GAN + "; " + GRIST, put(fake=60.0)),
    bug(generator_saturating, given(fake=normal(12)), "log", GAN, put(fake=60.0)),
    sound(discriminator_logsigmoid, CRITIC, GAN, scale(real=100.0, fake=100.0)),
    sound(discriminator_hinge, CRITIC, "Miyato et al., Spectral normalization for GANs, ICLR 2018",
          scale(real=100.0, fake=100.0)),
    sound(discriminator_least_squares, CRITIC, "Mao et al., Least squares GANs, ICCV 2017",
          scale(real=100.0, fake=100.0)),
    sound(discriminator_log_eps, CRITIC, "an epsilon of 1e-6 is not absorbed by 1 in float32 (IEEE 754)",
          scale(real=8.0, fake=8.0)),
    bug(eps_that_is_absorbed, LOGITS, "log mul clamp", GRIST + ": repaired as for float64; 1 - 1e-12 is 1 here",
        put(x=60.0)),
    bug(one_end_protected, LOGITS, "log mul", GRIST + ": the incomplete repair", put(x=60.0)),
    sound(both_ends_protected, LOGITS, GRIST + ": the repair", scale(x=5.0)),
    bug(focal_gamma_below_one, LOGITS, "pow", "github.com/kornia/kornia issue 918", put(x=60.0),
        verdict="defect limit"),
    sound(focal_with_logits, LOGITS, "Lin et al., ICCV 2017; torchvision.ops.sigmoid_focal_loss documentation", LARGE),
    bug(preference_by_hand, given(chosen=normal(12, scale=150), rejected=normal(12, scale=150)), "log",
        "Rafailov et al., Direct preference optimization, NeurIPS 2023", put(chosen=-2000.0)),
    sound(preference, given(chosen=normal(12, scale=150), rejected=normal(12, scale=150)),
          "Rafailov et al., NeurIPS 2023", put(chosen=-2000.0)),
    bug(logit_of_probability, given(p=unit(12), y=bits(12), target="y"), "log div", "PyTorch documentation, "
        "torch.logit", put(p=1.0), verdict="defect limit"),
    sound(logit_of_bounded_probability, given(p=unit(12), y=bits(12), target="y"),
          "PyTorch documentation, torch.logit with eps", put(p=1.0)),
    sound(weighted_logistic, LOGITS, "PyTorch documentation, BCEWithLogitsLoss pos_weight", LARGE),
    bug(soft_margin, LOGITS, "soft_margin_loss", "PyTorch documentation, torch.nn.SoftMarginLoss: log(1 + exp(-yx)), "
        "taken as it stands", scale(x=200.0)),
    sound(dice, LOGITS, "Milletari et al., V-Net, 3DV 2016, with smoothing 1", scale(x=10.0)),
    bug(dice_without_smoothing, given(x=normal(12), y=lambda g: torch.zeros(12), target="y"), "div",
        "Milletari et al., V-Net, 3DV 2016: an image without foreground", lambda s: s["x"].fill_(-200.0),
        verdict="defect limit"),
    bug(log_one_minus_exp, RAW, "log", "Maechler, Accurately computing log(1 - exp(-|a|)), 2012", put(raw=-20.0)),
    sound(log_one_minus_exp_in_two_parts, RAW, "Maechler 2012", put(raw=-20.0)),
)  # fmt: skip
