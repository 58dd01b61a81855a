"""Gamma and Dirichlet samples as smooth functions of their concentration, with torch's own slopes."""

from __future__ import annotations

import mpmath
import pytest
import torch
from torch import distributions as D
from torch import nn
from torch.distributions import dirichlet, gamma

import nllcheck
from nllcheck.capture.implicit import dirichlet_quantile, dirichlet_slope, gamma_quantile
from nllcheck.capture.numerics import quiet_numerics

CONCENTRATIONS = [1e-3, 0.02, 0.3, 0.999, 1.0, 1.001, 2.5, 30.0, 1e3, 1e5]
LEVELS = [2.0**-25, 1e-6, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-6, 1 - 2.0**-25]
SEED = 4
WIDE = torch.float64


@pytest.mark.parametrize("concentration", CONCENTRATIONS)
@pytest.mark.parametrize("level", LEVELS)
def test_of_the_quantile_lies_the_level_below(concentration, level):
    z = float(gamma_quantile(torch.tensor([level], dtype=WIDE), torch.tensor([concentration], dtype=WIDE)))
    with mpmath.workdps(30):
        below = mpmath.gammainc(concentration, 0, mpmath.mpf(z), regularized=True)
        assert z == torch.finfo(torch.float64).tiny or abs(below - level) <= 1e-5 * min(level, 1 - level)


def test_outside_of_the_domain_it_is_nan_and_at_its_ends_finite():
    level = torch.tensor([0.0, 1.0, 0.5, 0.5, 0.5])
    z = gamma_quantile(level, torch.tensor([1.0, 1.0, -1.0, torch.nan, 1e-30]))
    assert torch.isfinite(z).tolist() == [True, True, False, False, True]
    assert z[0] > 0 and z[4] == torch.finfo(torch.float32).tiny


def drawn(law, seed=SEED):
    with quiet_numerics(seed):
        return law().rsample((20_000,))


LAWS = {
    "gamma": lambda: D.Gamma(torch.tensor([0.4, 7.0]), torch.tensor([2.0, 0.5])),
    "chi2": lambda: D.Chi2(torch.tensor([3.0])),
    "beta": lambda: D.Beta(torch.tensor([0.7, 5.0]), torch.tensor([3.0, 2.0])),
    "dirichlet": lambda: D.Dirichlet(torch.tensor([0.3, 2.0, 5.0])),
    "student": lambda: D.StudentT(torch.tensor([9.0])),
}


@pytest.mark.parametrize("name", LAWS)
def test_samples_have_the_mean_and_variance_of_their_law(name):
    law, z = LAWS[name](), drawn(LAWS[name])
    error = (law.variance / len(z)).sqrt()
    assert bool(((z.mean(0) - law.mean).abs() < 5 * error).all())
    assert torch.allclose(z.var(0), law.variance, rtol=0.15)


@pytest.mark.parametrize("name", ["gamma", "beta", "dirichlet"])
def test_their_slopes_are_those_that_torch_gives_its_own_samples(name):
    """At the sample that was drawn, whatever drew it."""
    total = torch.tensor([[0.3, 2.0, 5.0]])
    if name == "gamma":
        a = total.clone().requires_grad_()
        z = gamma_quantile(torch.rand(1, 3, generator=torch.Generator().manual_seed(1)), a)
        wanted = torch._standard_gamma_grad(a, z)
        assert torch.allclose(torch.autograd.grad(z.sum(), a)[0], wanted)
        step = 1e-4
        moved = [gamma_quantile(torch.full((3,), 0.4).double(), a[0].double() + s) for s in (-step, step)]
        slope = torch._standard_gamma_grad(a[0].double(), (moved[0] + moved[1]) / 2)
        assert torch.allclose((moved[1] - moved[0]) / (2 * step), slope, rtol=1e-3)
        return
    weight = torch.tensor([[1.0, -2.0, 0.5]])
    a = total.clone().requires_grad_()
    x = dirichlet_quantile(torch.tensor([[0.2, 0.6, 0.5]]), a)
    wanted = dirichlet._Dirichlet_backward(x.detach(), total, weight)
    assert torch.allclose(torch.autograd.grad((weight * x).sum(), a)[0], wanted)


@pytest.mark.parametrize("op", [gamma_quantile, dirichlet_quantile])
def test_many_points_at_once_are_the_points_one_by_one(op):
    level, scales = torch.rand(4, 3, generator=torch.Generator().manual_seed(2)), torch.tensor([0.1, 1.0, 30.0])
    a = torch.tensor([0.3, 2.0, 5.0])
    assert torch.equal(
        torch.func.vmap(lambda s: op(level, a * s))(scales), torch.stack([op(level, a * s) for s in scales])
    )
    x = op(level, a.expand(4, 3))
    slopes = torch.func.vmap(lambda s: dirichlet_slope(x, a.expand(4, 3) * s, level))(scales)
    assert torch.equal(slopes, torch.stack([dirichlet_slope(x, a.expand(4, 3) * s, level) for s in scales]))


class Shares(nn.Module):
    """A topic model's encoder and decoder; the posterior's sample is torch's."""

    def __init__(self, law) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.law, self.encode, self.decode = law, nn.Linear(6, 3), nn.Linear(3, 6)

    def forward(self, x):
        a = nn.functional.softplus(self.encode(x)) + 0.1
        return a, self.decode(self.law(a).rsample())


COUNTS = torch.randint(0, 3, (8, 6), generator=torch.Generator().manual_seed(0)).float()
POSTERIORS = {
    "Dirichlet": (D.Dirichlet, lambda: D.Dirichlet(torch.ones(3))),
    "Gamma": (lambda a: D.Independent(D.Gamma(a, 1 + 0 * a), 1), lambda: D.Independent(D.Gamma(torch.ones(3), 1.0), 1)),
}


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", POSTERIORS)
def test_an_elbo_of_such_samples_is_one_program(name, sign):
    law, prior = POSTERIORS[name]

    def elbo(output, x):
        a, logits = output
        given = -(x * torch.log_softmax(logits, -1)).sum(-1)
        return (given + sign * D.kl_divergence(law(a), prior())).mean()

    own = gamma._standard_gamma, dirichlet._Dirichlet
    report = nllcheck.check(elbo, model=Shares(law), batch=(COUNTS, COUNTS), effort="quick")
    assert report.facts.capture == "graph"
    alarms = {f.kind for f in report.findings if f.severity != "note"}
    assert alarms - {"unbounded"} == (set() if sign == 1 else {"wrong-density"})
    assert sign == -1 or not alarms
    assert (gamma._standard_gamma, dirichlet._Dirichlet) == own


def changed_past_its_gradient(x, y):
    value = torch.exp(x)
    value.detach().clamp_(min=1e-30)
    return ((value - y) ** 2).mean()


def test_what_is_written_past_the_gradient_does_not_cut_it():
    report = nllcheck.check_function(
        changed_past_its_gradient, {"x": COUNTS, "y": COUNTS}, target=("y",), effort="quick"
    )
    assert report.facts.capture == "graph"
