"""Zero counts, empty selections, temperatures, singular matrices, relative errors: defects beside sound ones
of the same looks, written before the tool was run on any of them."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bug, classes, fill, given, modelled, normal, put, simplex, sound

NEGATIVE = "negative binomial deviance: Hilbe, Negative binomial regression, 2011"
BINOMIAL = "binomial deviance: McCullagh and Nelder, Generalized linear models, 1989"
HINGE = "the mean over the violators of a margin: Cortes and Vapnik 1995"
TRIPLET = "triplets averaged over those that still cost: Hermans et al. 2017"
PSEUDO = "pseudo labels of the confident: Sohn et al., FixMatch, 2020"
SCALED = "temperature scaling: Guo et al. 2017"
MAHALANOBIS = "distances by the inverse covariance: Lee et al. 2018"
HISTOGRAM = "soft histograms compared by their divergence: Ustinova and Lempitsky 2016"
PERCENTAGE = "mean absolute percentage error: Hyndman and Koehler 2006"
EXPLAINED = "unexplained share of the variance of each series"
TRUNCATED = "zero-truncated Poisson likelihood: Cameron and Trivedi 2013"
RATINGS = "ratings of 1 to 5 compared in logs"
GAMMA = "gamma deviance of whole days: McCullagh and Nelder 1989"
RATE = "coding rate: Yu et al., MCR2, 2020, eq. 6"


def negative_deviance(raw, y):
    mean = F.softplus(raw) + 1e-2
    return 2 * (y * torch.log(y / mean) - (y + 2) * torch.log((y + 2) / (mean + 2))).mean()  # <- here


def negative_deviance_by_xlogy(raw, y):
    mean = F.softplus(raw) + 1e-2
    return 2 * (torch.xlogy(y, y) - y * torch.log(mean) - (y + 2) * torch.log((y + 2) / (mean + 2))).mean()


def binomial_deviance(raw, k):
    p = 0.98 * torch.sigmoid(raw) + 0.01
    hit = k * torch.log(k / (10 * p))  # <- here
    miss = (10 - k) * torch.log((10 - k) / (10 * (1 - p)))  # <- here
    return 2 * (hit + miss).mean()


def binomial_deviance_by_xlogy(raw, k):
    p = 0.98 * torch.sigmoid(raw) + 0.01
    own = torch.xlogy(k, k / 10) + torch.xlogy(10 - k, (10 - k) / 10)
    return 2 * (own - k * torch.log(p) - (10 - k) * torch.log1p(-p)).mean()


def violators_only(score, side):
    gap = 1 - side * score
    return gap[gap > 0].mean()  # <- here


def violators_of_all(score, side):
    return (1 - side * score).clamp(min=0).mean()


def costly_triplets(anchor, near, far):
    cost = F.relu((anchor - near).square().sum(1) - (anchor - far).square().sum(1) + 0.5)
    return cost.sum() / (cost > 0).sum()  # <- here


def costly_triplets_floored(anchor, near, far):
    cost = F.relu((anchor - near).square().sum(1) - (anchor - far).square().sum(1) + 0.5)
    return cost.sum() / (cost > 0).sum().clamp(min=1)


def confident_only(weak, strong):
    sure, guess = torch.softmax(weak, -1).max(-1)
    keep = (sure > 0.6).float()
    return (F.cross_entropy(strong, guess, reduction="none") * keep).sum() / keep.sum()  # <- here


def confident_of_all(weak, strong):
    sure, guess = torch.softmax(weak, -1).max(-1)
    keep = (sure > 0.6).float()
    return (F.cross_entropy(strong, guess, reduction="none") * keep).mean()


class Tempered(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.temperature = nn.Parameter(torch.tensor(1.5))

    def forward(self, x):
        return self.head(x) / self.temperature  # <- here


class TemperedByExp(nn.Module):
    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)
        self.sharpness = nn.Parameter(torch.tensor(0.4))

    def forward(self, x):
        return self.head(x) * torch.exp(self.sharpness.clamp(-5.0, 5.0))


def tempered(output, target):
    return F.cross_entropy(output, target)


def tempered_by_exp(output, target):
    return F.cross_entropy(output, target)


def by_inverse_covariance(features, centre):
    away = features - centre
    precision = torch.inverse(away.T @ away / len(away))  # <- here
    return torch.einsum("ni,ij,nj->n", away, precision, away).clamp(max=20).mean()


def by_ridged_covariance(features, centre):
    away = features - centre
    precision = torch.inverse(away.T @ away / len(away) + 0.1 * torch.eye(3))
    return torch.einsum("ni,ij,nj->n", away, precision, away).clamp(max=20).mean()


def _soft_histogram(x):
    bins = torch.linspace(-3, 3, 7)
    return F.relu(1 - (x[:, None] - bins).abs()).sum(0)


def histogram_divergence(x, share):
    height = _soft_histogram(x)
    return -(share * torch.log(height / height.sum())).sum()  # <- here


def histogram_divergence_smoothed(x, share):
    height = _soft_histogram(x) + 0.1
    return -(share * torch.log(height / height.sum())).sum()


def percentage_error(predicted, y):
    return ((predicted - y).abs() / y.abs()).mean()  # <- here


def percentage_error_floored(predicted, y):
    return ((predicted - y).abs() / (y.abs() + 1)).mean()


def unexplained(predicted, series):
    away = (series - series.mean(1, keepdim=True)).square().sum(1)
    return ((predicted - series).square().sum(1) / away).mean()  # <- here


def unexplained_floored(predicted, series):
    away = (series - series.mean(1, keepdim=True)).square().sum(1)
    return ((predicted - series).square().sum(1) / (away + 1e-2)).mean()


def nll_of_positive_counts(raw, y):
    rate = F.softplus(raw) + 1e-2
    return -(y * torch.log(rate) - rate - torch.log(-torch.expm1(-rate)) - torch.lgamma(y + 1)).mean()


def ratings_in_logs(predicted, rating):
    return (torch.log(rating) - predicted).square().mean()


def gamma_deviance_of_days(raw, days):
    mean = F.softplus(raw) + 0.1
    return 2 * (torch.log(mean) - torch.log(days) + days / mean - 1).mean()


def coding_rate(features, label):
    per_class = F.one_hot(label, 3).float()
    whole = torch.logdet(torch.eye(4) + features.T @ features)
    parts = sum(torch.logdet(torch.eye(4) + (features * per_class[:, k : k + 1]).T @ features) for k in range(3))
    return parts / 3 - whole


def _sure(state):
    state["score"].copy_(50 * state["side"])


def _settled(state):
    state["near"].copy_(state["anchor"])
    state["far"].copy_(state["anchor"] + 30)


def _flat_series(state):
    state["series"][0] = 0.5


def _dead_feature(state):
    state["features"][:, 0] = 0.0
    state["centre"][0] = 0.0


COUNTS = given("y", raw=normal(12), y=lambda g: torch.poisson(torch.full((12,), 3.0), generator=g) + 1)
TRIALS = given("k", raw=normal(12), k=lambda g: torch.randint(1, 10, (12,), generator=g).float())
SIDES = given("side", score=normal(10), side=lambda g: 2.0 * torch.randint(0, 2, (10,), generator=g) - 1)
TRIPLETS = given(anchor=normal(8, 4, scale=0.5), near=normal(8, 4, scale=0.5), far=normal(8, 4, scale=0.5))
VIEWS = given(weak=normal(8, 4), strong=normal(8, 4))
FEATURES = given(features=normal(12, 3), centre=normal(3, scale=0.2))
VALUES = given("share", x=normal(60, scale=1.8), share=simplex(7))
FORECAST = given("y", predicted=normal(12), y=normal(12))
SERIES = given("series", predicted=normal(6, 8), series=normal(6, 8))
LIMIT = "limit defect"

CASES = (
    bug(negative_deviance, COUNTS, "log mul", NEGATIVE, put(y=0.0)),
    sound(negative_deviance_by_xlogy, COUNTS, NEGATIVE, put(y=0.0)),
    bug(binomial_deviance, TRIALS, "log mul", BINOMIAL, put(k=0.0)),
    sound(binomial_deviance_by_xlogy, TRIALS, BINOMIAL, put(k=0.0)),
    bug(violators_only, SIDES, "mean", HINGE, _sure, verdict=LIMIT),
    sound(violators_of_all, SIDES, HINGE, _sure),
    bug(costly_triplets, TRIPLETS, "div", TRIPLET, _settled, verdict=LIMIT),
    sound(costly_triplets_floored, TRIPLETS, TRIPLET, _settled),
    bug(confident_only, VIEWS, "div", PSEUDO, fill(weak=0.0), verdict=LIMIT),
    sound(confident_of_all, VIEWS, PSEUDO, fill(weak=0.0)),
    bug(
        tempered,
        modelled(Tempered, normal(8, 4), classes(8, 3)),
        "div",
        SCALED,
        fill(temperature=0.0),
        verdict=LIMIT,
        where=(Tempered,),
    ),
    sound(tempered_by_exp, modelled(TemperedByExp, normal(8, 4), classes(8, 3)), SCALED, fill(sharpness=-60.0)),
    bug(
        by_inverse_covariance,
        FEATURES,
        "solve linalg_inv_ex",
        MAHALANOBIS,
        _dead_feature,
        kind="nan inf raises",
        verdict=LIMIT,
    ),
    sound(by_ridged_covariance, FEATURES, MAHALANOBIS, _dead_feature),
    bug(histogram_divergence, VALUES, "div log mul", HISTOGRAM, fill(x=0.0), verdict=LIMIT),
    sound(histogram_divergence_smoothed, VALUES, HISTOGRAM, fill(x=40.0)),
    bug(percentage_error, FORECAST, "div", PERCENTAGE, put(y=0.0), verdict=LIMIT),
    sound(percentage_error_floored, FORECAST, PERCENTAGE, fill(y=0.0)),
    bug(unexplained, SERIES, "div", EXPLAINED, _flat_series, verdict=LIMIT),
    sound(unexplained_floored, SERIES, EXPLAINED, _flat_series),
    sound(nll_of_positive_counts, COUNTS, TRUNCATED, fill(raw=-30.0)),
    sound(
        ratings_in_logs,
        given("rating", predicted=normal(12), rating=lambda g: torch.randint(1, 6, (12,), generator=g).float()),
        RATINGS,
        fill(predicted=50.0),
    ),
    sound(
        gamma_deviance_of_days,
        given("days", raw=normal(12), days=lambda g: torch.randint(1, 30, (12,), generator=g).float()),
        GAMMA,
        fill(raw=-30.0),
    ),
    sound(coding_rate, given("label", features=normal(12, 4), label=classes(12, 3)), RATE, fill(features=0.0)),
)
