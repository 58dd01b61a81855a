"""Sound losses that look suspicious: guards and idioms of libraries and of careful repositories."""

from __future__ import annotations

import math

import torch
import torch.distributions as D
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, classes, counts, given, modelled, normal, onehot, put, scale, sound
from benchmarks.detect.cases.grist_generative import Autoencoder

TORCH = "formula as torch computes it inside"
TENSORFLOW = "tf.nn.sigmoid_cross_entropy_with_logits, ported"
VISION = "torchvision.ops, ported"
LIBRARY = "guard as in pytorch-metric-learning and timm"
MODEL = "published code of a model, ported"


class Clip(nn.Module):
    def __init__(self):
        super().__init__()
        self.image, self.text = nn.Linear(6, 4), nn.Linear(5, 4)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, x):
        return self.image(x)


class Quantised(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = nn.Linear(6, 3), nn.Linear(3, 6)
        self.codes = nn.Parameter(torch.randn(5, 3))

    def forward(self, x):
        return self.encoder(x)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(4, 4) for _ in range(4))
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        scores = self.q(x) @ self.k(x).transpose(1, 2) / 2.0
        hidden = torch.triu(torch.ones(x.shape[1], x.shape[1]), 1).bool()
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1)
        return self.out(self.norm(x + weights @ self.v(x)))


def with_logits(logits, y):
    return torch.mean(torch.relu(logits) - logits * y + torch.log(1 + torch.exp(-torch.abs(logits))))


def shifted_cross_entropy(logits, y):
    z = logits - torch.amax(logits, 1, keepdim=True)
    return torch.mean(torch.log(torch.sum(torch.exp(z), 1)) - torch.sum(y * z, 1))


def focal(logits, y):
    p, ce = torch.sigmoid(logits), F.binary_cross_entropy_with_logits(logits, y, reduction="none")
    weight = (0.25 * y + 0.75 * (1 - y)) * (1 - (p * y + (1 - p) * (1 - y))) ** 2
    return torch.mean(weight * ce)


def clip_loss(model, batch):
    image, text = batch
    a, b = F.normalize(model(image), dim=-1), F.normalize(model.text(text), dim=-1)
    logits = model.logit_scale.clamp(max=math.log(100.0)).exp() * a @ b.T
    labels = torch.arange(len(a))
    return 0.5 * (F.cross_entropy(logits, labels) + F.cross_entropy(logits.T, labels))


def smoothed_labels(logits, y):
    logp = F.log_softmax(logits, -1)
    return torch.mean(0.9 * -logp.gather(1, y[:, None])[:, 0] - 0.1 * logp.mean(-1))


def pairwise_distances(emb, y):
    squared = torch.sum((emb[:, None] - emb) ** 2, -1)
    zero = (squared == 0).float()
    dist = torch.sqrt(squared + zero * 1e-16) * (1 - zero)
    equal = y[:, None] == y
    hardest = torch.where(equal, dist, torch.zeros_like(dist)).amax(1)
    nearest = torch.where(equal, torch.full_like(dist, 1e3), dist).amin(1)
    return torch.mean(F.softplus(hardest - nearest))


def vae_bounded(model, batch):
    x, target = batch
    mu, logvar = model.encode(x)
    logvar = logvar.clamp(-30.0, 20.0)
    kl = -0.5 * torch.sum(1 + logvar - mu**2 - torch.exp(logvar), 1)
    return torch.mean(kl) + F.mse_loss(model.dec(mu), target)


def commitment(model, batch):
    x, target = batch
    z = model(x)
    distance = torch.sum(z**2, 1, keepdim=True) - 2 * z @ model.codes.T + torch.sum(model.codes**2, 1)
    code = model.codes[distance.argmin(1)]
    straight = z + (code - z).detach()
    return F.mse_loss(model.decoder(straight), target) + F.mse_loss(code, z.detach()) + 0.25 * F.mse_loss(
        z, code.detach())  # fmt: skip


def causal_attention(model, batch):
    x, y = batch
    return F.mse_loss(model(x), y)


def counts_by_library(raw, logits, k):
    return -torch.mean(D.NegativeBinomial(F.softplus(raw) + 1e-3, logits=logits).log_prob(k))


def charbonnier(out, y):
    return torch.mean(torch.sqrt((out - y) ** 2 + 1e-6))


def log_cosh(out, y):
    d = out - y
    return torch.mean(d + F.softplus(-2.0 * d) - math.log(2.0))


def bounded_ratio(logits, action, advantage, old):
    new = F.log_softmax(logits, 1).gather(1, action[:, None])[:, 0]
    ratio = torch.exp(torch.clamp(new - old, -20.0, 20.0))
    return -torch.mean(torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage))


def structural_similarity(out, y):
    mx, my = out.mean(1), y.mean(1)
    vx, vy = out.var(1, unbiased=False), y.var(1, unbiased=False)
    both = ((out - mx[:, None]) * (y - my[:, None])).mean(1)
    top = (2 * mx * my + 1e-4) * (2 * both + 9e-4)
    return 1 - torch.mean(top / ((mx**2 + my**2 + 1e-4) * (vx + vy + 9e-4)))


def safe_root(x):
    inside = torch.where(x > 0, x, torch.ones_like(x))
    return torch.mean(torch.where(x > 0, torch.sqrt(inside), torch.zeros_like(x)) ** 2)


def tversky(logits, y):
    p = torch.sigmoid(logits).flatten(1)
    tp, fp, fn = (p * y).sum(1), (p * (1 - y)).sum(1), ((1 - p) * y).sum(1)
    return torch.mean(1 - (tp + 1.0) / (tp + 0.3 * fp + 0.7 * fn + 1.0))


def gaussian_by_library(mu, raw, y):
    return F.gaussian_nll_loss(mu, y, F.softplus(raw) + 1e-4)


def generalised_iou(raw, box):
    low, high = raw[:, :2], raw[:, :2] + F.softplus(raw[:, 2:])
    inter = torch.clamp(torch.minimum(high, box[:, 2:]) - torch.maximum(low, box[:, :2]), min=0).prod(1)
    union = (high - low).prod(1) + (box[:, 2:] - box[:, :2]).prod(1) - inter
    hull = (torch.maximum(high, box[:, 2:]) - torch.minimum(low, box[:, :2])).prod(1)
    return torch.mean(1 - inter / (union + 1e-7) + (hull - union) / (hull + 1e-7))


def mixture_of_logistics(out, y):
    log_pi, mu, log_s = F.log_softmax(out[:, :3], 1), out[:, 3:6], out[:, 6:].clamp(min=-7.0)
    z = (y - mu) * torch.exp(-log_s)
    return -torch.mean(torch.logsumexp(log_pi - z - log_s - 2 * F.softplus(-z), 1))


def pinball(out, y):
    d = y - out
    return torch.mean(torch.maximum(0.9 * d, -0.1 * d))


LOGITS = given("y", logits=normal(8, 4), y=bits(8, 4))
PAIR = given("y", out=normal(6, 8), y=normal(6, 8))
BOXES = given("box", raw=normal(6, 4), box=lambda g: torch.cat([-torch.rand(6, 2, generator=g), torch.ones(6, 2)], 1))

CASES = (
    sound(with_logits, LOGITS, TENSORFLOW, scale(logits=100.0)),
    sound(shifted_cross_entropy, given("y", logits=normal(8, 4), y=onehot(8, 4)), TORCH, scale(logits=100.0)),
    sound(focal, LOGITS, VISION, scale(logits=20.0)),
    sound(clip_loss, modelled(Clip, normal(6, 6), normal(6, 5)), MODEL, put(logit_scale=20.0)),
    sound(smoothed_labels, given("y", logits=normal(8, 4), y=classes(8, 4)), TORCH, scale(logits=100.0)),
    sound(pairwise_distances, given("y", emb=normal(8, 3), y=classes(8, 3)), LIBRARY),
    sound(vae_bounded, modelled(Autoencoder, normal(8, 6), normal(8, 6)), MODEL, scale({"sigma.weight": 100.0})),
    sound(commitment, modelled(Quantised, normal(8, 6), normal(8, 6)), MODEL),
    sound(causal_attention, modelled(Attention, normal(3, 5, 4), normal(3, 5, 4)), MODEL, scale({"q.weight": 50.0})),
    sound(counts_by_library, given("k", raw=normal(12), logits=normal(12), k=counts(12)), TORCH, put(logits=40.0)),
    sound(charbonnier, PAIR, MODEL, scale(out=1e3)),
    sound(log_cosh, PAIR, LIBRARY, scale(out=1e3)),
    sound(
        bounded_ratio,
        given(
            "action advantage old",
            logits=normal(8, 3),
            action=classes(8, 3),
            advantage=normal(8),
            old=normal(8, scale=0.3, shift=-1.2),
        ),
        MODEL,
        scale(logits=100.0),
    ),
    sound(structural_similarity, PAIR, LIBRARY),
    sound(safe_root, given(x=normal(12)), LIBRARY),
    sound(tversky, LOGITS, LIBRARY, scale(logits=100.0)),
    sound(gaussian_by_library, given("y", mu=normal(12), raw=normal(12), y=normal(12)), TORCH, put(raw=-30.0)),
    sound(generalised_iou, BOXES, VISION, put(raw=5.0)),
    sound(mixture_of_logistics, given("y", out=normal(8, 9), y=normal(8, 1)), MODEL, put(y=30.0)),
    sound(pinball, PAIR, LIBRARY, scale(out=1e3)),
)
