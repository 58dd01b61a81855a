"""Losses with a model, as they stand in training code: classes, steps, dictionaries, reparameterised layers."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, counts, modelled, normal, onehot, put, scale, sound
from benchmarks.detect.cases.categorical import GRIST

LIGHTNING = "PyTorch Lightning documentation, training_step"


class Perceptron(nn.Module):
    def __init__(self, inputs: int = 4, outputs: int = 3, last: nn.Module | None = None) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(inputs, 8), nn.ReLU())
        self.head = nn.Linear(8, outputs)
        self.last = last or nn.Identity()

    def forward(self, x):
        return self.last(self.head(self.body(x)))


class SoftmaxNet(Perceptron):
    """Ends in probabilities, as the first TensorFlow tutorials did."""

    def __init__(self) -> None:
        super().__init__(last=nn.Softmax(dim=-1))


def log_of_the_models_softmax(output, target):
    return -(target * torch.log(output)).sum(-1).mean()  # <- here


def log_of_the_models_softmax_bounded(output, target):
    return -(target * torch.log(output.clamp(min=1e-7))).sum(-1).mean()


def cross_entropy_of_logits(output, target):
    return F.cross_entropy(output, target)


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 8), nn.Tanh())
        self.mean = nn.Linear(8, 1)
        self.raw = nn.Linear(8, 1)

    def forward(self, x):
        hidden = self.body(x)
        return self.mean(hidden), self.raw(hidden)


class ScaleByExp(TwoHeads):
    def forward(self, x):
        mean, raw = super().forward(x)
        return mean, torch.exp(raw)  # <- here


class ScaleBySquare(TwoHeads):
    def forward(self, x):
        mean, raw = super().forward(x)
        return mean, raw**2


def two_headed_nll(mean, raw, target):
    return (0.5 * (target - mean) ** 2 * torch.exp(-2 * raw) + raw).mean()


def log_of_the_models_scale(mean, sigma, target):
    z = (target - mean) / sigma  # <- here
    return (0.5 * z**2 + torch.log(sigma)).mean()  # <- here


def scale_that_can_be_zero(mean, sigma, target):
    z = (target - mean) / sigma  # <- here
    return (0.5 * z**2 + torch.log(sigma)).mean()  # <- here


class GaussianLoss(nn.Module):
    """A loss as a module, with a learned scale."""

    def __init__(self) -> None:
        super().__init__()
        self.floor = 1e-3

    def forward(self, output, target):
        mean, raw = output[:, :1], output[:, 1:2]
        sigma = F.softplus(raw) + self.floor
        return (0.5 * ((target - mean) / sigma) ** 2 + torch.log(sigma)).mean()


def dictionary_of_terms(model, batch):
    inputs, target = batch
    output = model(inputs)
    likelihood = F.binary_cross_entropy_with_logits(output[:, 0], target)
    entropy = torch.sigmoid(output[:, 1]) * torch.log(torch.sigmoid(output[:, 1]))  # <- here
    return {"loss": likelihood + 0.1 * entropy.mean(), "likelihood": likelihood}


def dictionary_of_sound_terms(model, batch):
    inputs, target = batch
    output = model(inputs)
    likelihood = F.binary_cross_entropy_with_logits(output[:, 0], target)
    penalty = 1e-3 * sum(p.pow(2).sum() for p in model.parameters())
    return {"loss": likelihood + penalty, "penalty": penalty}


def norm_penalty(model, batch):
    inputs, target = batch
    fit = F.cross_entropy(model(inputs), target)
    return fit + 1e-2 * torch.sqrt(sum(p.pow(2).sum() for p in model.parameters()))


def row_norm_penalty(model, batch):
    inputs, target = batch
    fit = F.cross_entropy(model(inputs), target)
    rows = model.head.weight.pow(2).sum(1).sqrt()  # <- here
    return fit + 1e-2 * rows.sum()


def inverse_gain_penalty(model, batch):
    inputs, target = batch
    gain = model.head.weight.norm(dim=1)
    return F.cross_entropy(model(inputs), target) + 1e-3 * (1 / gain).sum()  # <- here


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Linear(6, 4)
        self.decode = nn.Linear(2, 6)

    def forward(self, x):
        mu, log_var = self.encode(x).chunk(2, dim=-1)
        z = mu + torch.exp(0.5 * log_var) * torch.randn_like(mu)
        return self.decode(z), mu, log_var


def elbo(model, batch):
    x, _ = batch
    logits, mu, log_var = model(x)
    rec = F.binary_cross_entropy_with_logits(logits, (x > 0).float(), reduction="none").sum(-1)
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)
    return (rec + kl).mean()


def elbo_by_probabilities(model, batch):
    x, _ = batch
    logits, mu, log_var = model(x)
    p = torch.sigmoid(logits)
    y = (x > 0).float()
    rec = -(y * p.log() + (1 - y) * (1 - p).log()).sum(-1)  # <- here
    kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(-1)
    return (rec + kl).mean()


class Normaliser(nn.Module):
    """A layer norm by hand."""

    def forward(self, x):
        centred = x - x.mean(-1, keepdim=True)
        return centred / centred.pow(2).mean(-1, keepdim=True).sqrt()  # <- here


class NormalisedNet(Perceptron):
    def __init__(self) -> None:
        super().__init__()
        self.last = Normaliser()


class LayerNormNet(Perceptron):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.LayerNorm(3)


class SoftmaxByHand(nn.Module):
    def forward(self, x):
        e = torch.exp(x)  # <- here
        return e / e.sum(-1, keepdim=True)


class SoftmaxByHandNet(Perceptron):
    def __init__(self) -> None:
        super().__init__()
        self.last = SoftmaxByHand()


def nll_of_probabilities_plus_eps(output, target):
    return F.nll_loss(torch.log(output + 1e-8), target)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, batch_first=True)
        self.head = nn.Linear(4, 3)

    def forward(self, x):
        mixed, _ = self.attention(x, x, x)
        return self.head(mixed.mean(1))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.GRU(3, 6, batch_first=True)
        self.head = nn.Linear(6, 3)

    def forward(self, x):
        return self.head(self.body(x)[0][:, -1])


class BatchNormed(Perceptron):
    def __init__(self) -> None:
        super().__init__()
        self.last = nn.BatchNorm1d(3)


def rate_of_exp(output, target):
    return F.poisson_nll_loss(torch.exp(output[:, 0]), target, log_input=False)  # <- here


def rate_by_library(output, target):
    return F.poisson_nll_loss(output[:, 0], target)


def gradient_penalty(model, batch):
    inputs, target = batch
    inputs = inputs.clone().requires_grad_()
    score = model(inputs)[:, 0]
    (slope,) = torch.autograd.grad(score.sum(), inputs, create_graph=True)
    return F.binary_cross_entropy_with_logits(score, target) + (slope.pow(2).sum(1).sqrt() - 1).pow(2).mean()


def quadratic_gradient_penalty(model, batch):
    inputs, target = batch
    inputs = inputs.clone().requires_grad_()
    score = model(inputs)[:, 0]
    (slope,) = torch.autograd.grad(score.sum(), inputs, create_graph=True)
    return F.binary_cross_entropy_with_logits(score, target) + slope.pow(2).sum(1).mean()


class Actor(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Linear(4, 1)
        self.log_std = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return torch.distributions.Normal(self.mean(x), torch.exp(self.log_std.clamp(-20.0, 2.0)))


def squashed_policy(model, batch):
    observation, target = batch
    policy = model(observation)
    raw = policy.rsample()
    log_prob = policy.log_prob(raw) - torch.log(1 - torch.tanh(raw) ** 2)  # <- here
    return (0.2 * log_prob - torch.tanh(raw) * target).mean()


def squashed_policy_softplus(model, batch):
    observation, target = batch
    policy = model(observation)
    raw = policy.rsample()
    log_prob = policy.log_prob(raw) - 2 * (math.log(2) - raw - F.softplus(-2 * raw))
    return (0.2 * log_prob - torch.tanh(raw) * target).mean()


def deep_q(output, target):
    return F.smooth_l1_loss(output.gather(1, torch.zeros(len(output), 1, dtype=torch.long)), target)


gaussian_loss = GaussianLoss()
ROWS = normal(12, 4)
HEAD = {"head.bias": 200.0}
CASES = (
    bug(log_of_the_models_softmax, modelled(SoftmaxNet, ROWS, onehot(12, 3)), "log mul", GRIST, put(HEAD)),
    sound(log_of_the_models_softmax_bounded, modelled(SoftmaxNet, ROWS, onehot(12, 3)), GRIST + ": the repair"),
    sound(cross_entropy_of_logits, modelled(Perceptron, ROWS, classes(12, 3)), "PyTorch tutorials, classifier",
          put(HEAD)),
    sound(two_headed_nll, modelled(TwoHeads, ROWS, normal(12, 1)), "Kendall & Gal, NeurIPS 2017",
          put({"raw.bias": -15.0})),
    bug(log_of_the_models_scale, modelled(ScaleByExp, ROWS, normal(12, 1)), "log div exp", "Nix & Weigend, Estimating "
        "the mean and variance of the target probability distribution, 1994", put({"raw.bias": 100.0}),
        where=(log_of_the_models_scale, ScaleByExp)),
    bug(scale_that_can_be_zero, modelled(ScaleBySquare, ROWS, normal(12, 1)), "div log", "Nix & Weigend 1994, with a "
        "square", lambda s: (s["raw.weight"].zero_(), s["raw.bias"].zero_()), verdict="limit defect"),
    sound(gaussian_loss, modelled(lambda: Perceptron(outputs=2), ROWS, normal(12, 1)), "Nix & Weigend 1994",
          put({"head.bias": 30.0})),
    bug(dictionary_of_terms, modelled(lambda: Perceptron(outputs=2), ROWS, bits(12)), "log mul", LIGHTNING,
        lambda s: s["head.bias"].fill_(-200.0)),
    sound(dictionary_of_sound_terms, modelled(lambda: Perceptron(outputs=2), ROWS, bits(12)), LIGHTNING,
          lambda s: s["head.bias"].fill_(-200.0)),
    sound(norm_penalty, modelled(Perceptron, ROWS, classes(12, 3)), "Krogh & Hertz, A simple weight decay, 1991"),
    bug(row_norm_penalty, modelled(Perceptron, ROWS, classes(12, 3)), "sqrt", "Yuan & Lin, Group lasso, 2006: pruned "
        "rows are 0", lambda s: s["head.weight"][0].zero_(), phase="backward", verdict="defect limit"),
    bug(inverse_gain_penalty, modelled(Perceptron, ROWS, classes(12, 3)), "div", "Salimans & Kingma, Weight "
        "normalization, NeurIPS 2016", lambda s: s["head.weight"][0].zero_(), verdict="limit defect"),
    sound(elbo, modelled(Autoencoder, normal(12, 6), bits(12)), "Kingma & Welling, arXiv:1312.6114",
          scale({"decode.weight": 100.0})),
    bug(elbo_by_probabilities, modelled(Autoencoder, normal(12, 6), bits(12)), "log mul", GRIST + ": VAE",
        scale({"decode.weight": 300.0})),
    bug(cross_entropy_of_logits, modelled(NormalisedNet, ROWS, classes(12, 3)), "sqrt div", "Ba et al., Layer "
        "normalization, arXiv:1607.06450, without its epsilon",
        lambda s: (s["head.weight"].zero_(), s["head.bias"].fill_(1.0)), verdict="limit defect", where=(Normaliser,)),
    sound(cross_entropy_of_logits, modelled(LayerNormNet, ROWS, classes(12, 3)), "Ba et al., arXiv:1607.06450",
          lambda s: (s["head.weight"].zero_(), s["head.bias"].fill_(1.0))),
    bug(nll_of_probabilities_plus_eps, modelled(SoftmaxByHandNet, ROWS, classes(12, 3)), "exp div", GRIST, put(HEAD),
        where=(SoftmaxByHand,)),
    sound(cross_entropy_of_logits, modelled(Attention, normal(6, 5, 4), classes(6, 3)), "Vaswani et al., NeurIPS 2017",
          scale({"head.weight": 100.0})),
    sound(cross_entropy_of_logits, modelled(Recurrent, normal(6, 5, 3), classes(6, 3)), "Cho et al., EMNLP 2014",
          scale({"head.weight": 100.0})),
    sound(cross_entropy_of_logits, modelled(BatchNormed, ROWS, classes(12, 3)), "Ioffe & Szegedy, ICML 2015",
          lambda s: (s["head.weight"].zero_(), s["head.bias"].fill_(1.0))),
    bug(rate_of_exp, modelled(Perceptron, ROWS, counts(12)), "exp log", "PyTorch documentation, PoissonNLLLoss "
        "log_input", lambda s: s["head.bias"].fill_(100.0), verdict="limit defect"),
    sound(rate_by_library, modelled(Perceptron, ROWS, counts(12)), "PyTorch documentation, PoissonNLLLoss",
          lambda s: s["head.bias"].fill_(-100.0)),
    sound(quadratic_gradient_penalty, modelled(Perceptron, ROWS, bits(12)), "Mescheder et al., Which training methods "
          "for GANs do actually converge?, ICML 2018"),
    bug(squashed_policy, modelled(Actor, ROWS, normal(12, 1)), "log sub tanh", "Haarnoja et al., ICML 2018",
        put({"mean.bias": 15.0})),
    sound(squashed_policy_softplus, modelled(Actor, ROWS, normal(12, 1)), "PyTorch documentation, TanhTransform",
          put({"mean.bias": 15.0})),
    sound(deep_q, modelled(Perceptron, ROWS, normal(12, 1)), "Mnih et al., Human-level control, Nature 2015",
          put(HEAD)),
)  # fmt: skip
