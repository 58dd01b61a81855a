"""Everything of the library at ordinary parameters: each `log_prob` of torch.distributions, each loss of torch.nn.

Nothing here is to be reported, but for three densities that fail a few steps outside (`UNSTABLE`).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torch import distributions as D

from benchmarks.detect.case import (
    Case,
    Change,
    Spec,
    bits,
    bug,
    classes,
    counts,
    fixed,
    given,
    normal,
    onehot,
    positive,
    put,
    simplex,
    sound,
    unit,
)


def _circle(g: torch.Generator) -> Tensor:
    return torch.randn(10, generator=g).clamp(-3, 3)


def _pareto(g: torch.Generator) -> Tensor:
    return 3.0 + torch.rand(10, generator=g)


def _lower(g: torch.Generator) -> Tensor:
    return torch.tril(0.3 * torch.randn(3, 3, generator=g), -1) + torch.diag(0.5 + torch.rand(3, generator=g))


def _correlation(g: torch.Generator) -> Tensor:
    rows = _lower(g)
    return rows / rows.norm(dim=1, keepdim=True)


MU, SCALE, REAL = normal(10), positive(10), normal(10)

# distribution -> (its parameters, what it is a density of)
DISTRIBUTIONS: dict[type[D.Distribution], tuple[dict[str, Spec], Spec]] = {
    D.Bernoulli: ({"logits": MU}, bits(10)),
    D.Beta: ({"concentration1": SCALE, "concentration0": SCALE}, unit(10)),
    D.Binomial: ({"total_count": fixed(12.0), "logits": MU}, counts(10)),
    D.Categorical: ({"logits": normal(10, 5)}, classes(10, 5)),
    D.Cauchy: ({"loc": MU, "scale": SCALE}, REAL),
    D.Chi2: ({"df": SCALE}, SCALE),
    D.ContinuousBernoulli: ({"logits": MU}, unit(10)),
    D.Dirichlet: ({"concentration": positive(10, 4)}, simplex(10, 4)),
    D.Exponential: ({"rate": SCALE}, SCALE),
    D.FisherSnedecor: ({"df1": positive(10, around=4.0), "df2": positive(10, around=4.0)}, SCALE),
    D.Gamma: ({"concentration": SCALE, "rate": SCALE}, SCALE),
    D.Geometric: ({"logits": MU}, counts(10)),
    D.Gumbel: ({"loc": MU, "scale": SCALE}, REAL),
    D.HalfCauchy: ({"scale": SCALE}, SCALE),
    D.HalfNormal: ({"scale": SCALE}, SCALE),
    D.InverseGamma: ({"concentration": SCALE, "rate": SCALE}, SCALE),
    D.Kumaraswamy: ({"concentration1": SCALE, "concentration0": SCALE}, unit(10)),
    D.LKJCholesky: ({"dim": fixed(3), "concentration": positive(1)}, _correlation),
    D.Laplace: ({"loc": MU, "scale": SCALE}, REAL),
    D.LogNormal: ({"loc": MU, "scale": SCALE}, SCALE),
    D.LogisticNormal: ({"loc": normal(10, 3), "scale": positive(10, 3)}, simplex(10, 4)),
    D.LowRankMultivariateNormal: (
        {"loc": normal(3), "cov_factor": normal(3, 1), "cov_diag": positive(3)},
        normal(10, 3),
    ),
    D.Multinomial: ({"logits": normal(10, 4)}, onehot(10, 4)),
    D.MultivariateNormal: ({"loc": normal(3), "scale_tril": _lower}, normal(10, 3)),
    D.NegativeBinomial: ({"total_count": positive(10, around=4.0), "logits": MU}, counts(10)),
    D.Normal: ({"loc": MU, "scale": SCALE}, REAL),
    D.OneHotCategorical: ({"logits": normal(10, 4)}, onehot(10, 4)),
    D.Pareto: ({"scale": positive(10), "alpha": SCALE}, _pareto),
    D.Poisson: ({"rate": positive(10, around=3.0)}, counts(10)),
    D.RelaxedBernoulli: ({"temperature": fixed(0.7), "logits": MU}, unit(10)),
    D.RelaxedOneHotCategorical: ({"temperature": fixed(0.7), "logits": normal(10, 4)}, simplex(10, 4)),
    D.StudentT: ({"df": positive(10, around=4.0), "loc": MU, "scale": SCALE}, REAL),
    D.VonMises: ({"loc": _circle, "concentration": SCALE}, _circle),
    D.Weibull: ({"scale": SCALE, "concentration": SCALE}, SCALE),
}
# What the source of torch 2.13 computes there, against values that float32 can hold
UNSTABLE: dict[type[D.Distribution], tuple[str, str, Change]] = {
    D.Geometric: ("log1p log mul", "log1p(-p) where p rounds to 1", lambda s: s["logits"].fill_(40.0)),
    D.Kumaraswamy: ("log", "1 - y^a rounds to 1, where the base density is 0", put(y=0.01, concentration1=8.0)),
    D.RelaxedBernoulli: ("exp", "log1p(exp(x)) overflows", put(logits=120.0)),
}
FIXED = {D.Binomial: "total_count", D.LKJCholesky: "dim", D.RelaxedBernoulli: "temperature",
         D.RelaxedOneHotCategorical: "temperature"}  # fmt: skip


def _likelihood(kind: type[D.Distribution]) -> Callable[..., Tensor]:
    def nll(y: Tensor, **parameters: Tensor) -> Tensor:
        if kind is D.LKJCholesky:
            parameters["dim"] = 3
        return -kind(**parameters, validate_args=False).log_prob(y).mean()  # <- here

    nll.__name__ = kind.__name__
    return nll


def _distribution_case(kind: type[D.Distribution]) -> Case:
    parameters, observed = DISTRIBUTIONS[kind]
    setup = given(target=f"y {FIXED.get(kind, '')}", **parameters, y=observed)
    origin = f"PyTorch documentation, torch.distributions.{kind.__name__}"
    if kind in UNSTABLE:
        op, why, extreme = UNSTABLE[kind]
        return bug(_likelihood(kind), setup, op, f"{origin}: {why}", extreme)
    return sound(_likelihood(kind), setup, origin)


PAIR = {"x": normal(10), "y": normal(10)}
SIGNS: Spec = lambda g: 2.0 * bits(10)(g) - 1.0  # noqa: E731
LABELS = {"x": normal(10, 4), "y": classes(10, 4)}
MULTI = {"x": normal(10, 4), "y": bits(10, 4)}

# loss -> its arguments by position; the last ones, from `y` on, are data
LOSSES: dict[Callable[..., Tensor], dict[str, Spec]] = {
    F.l1_loss: PAIR,
    F.mse_loss: PAIR,
    F.huber_loss: PAIR,
    F.smooth_l1_loss: PAIR,
    F.cross_entropy: LABELS,
    F.multi_margin_loss: LABELS,
    F.multilabel_soft_margin_loss: MULTI,
    F.binary_cross_entropy_with_logits: MULTI,
    F.poisson_nll_loss: {"x": normal(10), "y": counts(10)},
    F.hinge_embedding_loss: {"x": positive(10), "y": SIGNS},
    F.gaussian_nll_loss: {"x": normal(10), "y": normal(10), "variance": positive(10)},
    F.triplet_margin_loss: {"x": normal(10, 4), "x2": normal(10, 4), "x3": normal(10, 4)},
    F.cosine_embedding_loss: {"x": normal(10, 4), "x2": normal(10, 4), "y": SIGNS},
    F.margin_ranking_loss: {"x": normal(10), "x2": normal(10), "y": SIGNS},
}


def _loss(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def call(**tensors: Tensor) -> Tensor:
        return function(*tensors.values())

    call.__name__ = function.__name__
    return call


def _loss_case(function: Callable[..., Tensor]) -> Case:
    origin = f"PyTorch documentation, torch.nn.functional.{function.__name__}"
    return sound(_loss(function), given(target="y" if "y" in LOSSES[function] else "", **LOSSES[function]), origin)


CASES = (*map(_distribution_case, DISTRIBUTIONS), *map(_loss_case, LOSSES))
