"""Held out, written before the tool was run on it: sound, rotations and embeddings."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from benchmarks.detect.case import (
    bug,
    classes,
    fixed,
    given,
    normal,
    put,
    same,
    scale,
    sound,
)

STFT = "github.com/pytorch/audio issue 993; github.com/csteinmetz1/auraloss issue 63"
SISNR = "github.com/csteinmetz1/auraloss issue 25 and pull request 26"
QUATERNION = "github.com/kornia/kornia issue 4007 and pull request 4228: acos clamped to its ends"
SIX_D = "Zhou et al., On the continuity of rotation representations, CVPR 2019"
LPIPS = "Zhang et al., The unreasonable effectiveness of deep features, CVPR 2018: epsilon outside the root"
LORENTZ = "Nickel & Kiela, Learning continuous hierarchies in the Lorentz model, ICML 2018"
VICREG = "Bardes et al., VICReg, ICLR 2022"
BARLOW = "github.com/IgorSusmelj/barlowtwins issue 10; Zbontar et al., ICML 2021"
MULTI = "Wang et al., Multi-similarity loss, CVPR 2019"
CLIP = "Radford et al., CLIP, ICML 2021: a learnt temperature"
PAIRWISE = "github.com/pytorch/pytorch issue 2421: the slope of a root at zero"


def spectrum_in_decibels(x, y):
    spectrum = torch.fft.rfft(x)
    magnitude = torch.sqrt(spectrum.real**2 + spectrum.imag**2)  # <- here
    return (torch.log(magnitude) - y).abs().mean()  # <- here


def spectrum_in_decibels_floored(x, y):
    spectrum = torch.fft.rfft(x)
    power = (spectrum.real**2 + spectrum.imag**2).clamp(min=1e-7)
    return (0.5 * torch.log(power) - y).abs().mean()


def signal_to_noise(x, y):
    gain = (x * y).sum(-1, keepdim=True) / (y * y).sum(-1, keepdim=True)  # <- here
    wanted = gain * y
    return -10 * torch.log10((wanted**2).sum(-1) / ((x - wanted) ** 2).sum(-1)).mean()  # <- here


def signal_to_noise_eps(x, y):
    gain = ((x * y).sum(-1, keepdim=True) + 1e-5) / ((y * y).sum(-1, keepdim=True) + 1e-5)
    wanted = gain * y
    return -10 * torch.log10(((wanted**2).sum(-1) + 1e-5) / (((x - wanted) ** 2).sum(-1) + 1e-5)).mean()


def quaternion_angle(q, y):
    cosine = (F.normalize(q, dim=-1) * y).sum(-1).abs()
    return (2 * torch.acos(cosine.clamp(-1.0, 1.0))).mean()  # <- here


def quaternion_chord(q, y):
    cosine = (F.normalize(q, dim=-1) * y).sum(-1)
    return (1 - cosine**2).mean()


def _basis(a, b, unit_of):
    x = unit_of(a)
    return x, unit_of(b - (x * b).sum(-1, keepdim=True) * x)


def six_dimensions(a, b, y):
    def unit_of(v):
        return v / v.norm(dim=-1, keepdim=True)  # <- here

    x, z = _basis(a, b, unit_of)
    return F.mse_loss(torch.stack([x, z], 1), y)


def six_dimensions_normalised(a, b, y):
    x, z = _basis(a, b, lambda v: F.normalize(v, dim=-1, eps=1e-6))
    return F.mse_loss(torch.stack([x, z], 1), y)


def perceptual_distance(a, b):
    def unit_of(v):
        return v / (torch.sqrt((v**2).sum(-1, keepdim=True)) + 1e-10)  # <- here

    return ((unit_of(a) - unit_of(b)) ** 2).sum(-1).mean()


def perceptual_distance_inside(a, b):
    def unit_of(v):
        return v / torch.sqrt((v**2).sum(-1, keepdim=True) + 1e-8)

    return ((unit_of(a) - unit_of(b)) ** 2).sum(-1).mean()


def _lorentz_product(a, b):
    time = torch.sqrt(1 + (a**2).sum(-1)) * torch.sqrt(1 + (b**2).sum(-1))
    return time - (a * b).sum(-1)


def lorentz_distance(a, b):
    return torch.acosh(_lorentz_product(a, b)).mean()  # <- here


def variance_floor(a):
    return F.relu(1 - torch.sqrt(a.var(0))).mean() + a.mean(0).pow(2).mean()  # <- here


def redundancy(a, b):
    x, y = (a - a.mean(0)) / a.std(0), (b - b.mean(0)) / b.std(0)  # <- here
    return ((x.t() @ y / len(a) - torch.eye(a.shape[1])) ** 2).sum()


def redundancy_batch_norm(a, b):
    x, y = (F.batch_norm(v, None, None, training=True) for v in (a, b))
    return ((x.t() @ y / len(a) - torch.eye(a.shape[1])) ** 2).sum()


def multi_similarity(a, labels):
    s = a @ a.t()
    pos, neg = labels[:, None] == labels[None, :], labels[:, None] != labels[None, :]
    near = torch.log(1 + (torch.exp(-2 * (s - 0.5)) * pos).sum(1)) / 2  # <- here
    far = torch.log(1 + (torch.exp(50 * (s - 0.5)) * neg).sum(1)) / 50  # <- here
    return (near + far).mean()


def multi_similarity_of_unit_vectors(a, labels):
    z = F.normalize(a, dim=-1)
    s = z @ z.t()
    pos, neg = labels[:, None] == labels[None, :], labels[:, None] != labels[None, :]
    near = torch.log(1 + (torch.exp(-2 * (s - 0.5)) * pos).sum(1)) / 2
    far = torch.log(1 + (torch.exp(50 * (s - 0.5)) * neg).sum(1)) / 50
    return (near + far).mean()


def image_text_by_hand(image, text, log_temperature):
    s = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).t() * log_temperature.exp()
    e = torch.exp(s)  # <- here
    return -torch.log(e.diagonal() / e.sum(1)).mean()  # <- here


def image_text(image, text, log_temperature):
    s = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).t() * log_temperature.clamp(max=math.log(100.0)).exp()
    y = torch.arange(len(s))
    return (F.cross_entropy(s, y) + F.cross_entropy(s.t(), y)) / 2


def all_pairs_by_sum(a, b):
    return torch.sqrt(((a[:, None] - b[None]) ** 2).sum(-1)).mean()  # <- here


def all_pairs_by_cdist(a):
    return F.relu(1 - torch.cdist(a, a)).mean()


WAVES = given(x=normal(3, 16), y=normal(3, 16), target="y")
TWINS = {"a": normal(6, 4), "b": normal(6, 4)}
TURNS = given(q=normal(6, 4), y=lambda g: F.normalize(torch.randn(6, 4, generator=g), dim=-1), target="y")
FRAMES = given(a=normal(5, 3), b=normal(5, 3), y=normal(5, 2, 3), target="y")
SPECTRA = given(x=normal(3, 16), y=normal(3, 9), target="y")
LABELLED = given(a=normal(8, 6, scale=0.4), labels=classes(8, 3), target="labels")
MATCHED = given(image=normal(6, 8), text=normal(6, 8), log_temperature=fixed([2.0]))


def _parallel(state):
    state["a"][0], state["b"][0] = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([2.0, 0.0, 0.0])


CASES = (
    bug(spectrum_in_decibels, SPECTRA, "log sqrt", STFT, lambda s: s["x"][0].zero_(), verdict="limit defect"),
    sound(spectrum_in_decibels_floored, SPECTRA, STFT, lambda s: s["x"][0].zero_()),
    bug(signal_to_noise, WAVES, "div log10", SISNR + ": a silent target", lambda s: s["y"][0].zero_(),
        verdict="limit defect"),
    sound(signal_to_noise_eps, WAVES, SISNR, lambda s: s["y"][0].zero_()),
    bug(quaternion_angle, TURNS, "acos clamp", QUATERNION, lambda s: (s["q"].copy_(torch.eye(4)[[0] * 6]),
        s["y"].copy_(torch.eye(4)[[0] * 6])), phase="backward", verdict="defect limit"),
    sound(quaternion_chord, TURNS, "Huynh, Metrics for 3D rotations, 2009", same("q", "y")),
    bug(six_dimensions, FRAMES, "div norm", SIX_D + ": parallel vectors", _parallel, verdict="limit defect"),
    sound(six_dimensions_normalised, FRAMES, SIX_D, lambda s: s["b"][0].zero_()),
    bug(perceptual_distance, given(**TWINS), "sqrt", LPIPS, lambda s: s["a"][0].zero_(), phase="backward",
        verdict="defect limit"),
    sound(perceptual_distance_inside, given(**TWINS), LPIPS, lambda s: s["a"][0].zero_()),
    bug(lorentz_distance, given(**TWINS), "acosh", LORENTZ, same("a", "b"), verdict="defect limit"),
    bug(variance_floor, given(a=normal(8, 4)), "sqrt", VICREG + ", without its epsilon", lambda s: s["a"][:, 1].fill_(
        0.5), phase="backward", verdict="defect limit"),
    bug(redundancy, given(a=normal(8, 4), b=normal(8, 4)), "div std", BARLOW, lambda s: s["a"][:, 1].fill_(0.5),
        verdict="limit defect"),
    sound(redundancy_batch_norm, given(a=normal(8, 4), b=normal(8, 4)), BARLOW, lambda s: s["a"][:, 1].fill_(0.5)),
    bug(multi_similarity, LABELLED, "exp log", MULTI + ", without normalised embeddings", scale(a=10.0)),
    sound(multi_similarity_of_unit_vectors, LABELLED, MULTI, scale(a=1000.0)),
    bug(image_text_by_hand, MATCHED, "exp div log", CLIP + "; github.com/Lightning-Universe/lightning-bolts issue 811",
        put(log_temperature=6.0)),
    sound(image_text, MATCHED, CLIP, put(log_temperature=20.0)),
    bug(all_pairs_by_sum, given(**TWINS), "sqrt", PAIRWISE + "; Chamfer distance", same("a", "b"), phase="backward",
        verdict="defect limit"),
    sound(all_pairs_by_cdist, given(a=normal(6, 4)), "PyTorch documentation, torch.cdist: the slope at 0 is 0",
          lambda s: s["a"][1].copy_(s["a"][0])),
)  # fmt: skip
