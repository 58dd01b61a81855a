"""Programs in the style of TensorFlow 1 tutorials, with the numerical bug they had and with its repair: classifiers,
autoencoders, energy models. Written before the tool was run on them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, counts, modelled, normal, onehot, scale, sound, unit
from benchmarks.detect.cases.categorical import GRIST

DEBAR = "Zhang et al., Detecting numerical bugs in neural network architectures, ESEC/FSE 2020 (DEBAR)"


# ---- softmax regression, as in TensorFlow-Examples issue 383 -----------------------------------------------------


class SoftmaxRegression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(5, 4))
        self.b = nn.Parameter(torch.zeros(4))

    def forward(self, x):
        return torch.softmax(x @ self.W + self.b, dim=1)


def cost(pred, y):
    return torch.mean(-torch.sum(y * torch.log(pred), dim=1))  # <- here


def cost_clipped(pred, y):
    return torch.mean(-torch.sum(y * torch.log(pred.clamp(1e-10, 1.0)), dim=1))


# ---- a convolutional digit classifier -----------------------------------------------------------------------------


class DeepDigits(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(3, 4, 3, padding=1)
        self.fc1, self.fc2 = nn.Linear(16, 10), nn.Linear(10, 5)

    def logits(self, x):
        h = F.max_pool2d(torch.relu(self.conv1(x)), 2)
        h = F.max_pool2d(torch.relu(self.conv2(h)), 2)
        return self.fc2(torch.relu(self.fc1(h.flatten(1))))

    def forward(self, x):
        return F.softmax(self.logits(x), dim=1)


class DeepDigitsLogits(DeepDigits):
    def forward(self, x):
        return self.logits(x)


def y_conv_entropy(y_conv, y_):
    return -torch.sum(y_ * torch.log(y_conv))  # <- here


def logits_entropy(logits, y_):
    return -(y_ * torch.log_softmax(logits, 1)).sum(1).mean()


# ---- a recurrent sentiment classifier -----------------------------------------------------------------------------


class ReviewRNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wx, self.wh, self.out = nn.Linear(4, 6), nn.Linear(6, 6), nn.Linear(6, 1)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 6)
        for t in range(x.shape[1]):
            h = torch.tanh(self.wx(x[:, t]) + self.wh(h))
        return torch.sigmoid(self.out(h)).squeeze(1)


def review_loss(p, label):
    return torch.mean(-label * torch.log(p) - (1 - label) * torch.log(1 - p))  # <- here


def review_loss_clipped(p, label):
    p = torch.clamp(p, 1e-6, 1 - 1e-6)
    return torch.mean(-label * torch.log(p) - (1 - label) * torch.log(1 - p))


# ---- softmax and cross entropy out of exp and sum -----------------------------------------------------------------


class TwoLayers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.final = nn.Linear(5, 8), nn.Linear(8, 4)

    def forward(self, x):
        return self.final(torch.sigmoid(self.hidden(x)))


def scratch_entropy(logits, y):
    e = torch.exp(logits)  # <- here
    p = e / e.sum(1, keepdim=True)  # <- here
    return -(y * torch.log(p + 1e-10)).sum(1).mean()


def scratch_entropy_shifted(logits, y):
    e = torch.exp(logits - logits.max(1, keepdim=True)[0])
    p = e / e.sum(1, keepdim=True)
    return -(y * torch.log(p + 1e-10)).sum(1).mean()


# ---- logistic regression with a written-out sigmoid ---------------------------------------------------------------


class Neuron(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x):
        return self.layer(x)[:, 0]


def neuron_loss(z, y):
    a = 1 / (1 + torch.exp(-z))
    return -torch.mean(y * torch.log(a) + (1 - y) * torch.log(1 - a))  # <- here


def neuron_loss_bounded(z, y):
    a = (1 / (1 + torch.exp(-z.clamp(-30, 30)))).clamp(1e-7, 1 - 1e-7)
    return -torch.mean(y * torch.log(a) + (1 - y) * torch.log(1 - a))


# ---- autoencoders -------------------------------------------------------------------------------------------------


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.dec = nn.Linear(6, 3), nn.Linear(3, 6)

    def forward(self, x):
        return torch.sigmoid(self.dec(torch.sigmoid(self.enc(x))))


def reconstruction_entropy(r, x):
    return -(x * torch.log(r) + (1 - x) * torch.log(1 - r)).sum(1).mean()  # <- here


def reconstruction_entropy_eps(r, x):
    return -(x * torch.log(r + 1e-7) + (1 - x) * torch.log(1 - r + 1e-7)).sum(1).mean()


class SparseAutoencoder(Autoencoder):
    def forward(self, x):
        h = torch.sigmoid(self.enc(x))
        return self.dec(h), h


def sparse_loss(model, batch):
    x, _ = batch
    r, h = model(x)
    rho, hat = 0.05, h.mean(0)
    kl = rho * torch.log(rho / hat) + (1 - rho) * torch.log((1 - rho) / (1 - hat))  # <- here
    return ((r - x) ** 2).mean() + 0.1 * kl.sum()


def sparse_loss_clipped(model, batch):
    x, _ = batch
    r, h = model(x)
    rho, hat = 0.05, h.mean(0).clamp(1e-6, 1 - 1e-6)
    kl = rho * torch.log(rho / hat) + (1 - rho) * torch.log((1 - rho) / (1 - hat))
    return ((r - x) ** 2).mean() + 0.1 * kl.sum()


# ---- variational autoencoders -------------------------------------------------------------------------------------


class PixelVAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mu, self.log_sigma_sq, self.dec = nn.Linear(6, 2), nn.Linear(6, 2), nn.Linear(2, 6)
        self.register_buffer("eps", torch.randn(10, 2))

    def forward(self, x):
        mu, ls = self.mu(x), self.log_sigma_sq(x)
        z = mu + torch.exp(0.5 * ls) * self.eps
        return torch.sigmoid(self.dec(z)), mu, ls


def pixel_elbo(model, batch):
    x, _ = batch
    xr, mu, ls = model(x)
    rec = -torch.sum(x * torch.log(1e-10 + xr) + (1 - x) * torch.log(1e-10 + 1 - xr), 1)  # <- here
    kl = -0.5 * torch.sum(1 + ls - mu**2 - torch.exp(ls), 1)
    return torch.mean(rec + kl)


def pixel_elbo_larger_eps(model, batch):
    x, _ = batch
    xr, mu, ls = model(x)
    rec = -torch.sum(x * torch.log(1e-6 + xr) + (1 - x) * torch.log(1e-6 + 1 - xr), 1)
    kl = -0.5 * torch.sum(1 + ls - mu**2 - torch.exp(ls), 1)
    return torch.mean(rec + kl)


class StddevVAE(nn.Module):
    """The deviation is a plain linear output, squared in the loss."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.stddev, self.dec = nn.Linear(6, 2), nn.Linear(6, 2), nn.Linear(2, 6)
        self.register_buffer("eps", torch.randn(10, 2))

    def forward(self, x):
        mean, stddev = self.mean(x), self.stddev(x)
        return self.dec(mean + stddev * self.eps), mean, stddev


def stddev_elbo(model, batch):
    x, _ = batch
    r, mean, stddev = model(x)
    latent = 0.5 * torch.sum(mean**2 + stddev**2 - torch.log(stddev**2) - 1, 1)  # <- here
    return torch.mean(torch.sum((r - x) ** 2, 1) + latent)


def stddev_elbo_eps(model, batch):
    x, _ = batch
    r, mean, stddev = model(x)
    latent = 0.5 * torch.sum(mean**2 + stddev**2 - torch.log(stddev**2 + 1e-8) - 1, 1)
    return torch.mean(torch.sum((r - x) ** 2, 1) + latent)


# ---- a restricted Boltzmann machine -------------------------------------------------------------------------------


class RBM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.W, self.hb, self.vb = (
            nn.Linear(6, 4, bias=False),
            nn.Parameter(torch.zeros(4)),
            nn.Parameter(torch.zeros(6)),
        )

    def free_energy(self, v):
        hidden = torch.log(1 + torch.exp(self.W(v) + self.hb)).sum(1)  # <- here
        return -(v @ self.vb) - hidden

    def forward(self, v):
        return self.free_energy(v)


class RBMSoftplus(RBM):
    def free_energy(self, v):
        return -(v @ self.vb) - F.softplus(self.W(v) + self.hb).sum(1)


def energy_gap(model, batch):
    data, chain = batch
    return model(data).mean() - model(chain).mean()


# ---- regression heads ---------------------------------------------------------------------------------------------


class RateNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(5, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.head(torch.tanh(self.body(x)))[:, 0]


def rate_loss(raw, y):
    rate = torch.log(1 + torch.exp(raw))  # <- here
    return (rate - y * torch.log(rate)).mean()  # <- here


def rate_loss_bounded(raw, y):
    rate = F.softplus(raw) + 1e-6
    return (rate - y * torch.log(rate)).mean()


def determination(pred, y):
    return ((y - pred) ** 2).sum() / ((y - y.mean()) ** 2).sum()  # <- here


def determination_eps(pred, y):
    return ((y - pred) ** 2).sum() / (((y - y.mean()) ** 2).sum() + 1e-6)


def correlation(pred, y):
    a, b = pred - pred.mean(), y - y.mean()
    return 1 - (a * b).sum() / (torch.sqrt((a**2).sum()) * torch.sqrt((b**2).sum()))  # <- here


def correlation_eps(pred, y):
    a, b = pred - pred.mean(), y - y.mean()
    return 1 - (a * b).sum() / (torch.sqrt((a**2).sum() + 1e-6) * torch.sqrt((b**2).sum() + 1e-6))


def constant(state):
    state["targets"].fill_(1.0)


def flat(state):
    state["head.weight"].zero_()
    state["head.bias"].zero_()


def by(name: str, factor: float):
    return scale({name: factor})


def both(bad, good, setup, op, origin, extreme, twin=None, **more):
    """The program with its bug and its repair."""
    return bug(bad, setup, op, origin, extreme, **more), sound(good, twin or setup, origin + ": repaired", extreme)


X, HOT, ROWS6 = normal(10, 5), onehot(10, 4), unit(10, 6)
EITHER = "limit defect"
CASES = (
    *both(cost, cost_clipped, modelled(SoftmaxRegression, X, HOT), "log mul", GRIST + ": softmax regression",
          by("W", 3000)),
    *both(y_conv_entropy, logits_entropy, modelled(DeepDigits, normal(6, 1, 8, 8), onehot(6, 5)), "log mul",
          GRIST + ": MNIST CNN", by("fc2.weight", 1e5),
          modelled(DeepDigitsLogits, normal(6, 1, 8, 8), onehot(6, 5))),
    *both(review_loss, review_loss_clipped, modelled(ReviewRNN, normal(8, 5, 4), bits(8)), "log sub mul",
          GRIST + ": sentiment RNN", by("out.weight", 3000)),
    *both(scratch_entropy, scratch_entropy_shifted, modelled(TwoLayers, X, HOT), "exp div",
        GRIST + ": MLP from scratch",
          by("final.weight", 1000)),
    *both(neuron_loss, neuron_loss_bounded, modelled(Neuron, X, bits(10)), "log exp sub mul",
          GRIST + ": logistic regression", by("layer.weight", 500)),
    *both(reconstruction_entropy, reconstruction_entropy_eps, modelled(Autoencoder, ROWS6, ROWS6), "log sub mul",
          GRIST + ": autoencoder", by("dec.weight", 2000)),
    *both(sparse_loss, sparse_loss_clipped, modelled(SparseAutoencoder, ROWS6, ROWS6), "div log sub",
          DEBAR + ": sparse autoencoder", by("enc.weight", 3000)),
    *both(pixel_elbo, pixel_elbo_larger_eps, modelled(PixelVAE, ROWS6, ROWS6), "log sub",
          "issue deep_learning_Nikolenko_and_Co#1: 1e-10 + 1 is 1; " + GRIST, by("dec.weight", 500)),
    *both(stddev_elbo, stddev_elbo_eps, modelled(StddevVAE, ROWS6, ROWS6), "log pow div mul", GRIST + ": VAE",
          lambda s: (s["stddev.weight"].zero_(), s["stddev.bias"].zero_()), verdict=EITHER),
    *both(energy_gap, energy_gap, modelled(RBM, bits(10, 6), bits(10, 6)), "exp log", GRIST + ": RBM",
          by("W.weight", 1000), modelled(RBMSoftplus, bits(10, 6), bits(10, 6)), where=(RBM,)),
    *both(rate_loss, rate_loss_bounded, modelled(RateNet, X, counts(10)), "exp log div", DEBAR + ": Poisson regression",
          by("head.weight", 3000)),
    *both(determination, determination_eps, modelled(RateNet, X, normal(10)), "div", GRIST + ": R squared", constant,
          verdict=EITHER),
    *both(correlation, correlation_eps, modelled(RateNet, X, normal(10)), "div sqrt", GRIST + ": Pearson correlation",
          flat, verdict=EITHER),
)  # fmt: skip
