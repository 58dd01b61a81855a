"""Rarer densities written out by hand, each with a defect and as it reads once that is put right."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, counts, fill, given, modelled, normal, scale, sound, unit

SPECIES = "presence of a species by a complementary log-log link (McCullagh & Nelder 1989)"
ZEROS = "zero-inflated Poisson counts (Lambert 1992), the mixture in linear space"
HEADING = "von Mises density of headings, its normaliser by a Bessel function"
SKEWED = "skew normal density (Azzalini 1985)"
PRODUCT = "likelihood of a set of independent bits as a product of probabilities"
RATING = "ordered probit of ratings, intervals of the normal distribution"
LOGISTIC = "discretised logistic of pixel values (PixelCNN++, Salimans et al. 2017)"
KUMARASWAMY = "Kumaraswamy density of fractions, shapes by exp"
PAIRED = "Bradley-Terry strengths as exponentials"
HALF_LOG = 0.5 * math.log(2 * math.pi)


class Net(nn.Module):
    outputs = 1

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, self.outputs))

    def forward(self, x):
        return self.net(x).squeeze(-1)


class Pair(Net):
    outputs = 2


def species(z, seen):
    p = 1 - torch.exp(-torch.exp(z))
    return -torch.where(seen > 0, torch.log(p), -torch.exp(z)).mean()  # <- here


def species_expm1(z, seen):
    rate = torch.exp(z.clamp(-30.0, 30.0))
    return -(seen * torch.log(-torch.expm1(-rate)) - (1 - seen) * rate).mean()


def zeros(output, n):
    share, rate = torch.sigmoid(output[:, 0]), F.softplus(output[:, 1]) + 1e-3
    poisson = torch.exp(n * torch.log(rate) - rate - torch.lgamma(n + 1))
    p = torch.where(n == 0, share + (1 - share) * poisson, (1 - share) * poisson)
    return -torch.log(p).mean()  # <- here


def zeros_logs(output, n):
    z, rate = output[:, 0], F.softplus(output[:, 1]) + 1e-3
    poisson = n * torch.log(rate) - rate - torch.lgamma(n + 1) + F.logsigmoid(-z)
    return -torch.where(n == 0, torch.logaddexp(F.logsigmoid(z), poisson), poisson).mean()


def heading(output, angle):
    mean, kappa = output[:, 0], F.softplus(output[:, 1])
    bessel = torch.special.i0(kappa)  # <- here
    return (torch.log(2 * math.pi * bessel) - kappa * torch.cos(angle - mean)).mean()


def heading_scaled(output, angle):
    mean, kappa = output[:, 0], F.softplus(output[:, 1])
    norm = math.log(2 * math.pi) + torch.log(torch.special.i0e(kappa)) + kappa
    return (norm - kappa * torch.cos(angle - mean)).mean()


def skewed(output, y, slant=3.0):
    z = y - output
    return (0.5 * z**2 + HALF_LOG - torch.log(2 * torch.special.ndtr(slant * z))).mean()  # <- here


def skewed_logs(output, y, slant=3.0):
    z = y - output
    return (0.5 * z**2 + HALF_LOG - math.log(2) - torch.special.log_ndtr(slant * z)).mean()


def product(output, y):
    p = torch.sigmoid(output)
    return -torch.log(torch.prod(y * p + (1 - y) * (1 - p), dim=1)).mean()  # <- here


def product_of_logs(output, y):
    return -(y * F.logsigmoid(output) + (1 - y) * F.logsigmoid(-output)).sum(1).mean()


def rating(z, stars):
    cuts = torch.tensor([-9e3, -1.0, 0.0, 1.0, 9e3]).to(z)
    cdf = 0.5 * (1 + torch.erf((cuts - z[:, None]) / math.sqrt(2)))
    return -torch.log(cdf.gather(1, stars + 1) - cdf.gather(1, stars)).mean()  # <- here


def rating_floored(z, stars):
    cuts = torch.tensor([-9e3, -1.0, 0.0, 1.0, 9e3]).to(z)
    cdf = 0.5 * (1 + torch.erf((cuts - z[:, None]) / math.sqrt(2)))
    return -torch.log((cdf.gather(1, stars + 1) - cdf.gather(1, stars)).clamp(min=1e-6)).mean()


def logistic(mean, log_scale, x, floor=torch.abs):
    log_scale = log_scale.clamp(min=-7.0)
    inverse = torch.exp(-log_scale)
    mid = inverse * (x - mean)
    delta = torch.sigmoid(mid + inverse / 255) - torch.sigmoid(mid - inverse / 255)
    density = mid - log_scale - 2 * F.softplus(mid) - math.log(127.5)
    return -torch.where(delta > 1e-5, torch.log(floor(delta)), density).mean()  # <- here


def logistic_held(mean, log_scale, x):
    return logistic(mean, log_scale, x, lambda delta: delta.clamp(min=1e-12))


def kumaraswamy(output, x):
    a, b = torch.exp(output[:, 0]), torch.exp(output[:, 1])
    log_pdf = output.sum(1) + (a - 1) * torch.log(x) + (b - 1) * torch.log(1 - x**a)  # <- here
    return -log_pdf.mean()


def kumaraswamy_expm1(output, x):
    a, b = F.softplus(output[:, 0]) + 0.05, F.softplus(output[:, 1]) + 0.05
    rest = torch.log(-torch.expm1(a * torch.log(x)))
    return -(torch.log(a * b) + (a - 1) * torch.log(x) + (b - 1) * rest).mean()


def paired(strength, games):
    win, lose = torch.exp(strength[games[:, 0]]), torch.exp(strength[games[:, 1]])  # <- here
    return -torch.log(win / (win + lose)).mean()  # <- here


def paired_logs(strength, games):
    return F.softplus(strength[games[:, 1]] - strength[games[:, 0]]).mean()


def stars(g):
    return torch.randint(4, (10, 1), generator=g)


PIXELS = given(mean=normal(10, scale=0.3), log_scale=normal(10, shift=-1.0), x=normal(10, scale=0.4), target="x")
GAMES = given(strength=normal(6), games=lambda g: torch.randint(6, (10, 2), generator=g), target="games")
PLACES = modelled(Net, normal(10, 4), bits(10))
VISITS = modelled(Pair, normal(10, 4), counts(10, mean=1.0))
ANGLES = modelled(Pair, normal(10, 4), normal(10))
SHARES = modelled(Pair, normal(10, 4), unit(10))
SKEW = modelled(Net, normal(10, 4), normal(10))
BITS = given(output=normal(6, 12), y=bits(6, 12), target="y")
STARS = modelled(Net, normal(10, 4), stars)
LAST = "net.2.weight"


def _apart(state):
    state["strength"].copy_(torch.arange(6.0) * 50 - 120)


CASES = (
    bug(species, PLACES, "log", SPECIES, fill({LAST: 0.0, "net.2.bias": -20.0})),
    sound(species_expm1, PLACES, SPECIES, fill({LAST: 0.0, "net.2.bias": -20.0})),
    bug(zeros, VISITS, "log", ZEROS, fill({LAST: 0.0, "net.2.bias": 30.0})),
    sound(zeros_logs, VISITS, ZEROS, fill({LAST: 0.0, "net.2.bias": 30.0})),
    bug(heading, ANGLES, "i0 special_i0", HEADING, fill({LAST: 0.0, "net.2.bias": 120.0})),
    sound(heading_scaled, ANGLES, HEADING, fill({LAST: 0.0, "net.2.bias": 20.0})),
    bug(skewed, SKEW, "log", SKEWED, fill({"net.2.bias": 9.0})),
    sound(skewed_logs, SKEW, SKEWED, fill({"net.2.bias": 9.0})),
    bug(product, BITS, "log", PRODUCT, scale(output=200.0)),
    sound(product_of_logs, BITS, PRODUCT, scale(output=20.0)),
    bug(rating, STARS, "log", RATING, fill({"net.2.bias": 12.0})),
    sound(rating_floored, STARS, RATING),
    bug(logistic, PIXELS, "log", LOGISTIC, fill(mean=30.0), phase="backward"),
    sound(logistic_held, PIXELS, LOGISTIC, fill(mean=30.0)),
    bug(kumaraswamy, SHARES, "log", KUMARASWAMY, fill({LAST: 0.0, "net.2.bias": -20.0})),
    sound(kumaraswamy_expm1, SHARES, KUMARASWAMY, fill({LAST: 0.0, "net.2.bias": -20.0})),
    bug(paired, GAMES, "exp log div", PAIRED, _apart),
    sound(paired_logs, GAMES, PAIRED, _apart),
)
