"""Integrals over two and more coordinates: a product grid around the peak, or importance sampling.

The grid stands in the peak's own axes, stretched by sinh towards the tails; half the grid gives the error. Importance
sampling is in `drawn`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import torch

from nllcheck.density.allowance import UndecidedError
from nllcheck.density.integral.centres import Centres, centres
from nllcheck.density.integral.chart import FAR, Chart
from nllcheck.density.integral.drawn import drawn
from nllcheck.density.integral.integrand import LogFactor, log_density
from nllcheck.density.integral.line import Integrals
from nllcheck.density.integral.peaks import Density, Peaks, finite, log_volume, peak, touching
from nllcheck.density.samples.cut import MOST_WIDE
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.theta import Theta

SIDE = 73  # grid points an axis, odd: every other one is a grid of its own
ROWS = 8  # of the grid at a time: of 128 integrals all of them took 71 MiB, eight take one
REACH = 6.0  # of the grid in u: sinh(6) is 200 scales
GOLDEN = (math.sqrt(5) - 1) / 2
ROUGH = 5e-3  # of the sums over every other point beside the whole: from there on they agree by chance
STARTS = 3  # from which peaks are looked for
PARTS = 24  # peaks that points are drawn around
ENOUGH = 0.9  # share of integrals that the grid must decide; else all are drawn
MOST_WORK = 4e8  # target elements in all


def in_space(samples: Samples, theta: Theta, chart: Chart, width: int, factor: LogFactor | None) -> Integrals:
    """(P, N) log Z over targets of `width` free coordinates. Raises UndecidedError where that is too much work."""
    points = len(theta.axis)
    count = points * samples.count
    check_work(samples, points, width)
    at = log_density(samples, theta, chart, factor)
    seen = chart.from_target(samples.rows)
    tries = 1 if chart.name == "simplex" else min(STARTS, samples.count)  # there densities have one peak in the chart
    starts = [seen.roll(k * (samples.count // STARTS), 0) for k in range(tries)]
    starts += _given(samples, theta, chart, width)
    peaks = [peak(at, s.expand(points, *seen.shape).reshape(count, -1), chart.low, chart.high)
             if s.dim() == 2 else peak(at, s.reshape(count, -1), chart.low, chart.high) for s in starts]  # fmt: skip
    read = centres(samples, theta, chart) if samples.event and chart.name == "real" else None
    peaks += [touching(at, place) for place in read.place] if read else []
    found = over_peaks(at, peaks, chart.low, chart.high, _components(at, read) if read else ())
    grows = _grows(at, seen.repeat(points, 1)) if chart.name == "real" else found.diverges
    return replace(found, diverges=found.diverges | grows).shaped(points, samples.count)


def _grows(at: Density, seen: torch.Tensor) -> torch.Tensor:
    """(M,) does the density grow without end, forwards or backwards along the observed target?"""
    near, far = (finite(at(torch.stack([k * seen, -k * seen]))).amax(0) for k in (1e3, 1e6))
    return (far > near + 100) & (near > 100)


def check_work(samples: Samples, points: int, width: int) -> None:
    """Raise UndecidedError where so many integrals over so many coordinates are too much work."""
    if width > MOST_WIDE or samples.count * points * 1000 * width > MOST_WORK:
        raise UndecidedError(f"{samples.count} targets of {width} coordinates are too many to integrate over")


def _given(samples: Samples, theta: Theta, chart: Chart, width: int) -> list[torch.Tensor]:
    """The model's first numbers for a sample, as a place to start from: a mean is often among them."""
    for tensor in theta.tensors[: samples.which] if chart.name == "real" else ():
        rows = tensor.reshape(len(tensor), samples.count, -1) if tensor[0].numel() % samples.count == 0 else None
        if rows is not None and rows.shape[-1] >= width:
            return [rows[..., :width]]
    return []


def _components(at: Density, read: Centres) -> list[Peaks]:
    """A mixture's components as wide as the loss makes them: a wide one does not show beneath a narrow one."""
    rows = zip(read.place, read.width, strict=True)
    return [Peaks(place, finite(at(place[None]))[0], torch.diag_embed(width)) for place, width in rows]


def over_peaks(at: Density, peaks: list[Peaks], low: float, high: float, beside: Sequence[Peaks] = ()) -> Integrals:
    """M integrals, given peaks of each. The grid serves where one peak holds all the mass that was found; else points
    are drawn around all of them, and around what may lie `beside`."""
    peaks = _largest(_distinct(peaks))
    parts = _largest([*peaks, *beside])
    mass = torch.stack([p.log_mass() for p in peaks])
    lead = mass.argmax(0)
    main = Peaks(*(_picked(torch.stack([getattr(p, f) for p in peaks]), lead) for f in ("place", "height", "spread")))
    single = torch.stack([_is_same(p, main) | (m < mass.amax(0) - 16) for p, m in zip(peaks, mass, strict=True)]).all(0)
    if main.place.shape[-1] > 2:
        return drawn(at, parts, low, high)
    grid = _on_grid(at, main, high)
    if bool((single & (grid.error < 1e-3)).double().mean() > ENOUGH):
        return replace(grid, error=torch.where(single, grid.error, math.inf))
    found = drawn(at, parts, low, high)
    use = single & (grid.error <= found.error)
    return replace(
        grid,
        log_z=torch.where(use, grid.log_z, found.log_z),
        error=torch.where(use, grid.error, found.error),
        diverges=torch.where(use, grid.diverges, found.diverges),
    )


def _distinct(peaks: list[Peaks]) -> list[Peaks]:
    """Without the searches that all ended where an earlier one had."""
    found: list[Peaks] = []
    for one in peaks:
        if not any(bool(_is_same(one, other).all()) for other in found):
            found.append(one)
    return found


def _largest(peaks: list[Peaks]) -> list[Peaks]:
    """The PARTS peaks of each density that seem to hold most."""
    if len(peaks) <= PARTS:
        return peaks
    best = torch.stack([p.log_mass() for p in peaks]).topk(PARTS, 0).indices
    fields = (torch.stack([getattr(p, f) for p in peaks]) for f in ("place", "height", "spread"))
    taken = [[_picked(field, row) for row in best] for field in fields]
    return [Peaks(*parts) for parts in zip(*taken, strict=True)]


def _picked(stacked: torch.Tensor, which: torch.Tensor) -> torch.Tensor:
    """(K, M, ...) and (M,) -> (M, ...)."""
    return stacked[which, torch.arange(stacked.shape[1])]


def _is_same(one: Peaks, other: Peaks) -> torch.Tensor:
    """(M,) do two searches end on one peak, within a scale of it?"""
    away = torch.linalg.solve_triangular(other.spread, (one.place - other.place)[..., None], upper=False)[..., 0]
    return away.abs().amax(-1) < 1.0


def _on_grid(at: Density, main: Peaks, high: float) -> Integrals:
    """The sum over a square grid, against those over every other point of it; a few rows at a time."""
    step = 2 * REACH / (SIDE - 1)
    quarters, beyond, rim, inner = (torch.zeros(()) for _ in range(4))
    for rows in torch.arange(SIDE).split(ROWS):
        x, whole = _rows_of_grid(at, main, rows)
        even = torch.stack([whole[rows % 2 == i][:, j::2].sum((0, 1)) for i in (0, 1) for j in (0, 1)])
        far = (x.abs() > FAR / 2).any(-1) if high <= FAR else torch.zeros_like(whole, dtype=torch.bool)
        quarters, beyond = quarters + even, beyond + (whole * far).sum((0, 1))
        rim, inner = rim + _frame(whole, rows, 0), inner + _frame(whole, rows, 2)
    fine = quarters.sum(0) * step**2
    gap = ((fine - quarters * 4 * step**2).abs() / fine).amax(0)
    beyond = beyond * step**2 / fine  # what lies outside is less than what lies just inside
    rim, inner = rim * step / fine, inner * step / fine  # per unit of u at the edge
    log_z = main.height + torch.log(fine) + log_volume(main.spread)
    gap = torch.where(gap < ROUGH, torch.minimum(gap, 30 * gap**1.5), 10 * gap)
    error = gap + 10 * rim + beyond + 1e-9
    grows = (rim > 1e-3) & (rim > 0.98 * inner)
    return Integrals(log_z, torch.where(torch.isfinite(log_z), error, math.inf), grows)


def _rows_of_grid(at: Density, main: Peaks, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets (R, SIDE, M, 2) of some rows and the integrand there (R, SIDE, M), as a share of the peak's height.

    Each row is moved along itself by another part of a step, so that a narrow ridge cannot lie between all points.
    """
    u = torch.linspace(-REACH, REACH, SIDE, dtype=WIDE)
    shift = ((rows * GOLDEN) % 1 - 0.5) * (u[1] - u[0])
    grid = torch.stack([u[rows, None].expand(-1, SIDE), u + shift[:, None]], -1).reshape(-1, 2)
    x = main.place + torch.einsum("mij,qj->qmi", main.spread, torch.sinh(grid))
    value = finite(at(x)) - main.height + torch.log(torch.cosh(grid)).sum(-1)[:, None]
    shape = (len(rows), SIDE, -1)
    return x.reshape(*shape[:2], *x.shape[1:]), torch.exp(value).reshape(shape)


def _frame(whole: torch.Tensor, rows: torch.Tensor, inset: int) -> torch.Tensor:
    """(M,) what these rows have of the grid's outline, moved inwards by `inset` points."""
    ends = (inset, SIDE - 1 - inset)
    return whole[(rows == ends[0]) | (rows == ends[1])].sum((0, 1)) + whole[:, list(ends)].sum((0, 1))
