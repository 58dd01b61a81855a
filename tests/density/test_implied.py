"""Divergences of every family: the right term is told with its weight and prior, a mutant by one symbol is told apart,
and what is no divergence draws nothing."""

from __future__ import annotations

import pytest
import torch
from helpers import captured
from torch import distributions as D
from torch.nn.functional import softplus

from nllcheck.check import check_function
from nllcheck.density.kl.divergences import divergences
from nllcheck.density.kl.families import FAMILIES

N, K = 10, 2


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


PAIR = {"mu": draw(0, N, K), "raw": 0.3 * draw(1, N, K) - 1, "y": draw(2, N, K)}
MATRIX = {"mu": draw(0, N, K), "raw": 0.5 * draw(3, N, K, K), "y": draw(2, N, K)}
LABELS = {"mu": 2 + draw(5, N, 3), "raw": draw(1, N, 1), "y": torch.eye(3)[torch.arange(N) % 3]}


def inverse_cdf(mu, b):
    u = torch.rand_like(b) - 0.5
    return mu - b * torch.sign(u) * torch.log1p(-2 * u.abs())


def laplace(term, library=False):
    def loss(mu, raw, y):
        b = raw.exp()
        z = D.Laplace(mu, b).rsample() if library else inverse_cdf(mu, b)
        return (0.5 * (y - z) ** 2).sum(-1).mean() + term(mu, b, z).sum(-1).mean()

    return loss


def triangle(raw):
    return torch.tril(raw, -1) + torch.diag_embed(raw.diagonal(dim1=-2, dim2=-1).exp())


def matrix(term, library=False):
    def loss(mu, raw, y):
        L = triangle(raw)
        by_hand = mu + (L @ torch.randn(len(mu), K, 1)).squeeze(-1)
        z = D.MultivariateNormal(mu, scale_tril=L).rsample() if library else by_hand
        return (0.5 * (y - z) ** 2).sum(-1).mean() + term(mu, L, z).mean()

    return loss


def normal(term):
    def loss(mu, raw, y):
        s = torch.exp(0.5 * raw)
        z = mu + s * torch.randn_like(s)
        return (0.5 * (y - z) ** 2).sum(-1).mean() + term(mu, s, z).mean()

    return loss


def shared(mu, raw, y):
    """A squashed policy with its entropy (Haarnoja et al. 2018): one log sigma for all, which training starts at 0."""
    policy = D.Normal(mu, raw.exp())
    z = policy.rsample()
    log_prob = policy.log_prob(z) - 2 * (0.6931472 - z - softplus(-2 * z))
    return (0.2 * log_prob - torch.tanh(z) * y).mean()


def gamma(term):
    def loss(mu, raw, y):
        a, b = softplus(mu) + 0.1, raw.exp()
        z = D.Gamma(a, b).rsample()
        return ((y - z) ** 2).sum(-1).mean() + term(a, b).sum(-1).mean()

    return loss


def beta(term):
    def loss(mu, raw, y):
        a, b = softplus(mu) + 0.1, raw.exp()
        z = D.Beta(a, b).rsample()
        return ((y - z) ** 2).sum(-1).mean() + term(a, b).sum(-1).mean()

    return loss


def evidence(term):
    """An evidential loss (Sensoy et al. 2018): the target's own evidence taken out of the divergence."""

    def loss(mu, raw, y):
        alpha = 1 + softplus(mu)
        risk = (y * (torch.digamma(alpha.sum(-1, keepdim=True)) - torch.digamma(alpha))).sum(-1)
        others = y + (1 - y) * alpha
        return (risk + 0.1 * term(others)).mean()

    return loss


def laplace_kl(mu, b, z=None, entropy=1.0, size=1.0):
    return -entropy * torch.log(b) + size * mu.abs() + b * torch.exp(-mu.abs() / b) - 1


def matrix_kl(mu, L, z=None, entropy=1.0, trace=2, mean=1.0):
    diagonal = L.diagonal(dim1=-2, dim2=-1)
    spread = (L @ L.mT).diagonal(dim1=-2, dim2=-1) if trace == 2 else diagonal
    return 0.5 * (spread.sum(-1) + mean * (mu**2).sum(-1) - K) - entropy * torch.log(diagonal).sum(-1)


def gamma_kl(a, b, sign=1.0, log=1.0, rate=1.0):
    return sign * ((a - 2) * torch.digamma(a) - log * torch.lgamma(a) + 2 * torch.log(b) + a * (1.5 - rate * b) / b)


def beta_kl(a, b, log=1.0, one=1.5):
    logs = torch.lgamma(a + b) - torch.lgamma(a) - log * torch.lgamma(b)
    means = (a - 2) * torch.digamma(a) + (b - one) * torch.digamma(b) + (3.5 - a - b) * torch.digamma(a + b)
    return logs + means


def dirichlet_kl(alpha, one=1.0, log=1.0, total=1.0, sign=1.0):
    whole = alpha.sum(-1, keepdim=True)
    logs = torch.lgamma(whole)[..., 0] - log * torch.lgamma(alpha).sum(-1)
    return sign * (logs + ((alpha - one) * (torch.digamma(alpha) - total * torch.digamma(whole))).sum(-1))


def mixture():
    places = torch.tensor([[-2.0, 0.0], [0.0, 1.0], [2.0, 0.0]])
    return D.MixtureSameFamily(D.Categorical(torch.ones(3) / 3), D.Independent(D.Normal(places, torch.ones(3, K)), 1))


def log_q(mu, s, z):
    return D.Normal(mu, s).log_prob(z).sum(-1)


def root(mu, L):
    return D.MultivariateNormal(mu, scale_tril=L)


GIVEN = D.MultivariateNormal(torch.tensor([1.0, -1.0]), torch.tensor([[2.0, 0.5], [0.5, 1.0]]))
STANDARD = D.MultivariateNormal(torch.zeros(K), torch.eye(K))
PRIOR = D.Gamma(torch.tensor(2.0), torch.tensor(1.5))
UNIFORM = D.Dirichlet(torch.ones(3))

# the loss, its tensors, the answer, and what its text holds
CASES = {
    "Laplace": (laplace(laplace_kl), PAIR, "kl", "from Laplace(0, 1)"),
    "Laplace, library": (laplace(lambda m, b, z: D.kl_divergence(D.Laplace(m, b), D.Laplace(0.0, 2.0)), True), PAIR,
                         "kl", "from Laplace(0, 2)"),
    "Laplace, from a normal": (laplace(lambda m, b, z: D.kl_divergence(D.Laplace(m, b), D.Normal(0.5, 2.0))), PAIR,
                               "kl", "from N(0.5, 2^2)"),
    "Laplace, half of it": (laplace(lambda *a: 0.5 * laplace_kl(*a)), PAIR, "kl", "are 0.5 times"),
    "Laplace, drawn": (laplace(lambda m, b, z: D.Laplace(m, b).log_prob(z) - D.Laplace(0.0, 1.0).log_prob(z)), PAIR,
                       "kl", "On the batch its mean over 64 draws is"),
    "Laplace, wrong sign": (laplace(lambda *a: -laplace_kl(*a)), PAIR, "reversed", "wrong sign"),
    "Laplace, half |mu|": (laplace(lambda *a: laplace_kl(*a, size=0.5)), PAIR, "none", "other coefficients"),
    "Laplace, b for its mean": (laplace(lambda m, b, z: -torch.log(b) + m.abs() + b - 1), PAIR, "none", ""),
    "Laplace, drawn without log b": (laplace(lambda m, b, z: z.abs() - (z - m).abs() / b), PAIR, "none",
                                     "lacks the logarithm of the scale"),
    "matrix": (matrix(matrix_kl), MATRIX, "kl", "from N(0, I)"),
    "matrix, library": (matrix(lambda m, L, z: D.kl_divergence(root(m, L), GIVEN), True), MATRIX, "kl", "normal prior"),
    "matrix, drawn": (matrix(lambda m, L, z: root(m, L).log_prob(z) - STANDARD.log_prob(z)), MATRIX, "kl", "mean"),
    "matrix, mixture": (matrix(lambda m, L, z: root(m, L).log_prob(z) - mixture().log_prob(z)), MATRIX, "kl", "mean"),
    "matrix, wrong sign": (matrix(lambda *a: -matrix_kl(*a)), MATRIX, "reversed", "wrong sign"),
    "matrix, mixture, wrong sign": (matrix(lambda m, L, z: mixture().log_prob(z) - root(m, L).log_prob(z)), MATRIX,
                                    "reversed", "wrong sign"),
    "matrix, no log det": (matrix(lambda *a: matrix_kl(*a, entropy=0.0)), MATRIX, "none", "is missing"),
    "matrix, tr L": (matrix(lambda *a: matrix_kl(*a, trace=1)), MATRIX, "none", "other coefficients"),
    "matrix, twice mu": (matrix(lambda *a: matrix_kl(*a, mean=2.0)), MATRIX, "none", "other coefficients"),
    "matrix, turned": (matrix(lambda m, L, z: D.kl_divergence(STANDARD, root(m, L))), MATRIX, "turned", "turned round"),
    "mixture": (normal(lambda m, s, z: log_q(m, s, z) - mixture().log_prob(z)), PAIR, "kl", "evaluates at the sample"),
    "mixture, wrong sign": (normal(lambda m, s, z: mixture().log_prob(z) - log_q(m, s, z)), PAIR, "reversed", "sign"),
    "mixture, no log sigma": (normal(lambda m, s, z: (-0.5 * ((z - m) / s) ** 2).sum(-1) - mixture().log_prob(z)),
                              PAIR, "none", "the logarithm of the scale of the step to s * torch.randn_like(s)"),
    "mixture, a constant left out": (normal(lambda m, s, z: log_q(m, s, z) - mixture().log_prob(z) - 9), PAIR, "kl",
                                     "a constant is left out"),
    "normal, no log sigma": (normal(lambda m, s, z: 0.5 * (m**2 + s**2 - 1).sum(-1)), PAIR, "none", "log sigma weighs"),
    "gamma": (gamma(gamma_kl), PAIR, "kl", "from Gamma(2, 1.5)"),
    "gamma, library": (gamma(lambda a, b: D.kl_divergence(D.Gamma(a, b), PRIOR)),
                       PAIR, "kl", "from Gamma(2, 1.5)"),
    "gamma, wrong sign": (gamma(lambda a, b: gamma_kl(a, b, sign=-1.0)), PAIR, "reversed", "wrong sign"),
    "gamma, sign of lgamma": (gamma(lambda a, b: gamma_kl(a, b, log=-1.0)), PAIR, "none", "other coefficients"),
    "gamma, no rate": (gamma(lambda a, b: gamma_kl(a, b, rate=0.0)), PAIR, "none", "other coefficients"),
    "beta": (beta(beta_kl), PAIR, "kl", "from Dir(2, 1.5)"),
    "beta, sign of lgamma": (beta(lambda a, b: beta_kl(a, b, log=-1.0)), PAIR, "none", "other coefficients"),
    "beta, sign of the prior": (beta(lambda a, b: beta_kl(a, b, one=-1.5)), PAIR, "none", ""),
    "Dirichlet": (evidence(dirichlet_kl), LABELS, "kl", "are 0.1 times the KL divergence"),
    "Dirichlet, library": (evidence(lambda a: D.kl_divergence(D.Dirichlet(a), UNIFORM)), LABELS, "kl", "from Dir(1)"),
    "Dirichlet, wrong sign": (evidence(lambda a: dirichlet_kl(a, sign=-1.0)), LABELS, "reversed", "wrong sign"),
    "Dirichlet, no -1": (evidence(lambda a: dirichlet_kl(a, one=0.0)), LABELS, "none", "no distribution"),
    "Dirichlet, half": (evidence(lambda a: dirichlet_kl(a, log=0.5)), LABELS, "none", "other coefficients"),
    "Dirichlet, no total": (evidence(lambda a: dirichlet_kl(a, total=0.0)), LABELS, "none", "other coefficients"),
    "penalty of mu": (laplace(lambda m, b, z: m.abs()), PAIR, None, ""),
    "penalty of a sample": (laplace(lambda m, b, z: z.abs()), PAIR, None, ""),
    "penalty of a matrix": (matrix(lambda m, L, z: (m**2).sum(-1) + (L**2).sum((-1, -2))), MATRIX, None, ""),
    "entropy of a matrix": (matrix(lambda *a: matrix_kl(*a) - matrix_kl(*a, entropy=0.0)), MATRIX, None, ""),
    "shared log sigma, at its start": (shared, {**PAIR, "raw": torch.zeros(1)}, "kl", "hold 0.2 times"),
    "score of a sample": (normal(lambda m, s, z: -log_q(m, s, z.detach())), PAIR, None, ""),
    "prior alone": (normal(lambda m, s, z: -mixture().log_prob(z)), PAIR, None, ""),
    "Dirichlet, turned on purpose": (evidence(lambda a: D.kl_divergence(UNIFORM, D.Dirichlet(a))), LABELS, None, ""),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_term_is_what_it_is(name):
    loss, tensors, answer, words = CASES[name]
    found = divergences(captured(loss, tensors))
    assert [d.name for d in found] == ([answer] if answer else [])
    assert all(words in d.text for d in found)


def between(low, high, *shape):
    return low + (high - low) * torch.rand(*shape, generator=torch.Generator().manual_seed(9), dtype=torch.float64)


PARAMETERS = {
    "normal": (between(-2, 2, 50, 1, 3), triangle(between(-1, 1, 50, 1, 3, 3))),
    "Laplace": (between(-2, 2, 50, 1, 1), between(0.2, 3, 50, 1, 1)),
    "gamma": (between(0.2, 5, 50, 1, 1), between(0.2, 3, 50, 1, 1)),
    "Dirichlet": (between(0.2, 5, 50, 1, 4),),
    "categorical": (between(-2, 2, 50, 1, 4).log_softmax(-1),),
}
MADE = {
    "normal": lambda mean, root: D.MultivariateNormal(mean, scale_tril=root),
    "Laplace": lambda mean, scale: D.Laplace(mean[..., 0], scale[..., 0]),
    "gamma": lambda shape, rate: D.Gamma(shape[..., 0], rate[..., 0]),
    "Dirichlet": lambda shares: D.Dirichlet(shares),
    "categorical": lambda logs: D.Categorical(logits=logs),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_the_first_column_is_torchs_own_entropy(name):
    torch_has = -MADE[name](*PARAMETERS[name]).entropy()
    gap = FAMILIES[name].whole(*PARAMETERS[name])[0] - torch_has
    assert torch.allclose(gap, gap[:1].expand_as(gap))  # up to a constant


@pytest.mark.parametrize("name", FAMILIES)
def test_a_divergence_is_made_of_its_pieces(name):
    """Every column of `whole` is a sum of `pieces`."""
    family, given = FAMILIES[name], PARAMETERS[name]
    whole, pieces = (torch.stack(columns(*given), -1)[:, 0] for columns in (family.whole, family.pieces))
    made = torch.linalg.lstsq(pieces, whole, driver="gelsd").solution
    assert torch.allclose(pieces @ made, whole)


def test_a_wrong_divergence_is_one_warning_at_its_line():
    report = check_function(CASES["Dirichlet, no -1"][0], LABELS, target="y", points=9, effort="quick")
    found = [f for f in report.findings if f.rule == "NLL710"]
    assert [(f.severity, f.verdict, f.site.path) for f in found] == [("warning", "wrong-formula", __file__)]
