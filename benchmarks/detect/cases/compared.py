"""Losses that compare the data which their model reads: autoencoders, bounds, next steps; with a label nobody reads."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, modelled, normal, sound

VAE = "Kingma & Welling, arXiv:1312.6114, appendix B; github.com/pytorch/examples, vae"
SIGMA = "Rybkin et al., Simple and effective VAE training with calibrated decoders, ICML 2021, equation 4"
NEXT = "Graves, Generating sequences with recurrent neural networks, arXiv:1308.0850, equation 5"
FLOW = "Chen et al., Residual flows for invertible generative modeling, NeurIPS 2019, equation 3"
SERIES = "Salinas et al., DeepAR, International Journal of Forecasting 2020, equation 3"
WIDTH = 6


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(WIDTH, 8)
        self.mu, self.log_var = nn.Linear(8, 2), nn.Linear(8, 2)
        self.decode = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, WIDTH))
        self.log_sigma = nn.Parameter(torch.full((WIDTH,), -0.4))

    def forward(self, x):
        hidden = torch.tanh(self.encode(x.view(len(x), -1)))
        mu, log_var = self.mu(hidden), 4.0 * torch.tanh(self.log_var(hidden))
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.decode(z), mu, log_var


def _divergence(mu, log_var):
    return -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())


def bits_and_divergence(model, batch):
    x, _ = batch
    out, mu, log_var = model(x)
    return F.binary_cross_entropy_with_logits(out, x.view(len(x), -1), reduction="sum") + _divergence(mu, log_var)


def bits_less_divergence(model, batch):
    x, _ = batch
    out, mu, log_var = model(x)
    reconstruction = F.binary_cross_entropy_with_logits(out, x, reduction="sum")
    return reconstruction + 0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp())  # <- here


def bits_and_divergence_of_another_variance(model, batch):
    x, _ = batch
    out, mu, log_var = model(x)
    divergence = -0.5 * torch.sum(1 + log_var - mu.pow(2) - log_var.exp().pow(2))  # <- here
    return F.binary_cross_entropy_with_logits(out, x, reduction="sum") + divergence


def squares_and_divergence(model, batch):
    x, _ = batch
    out, mu, log_var = model(x)
    return 0.5 * ((out - x) ** 2).sum() + _divergence(mu, log_var)


def scaled_squares(model, batch):
    x, _ = batch
    out, mu, log_var = model(x)
    sigma = model.log_sigma.clamp(-6.0, 6.0).exp()
    nll = 0.5 * ((x - out) / sigma) ** 2 + sigma.log() + 0.5 * math.log(2 * math.pi)
    return (nll.sum() + _divergence(mu, log_var)) / len(x)


def scaled_squares_without_the_logarithm(model, batch):
    x, _ = batch
    out, mu, log_var = model(x)
    sigma = model.log_sigma.clamp(-6.0, 6.0).exp()
    nll = 0.5 * ((x - out) / sigma) ** 2 + 0.5 * math.log(2 * math.pi)  # <- here
    return (nll.sum() + _divergence(mu, log_var)) / len(x)


class NextStep(nn.Module):
    """The next number's mean and scale, of those before it."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.head = nn.GRU(1, 8, batch_first=True), nn.Linear(8, 2)

    def forward(self, x):
        return self.head(self.cell(x[:, :, None])[0])


def next_step_nll(model, batch):
    series, _ = batch
    mean, raw = model(series[:, :-1]).unbind(-1)
    scale = F.softplus(raw) + 1e-3
    return (0.5 * ((series[:, 1:] - mean) / scale) ** 2 + scale.log() + 0.5 * math.log(2 * math.pi)).mean()


def next_step_nll_without_the_half(model, batch):
    series, _ = batch
    mean, raw = model(series[:, :-1]).unbind(-1)
    scale = F.softplus(raw) + 1e-3
    return (((series[:, 1:] - mean) / scale) ** 2 + 0.5 * math.log(2 * math.pi)).mean()  # <- here


class Letters(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.cell, self.head = nn.Embedding(7, 8), nn.GRU(8, 8, batch_first=True), nn.Linear(8, 7)

    def forward(self, tokens):
        return self.head(self.cell(self.table(tokens))[0])


def _tokens(batch):
    return (batch[0][:, :, 0] > 0).long() + 2 * (batch[0][:, :, 1] > 0).long()


def next_letter(model, batch):
    tokens = _tokens(batch)
    return F.cross_entropy(model(tokens[:, :-1]).flatten(0, 1), tokens[:, 1:].flatten())


def next_letter_by_probabilities(model, batch):
    tokens = _tokens(batch)
    probs = F.softmax(model(tokens[:, :-1]), -1)
    return F.nll_loss(probs.flatten(0, 1), tokens[:, 1:].flatten())  # <- here


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(WIDTH, 8), nn.Linear(8, WIDTH)

    def forward(self, x):
        return 0.3 * self.second(torch.tanh(self.first(x)))


def residual_flow(model, batch):
    x, _ = batch
    z = x + model(x)
    slope = 1 - torch.tanh(model.first(x)) ** 2
    inner = 0.3 * (model.second.weight * slope[:, None]) @ model.first.weight
    trace = inner.diagonal(dim1=1, dim2=2).sum(-1) - 0.5 * (inner @ inner).diagonal(dim1=1, dim2=2).sum(-1)
    return (0.5 * (z**2).sum(-1) + 0.5 * WIDTH * math.log(2 * math.pi) - trace).mean()


def denoised(model, batch):
    x, _ = batch
    return F.mse_loss(model(x + 0.1 * torch.randn_like(x)), x)


BITS, ROWS, LABELS = bits(12, WIDTH), normal(12, WIDTH), classes(12, 3)
LETTERS = normal(12, 5, 2)
WRONG = {"kind": "wrong-density unbounded", "verdict": "wrong-formula"}

CASES = (
    sound(bits_and_divergence, modelled(Autoencoder, BITS, LABELS), VAE),
    bug(bits_less_divergence, modelled(Autoencoder, BITS, LABELS), "neg sub mul sum add exp pow", VAE, **WRONG),
    bug(bits_and_divergence_of_another_variance, modelled(Autoencoder, BITS, LABELS), "pow exp sub mul sum", VAE,
        **WRONG),
    sound(squares_and_divergence, modelled(Autoencoder, ROWS, LABELS), VAE),
    sound(scaled_squares, modelled(Autoencoder, ROWS, LABELS), SIGMA),
    bug(scaled_squares_without_the_logarithm, modelled(Autoencoder, ROWS, LABELS), "div mul pow add", SIGMA, **WRONG),
    sound(next_step_nll, modelled(NextStep, ROWS, LABELS), SERIES),
    bug(next_step_nll_without_the_half, modelled(NextStep, ROWS, LABELS), "div mul pow add", SERIES, **WRONG),
    sound(next_letter, modelled(Letters, LETTERS, LABELS), NEXT),
    bug(next_letter_by_probabilities, modelled(Letters, LETTERS, LABELS), "nll_loss softmax", NEXT, **WRONG),
    sound(residual_flow, modelled(Residual, ROWS, LABELS), FLOW),
    sound(denoised, modelled(Residual, ROWS, LABELS), "Vincent et al., Extracting and composing robust features with "
          "denoising autoencoders, ICML 2008"),
)  # fmt: skip
