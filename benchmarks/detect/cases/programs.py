"""Whole small programs: what fails lies inside the model, or needs its weights or inputs to move."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import Change, bits, bug, classes, counts, modelled, normal, sound
from benchmarks.detect.cases.categorical import GRIST

DEBAR = "Zhang et al., Detecting numerical bugs in neural network architectures, ESEC/FSE 2020 (DEBAR)"


def cross_entropy(output, target):
    return F.cross_entropy(output, target)


def squared_error(output, target):
    return F.mse_loss(output, target)


class Between(nn.Module):
    """Two linear layers with something between them."""

    def __init__(self, inner: nn.Module, width: int = 6, outputs: int = 3) -> None:
        super().__init__()
        self.body = nn.Linear(4, width)
        self.inner = inner
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.inner(self.body(x)))


class UnitRows(nn.Module):
    def forward(self, h):
        return h / h.norm(dim=-1, keepdim=True)  # <- here


class UnitRowsBounded(nn.Module):
    def forward(self, h):
        return F.normalize(h, dim=-1)


class RootOfSquares(nn.Module):
    def forward(self, h):
        return h * torch.sqrt((h**2).sum(-1, keepdim=True))  # <- here


class RootOfSquaresBounded(nn.Module):
    def forward(self, h):
        return h * torch.sqrt((h**2).sum(-1, keepdim=True) + 1e-6)


class Standardised(nn.Module):
    def forward(self, h):
        return (h - h.mean(0)) / h.std(0)  # <- here


class StandardisedBounded(nn.Module):
    def forward(self, h):
        return (h - h.mean(0)) / torch.sqrt(h.var(0) + 1e-5)


class ExpGate(nn.Module):
    def forward(self, h):
        e = torch.exp(h)  # <- here
        return e / e.sum(-1, keepdim=True)  # <- here


class SoftmaxGate(nn.Module):
    def forward(self, h):
        return torch.softmax(h, -1)


class ExpGateShifted(nn.Module):
    def forward(self, h):
        e = torch.exp(h - h.max(-1, keepdim=True).values)
        return e / e.sum(-1, keepdim=True)


class LogFeature(nn.Module):
    def forward(self, h):
        return torch.log(torch.relu(h))  # <- here


class LogFeatureBounded(nn.Module):
    def forward(self, h):
        return torch.log1p(torch.relu(h))


class LogisticByHand(nn.Module):
    def forward(self, h):
        return torch.exp(h) / (1 + torch.exp(h))  # <- here


class Logistic(nn.Module):
    def forward(self, h):
        return torch.sigmoid(h)


class SoftplusByHand(nn.Module):
    def forward(self, h):
        return torch.log(1 + torch.exp(h))  # <- here


class Softplus(nn.Module):
    def forward(self, h):
        return F.softplus(h)


class Share(nn.Module):
    def forward(self, h):
        h = torch.relu(h)
        return h / h.sum(-1, keepdim=True)  # <- here


class ShareBounded(nn.Module):
    def forward(self, h):
        h = torch.relu(h)
        return h / (h.sum(-1, keepdim=True) + 1e-6)


class TanhByHand(nn.Module):
    def forward(self, h):
        a, b = torch.exp(h), torch.exp(-h)  # <- here
        return (a - b) / (a + b)  # <- here


class Tanh(nn.Module):
    def forward(self, h):
        return torch.tanh(h)


class Power(nn.Module):
    def forward(self, h):
        return torch.sigmoid(h) ** 0.5 * torch.relu(h) ** 0.3  # <- here


class PowerBounded(nn.Module):
    def forward(self, h):
        return torch.sigmoid(h).clamp(min=1e-4) ** 0.5 * (torch.relu(h) + 1e-4) ** 0.3


class ScaledInput(nn.Module):
    """The inputs themselves are standardised: a constant feature, a row of zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        return self.head(x / x.abs().sum(-1, keepdim=True))  # <- here


class ScaledInputBounded(ScaledInput):
    def forward(self, x):
        return self.head(x / x.abs().sum(-1, keepdim=True).clamp(min=1e-6))


class LogInput(ScaledInput):
    def forward(self, x):
        return self.head(torch.log(x))  # <- here


class LogInputBounded(ScaledInput):
    def forward(self, x):
        return self.head(torch.log1p(x))


class Tempered(nn.Module):
    """A temperature that is learned, inside the attention weights."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(1))
        self.body, self.head = nn.Linear(4, 6), nn.Linear(6, 3)

    def weights(self, h):
        return torch.softmax(h / self.temperature, -1)  # <- here

    def forward(self, x):
        return self.head(self.weights(self.body(x)))


class TemperedBounded(Tempered):
    def weights(self, h):
        return torch.softmax(h / (F.softplus(self.temperature) + 0.05), -1)


class WeightNormed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.v, self.g = nn.Parameter(torch.randn(6, 4)), nn.Parameter(torch.ones(6, 1))
        self.head = nn.Linear(6, 3)

    def weight(self):
        return self.g * self.v / self.v.norm(dim=1, keepdim=True)  # <- here

    def forward(self, x):
        return self.head(torch.relu(F.linear(x, self.weight())))


class WeightNormedBounded(WeightNormed):
    def weight(self):
        return self.g * F.normalize(self.v, dim=1)


class SoftAttention(nn.Module):
    """Attention over time steps with the weights written out."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.head = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)

    def scores(self, x):
        return torch.exp(self.query(x) @ self.key(x).transpose(1, 2))  # <- here

    def forward(self, x):
        e = self.scores(x)
        return self.head((e / e.sum(-1, keepdim=True)) @ x).mean(1)  # <- here


class SoftAttentionShifted(SoftAttention):
    def scores(self, x):
        raw = self.query(x) @ self.key(x).transpose(1, 2)
        return torch.exp(raw - raw.amax(-1, keepdim=True))


class Cosine(nn.Module):
    """Content addressing of a memory: a cosine between a key and each slot, then a sharpened softmax."""

    def __init__(self) -> None:
        super().__init__()
        self.key, self.slots, self.head = nn.Linear(4, 5), nn.Parameter(torch.randn(7, 5)), nn.Linear(5, 3)

    def similarity(self, k):
        lengths = k.norm(dim=-1, keepdim=True) * self.slots.norm(dim=-1)
        return k @ self.slots.T / lengths  # <- here

    def forward(self, x):
        return self.head(torch.softmax(3.0 * self.similarity(self.key(x)), -1) @ self.slots)


class CosineBounded(Cosine):
    def similarity(self, k):
        return F.cosine_similarity(k[:, None], self.slots[None], dim=-1)


class StatisticsPooling(nn.Module):
    """Mean and deviation over time, as speaker embeddings take them."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 6), nn.Linear(12, 3)

    def deviation(self, h):
        return torch.sqrt((h**2).mean(1) - h.mean(1) ** 2)  # <- here

    def forward(self, x):
        h = torch.relu(self.body(x))
        return self.head(torch.cat([h.mean(1), self.deviation(h)], -1))


class StatisticsPoolingBounded(StatisticsPooling):
    def deviation(self, h):
        return torch.sqrt(h.var(1, unbiased=False) + 1e-5)


class Encoder(nn.Module):
    """A variational autoencoder whose noise is scaled inside."""

    def __init__(self) -> None:
        super().__init__()
        self.mean, self.raw, self.decode = nn.Linear(4, 3), nn.Linear(4, 3), nn.Linear(3, 4)

    def sigma(self, raw):
        return torch.exp(raw)  # <- here

    def forward(self, x):
        mean, sigma = self.mean(x), self.sigma(self.raw(x))
        return self.decode(mean + sigma * torch.randn_like(sigma)), mean, sigma


class EncoderSoftplus(Encoder):
    def sigma(self, raw):
        return F.softplus(raw) + 1e-4


def elbo_of_scale(model, batch):
    x, _ = batch
    output, mean, sigma = model(x)
    kl = 0.5 * (mean**2 + sigma**2 - torch.log(sigma**2) - 1).sum(-1)  # <- here
    return (0.5 * ((output - x) ** 2).sum(-1) + kl).mean()


class Policy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return torch.softmax(self.head(torch.relu(self.body(x))), -1)


def policy_entropy(model, batch):
    x, action = batch
    p = model(x)
    entropy = -(p * torch.log(p)).sum(-1)  # <- here
    return -(torch.log(p.gather(1, action[:, None])) + 0.01 * entropy[:, None]).mean()  # <- here


def policy_entropy_bounded(model, batch):
    x, action = batch
    p = model(x).clamp(1e-8, 1.0)
    entropy = -(p * torch.log(p)).sum(-1)
    return -(torch.log(p.gather(1, action[:, None])) + 0.01 * entropy[:, None]).mean()


class Adversaries(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.generator = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 4))
        self.judge = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 1))

    def forward(self, x):
        return torch.sigmoid(self.judge(x)), torch.sigmoid(self.judge(self.generator(x)))


def adversarial(model, batch):
    real, fake = model(batch[0])
    return -(torch.log(real) + torch.log(1 - fake)).mean()  # <- here


def adversarial_bounded(model, batch):
    real, fake = model(batch[0])
    return -(torch.log(real + 1e-7) + torch.log(1 - fake + 1e-7)).mean()


class Mixture(nn.Module):
    """A mixture density network in linear space."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(4, 8), nn.Linear(8, 9)

    def forward(self, x):
        share, mean, raw = self.head(torch.tanh(self.body(x))).chunk(3, -1)
        return torch.softmax(share, -1), mean, torch.exp(raw)  # <- here


def mixture_density(model, batch):
    x, y = batch
    share, mean, sigma = model(x)
    density = torch.exp(-0.5 * ((y - mean) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))  # <- here
    return -torch.log((share * density).sum(-1)).mean()  # <- here


class BoundedMixture(Mixture):
    def forward(self, x):
        share, mean, raw = self.head(torch.tanh(self.body(x))).chunk(3, -1)
        return torch.log_softmax(share, -1), mean, raw.clamp(-7, 7)


def mixture_in_logs(model, batch):
    x, y = batch
    share, mean, raw = model(x)
    log_p = -0.5 * ((y - mean) * torch.exp(-raw)) ** 2 - raw - 0.5 * math.log(2 * math.pi)
    return -torch.logsumexp(share + log_p, -1).mean()


class SparseDropout(nn.Module):
    """Variational dropout: the noise of each weight relative to its size."""

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.log_sigma2 = nn.Parameter(0.3 * torch.randn(3, 4)), nn.Parameter(-6 * torch.ones(3, 4))
        self.register_buffer("noise", torch.randn(12, 3))  # of one draw

    def log_alpha(self):
        return self.log_sigma2 - torch.log(self.weight**2)  # <- here

    def forward(self, x):
        noise = torch.sqrt(F.linear(x**2, torch.exp(self.log_alpha().clamp(-8, 8)) * self.weight**2) + 1e-8)
        return F.linear(x, self.weight) + noise * self.noise


class SparseDropoutBounded(SparseDropout):
    def log_alpha(self):
        return self.log_sigma2 - torch.log(self.weight**2 + 1e-8)


def nothing(state: dict[str, torch.Tensor]) -> None:
    """No extreme batch is known to be the shortest way."""


def layer(weight: float, bias: float, name: str = "body") -> Change:
    """Scale a layer's weight and write its bias."""

    def change(state: dict[str, torch.Tensor]) -> None:
        state[f"{name}.weight"].mul_(weight)
        state[f"{name}.bias"].fill_(bias)

    return change


def _between(inner: type[nn.Module]):
    def build() -> nn.Module:
        return Between(inner())

    build.__name__ = inner.__name__
    setup = modelled(build, normal(12, 4), classes(12, 3))
    setup.model_name = inner.__name__  # type: ignore[attr-defined]
    return setup


def _both(bad: type[nn.Module], good: type[nn.Module], op: str, origin: str, extreme: Change, **more: str):
    """The program with the bug between its layers, and its repaired twin."""
    return (
        bug(cross_entropy, _between(bad), op, origin, extreme, where=(bad,), **more),
        sound(cross_entropy, _between(good), origin + ": the repair", extreme),
    )


ROWS, LABELS, STEPS = normal(12, 4), classes(12, 3), normal(6, 5, 4)
LIMIT = "limit defect"
CASES = (
    *_both(UnitRows, UnitRowsBounded, "div norm", GRIST + ": a norm that is divided by", layer(0, 0), verdict=LIMIT),
    *_both(RootOfSquares, RootOfSquaresBounded, "sqrt", GRIST + ": sqrt at 0", layer(0, 0), verdict=LIMIT),
    *_both(Standardised, StandardisedBounded, "div std", "Ioffe & Szegedy, arXiv:1502.03167, without its epsilon",
           layer(0, 0), verdict=LIMIT),
    *_both(ExpGate, SoftmaxGate, "exp div", GRIST + ": softmax by hand", layer(1, 100)),
    sound(cross_entropy, _between(ExpGateShifted), GRIST + ": softmax by hand, the repair", layer(1, 100)),
    *_both(LogFeature, LogFeatureBounded, "log", DEBAR + ": log of a rectified value", layer(1, -20), verdict=LIMIT),
    *_both(LogisticByHand, Logistic, "exp div", GRIST + ": exp(x) / (1 + exp(x))", layer(1, 100)),
    *_both(SoftplusByHand, Softplus, "exp log", GRIST + ": log(1 + exp(x))", layer(1, 100)),
    *_both(Share, ShareBounded, "div", GRIST + ": div by a sum", layer(1, -20), verdict=LIMIT),
    *_both(TanhByHand, Tanh, "exp div", DEBAR + ": tanh by hand", layer(1, 100)),
    *_both(Power, PowerBounded, "pow", DEBAR + ": fractional power at 0", layer(1, -120), verdict=LIMIT,
           phase="backward"),
    bug(cross_entropy, modelled(ScaledInput, ROWS, LABELS), "div", DEBAR + ": a feature row of zeros",
        lambda s: s["inputs"][0].zero_(), verdict=LIMIT, where=(ScaledInput,)),
    sound(cross_entropy, modelled(ScaledInputBounded, ROWS, LABELS), DEBAR + ": the repair",
          lambda s: s["inputs"][0].zero_()),
    bug(cross_entropy, modelled(LogInput, counts(12, 4), LABELS), "log", DEBAR + ": log of a count that is 0",
        lambda s: s["inputs"][0].zero_(), verdict=LIMIT, where=(LogInput,)),
    sound(cross_entropy, modelled(LogInputBounded, counts(12, 4), LABELS), DEBAR + ": the repair",
          lambda s: s["inputs"][0].zero_()),
    bug(cross_entropy, modelled(Tempered, ROWS, LABELS), "div softmax", "Guo et al., ICML 2017: a temperature of 0",
        lambda s: s["temperature"].zero_(), verdict=LIMIT, where=(Tempered,)),
    sound(cross_entropy, modelled(TemperedBounded, ROWS, LABELS), "Guo et al., ICML 2017: the repair",
          lambda s: s["temperature"].zero_()),
    bug(cross_entropy, modelled(WeightNormed, ROWS, LABELS), "div norm", "Salimans & Kingma, Weight normalization, "
        "NeurIPS 2016: a row of zeros", lambda s: s["v"][0].zero_(), verdict=LIMIT, where=(WeightNormed,)),
    sound(cross_entropy, modelled(WeightNormedBounded, ROWS, LABELS), "Salimans & Kingma 2016: the repair",
          lambda s: s["v"][0].zero_()),
    bug(cross_entropy, modelled(SoftAttention, STEPS, classes(6, 3)), "exp div", "Bahdanau et al., arXiv:1409.0473, "
        "by hand; " + GRIST, layer(40, 0, "query"), where=(SoftAttention,)),
    sound(cross_entropy, modelled(SoftAttentionShifted, STEPS, classes(6, 3)), "Bahdanau et al.: the repair",
          layer(40, 0, "query")),
    bug(cross_entropy, modelled(Cosine, ROWS, LABELS), "div norm", "Graves et al., Neural Turing machines, "
        "arXiv:1410.5401: a key of zeros", layer(0, 0, "key"), verdict=LIMIT, where=(Cosine,)),
    sound(cross_entropy, modelled(CosineBounded, ROWS, LABELS), "Graves et al. 2014: the repair", layer(0, 0, "key")),
    bug(cross_entropy, modelled(StatisticsPooling, STEPS, classes(6, 3)), "sqrt", "Snyder et al., X-vectors, ICASSP "
        "2018: the deviation of a constant unit", layer(0, 1), verdict=LIMIT, where=(StatisticsPooling,)),
    sound(cross_entropy, modelled(StatisticsPoolingBounded, STEPS, classes(6, 3)), "Snyder et al. 2018: the repair",
          layer(0, 1)),
    bug(elbo_of_scale, modelled(Encoder, ROWS, ROWS), "log exp pow", GRIST + ": VAE", layer(1, -60, "raw"),
        where=(elbo_of_scale, Encoder), verdict=LIMIT),
    sound(elbo_of_scale, modelled(EncoderSoftplus, ROWS, ROWS), GRIST + ": VAE, the repair", layer(1, -60, "raw")),
    bug(policy_entropy, modelled(Policy, ROWS, LABELS), "log mul", GRIST + ": policy gradient", layer(2000, 0, "head")),
    sound(policy_entropy_bounded, modelled(Policy, ROWS, LABELS), GRIST + ": policy gradient, the repair",
          layer(2000, 0, "head")),
    bug(adversarial, modelled(Adversaries, ROWS, bits(12)), "log sub", GRIST + ": GAN", layer(1, -200, "judge.2")),
    sound(adversarial_bounded, modelled(Adversaries, ROWS, bits(12)), GRIST + ": GAN, the repair",
          layer(1, -200, "judge.2")),
    bug(mixture_density, modelled(Mixture, ROWS, normal(12, 1)), "log exp div pow", "Bishop, Mixture density networks, "
        "1994; " + GRIST, layer(1, -60, "head"), where=(mixture_density, Mixture), verdict=LIMIT),
    sound(mixture_in_logs, modelled(BoundedMixture, ROWS, normal(12, 1)), "Bishop 1994: the repair",
          layer(1, -60, "head")),
    bug(cross_entropy, modelled(SparseDropout, ROWS, LABELS), "log", "Molchanov et al., Variational dropout sparsifies "
        "deep neural networks, ICML 2017: a pruned weight", lambda s: s["weight"].zero_(), verdict=LIMIT,
        where=(SparseDropout,)),
    sound(cross_entropy, modelled(SparseDropoutBounded, ROWS, LABELS), "Molchanov et al. 2017: the repair",
          lambda s: s["weight"].zero_()),
)  # fmt: skip
