"""Programs whose data are images."""

from __future__ import annotations

import itertools
import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.programs.program import Program


class Digits(nn.Module):
    """The convolutional network of pytorch/examples/mnist."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)
        self.dropped, self.hidden, self.out = nn.Dropout(0.25), nn.Linear(9216, 128), nn.Linear(128, 10)

    def scores(self, x):
        x = F.max_pool2d(F.relu(self.second(F.relu(self.first(x)))), 2)
        return self.out(F.relu(self.hidden(torch.flatten(self.dropped(x), 1))))

    def forward(self, x):
        return F.log_softmax(self.scores(x), dim=1)


class Probabilities(Digits):
    """The same with a softmax at its end."""

    def forward(self, x):
        return F.softmax(self.scores(x), dim=1)


def by_hand(probs, y):
    return -torch.log(probs[torch.arange(len(y)), y]).mean()  # <- here


def discriminator():
    """Of DCGAN, for images of 64 x 64."""
    wide = (3, 64, 128, 256, 512)
    layers: list[nn.Module] = []
    for k, (given, made) in enumerate(itertools.pairwise(wide)):
        norm = [nn.BatchNorm2d(made)] if k else []
        layers += [nn.Conv2d(given, made, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2, inplace=True)]
    return nn.Sequential(*layers, nn.Conv2d(512, 1, 4, bias=False), nn.Sigmoid(), nn.Flatten(0))


def real_or_made(model, batch):
    real, made = batch
    ones, zeros = torch.ones(len(real)), torch.zeros(len(made))
    return F.binary_cross_entropy(model(real), ones) + F.binary_cross_entropy(model(made), zeros)


class Weighed(nn.Module):
    """The autoencoder of Burda et al. (2016) with one stochastic layer of 50."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(784, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
        self.mean, self.raw = nn.Linear(200, 50), nn.Linear(200, 50)
        hidden = (nn.Linear(50, 200), nn.Tanh(), nn.Linear(200, 200), nn.Tanh())
        self.decoder = nn.Sequential(*hidden, nn.Linear(200, 784))


def weighed_bound(model, batch, draws=5):
    x, _ = batch
    hidden = model.encoder(x)
    mean, raw = model.mean(hidden), model.raw(hidden).clamp(-10, 10)
    noise = torch.randn(draws, *mean.shape)
    logits = model.decoder(z := mean + torch.exp(0.5 * raw) * noise)
    given = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
    weight = given - 0.5 * (z**2 - noise**2 - raw).sum(-1)
    return -(torch.logsumexp(weight, 0) - math.log(draws)).mean()


class Factors(nn.Module):
    """A convolutional autoencoder for shapes of 32 x 32 and ten factors."""

    def __init__(self, factors: int = 10) -> None:
        super().__init__()
        down, up = ([layer for given, made in sizes for layer in (kind(given, made, 4, 2, 1), nn.ReLU())]
                    for kind, sizes in ((nn.Conv2d, ((1, 32), (32, 32), (32, 32))),
                                        (nn.ConvTranspose2d, ((32, 32), (32, 32), (32, 1)))))  # fmt: skip
        ends = nn.Linear(512, 128), nn.ReLU(), nn.Linear(128, 2 * factors)
        self.encoder = nn.Sequential(*down, nn.Flatten(), *ends)
        starts = nn.Linear(factors, 128), nn.ReLU(), nn.Linear(128, 512), nn.ReLU(), nn.Unflatten(1, (32, 4, 4))
        self.decoder = nn.Sequential(*starts, *up[:-1])


def log_normal(z, mean, raw):
    return -0.5 * (math.log(2 * math.pi) + raw + (z - mean) ** 2 / torch.exp(raw))  # <- here


def total_correlation(model, batch, samples=50000, weight=6.0):
    x, _ = batch
    mean, raw = model.encoder(x).chunk(2, -1)
    z = mean + torch.exp(0.5 * raw) * torch.randn_like(mean)
    given = F.binary_cross_entropy_with_logits(model.decoder(z), x, reduction="sum") / len(x)
    pairs, known = log_normal(z[:, None], mean, raw), math.log(len(x) * samples)
    joint = torch.logsumexp(pairs.sum(2), 1) - known
    apart = (torch.logsumexp(pairs, 1) - known).sum(1)
    own, prior = log_normal(z, mean, raw).sum(1), -0.5 * (z**2 + math.log(2 * math.pi)).sum(1)
    return given + (own - joint + weight * (joint - apart) + apart - prior).mean()


def views():
    """SimCLR's encoder, a small one, with its projection head."""
    layers = []
    for given, made in ((3, 16), (16, 64)):
        layers += [nn.Conv2d(given, made, 3, 2, 1), nn.BatchNorm2d(made), nn.ReLU()]
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 128))
    return nn.Sequential(*layers, *head)


def contrast(model, batch):
    ones = F.normalize(torch.cat([model(view) for view in batch]), dim=1)
    count = len(batch[0])
    same = torch.eye(2 * count, dtype=torch.bool)
    scores = (ones @ ones.T).masked_fill(same, -math.inf) / 0.07
    return F.cross_entropy(scores, torch.arange(2 * count).roll(count))


def pixels():
    """One masked layer of PixelCNN++ would do as well: what matters is the 100 channels that the loss reads."""
    return nn.Sequential(nn.Conv2d(3, 64, 5, padding=2), nn.ELU(), nn.Conv2d(64, 100, 1))


def log_sum_exp(x):
    top = x.max(-1, keepdim=True)[0]
    return top[..., 0] + torch.log(torch.exp(x - top).sum(-1))


def mixed_logistics(out, y):
    """(N, 100, H, W) and images in [-1, 1]: ten logistics a pixel, cut into 256 levels (Salimans et al. 2017)."""
    share, rest = out[:, :10], out[:, 10:].unflatten(1, (9, 10))
    scale = rest[:, 3:6].clamp(min=-7.0)
    tied = torch.tanh(rest[:, 6:])
    red, green = y[:, :1], y[:, 1:2]
    blue = rest[:, 2] + tied[:, 1] * red + tied[:, 2] * green
    gap = y[:, :, None] - torch.stack([rest[:, 0], rest[:, 1] + tied[:, 0] * red, blue], 1)
    above, below = (torch.exp(-scale) * (gap + side / 255) for side in (1, -1))
    middle = torch.exp(-scale) * gap
    inside = torch.sigmoid(above) - torch.sigmoid(below)
    steep = middle - scale - 2 * F.softplus(middle) - math.log(127.5)
    each = torch.where(inside > 1e-5, torch.log(inside.clamp(min=1e-12)), steep)
    low, high = above - F.softplus(above), -F.softplus(below)
    each = torch.where(y[:, :, None] < -0.999, low, torch.where(y[:, :, None] > 0.999, high, each))
    return -log_sum_exp((each.sum(1) + F.log_softmax(share, 1)).movedim(1, -1)).sum()


def _digits():
    return torch.rand(64, 1, 28, 28), torch.randint(0, 10, (64,))


def _pairs(*size):
    return torch.rand(size) * 2 - 1, torch.rand(size) * 2 - 1


def _image():
    x = torch.randint(0, 256, (4, 3, 32, 32)) / 127.5 - 1
    return x, x


PROGRAMS = (
    Program("mnist", "pytorch/examples mnist", F.nll_loss, lambda: (Digits(), _digits())),
    Program("mnist_by_hand", "the same, log of the softmax's output", by_hand, lambda: (Probabilities(), _digits())),
    Program("dcgan", "pytorch/examples dcgan", real_or_made, lambda: (discriminator(), _pairs(16, 3, 64, 64))),
    Program("iwae", "Burda et al. 2016, arXiv:1509.00519", weighed_bound,
            lambda: (Weighed(), ((torch.rand(20, 784) < 0.2).float(), torch.zeros(20)))),
    Program("correlation", "Chen et al. 2018, arXiv:1802.04942", total_correlation,
            lambda: (Factors(), (torch.rand(64, 1, 32, 32).round(), torch.zeros(64)))),
    Program("simclr", "Chen et al. 2020, arXiv:2002.05709", contrast, lambda: (views(), _pairs(32, 3, 32, 32))),
    Program("pixelcnn", "Salimans et al. 2017, arXiv:1701.05517", mixed_logistics, lambda: (pixels(), _image())),
)  # fmt: skip
