"""Sound losses of the same repositories, and models whose outputs do not reach where their losses fail."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, given, modelled, normal, onehot, sound

PRIOR = "divergence of a scale from a prior that the target packs beside its mean, of noise-contrastive priors"
HAZARDS = "likelihood of discrete hazards (Gensheimer & Narasimhan 2019) against a row of bits"
ROOT = "multivariate normal likelihood of a network that makes its covariance out of a root"
COSINE = "classifier by the cosines of features and centres (Wang et al. 2018), of re-identification codes"


def scale_of_a_prior(raw, prior):
    mean, scale = torch.unbind(prior, -1)
    ratio = (F.softplus(raw) + 1e-6) / scale
    return (ratio - torch.log(ratio) + mean**2 * 0.01).mean()


def priors(g):
    return torch.stack([torch.randn(8, generator=g), 0.5 + torch.rand(8, generator=g)], -1)


def hazards_nll(raw, died):
    p = torch.sigmoid(raw).clamp(1e-7, 1 - 1e-7)
    return -(died * torch.log(p) + (1 - died) * torch.log(1 - p)).mean()


class Root(nn.Module):
    """A mean, and the covariance A A^T plus a floor: A is triangular, its diagonal positive."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 6))

    def forward(self, x):
        raw = self.body(x)
        square = raw[:, 2:].view(-1, 2, 2)
        diagonal = F.softplus(square.diagonal(dim1=-2, dim2=-1)) + 1e-2
        root = square.tril(-1) + torch.diag_embed(diagonal)
        return raw[:, :2], root @ root.mT + 1e-2 * torch.eye(2)


def covariance_nll(mean, covariance, y):
    gap = (y - mean)[:, :, None]
    near = (gap.mT @ torch.linalg.solve(covariance, gap))[:, 0, 0]
    return 0.5 * (torch.logdet(covariance) + near).mean() + math.log(2 * math.pi)


class Centres(nn.Module):
    """Cosines of the features and one centre for each class, times a sharpness."""

    sharpness = 16.0

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(5, 16), nn.Tanh(), nn.Linear(16, 8))
        self.centres = nn.Parameter(torch.randn(4, 8))

    def forward(self, x):
        return self.sharpness * F.linear(F.normalize(self.body(x), dim=-1), F.normalize(self.centres, dim=-1))


class Plain(Centres):
    """Without the sharpness."""

    sharpness = 1.0


def of_softmax(output, target):
    return -torch.log(torch.softmax(output, -1)[torch.arange(6), target]).mean()


def _at_its_centre(state):
    for name in ("body.2.weight", "body.2.bias", "centres"):
        state[name].zero_()
    state["body.2.bias"][0] = state["centres"][0, 0] = 1.0


def of_angles(output, target):
    angle = torch.acos(output)  # <- here
    return F.cross_entropy(16 * torch.cos(angle + 0.3 * F.one_hot(target, 4)), target)


CASES = (
    sound(scale_of_a_prior, given(raw=normal(8), prior=priors, target="prior"), PRIOR),
    sound(hazards_nll, given(raw=normal(8, 4), died=onehot(8, 4), target="died"), HAZARDS),
    sound(covariance_nll, modelled(Root, normal(6, 5), normal(6, 2)), ROOT),
    sound(of_softmax, modelled(Centres, normal(6, 5), classes(6, 4)), COSINE),
    bug(of_angles, modelled(Plain, normal(6, 5), classes(6, 4)), "acos", COSINE, _at_its_centre, phase="backward"),
)
