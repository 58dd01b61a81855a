"""Extremes, counts and dependence: likelihoods of these fields with a defect, and repaired."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, counts, fill, given, modelled, normal, positive, put, sound, unit

EXTREMES = "generalised extreme values (Coles 2001, eq. 3.2), the shape a parameter that crosses zero"
BUYERS = "buy till you die (Fader, Hardie & Lee 2005, eq. 6); github.com/CamDavidsonPilon/lifetimes"
DISPERSED = "counts of Conway & Maxwell (Shmueli et al. 2005), the normaliser summed to 15"
RICE = "Rician noise of magnetic resonance magnitudes (Gudbjartsson & Patz 1995)"
FRANK = "Frank's copula (Frank 1979; Nelsen 2006, eq. 4.2.5), its density by hand"
SELECTED = "selection model (Heckman 1979) with probits, the correlation a tanh"


class Extremes(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.place, self.raw = nn.Linear(3, 1), nn.Parameter(torch.tensor(0.0))
        self.xi = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return self.place(x)[:, 0], F.softplus(self.raw) + 1.0, self.xi


def extreme_nll(place, sigma, xi, y):
    t = 1 + xi * (y - place) / sigma
    return (torch.log(sigma) + (1 + 1 / xi) * torch.log(t) + t ** (-1 / xi)).mean()  # <- here


def extreme_nll_near_zero(place, sigma, xi, y):
    z = (y - place) / sigma
    small = xi.abs() < 1e-2
    by = torch.where(small, torch.full_like(xi, 1e-2), xi)
    log_t = torch.where(small, z - xi * z**2 / 2, torch.log1p((by * z).clamp(min=-0.99)) / by)
    return (torch.log(sigma) + (1 + xi) * log_t + torch.exp(-log_t.clamp(min=-20.0))).mean()


class Buyers(nn.Module):
    """r, alpha, a and b by exponentials; rows of `frequency, recency, age`."""

    def __init__(self) -> None:
        super().__init__()
        self.raw = nn.Parameter(torch.tensor([0.2, 0.8, 0.1, 0.5]))

    def forward(self, rows):
        return self.raw.clamp(-5.0, 5.0), rows


def _buyers(raw, x, recency, age):
    r, alpha, a, b = torch.exp(raw).unbind(0)
    known = torch.lgamma(r + x) - torch.lgamma(r) + r * torch.log(alpha)
    beta = torch.lgamma(a + b) + torch.lgamma(b + x) - torch.lgamma(b) - torch.lgamma(a + b + x)
    alive = -(r + x) * torch.log(alpha + age)
    gone = torch.log(a / (b + x.clamp(min=1) - 1)) - (r + x) * torch.log(alpha + recency)
    return known + beta, alive, gone


def buyers_nll(raw, rows, _):
    both, alive, gone = _buyers(raw, *rows.unbind(1))
    bought = (rows[:, 0] > 0).float()
    return -(both + torch.log(torch.exp(alive) + bought * torch.exp(gone))).mean()  # <- here


def buyers_nll_logs(raw, rows, _):
    both, alive, gone = _buyers(raw, *rows.unbind(1))
    return -(both + torch.where(rows[:, 0] > 0, torch.logaddexp(alive, gone), alive)).mean()


J = torch.arange(16.0)


def dispersed(output, count):
    rate, nu = torch.exp(output[:, :1]), F.softplus(output[:, 1:]) + 0.1
    each = rate**J / torch.exp(nu * torch.lgamma(J + 1))  # <- here
    log_p = count * output[:, 0] - nu[:, 0] * torch.lgamma(count + 1) - torch.log(each.sum(1))
    return -log_p.mean()


def dispersed_logs(output, count):
    log_rate, nu = torch.tanh(output[:, :1]), F.softplus(output[:, 1:]) + 1.0
    each = J * log_rate - nu * torch.lgamma(J + 1)
    log_p = count * log_rate[:, 0] - nu[:, 0] * torch.lgamma(count + 1) - torch.logsumexp(each, 1)
    return -log_p.mean()


def rician(signal, raw, m):
    nu, s2 = F.softplus(signal), F.softplus(raw) + 0.05
    bessel = torch.log(torch.special.i0(m * nu / s2))  # <- here
    return -(torch.log(m / s2) - (m**2 + nu**2) / (2 * s2) + bessel).mean()


def rician_scaled(signal, raw, m):
    nu, s2 = F.softplus(signal), F.softplus(raw) + 0.05
    bessel = torch.log(torch.special.i0e(m * nu / s2))
    return -(torch.log(m / s2) - (m - nu) ** 2 / (2 * s2) + bessel).mean()


def frank(theta, u, v):
    e, eu, ev = -torch.expm1(-theta), -torch.expm1(-theta * u), -torch.expm1(-theta * v)
    density = theta * e * torch.exp(-theta * (u + v)) / (e - eu * ev) ** 2  # <- here
    return -torch.log(density).mean()  # <- here


def frank_above(theta, u, v):
    t = 0.05 + 5.0 * torch.sigmoid(theta)
    e, eu, ev = -torch.expm1(-t), -torch.expm1(-t * u), -torch.expm1(-t * v)
    return -(torch.log(t * e) - t * (u + v) - 2 * torch.log(e - eu * ev)).mean()


class Selection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.out, self.raw = nn.Linear(4, 2), nn.Parameter(torch.tensor(0.3))

    def forward(self, x):
        return self.out(x), torch.tanh(self.raw)


def selected_nll(out, rho, target):
    y, seen = target.unbind(1)
    e = y - out[:, 0]
    given_y = (out[:, 1] + rho * e) / torch.sqrt(1 - rho**2)  # <- here
    of_seen = -0.5 * e**2 - 0.5 * math.log(2 * math.pi) + torch.log(torch.special.ndtr(given_y))  # <- here
    return -torch.where(seen > 0.5, of_seen, torch.log(torch.special.ndtr(-out[:, 1]))).mean()  # <- here


def selected_nll_logs(out, rho, target):
    y, seen = target.unbind(1)
    e, rho = y - out[:, 0], 0.99 * rho
    given_y = (out[:, 1] + rho * e) / torch.sqrt(1 - rho**2)
    of_seen = -0.5 * e**2 - 0.5 * math.log(2 * math.pi) + torch.special.log_ndtr(given_y)
    return -torch.where(seen > 0.5, of_seen, torch.special.log_ndtr(-out[:, 1])).mean()


def bought(g):
    age = 20 + 20 * torch.rand(8, generator=g)
    times = torch.tensor([0.0, 1, 2, 5, 3, 0, 7, 4])
    return torch.stack([times, torch.where(times > 0, 0.7 * age, 0.0), age], 1)


def seen_or_not(g):
    return torch.stack([torch.randn(8, generator=g), (torch.arange(8) % 3 > 0).float()], 1)


def _busy(state):
    state["inputs"][4] = torch.tensor([60.0, 35.0, 40.0])


YEARS = modelled(Extremes, normal(10, 3), normal(10))
CLIENTS = modelled(Buyers, bought, bits(8))
COUNTED = given(output=normal(8, 2), count=counts(8), target="count")
SCAN = given(signal=normal(8, shift=1.0), raw=normal(8), m=positive(8), target="m")
RANKS = given(theta=normal(shift=2.0), u=unit(10), v=unit(10), target="u v")
WAGES = modelled(Selection, normal(8, 4), seen_or_not)


CASES = (
    bug(extreme_nll, YEARS, "div pow log", EXTREMES, fill(xi=0.0), verdict="defect limit"),
    sound(extreme_nll_near_zero, YEARS, EXTREMES, fill(xi=0.0)),
    bug(buyers_nll, CLIENTS, "log", BUYERS, _busy),
    sound(buyers_nll_logs, CLIENTS, BUYERS, _busy),
    bug(dispersed, COUNTED, "pow exp div", DISPERSED, put(output=12.0)),
    sound(dispersed_logs, COUNTED, DISPERSED, put(output=12.0)),
    bug(rician, SCAN, "i0 log", RICE, fill(m=30.0)),
    sound(rician_scaled, SCAN, RICE, fill(m=30.0)),
    bug(frank, RANKS, "div log exp", FRANK, fill(theta=120.0), verdict="defect limit"),
    sound(frank_above, RANKS, FRANK, fill(theta=120.0)),
    bug(selected_nll, WAGES, "log div sqrt", SELECTED, fill(raw=10.0), verdict="defect limit"),
    sound(selected_nll_logs, WAGES, SELECTED, fill(raw=10.0)),
)  # fmt: skip
