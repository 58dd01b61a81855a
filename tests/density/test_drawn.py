"""Integrals in three and more coordinates against densities whose Z is known: the error bar covers what is off."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nllcheck.density.integral.peaks import peak
from nllcheck.density.integral.space import over_peaks
from nllcheck.density.verdict import WIDEST

WIDE = torch.float64
COUNT = 12
FAR = 1e30


def draw(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=WIDE)


class Known:
    """COUNT densities exp(level) * family((x - mu) / A) with random mu, A and level, of condition number `spread`."""

    def __init__(self, family, width, seed, spread):
        ways, _ = torch.linalg.qr(draw(seed, COUNT, width, width))
        scales = torch.exp(math.log(spread) * (torch.sigmoid(draw(seed + 1, COUNT, width)) - 0.5))
        self.inverse = torch.linalg.inv(ways * scales[:, None])
        self.mu, self.level = 5 * draw(seed + 2, COUNT, width), 3 * draw(seed + 3, COUNT)
        self.log_scale, self.family = scales.log().sum(-1), family

    def __call__(self, x):
        z = torch.einsum("mij,qmj->qmi", self.inverse, x - self.mu)
        return self.family.log_prob(z).sum(-1) - self.log_scale + self.level

    def integrated(self, seed):
        """From a start half a scale off."""
        start = self.mu + torch.linalg.solve(self.inverse, 0.5 * draw(seed + 4, *self.mu.shape)[..., None])[..., 0]
        found = over_peaks(self, [peak(self, start, -FAR, FAR)], -FAR, FAR)
        return (found.log_z - self.level).abs(), found.error


def number(value):
    return torch.tensor(value, dtype=WIDE)


GAUSS = torch.distributions.Normal(number(0.0), number(1.0))


@settings(max_examples=8, deadline=None, derandomize=True)
@given(width=st.integers(3, 8), seed=st.integers(0, 10**6), spread=st.sampled_from([1.0, 5.0, 30.0]))
def test_gaussians_are_exact_and_the_bar_is_narrow(width, seed, spread):
    off, error = Known(GAUSS, width, seed, spread).integrated(seed)
    assert bool((off <= error).all())
    assert float((error < 1e-3).double().mean()) > 0.9


@settings(max_examples=8, deadline=None, derandomize=True)
@given(width=st.integers(3, 6), seed=st.integers(0, 10**6), family=st.sampled_from(["t3", "t9", "logistic", "gumbel"]))
def test_the_bar_tells_how_much_is_off_where_no_component_fits(width, seed, family):
    made = {
        "t3": torch.distributions.StudentT(number(3.0), number(0.0), number(1.0)),
        "t9": torch.distributions.StudentT(number(9.0), number(0.0), number(1.0)),
        "logistic": torch.distributions.TransformedDistribution(
            torch.distributions.Uniform(number(0.0), number(1.0)), torch.distributions.SigmoidTransform().inv
        ),
        "gumbel": torch.distributions.Gumbel(number(0.0), number(1.0)),
    }[family]
    off, error = Known(made, width, seed, 5.0).integrated(seed)
    decided = error < WIDEST
    assert bool((off <= 2 * error)[decided].all())  # tails make it a little wrong, never by much
    assert width > 3 or float(decided.double().mean()) > 0.7


def normals(places, widths, lean):
    """(M,) normal densities of two numbers, as a function of (Q, M, 2) places: their logarithms."""
    square = torch.stack([widths[:, 0] ** 2, lean * widths.prod(-1), lean * widths.prod(-1), widths[:, 1] ** 2], -1)
    root = torch.linalg.cholesky(square.reshape(-1, 2, 2))

    def at(x):
        away = torch.linalg.solve_triangular(root, (x - places)[..., None], upper=False)[..., 0]
        volume = torch.log(root.diagonal(dim1=-2, dim2=-1)).sum(-1)
        return -0.5 * (away**2).sum(-1) - volume - math.log(2 * math.pi)

    return at


def test_a_ridge_across_the_peak_does_not_fall_between_the_points():
    """300 sums of two normals about one place, of any two shapes; the searches see the higher one alone."""
    made = torch.Generator().manual_seed(0)

    def draw(*shape):
        return torch.randn(*shape, generator=made, dtype=torch.float64)

    count = 300
    one, other = (
        normals(0.1 * draw(count, 2), torch.exp(size * draw(count, 2)), 0.9 * torch.tanh(draw(count)))
        for size in (0.8, 1.2)
    )
    share = torch.rand(count, generator=made, dtype=torch.float64)

    def at(x):
        return torch.logaddexp(torch.log(share) + one(x), torch.log1p(-share) + other(x))

    found = over_peaks(at, [peak(at, torch.zeros(count, 2, dtype=torch.float64), -FAR, FAR)], -FAR, FAR)
    decided = found.error < 0.06
    assert float(decided.double().mean()) > 0.9
    assert bool((found.log_z.abs() <= found.error + 1e-6)[decided].all())
