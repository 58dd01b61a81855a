"""Losses in the forms that published libraries give them: ties by unique times, masks that are put back, counts that
Python asks for, weights of a criterion's own, epsilons from float64."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.detect.case import bits, bug, classes, fill, modelled, normal, put, sound

TIES = "Breslow's partial likelihood with ties by unique times (Cox 1975; Breslow 1974), as survival libraries write it"
ACCELERATED = "Weibull accelerated failure times (Kalbfleisch and Prentice 2002, section 2.2.2), rows of time and event"
CURVE = "cumulative hazards by the trapezoid rule over a grid of times, cut at each row's own time"
SPLINE = "neural spline flows with linear tails (Durkan et al., arXiv:1906.04032, section 3.1)"
NONZERO = "triplet losses averaged over those above zero (Hermans et al., arXiv:1703.07737, section 2)"
WEIGHED = "several tasks weighed by learned variances (Kendall et al., CVPR 2018, equation 7), held by the criterion"
COMPRESSED = "learned compression: bounds with a backward of their own (Balle et al., ICLR 2018, section 3)"
ANEW = "a function with a backward of its own, which computes anew what it has not kept"
CENTRED = "proxies held by the criterion (Movshovitz-Attias et al., ICCV 2017, equation 5)"


def sorted_by_time(scores, y):
    order = torch.argsort(y[:, 0])
    return scores[order, 0], y[order, 0], y[order, 1].bool()


def ties_in_linear_space(scores, y):
    risk, time, event = sorted_by_time(scores, y)
    times = torch.unique(time)
    at = torch.searchsorted(times, time)
    deaths = torch.zeros_like(times).index_add_(0, at[event], event[event].to(times))
    told = risk.new_zeros(len(times)).scatter_add(0, at[event], risk[event])
    alive = torch.exp(risk).flip(0).cumsum(0).flip(0)[torch.searchsorted(time, times)]  # <- here
    return -(told - deaths * torch.log(alive)).sum() / event.sum()  # <- here


def ties_in_log_space(scores, y):
    risk, time, event = sorted_by_time(scores, y)
    times = torch.unique(time)
    at = torch.searchsorted(times, time)
    deaths = torch.zeros_like(times).index_add_(0, at[event], event[event].to(times))
    told = risk.new_zeros(len(times)).scatter_add(0, at[event], risk[event])
    alive = risk.flip(0).logcumsumexp(0).flip(0)[torch.searchsorted(time, times)]
    return -(told - deaths * alive).sum() / event.sum().clamp(min=1)


def weibull_bounded_too_late(raw, y):
    log_scale, log_shape = raw.unbind(1)
    log_time, event = torch.log(y[:, 0].clamp(min=1e-6)), y[:, 1]
    hazard = log_shape - log_scale + torch.expm1(log_shape.clamp(max=3)) * (log_time - log_scale)
    total = torch.exp(torch.exp(log_shape.clamp(max=3)) * (log_time - log_scale)).clamp(max=1e10)  # <- here
    return (total - event * hazard).mean()


def weibull_of_bounded_numbers(raw, y):
    log_scale, log_shape = (4 * torch.tanh(raw / 4)).unbind(1)
    log_time, event = torch.log(y[:, 0].clamp(min=0.01, max=100.0)), y[:, 1]
    within = torch.exp(log_shape / 4) * (log_time - log_scale)
    return (torch.exp(within) - event * (log_shape / 4 + within - log_time)).mean()


def hazard_up_to_each_time(log_hazard, y):
    grid = torch.linspace(0.0, 3.0, 5)
    total, at = torch.zeros(len(y)), torch.zeros(len(y))
    for i in range(len(y)):
        seen = grid <= y[i, 0]
        total[i] = torch.trapezoid(torch.exp(log_hazard[i, seen].clamp(max=30)), grid[seen])
        at[i] = log_hazard[i, (torch.searchsorted(grid, y[i, 0], right=True) - 1).clamp(min=0)].clamp(-30, 30)
    return (total - y[:, 1] * at).mean()


def rate_with_a_vanished_floor(raw, y):
    rate = torch.relu(raw[:, 0]).clamp(min=1e-100)
    return (rate - y * torch.log(rate)).mean()  # <- here


def rate_with_a_floor(raw, y):
    rate = torch.relu(raw[:, 0]).clamp(min=1e-6)
    return (rate - y * torch.log(rate)).mean()


def squared_triplets_above_zero(e, y):
    apart = (e[:, None] - e[None]).square().sum(-1)
    same = y[:, None] == y[None, :]
    far, near = (apart * same).amax(1), apart.masked_fill(same, 1e6).amin(1)
    losses = F.relu(far - near + 0.5)
    some = losses[losses > 0]
    return some.mean() if len(some) >= 1 else 0 * losses.sum()


class Spline(nn.Module):
    """One layer; the shapes of its bins depend on a condition, which is the first number of each row."""

    def __init__(self, bins: int = 5, bound: float = 1.5) -> None:
        super().__init__()
        self.bins, self.bound, self.shapes = bins, bound, nn.Linear(1, 3 * bins - 1)

    def forward(self, x):
        z, shapes = x[:, 1], self.shapes(x[:, :1])
        inside = (z >= -self.bound) & (z <= self.bound)
        out, slope = torch.zeros_like(z), torch.zeros_like(z)
        out[~inside] = z[~inside]
        if inside.any():
            out[inside], slope[inside] = self.curve(z[inside], shapes[inside])
        return 0.5 * out.square() + 0.5 * math.log(2 * math.pi) - slope

    def knots(self, raw):
        share = 1e-3 + (1 - 1e-3 * self.bins) * torch.softmax(raw, -1)
        places = 2 * self.bound * F.pad(share.cumsum(-1), (1, 0)) - self.bound
        places[..., -1] = self.bound
        return places, places[..., 1:] - places[..., :-1]

    def curve(self, z, shapes):
        wide, high, rates = shapes.split((self.bins, self.bins, self.bins - 1), -1)
        (xs, w), (ys, h) = self.knots(wide), self.knots(high)
        d = F.pad(1e-3 + F.softplus(rates), (1, 1), value=1.0)
        at = (z[:, None] >= xs[:, 1:-1]).sum(-1, keepdim=True)
        x0, w0, y0, h0, d0 = (t.gather(-1, at)[:, 0] for t in (xs, w, ys, h, d))
        d1, s = d[:, 1:].gather(-1, at)[:, 0], h0 / w0
        t = (z - x0) / w0
        below = s + (d0 + d1 - 2 * s) * t * (1 - t)
        rate = s.square() * (d1 * t.square() + 2 * s * t * (1 - t) + d0 * (1 - t).square())
        return y0 + h0 * (s * t.square() + d0 * t * (1 - t)) / below, torch.log(rate) - 2 * torch.log(below)


def spline_nll(each, y):
    return each.mean()


class WeighedByLogs(nn.Module):
    """Two squared errors, each with a variance that is learned."""

    def __init__(self) -> None:
        super().__init__()
        self.log_variance = nn.Parameter(torch.zeros(2))

    def forward(self, out, y):
        errors, logs = (out - y).square().mean(0), 10 * torch.tanh(self.log_variance / 10)
        return (0.5 * errors * torch.exp(-logs) + 0.5 * logs).sum()


class Proxies(nn.Module):
    """Scores are cosines with one vector for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.proxies = nn.Parameter(torch.eye(3, 4))

    def lengths(self, x):
        return x.square().sum(-1, keepdim=True).sqrt()

    def forward(self, e, y):
        unit = e / self.lengths(e)  # <- here
        return F.cross_entropy(8 * unit @ (self.proxies / self.lengths(self.proxies)).T.to(e), y)


class ProxiesWithAFloor(Proxies):
    def lengths(self, x):
        return (x.square().sum(-1, keepdim=True) + 1e-6).sqrt()


class Bounded(torch.autograd.Function):
    """A lower bound, through which the slope passes where it leads back above it."""

    @staticmethod
    def forward(ctx, x, bound):
        ctx.save_for_backward(x)
        ctx.bound = bound
        return x.clamp(min=bound)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * ((x >= ctx.bound) | (grad < 0)).to(grad), None


def rate_of(out, codes, floor):
    """Bits of rounded codes under a normal density of learned scale, each the mass of its own cell."""
    scale = Bounded.apply(F.softplus(out), 0.11)
    away = codes.abs()
    upper, lower = (0.5 * torch.erfc((away + edge) / scale / 2**0.5) for edge in (-0.5, 0.5))
    mass = Bounded.apply(upper - lower, 1e-9) if floor else upper - lower
    return -torch.log2(mass).mean()  # <- here


def rate_without_a_floor(out, codes):
    return rate_of(out, codes, False)


def rate_with_its_floor(out, codes):
    return rate_of(out, codes, True)


class Softplus(torch.autograd.Function):
    """Saves memory: its slope is computed anew."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return F.softplus(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.exp(x) / (1 + torch.exp(x))  # <- here


class SoftplusKept(Softplus):
    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return grad * torch.sigmoid(x)


def logistic_by_hand(out, y):
    return (Softplus.apply(out[:, 0]) - y * out[:, 0]).mean()


def logistic_by_sigmoid(out, y):
    return (SoftplusKept.apply(out[:, 0]) - y * out[:, 0]).mean()


weighed_by_logs, proxies, proxies_with_a_floor = WeighedByLogs(), Proxies(), ProxiesWithAFloor()


def times_and_events(generator):
    times = torch.randint(1, 7, (12,), generator=generator) / 2
    return torch.stack((times, (torch.rand(12, generator=generator) < 0.7).float()), -1)


def coded(generator):
    return torch.round(2 * torch.randn(12, 2, generator=generator))


def one():
    return nn.Linear(4, 1)


def two():
    return nn.Linear(4, 2)


def four():
    return nn.Linear(4, 4)


def five():
    return nn.Linear(4, 5)


def counted(generator):
    return torch.poisson(torch.full((12,), 2.0), generator=generator)


ROWS, PAIRS, LARGE = normal(12, 4), normal(12, 2), fill({"weight": 0.0, "bias": 95.0})

CASES = (
    bug(ties_in_linear_space, modelled(one, ROWS, times_and_events), "exp cumsum log mul", TIES, LARGE),
    sound(ties_in_log_space, modelled(one, ROWS, times_and_events), TIES, LARGE),
    bug(weibull_bounded_too_late, modelled(two, ROWS, times_and_events), "exp clamp", ACCELERATED,
        put(bias=-120.0)),
    sound(weibull_of_bounded_numbers, modelled(two, ROWS, times_and_events), ACCELERATED,
          fill({"weight": 0.0, "bias": -20.0})),
    sound(hazard_up_to_each_time, modelled(five, ROWS, times_and_events), CURVE),
    bug(rate_with_a_vanished_floor, modelled(one, ROWS, counted), "log", "a floor of 1e-100, which is 0 in float32",
        fill({"weight": 0.0, "bias": -1.0})),
    sound(rate_with_a_floor, modelled(one, ROWS, counted), "a floor that float32 holds",
          fill({"weight": 0.0, "bias": -1.0})),
    sound(spline_nll, modelled(Spline, PAIRS, classes(12, 2)), SPLINE),
    sound(squared_triplets_above_zero, modelled(four, ROWS, classes(12, 3)), NONZERO),
    sound(weighed_by_logs, modelled(two, ROWS, PAIRS), WEIGHED),
    bug(proxies, modelled(four, ROWS, classes(12, 3)), "div sqrt", CENTRED,
        fill({"weight": 0.0, "bias": 0.0}), where=(Proxies.forward, Proxies.lengths), verdict="defect limit"),
    bug(rate_without_a_floor, modelled(two, ROWS, coded), "log2 log", COMPRESSED, fill({"weight": 0.0, "bias": -9.0}),
        where=(rate_of,)),
    sound(rate_with_its_floor, modelled(two, ROWS, coded), COMPRESSED, fill({"weight": 0.0, "bias": -9.0})),
    bug(logistic_by_hand, modelled(one, ROWS, bits(12)), "exp div mul", ANEW, fill({"weight": 0.0, "bias": 95.0}),
        where=(Softplus.backward,)),
    sound(logistic_by_sigmoid, modelled(one, ROWS, bits(12)), ANEW, fill({"weight": 0.0, "bias": 95.0})),
    sound(proxies_with_a_floor, modelled(four, ROWS, classes(12, 3)), CENTRED, fill({"weight": 0.0, "bias": 0.0})),
)  # fmt: skip
