"""Training code as it is written in projects: steps, loss classes, several terms, masks, custom functions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import distributions as D
from torch import nn

from benchmarks.detect.case import bug, classes, counts, modelled, normal, positive, put, scale, sound
from benchmarks.detect.cases.categorical import GRIST

LIGHTNING = "PyTorch Lightning documentation, LightningModule.training_step"
ROWS = normal(16, 4)


class Classifier(nn.Module):
    """A LightningModule in all but the name."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.GELU(), nn.Dropout(0.0), nn.Linear(16, 3))

    def forward(self, x):
        return self.net(x)

    def training_step(self, batch, index):
        x, y = batch
        loss = F.cross_entropy(self(x), y)
        accuracy = (self(x).argmax(-1) == y).float().mean()
        return {"loss": loss, "accuracy": accuracy}


class ProbabilityClassifier(Classifier):
    def training_step(self, batch, index):
        x, y = batch
        probs = F.softmax(self(x), dim=-1)
        one_hot = F.one_hot(y, num_classes=3).float()
        log_probs = torch.log(probs)  # <- here
        loss = -(one_hot * log_probs).sum(dim=1).mean()  # <- here
        return {"loss": loss, "confidence": probs.max(dim=1).values.mean()}


def step_of_a_module(model, batch):
    return model.training_step(batch, 0)


class TimeSeries(nn.Module):
    """A GRU with a Gaussian head over padded sequences; missing steps are 0 in the mask."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 8, batch_first=True)
        self.head = nn.Linear(8, 2)

    def forward(self, x):
        states, _ = self.rnn(x)
        mean, raw = self.head(states).unbind(-1)
        return {"mean": mean, "log_scale": raw}


def masked_sequence_nll(model, batch):
    x, y = batch
    out = model(x)
    mask = (y != 0).float()
    inverse = torch.exp(-out["log_scale"])
    nll = 0.5 * ((y - out["mean"]) * inverse) ** 2 + out["log_scale"] + 0.5 * math.log(2 * math.pi)
    return (nll * mask).sum() / mask.sum().clamp(min=1.0)


def masked_sequence_nll_in_linear_space(model, batch):
    x, y = batch
    out = model(x)
    mask = y != 0
    scale = torch.exp(out["log_scale"])
    density = torch.exp(-0.5 * ((y - out["mean"]) / scale) ** 2) / (scale * math.sqrt(2 * math.pi))
    nll = -torch.log(density)  # <- here
    return nll[mask].mean()


class MixtureHead(nn.Module):
    def __init__(self, parts: int = 3) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 16), nn.Tanh(), nn.Linear(16, 3 * parts))

    def forward(self, x):
        weight, mean, raw = self.net(x).chunk(3, dim=-1)
        return D.MixtureSameFamily(D.Categorical(logits=weight), D.Normal(mean, F.softplus(raw) + 1e-2))


def mixture_likelihood(output, target):
    return -output.log_prob(target).mean()


class FocalLoss(nn.Module):
    """Class weights, a focusing parameter and a choice of reduction."""

    def __init__(self, gamma: float = 2.0, reduction: str = "mean") -> None:
        super().__init__()
        self.gamma, self.reduction = gamma, reduction
        self.register_buffer("alpha", torch.tensor([0.25, 0.5, 0.25]))

    def forward(self, output, target):
        log_p = F.log_softmax(output, dim=-1)
        picked = log_p.gather(1, target.unsqueeze(1)).squeeze(1)
        weight = self.alpha[target] * (1.0 - picked.exp()).clamp(min=0.0).pow(self.gamma)
        loss = -weight * picked
        return loss.mean() if self.reduction == "mean" else loss.sum()


class FocalLossOfProbabilities(FocalLoss):
    def forward(self, output, target):
        p = torch.softmax(output, dim=-1)
        picked = p.gather(1, target.unsqueeze(1)).squeeze(1)
        weight = self.alpha[target] * (1.0 - picked).pow(self.gamma)
        loss = -weight * picked.log()  # <- here
        return loss.mean()


class ActorCritic(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 16)
        self.actor, self.critic = nn.Linear(16, 3), nn.Linear(16, 1)

    def forward(self, x):
        hidden = torch.tanh(self.body(x))
        return self.actor(hidden), self.critic(hidden).squeeze(-1)


def actor_critic_terms(model, batch):
    state, (action, reward) = batch[0], (batch[1].long() % 3, batch[1])
    logits, value = model(state)
    policy = D.Categorical(logits=logits)
    advantage = (reward - value).detach()
    policy_loss = -(policy.log_prob(action) * advantage).mean()
    value_loss = F.smooth_l1_loss(value, reward)
    return policy_loss + 0.5 * value_loss - 0.01 * policy.entropy().mean()


def actor_critic_by_probabilities(model, batch):
    state, (action, reward) = batch[0], (batch[1].long() % 3, batch[1])
    logits, value = model(state)
    probs = torch.softmax(logits, dim=-1)
    advantage = (reward - value).detach()
    chosen = probs[torch.arange(len(action)), action]
    policy_loss = -(torch.log(chosen) * advantage).mean()  # <- here
    entropy = -(probs * torch.log(probs)).sum(-1).mean()  # <- here
    return policy_loss + 0.5 * F.mse_loss(value, reward) - 0.01 * entropy


class CrossEntropyWithGradient(torch.autograd.Function):
    """A custom function whose backward is written out."""

    @staticmethod
    def forward(ctx, logits, target):
        ctx.save_for_backward(logits, target)
        return F.cross_entropy(logits, target)

    @staticmethod
    def backward(ctx, grad):
        logits, target = ctx.saved_tensors
        one_hot = F.one_hot(target, logits.shape[-1]).to(logits)
        return grad * (torch.softmax(logits, -1) - one_hot) / len(target), None


def custom_function(output, target):
    return CrossEntropyWithGradient.apply(output, target)


class Siamese(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))

    def forward(self, x):
        return F.normalize(self.embed(x), dim=-1)


def batch_contrast(output, target):
    similarity = output @ output.t() / 0.07
    others = ~torch.eye(len(output), dtype=torch.bool)
    same = (target[:, None] == target[None, :]) & others
    log_p = similarity - torch.logsumexp(similarity.masked_fill(~others, float("-inf")), dim=1, keepdim=True)
    per_row = (log_p * same).sum(1) / same.sum(1).clamp(min=1)
    return -per_row[same.any(1)].mean()


class Survival(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))

    def forward(self, x):
        return self.net(x).squeeze(-1)


def partial_likelihood_by_exp(output, target):
    order = torch.argsort(target, descending=True)
    hazard = torch.exp(output[order])  # <- here
    at_risk = torch.log(hazard.cumsum(0))  # <- here
    return -(output[order] - at_risk).mean()


def partial_likelihood(output, target):
    order = torch.argsort(target, descending=True)
    return -(output[order] - torch.logcumsumexp(output[order], 0)).mean()


class NegativeBinomialHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Linear(4, 2)

    def forward(self, x):
        raw = self.net(x)
        return F.softplus(raw[:, 0]) + 1e-3, F.softplus(raw[:, 1]) + 1e-3


def negative_binomial_of_mean_and_shape(mean, shape, target):
    log_sum = torch.log(mean + shape)
    return -(
        torch.lgamma(target + shape)
        - torch.lgamma(shape)
        - torch.lgamma(target + 1)
        + shape * (torch.log(shape) - log_sum)
        + target * (torch.log(mean) - log_sum)
    ).mean()


def in_place_clipping(output, target):
    residual = output[:, 0] - target
    residual = residual.clone()
    residual[residual.abs() > 3] *= 0.1
    return residual.pow(2).mean()


def regularised_by_entropy_of_mean(output, target):
    p = torch.softmax(output, dim=-1)
    mean = p.mean(0)
    balance = (mean * torch.log(mean * 3)).sum()  # <- here
    return F.cross_entropy(output, target) + balance


def evidential_regression(model, batch):
    x, y = batch
    gamma, raw = model(x)[:, 0], model(x)[:, 1:]
    nu, alpha = F.softplus(raw[:, 0]) + 1e-3, F.softplus(raw[:, 1]) + 1.001
    beta = nu.detach() * 0 + 1.0
    omega = 2 * beta * (1 + nu)
    nll = (
        0.5 * torch.log(math.pi / nu)
        - alpha * torch.log(omega)
        + (alpha + 0.5) * torch.log(nu * (y - gamma) ** 2 + omega)
        + torch.lgamma(alpha)
        - torch.lgamma(alpha + 0.5)
    )
    return nll.mean()


focal, focal_of_probabilities = FocalLoss(), FocalLossOfProbabilities()
HOT = {"net.3.bias": 200.0}
SERIES = lambda g: torch.randn(4, 6, generator=g) * (torch.arange(6) < torch.tensor([[6], [4], [2], [5]]))  # noqa: E731


def linear() -> nn.Module:
    return nn.Linear(4, 3)


CASES = (
    sound(step_of_a_module, modelled(Classifier, ROWS, classes(16, 3)), LIGHTNING, put(HOT)),
    bug(step_of_a_module, modelled(ProbabilityClassifier, ROWS, classes(16, 3)), "log mul", LIGHTNING + "; " + GRIST,
        put(HOT), where=(ProbabilityClassifier,)),
    sound(masked_sequence_nll, modelled(TimeSeries, normal(4, 6, 3), SERIES), "Salinas et al., DeepAR, 2020",
          lambda s: s["head.bias"].fill_(10.0)),
    bug(masked_sequence_nll_in_linear_space, modelled(TimeSeries, normal(4, 6, 3), SERIES), "log exp",
        "Salinas et al., DeepAR, 2020, in linear space", lambda s: s["head.bias"].fill_(-4.0)),
    sound(mixture_likelihood, modelled(MixtureHead, ROWS, normal(16)), "Bishop 1994; PyTorch documentation, "
          "MixtureSameFamily", scale({"net.2.weight": 20.0})),
    sound(focal, modelled(linear, ROWS, classes(16, 3)), "Lin et al., ICCV 2017", scale({"weight": 100.0})),
    bug(focal_of_probabilities, modelled(linear, ROWS, classes(16, 3)), "log mul", "Lin et al., ICCV 2017; "
        "github.com/mkocabas/focal-loss-keras issue 17", scale({"weight": 300.0}), where=(FocalLossOfProbabilities,)),
    sound(actor_critic_terms, modelled(ActorCritic, ROWS, counts(16)), "Mnih et al., ICML 2016",
          scale({"actor.weight": 100.0})),
    bug(actor_critic_by_probabilities, modelled(ActorCritic, ROWS, counts(16)), "log mul", "Mnih et al., ICML 2016; "
        + GRIST, scale({"actor.weight": 1000.0})),
    sound(custom_function, modelled(linear, ROWS, classes(16, 3)), "PyTorch documentation, torch.autograd.Function",
          scale({"weight": 100.0})),
    sound(batch_contrast, modelled(Siamese, ROWS, classes(16, 3)), "Khosla et al., NeurIPS 2020"),
    bug(partial_likelihood_by_exp, modelled(Survival, ROWS, positive(16)), "exp log cumsum", "Katzman et al. 2018",
        lambda s: s["net.2.bias"].fill_(120.0)),
    sound(partial_likelihood, modelled(Survival, ROWS, positive(16)), "Cox 1972; PyTorch documentation, logcumsumexp",
          lambda s: s["net.2.bias"].fill_(120.0)),
    sound(negative_binomial_of_mean_and_shape, modelled(NegativeBinomialHead, ROWS, counts(16)), "Salinas et al., "
          "DeepAR, 2020", lambda s: s["net.bias"].fill_(-20.0)),
    sound(in_place_clipping, modelled(linear, ROWS, normal(16)), "PyTorch documentation, in-place operations",
          scale({"weight": 20.0})),
    bug(regularised_by_entropy_of_mean, modelled(linear, ROWS, classes(16, 3)), "log mul", "Hu et al., Learning "
        "discrete representations via information maximizing self-augmented training, ICML 2017",
        lambda s: s["bias"][0].fill_(-300.0)),
    sound(evidential_regression, modelled(linear, ROWS, normal(16)), "Amini et al., Deep evidential regression, "
          "NeurIPS 2020", lambda s: s["bias"].fill_(-15.0)),
)  # fmt: skip
