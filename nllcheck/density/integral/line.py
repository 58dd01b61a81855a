"""Integrals over one coordinate, many at once: the peak is climbed, then Gauss-Kronrod panels are split where needed.

Panels lie in u, with x = centre + scale * sinh(u): a Gaussian, a Cauchy tail and an exponential one are all smooth
there. What lies beyond the last float that works is extrapolated from the tail's own decay, and counted as error.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from nllcheck.density.integral.climb import LogDensity, climb, widths_at
from nllcheck.density.integral.peaks import finite

# Gauss-Kronrod 7-15 (Piessens et al. 1983, QUADPACK): nodes from the end to the centre, weights of both rules.
_NODES = (0.991455371120812639, 0.949107912342758525, 0.864864423359769073, 0.741531185599394440,
          0.586087235467691130, 0.405845151377397167, 0.207784955007898468, 0.0)  # fmt: skip
_KRONROD = (0.022935322010529225, 0.063092092629978553, 0.104790010322250184, 0.140653259715525919,
            0.169004726639267903, 0.190350578064785410, 0.204432940075298892, 0.209482141084727828)  # fmt: skip
_GAUSS = (0.0, 0.129484966168869693, 0.0, 0.279705391489276668, 0.0, 0.381830050505118945, 0.0, 0.417959183673469388)

ROUNDS = 24  # of splitting: a jump is enclosed to 2**-24 of a panel
LOOKED = 40  # points a side where an infinite density is looked for
NOTHING = 25.0  # nats below Z
MOST_GUESSED = 0.1  # share of an integral that may be extrapolated
GOOD = 1e-6  # relative error at which an integral is left alone
MARKS = 48  # places of possible peaks that get panels of their own
AWAY = (2.0, 8.0, 80.0, 800.0)  # widths of a mark, at which panels around it end
CHUNK = 1 << 20  # numbers at which the density is asked for at a time


@dataclass(frozen=True)
class Integrals:
    """M integrals: log Z, its error (absolute in log Z; inf: unknown) and which of them diverge."""

    log_z: torch.Tensor
    error: torch.Tensor
    diverges: torch.Tensor

    def shaped(self, *shape: int) -> Integrals:
        """The same with other dimensions."""
        return Integrals(self.log_z.reshape(shape), self.error.reshape(shape), self.diverges.reshape(shape))


def integrate(log_density: LogDensity, starts: torch.Tensor, unit: torch.Tensor, low: float, high: float,
              is_closed: bool = False, marks: torch.Tensor | None = None) -> Integrals:  # fmt: skip
    """Integrate M log densities over [low, high].

    `starts` (K, M): where to begin climbing; `unit` (M,): a first guess of the scale, any order of magnitude;
    `marks` (J, M): where there may be narrow peaks beside these.
    `is_closed`: low and high are ends of the support; else the tail beyond them is extrapolated.
    """
    tops, widths = climb(log_density, starts, unit, low, high)
    best = tops[1].argmax(0)
    centre, scale = (t.gather(0, best[None])[0] for t in (tops[0], widths))
    line = _Line(log_density, centre, scale, tops[1].amax(0))
    blurred, around = _is_blurred(centre, scale), tops[0]
    if marks is not None:
        around, more = _around(log_density, marks, widths.amin(0))
        blurred = blurred | more
    edges = _edges(line, tops[0], widths, around, low, high)
    panels = _refined(line, edges)
    whole = _closed(panels) if is_closed else _with_tails(line, panels, low, high)
    grows = ((centre == low) | (centre == high)) & torch.isfinite(line.height) & torch.tensor(not is_closed)
    grows = grows | _rises_to_infinity(line, whole.log_z, low, high)
    return replace(whole, error=torch.where(blurred, math.inf, whole.error), diverges=whole.diverges | grows)


def _is_blurred(place: torch.Tensor, width: torch.Tensor) -> torch.Tensor:
    """Is a peak narrower than the floats around it can show?"""
    return width < 1e-11 * place.abs()


def _rises_to_infinity(line: _Line, log_z: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """(M,) is the density infinite beyond a place where it still matters? So it is where y**3 underflows in log(y**3).

    Where it is nothing already, an infinity further out is the formula's own rounding.
    """
    ends = [torch.asinh((end - line.centre) / line.scale) for end in (low, high)]
    u = torch.cat([torch.linspace(0, 1, LOOKED, dtype=log_z.dtype)[:, None] * end for end in ends])
    value = line.log_density(line.centre + line.scale * torch.sinh(u)).reshape(2, LOOKED, -1)
    matters = value + line.log_stretch(u).reshape(value.shape) > log_z - NOTHING
    return ((value[:, 1:] == math.inf) & matters[:, :-1] & torch.isfinite(value[:, :-1])).any(1).any(0)


@dataclass(frozen=True)
class _Line:
    """The integrand in u, relative to the peak's height."""

    log_density: LogDensity
    centre: torch.Tensor  # (M,)
    scale: torch.Tensor
    height: torch.Tensor

    def __call__(self, u: torch.Tensor) -> torch.Tensor:
        """(Q, M) -> log of the integrand, dx/du included, less the height."""
        value = self.log_density(self.centre + self.scale * torch.sinh(u))
        return finite(value) - self.height + self.log_stretch(u)

    def log_stretch(self, u: torch.Tensor) -> torch.Tensor:
        """log dx/du."""
        size = u.abs()
        return torch.log(self.scale) + size + torch.log1p(torch.exp(-2 * size)) - math.log(2)


def _edges(
    line: _Line, tops: torch.Tensor, widths: torch.Tensor, around: torch.Tensor, low: float, high: float
) -> torch.Tensor:
    """(E, M) panel edges: a core around the main peak, the tails, the other peaks with their surroundings, and those
    `around` what else there may be."""
    ends = [torch.asinh((t - line.centre) / line.scale) for t in (low, high)]
    share = torch.linspace(0, 1, 7, dtype=tops.dtype)[1:, None]
    core = torch.linspace(-8, 8, 15, dtype=tops.dtype)[:, None].expand(-1, tops.shape[1])
    parts = [core, -8 + share * (ends[0] + 8), 8 + share * (ends[1] - 8)]
    parts += [torch.asinh((tops + k * widths - line.centre) / line.scale) for k in (-8, -2, 0, 2, 8)]
    parts.append(torch.asinh((around - line.centre) / line.scale))
    edges = torch.cat(parts).clamp(ends[0], ends[1])
    return edges.sort(0).values


def _around(log_density: LogDensity, marks: torch.Tensor, unit: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(E, M) edges around those of the marks (J, M) that may hold most, at growing distances: beside a narrow peak
    there may stand a wide one, and a panel that begins at the one must not step over the other. And (M,): is one of
    them blurred?"""
    widths = widths_at(log_density, marks, unit)
    mass = finite(log_density(marks)) + torch.log(widths)
    best = mass.topk(min(MARKS, len(marks)), 0)
    place, width = marks.gather(0, best.indices), widths.gather(0, best.indices)
    edges = torch.cat([place + k * width for k in (0, *AWAY, *(-k for k in AWAY))])
    return edges, (_is_blurred(place, width) & (best.values > best.values[0] - NOTHING)).any(0)


@dataclass(frozen=True)
class _Panels:
    low: torch.Tensor  # (E, M)
    high: torch.Tensor
    value: torch.Tensor  # integral over the panel, relative to exp(height)
    error: torch.Tensor
    height: torch.Tensor  # (M,)


def _rules(line: _Line, low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Value and error of each panel, (E, M), by the two nested rules; some panels at a time."""
    some = max(1, CHUNK // (2 * len(_NODES) * low.shape[1]))
    found = [_rules_of(line, a, b) for a, b in zip(low.split(some), high.split(some), strict=True)]
    return torch.cat([value for value, _ in found]), torch.cat([error for _, error in found])


def _rules_of(line: _Line, low: torch.Tensor, high: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    half = torch.tensor(_NODES, dtype=low.dtype)
    nodes = torch.cat([-half, half[:-1].flip(0)])
    kronrod, gauss = (torch.tensor((*w, *w[-2::-1]), dtype=low.dtype) for w in (_KRONROD, _GAUSS))
    middle, radius = (low + high) / 2, (high - low) / 2
    u = middle + radius * nodes[:, None, None]
    value = torch.exp(line(u.reshape(-1, u.shape[-1])).reshape(u.shape))
    fine, coarse = (torch.einsum("q,qem->em", w, value) * radius for w in (kronrod, gauss))
    gap = (fine - coarse).abs()
    sharper = torch.where(fine > 0, torch.minimum(gap, fine * (200 * gap / fine) ** 1.5), gap)
    return fine, torch.where(gap > 1e-3 * fine, gap, sharper)  # a jump inside the panel: the plain gap


def _refined(line: _Line, edges: torch.Tensor) -> _Panels:
    low, high = edges[:-1], edges[1:]
    value, error = _rules(line, low, high)
    for _ in range(ROUNDS):
        if _mostly_good(value, error):
            break
        worst = error.topk(2, dim=0).indices
        a, b = low.gather(0, worst), high.gather(0, worst)
        new_low, new_high = torch.cat([a, (a + b) / 2]), torch.cat([(a + b) / 2, b])
        new_value, new_error = _rules(line, new_low, new_high)
        low, high, value, error = (
            torch.cat([old.scatter(0, worst, new[:2]), new[2:]])
            for old, new in ((low, new_low), (high, new_high), (value, new_value), (error, new_error))
        )
    return _Panels(low, high, value, error, line.height)


def _mostly_good(value: torch.Tensor, error: torch.Tensor) -> bool:
    good = error.sum(0) <= GOOD * value.sum(0)
    return bool(good.double().mean() > 0.97)


def _closed(panels: _Panels) -> Integrals:
    total = panels.value.sum(0)
    error = panels.error.sum(0) / total
    return Integrals(panels.height + torch.log(total), _known(error), torch.zeros_like(total, dtype=torch.bool))


def _known(error: torch.Tensor) -> torch.Tensor:
    return torch.where(torch.isfinite(error), error, math.inf)


def _with_tails(line: _Line, panels: _Panels, low: float, high: float) -> Integrals:
    """Add what lies beyond both ends, from the slope of the log integrand there; no decay means divergence."""
    total = panels.value.sum(0)
    tails = [_tail(line, end, high - low) for end in (low, high)]
    diverges = (tails[0].diverges & (tails[0].height > 1e-12 * total)) | (
        tails[1].diverges & (tails[1].height > 1e-12 * total)
    )
    whole = total + tails[0].mass + tails[1].mass
    error = (panels.error.sum(0) + tails[0].error + tails[1].error) / whole
    guessed = (tails[0].mass + tails[1].mass) / whole
    error = torch.where(guessed > MOST_GUESSED, math.inf, error + 0.02 * guessed)
    return Integrals(panels.height + torch.log(whole), _known(error), diverges & (total > 0))


@dataclass(frozen=True)
class _Tail:
    height: torch.Tensor  # (M,) the integrand at the end
    mass: torch.Tensor  # beyond it
    error: torch.Tensor
    diverges: torch.Tensor


def _tail(line: _Line, end: float, width: float) -> _Tail:
    """What lies beyond an end, if the density goes on falling as it does there.

    Charts of bounded reach have exponential tails, exp(a x): their slope is taken in x. On the real line tails are
    powers, which are exponential in u.
    """
    inwards = -1.0 if end > 0 else 1.0
    if width > 1e6:
        u = torch.asinh((torch.full_like(line.centre, end) - line.centre) / line.scale)
        value = line(torch.stack([u, u + inwards, u + 2 * inwards]))
    else:
        x = end + inwards * 0.02 * width * torch.arange(3, dtype=line.scale.dtype)[:, None].expand(-1, len(line.scale))
        value = (line.log_density(x) - line.height) / (0.02 * width)
    near, far = value[1] - value[0], value[2] - value[1]
    unit = 1.0 if width > 1e6 else 0.02 * width
    height = torch.exp(value[0] * unit)
    fades = torch.isnan(near) | (near == math.inf) | (height == 0)
    rate = torch.where(fades, math.inf, near)
    mass = torch.where(fades, 0.0, height / rate.clamp(min=1e-4))
    wrong = ((near - far).abs() / rate.clamp(min=1e-4)).nan_to_num(1.0).clamp(max=1.0) + 1e-3
    return _Tail(height, mass, torch.where(fades, 0.0, mass * wrong), (rate < 2e-3) & ~fades)
