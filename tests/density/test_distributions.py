"""Every log_prob of torch.distributions with events of up to three numbers: never wrongly decided, mostly decided."""

from __future__ import annotations

import pytest
import torch
from helpers import answer
from torch import distributions as D

N = 24


def between(low, high, *shape, seed=0):
    made = torch.Generator().manual_seed(seed)
    return low + (high - low) * torch.rand(N, *shape, generator=made)


def spread(low, high, *shape, seed=0):
    return torch.exp(between(torch.log(torch.tensor(low)), torch.log(torch.tensor(high)), *shape, seed=seed))


def triangular(d, seed=0):
    made = torch.tril(between(-1.0, 1.0, d, d, seed=seed))
    return (
        made - torch.diag_embed(made.diagonal(dim1=-2, dim2=-1)) + torch.diag_embed(spread(0.3, 2.0, d, seed=seed + 1))
    )


def mixture(w, mu, sigma):
    return D.MixtureSameFamily(D.Categorical(logits=w), D.Normal(mu, sigma))


# name: (maker, parameters, support stated or None if it must be inferred)
ORDINARY = {
    "normal": (D.Normal, {"loc": between(-2, 2), "scale": spread(0.1, 3.0, seed=1)}, None),
    "laplace": (D.Laplace, {"loc": between(-2, 2), "scale": spread(0.1, 3.0, seed=1)}, None),
    "cauchy": (D.Cauchy, {"loc": between(-2, 2), "scale": spread(0.1, 3.0, seed=1)}, None),
    "gumbel": (D.Gumbel, {"loc": between(-2, 2), "scale": spread(0.1, 3.0, seed=1)}, None),
    "student": (D.StudentT, {"df": spread(1.0, 9.0), "loc": between(-2, 2), "scale": spread(0.1, 3.0, seed=1)}, None),
    "exponential": (D.Exponential, {"rate": spread(0.1, 3.0)}, None),
    "gamma": (D.Gamma, {"concentration": spread(0.3, 9.0), "rate": spread(0.1, 3.0, seed=1)}, None),
    "inverse-gamma": (D.InverseGamma,
                 {"concentration": spread(0.8, 9.0), "rate": spread(0.1, 3.0, seed=1)}, "positive"),
    "chi2": (D.Chi2, {"df": spread(0.8, 9.0)}, None),
    "fisher": (D.FisherSnedecor, {"df1": spread(1.0, 9.0), "df2": spread(1.0, 9.0, seed=1)}, None),
    "half-normal": (D.HalfNormal, {"scale": spread(0.1, 3.0)}, "positive"),
    "half-cauchy": (D.HalfCauchy, {"scale": spread(0.1, 3.0)}, "positive"),
    "log-normal": (D.LogNormal, {"loc": between(-1, 1), "scale": spread(0.1, 2.0, seed=1)}, "positive"),
    "weibull": (D.Weibull, {"scale": spread(0.3, 3.0), "concentration": spread(0.5, 4.0, seed=1)}, "positive"),
    "beta": (D.Beta, {"concentration1": spread(0.4, 9.0), "concentration0": spread(0.4, 9.0, seed=1)}, "unit"),
    "kumaraswamy": (D.Kumaraswamy,
                 {"concentration1": spread(0.5, 5.0), "concentration0": spread(0.5, 5.0, seed=1)}, "unit"),
    "logit-normal": (lambda loc, scale: D.TransformedDistribution(D.Normal(loc, scale), D.SigmoidTransform()),
                     {"loc": between(-1, 1), "scale": spread(0.3, 2.0, seed=1)}, "unit"),
    "von-mises": (D.VonMises, {"loc": between(-2, 2), "concentration": spread(0.1, 9.0, seed=1)}, None),
    "mixture": (mixture,
                 {"w": between(-1, 1, 3), "mu": between(-3, 3, 3, seed=1), "sigma": spread(0.1, 2.0, 3, seed=2)}, None),
    "poisson": (D.Poisson, {"rate": spread(0.3, 20.0)}, None),
    "geometric": (D.Geometric, {"probs": between(0.1, 0.9)}, None),
    "negative-binomial": (D.NegativeBinomial,
                 {"total_count": spread(1.0, 9.0), "logits": between(-2, 1, seed=1)}, None),
    "bernoulli": (D.Bernoulli, {"logits": between(-3, 3)}, None),
    "categorical": (D.Categorical, {"logits": between(-3, 3, 5)}, None),
    "one-hot": (D.OneHotCategorical, {"logits": between(-3, 3, 4)}, None),
    "dirichlet-2": (D.Dirichlet, {"concentration": spread(0.5, 9.0, 2)}, None),
    "dirichlet-3": (D.Dirichlet, {"concentration": spread(0.5, 9.0, 3)}, None),
    "dirichlet-4": (D.Dirichlet, {"concentration": spread(0.8, 9.0, 4)}, None),
    "normal-2": (lambda loc, L: D.MultivariateNormal(loc, scale_tril=L),
                 {"loc": between(-2, 2, 2), "L": triangular(2)}, None),
    "normal-3": (lambda loc, L: D.MultivariateNormal(loc, scale_tril=L),
                 {"loc": between(-2, 2, 3), "L": triangular(3)}, None),
    "independent": (lambda loc, scale: D.Independent(D.Normal(loc, scale), 1),
                    {"loc": between(-2, 2, 3), "scale": spread(0.1, 3.0, 3, seed=1)}, None),
    "low-rank": (lambda loc, f, d: D.LowRankMultivariateNormal(loc, f, d),
                 {"loc": between(-2, 2, 2), "f": between(-1, 1, 2, 1, seed=1), "d": spread(0.3, 2.0, 2, seed=2)}, None),
    "low-rank-shared": (D.LowRankMultivariateNormal,  # one for all samples: the log determinant is a single number
                 {"loc": between(-2, 2, 3)[0], "cov_factor": between(-1, 1, 3, 1, seed=1)[0],
                  "cov_diag": spread(0.3, 2.0, 3, seed=2)[0]}, None),
}  # fmt: skip
ORDINARY |= {
    "binomial": (lambda logits: D.Binomial(8, logits=logits), {"logits": between(-2, 2)}, None),
    "continuous-bernoulli": (D.ContinuousBernoulli, {"logits": between(-3, 3)}, None),
    "uniform": (D.Uniform, {"low": between(-2, -1), "high": between(1, 2, seed=1)}, None),
    "relaxed-bernoulli": (lambda logits: D.RelaxedBernoulli(torch.tensor(0.7), logits=logits),
                 {"logits": between(-2, 2)}, "unit"),
    "relaxed-one-hot": (lambda logits: D.RelaxedOneHotCategorical(torch.tensor(0.7), logits=logits),
                 {"logits": between(-2, 2, 3)}, None),
    "logistic-normal": (D.LogisticNormal, {"loc": between(-1, 1, 2), "scale": spread(0.3, 2.0, 2, seed=1)}, None),
    "multinomial": (lambda logits: D.Multinomial(4, logits=logits), {"logits": between(-2, 2, 3)}, None),
    "one-hot-straight": (D.OneHotCategoricalStraightThrough, {"logits": between(-2, 2, 3)}, None),
    "normal-by-covariance": (lambda loc, L: D.MultivariateNormal(loc, L @ L.mT),
                 {"loc": between(-2, 2, 2), "L": triangular(2)}, None),
    "normal-by-precision": (lambda loc, L: D.MultivariateNormal(loc, precision_matrix=L @ L.mT),
                 {"loc": between(-2, 2, 3), "L": triangular(3)}, None),
    "independent-beta": (lambda a, b: D.Independent(D.Beta(a, b), 1),
                 {"a": spread(0.5, 5.0, 2), "b": spread(0.5, 5.0, 2, seed=1)}, "unit"),
    "pareto": (D.Pareto, {"scale": spread(0.5, 2.0), "alpha": spread(1.0, 4.0, seed=1)}, None),
    "generalised-pareto": (D.GeneralizedPareto, {"loc": between(-1, 1), "scale": spread(0.5, 2.0),
                 "concentration": spread(0.1, 0.6, seed=1)}, None),
    "tanh-normal": (lambda loc, scale: D.TransformedDistribution(D.Normal(loc, scale), D.TanhTransform()),
                 {"loc": between(-1, 1), "scale": spread(0.3, 1.0, seed=1)}, None),
    "stick-breaking": (lambda loc, scale: D.TransformedDistribution(
                 D.Independent(D.Normal(loc, scale), 1), D.StickBreakingTransform()),
                 {"loc": between(-1, 1, 2), "scale": spread(0.3, 2.0, 2, seed=1)}, None),
}  # fmt: skip
EXTREME = {
    "normal": (D.Normal, {"loc": between(-1e4, 1e4), "scale": spread(1e-4, 1e4, seed=1)}, None),
    "student": (D.StudentT, {"df": spread(0.1, 1e3), "loc": between(-2, 2), "scale": spread(1e-3, 1e3, seed=1)}, None),
    "gamma": (D.Gamma, {"concentration": spread(0.01, 1e4), "rate": spread(1e-3, 1e3, seed=1)}, "positive"),
    "beta": (D.Beta, {"concentration1": spread(0.01, 1e3), "concentration0": spread(0.01, 1e3, seed=1)}, "unit"),
    "student-far": (D.StudentT, {"df": spread(0.05, 1e4, seed=4), "loc": between(-2, 2, seed=4),
                                 "scale": spread(1e-3, 1e3, seed=13)}, None),
    "dirichlet-far": (D.Dirichlet, {"concentration": spread(0.01, 1e4, 3, seed=4)}, None),
    "beta-far": (D.Beta, {"concentration1": spread(0.003, 1e4, seed=3), "concentration0": spread(0.003, 1e4, seed=12)},
                 "unit"),
    "poisson": (D.Poisson, {"rate": spread(1e-3, 1e3)}, None),
    "dirichlet-3": (D.Dirichlet, {"concentration": spread(0.05, 1e3, 3)}, None),
    "categorical": (D.Categorical, {"logits": between(-90, 90, 5)}, None),
    "mixture": (mixture,
                {"w": between(-9, 9, 3), "mu": between(-9, 9, 3, seed=1), "sigma": spread(1e-3, 9.0, 3, seed=2)}, None),
}  # fmt: skip


def asked(make, parameters, support, scale=1.0):
    torch.manual_seed(0)
    made = make(**parameters)
    y = made.sample(() if made.batch_shape else (N,))
    y = y.clamp(1e-6, 1 - 1e-6) if support == "unit" else y  # float32 rounds a few of them to 0 and 1

    def nll(y, **tensors):
        return -(scale * make(**tensors).log_prob(y)).mean()

    return answer(nll, {**parameters, "y": y}, support=support)


@pytest.mark.parametrize("name", ORDINARY)
def test_every_distribution_integrates_to_one(name):
    found = asked(*ORDINARY[name])
    assert found.name == "proper", found.text
    assert found.samples >= 0.7 * (found.samples + found.undecided)


def test_all_distributions_are_among_them():
    """Matrices have more than three numbers: they are out."""
    tested = {type(_made(row)) for row in ORDINARY.values()}
    known = {getattr(D, name) for name in D.__all__ if isinstance(getattr(D, name), type)}
    bases = {D.Distribution, D.ExponentialFamily, D.LKJCholesky, D.Wishart}
    left = {c for c in known if issubclass(c, D.Distribution)} - bases - tested
    assert left == set()


def _made(row):
    make, parameters, _ = row
    return make(**parameters)


@pytest.mark.parametrize("name", EXTREME)
def test_extreme_parameters_are_never_wrongly_decided(name):
    assert asked(*EXTREME[name]).name in ("proper", "undecided")


@pytest.mark.parametrize("name", ORDINARY)
def test_a_tempered_density_is_told_apart(name):
    """log_prob times 0.7 is no log density: Z changes with the parameters (or, of a location alone, is no 1), or the
    factor is seen and told."""
    found = asked(*ORDINARY[name], scale=0.7)
    assert found.name not in ("proper", "target-factor") or found.weight == pytest.approx(0.7), found.text
