"""Held out, written before the tool was run on it: whole small scripts, each beside its repair."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import (
    bits,
    bug,
    classes,
    modelled,
    normal,
    onehot,
    scale,
    sound,
    unit,
)

GRIST = "Yan et al., GRIST, ESEC/FSE 2021: small TensorFlow scripts"
DENOISING = "Vincent et al., Denoising autoencoders, ICML 2008; deeplearning.net tutorial, dA"
BOLTZMANN = (
    "Hinton, A practical guide to training restricted Boltzmann machines, 2010; dfdx/Boltzmann.jl pull request 24"
)
VARIATIONAL = "Kingma & Welling, arXiv:1312.6114; the scale as exp, squared"
MIXTURE = "Bishop, Mixture density networks, 1994; Ha, blog.otoro.net, Mixture density networks with TensorFlow, 2015"
EXPERTS = "Jacobs et al., Adaptive mixtures of local experts, 1991"
TAGGER = "Lample et al., Neural architectures for named entity recognition, NAACL 2016; PyTorch tutorial, BiLSTM-CRF"


class Softmax(nn.Module):
    """y = softmax(x W + b), as every first tutorial has it."""

    def __init__(self) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(0.1 * torch.randn(6, 3)), nn.Parameter(torch.zeros(3))

    def forward(self, x):
        return torch.softmax(x @ self.w + self.b, -1)


def tutorial(output, target):
    return -torch.sum(target * torch.log(output))  # <- here


def tutorial_clipped(output, target):
    return -torch.sum(target * torch.log(output.clamp(1e-10, 1.0)))


class Denoising(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.b, self.c = (
            nn.Parameter(torch.randn(6, 4)),
            nn.Parameter(torch.zeros(4)),
            nn.Parameter(torch.zeros(6)),
        )

    def forward(self, x):
        return torch.sigmoid(x @ self.w + self.b) @ self.w.t() + self.c


def reconstruction(model, batch):
    x, _ = batch
    z = torch.sigmoid(model(x))
    return -torch.sum(x * torch.log(z) + (1 - x) * torch.log(1 - z), 1).mean()  # <- here


def reconstruction_by_logits(model, batch):
    x, _ = batch
    return F.binary_cross_entropy_with_logits(model(x), x, reduction="none").sum(1).mean()


class Boltzmann(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.w, self.visible, self.hidden = (nn.Parameter(0.1 * torch.randn(*s)) for s in ((6, 4), (6,), (4,)))

    def free_energy(self, v):
        return -v @ self.visible - torch.log(1 + torch.exp(v @ self.w + self.hidden)).sum(-1)  # <- here


class BoltzmannSoftplus(Boltzmann):
    def free_energy(self, v):
        return -v @ self.visible - F.softplus(v @ self.w + self.hidden).sum(-1)


def contrast_of_energies(model, batch):
    data, sampled = batch
    return model.free_energy(data).mean() - model.free_energy(sampled).mean()


class Coder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode, self.decode = nn.Linear(6, 4), nn.Linear(2, 6)

    def forward(self, x):
        mean, raw = self.encode(x).chunk(2, -1)
        return self.decode(mean), mean, raw


def elbo_with_squared_scale(model, batch):
    x, _ = batch
    out, mean, raw = model(x)
    var = torch.exp(raw) ** 2  # <- here
    kl = 0.5 * (mean**2 + var - 1 - torch.log(var)).sum(-1)  # <- here
    return (F.mse_loss(out, x, reduction="none").sum(-1) + kl).mean()


def elbo_with_log_scale(model, batch):
    x, _ = batch
    out, mean, raw = model(x)
    raw = raw.clamp(-20.0, 20.0)
    kl = 0.5 * (mean**2 + torch.exp(2 * raw) - 1 - 2 * raw).sum(-1)
    return (F.mse_loss(out, x, reduction="none").sum(-1) + kl).mean()


class Mixture(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.head = nn.Linear(4, 8), nn.Linear(8, 9)

    def forward(self, x):
        weight, mean, raw = self.head(torch.tanh(self.hidden(x))).chunk(3, -1)
        return weight, mean, raw


def mixture_by_density(weight, mean, raw, target):
    sigma = torch.exp(raw)
    pdf = torch.exp(-0.5 * ((target - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
    return -torch.log((torch.softmax(weight, -1) * pdf).sum(-1)).mean()  # <- here


def mixture_in_logs(weight, mean, raw, target):
    raw = raw.clamp(-7.0, 7.0)
    log_p = -0.5 * ((target - mean) * torch.exp(-raw)) ** 2 - raw - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(torch.log_softmax(weight, -1) + log_p, -1).mean()


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate, self.experts = nn.Linear(4, 3), nn.Linear(4, 3)

    def forward(self, x):
        return self.gate(x), self.experts(x)


def experts_by_exp(gate, guess, target):
    return -torch.log((torch.softmax(gate, -1) * torch.exp(-0.5 * (target - guess) ** 2)).sum(-1)).mean()  # <- here


def experts_in_logs(gate, guess, target):
    return -torch.logsumexp(torch.log_softmax(gate, -1) - 0.5 * (target - guess) ** 2, -1).mean()


class Tagger(nn.Module):
    """Emissions for six steps and a transition matrix; the partition function by exp."""

    def __init__(self) -> None:
        super().__init__()
        self.emit, self.transition = nn.Linear(4, 3), nn.Parameter(0.1 * torch.randn(3, 3))

    def log_partition(self, e):
        alpha = torch.exp(e[:, 0])
        for t in range(1, e.shape[1]):
            alpha = (alpha @ torch.exp(self.transition)) * torch.exp(e[:, t])  # <- here
        return torch.log(alpha.sum(-1))

    def forward(self, x):
        return self.emit(x)


class TaggerInLogs(Tagger):
    def log_partition(self, e):
        alpha = e[:, 0]
        for t in range(1, e.shape[1]):
            alpha = torch.logsumexp(alpha[:, :, None] + self.transition, 1) + e[:, t]
        return torch.logsumexp(alpha, -1)


def tag_likelihood(model, batch):
    x, tags = batch
    e = model(x)
    score = e.gather(2, tags[:, :, None]).sum((1, 2)) + model.transition[tags[:, :-1], tags[:, 1:]].sum(1)
    return (model.log_partition(e) - score).mean()


def _tags(generator):
    return torch.randint(3, (5, 6), generator=generator)


ROWS, IMAGES, Y = normal(12, 4), unit(12, 6), classes(12, 3)
CASES = (
    bug(tutorial, modelled(Softmax, normal(12, 6), onehot(12, 3)), "log mul", GRIST, scale(inputs=1000.0)),
    sound(tutorial_clipped, modelled(Softmax, normal(12, 6), onehot(12, 3)), GRIST + ", with the usual clip"),
    bug(reconstruction, modelled(Denoising, IMAGES, bits(12)), "log mul", DENOISING, lambda s: s["c"].fill_(60.0)),
    sound(reconstruction_by_logits, modelled(Denoising, IMAGES, bits(12)), DENOISING, lambda s: s["c"].fill_(60.0)),
    bug(contrast_of_energies, modelled(Boltzmann, bits(12, 6), bits(12, 6)), "exp log add", BOLTZMANN,
        scale(w=3000.0), where=(Boltzmann,)),
    sound(contrast_of_energies, modelled(BoltzmannSoftplus, bits(12, 6), bits(12, 6)), BOLTZMANN, scale(w=3000.0)),
    bug(elbo_with_squared_scale, modelled(Coder, normal(12, 6), bits(12)), "log pow exp", VARIATIONAL,
        lambda s: s["encode.bias"][2:].fill_(-60.0)),
    sound(elbo_with_log_scale, modelled(Coder, normal(12, 6), bits(12)), VARIATIONAL,
          lambda s: s["encode.bias"][2:].fill_(-60.0)),
    bug(mixture_by_density, modelled(Mixture, ROWS, normal(12, 1)), "log exp", MIXTURE,
        lambda s: s["targets"].add_(60.0)),
    sound(mixture_in_logs, modelled(Mixture, ROWS, normal(12, 1)), MIXTURE, lambda s: s["targets"].add_(60.0)),
    bug(experts_by_exp, modelled(Experts, ROWS, normal(12, 1)), "log exp", EXPERTS, lambda s: s["targets"].add_(60.0)),
    sound(experts_in_logs, modelled(Experts, ROWS, normal(12, 1)), EXPERTS, lambda s: s["targets"].add_(60.0)),
    bug(tag_likelihood, modelled(Tagger, normal(5, 6, 4), _tags), "exp mul matmul log", TAGGER,
        lambda s: s["emit.bias"].fill_(30.0), where=(Tagger,)),
    sound(tag_likelihood, modelled(TaggerInLogs, normal(5, 6, 4), _tags), TAGGER,
          lambda s: s["emit.bias"].fill_(30.0)),
)  # fmt: skip
