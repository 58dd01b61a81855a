"""Z(theta): exp(-loss) integrated or summed over the target, for every sample at every parameter setting."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import combinations, permutations

import torch

from nllcheck.density.allowance import UndecidedError
from nllcheck.density.factors import Factor
from nllcheck.density.integral.centres import SEEDS, centres, given
from nllcheck.density.integral.chart import CHARTS, Chart, between
from nllcheck.density.integral.count import counted
from nllcheck.density.integral.integrand import LogFactor, log_density
from nllcheck.density.integral.line import Integrals, integrate
from nllcheck.density.integral.peaks import Density, finite
from nllcheck.density.integral.space import in_space
from nllcheck.density.integral.sphere import on_sphere
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.support import Columns, Support
from nllcheck.density.theta import Theta

MOST_CLASSES = 20_000
MOST_WORK = 3e8  # elements of targets tried in all


def totals(samples: Samples, theta: Theta, support: Support, known: Factor | None = None) -> Integrals:
    """(P, N) log Z of the part of the loss that depends on the target, with a `known` factor of it in the integral."""
    points, factor = len(theta.axis), known.log if known else None
    if support.columns:
        return _mixed(samples, theta, support, known)
    if support.name in ("class", "one-hot", "binary", "multinomial", "order"):
        return summed(samples, theta, support, factor)
    if samples.count * points * 2000 > MOST_WORK:
        raise UndecidedError(f"{samples.count} samples are too many to integrate over; give a smaller batch")
    if support.name == "count":
        if samples.event:
            raise UndecidedError("rows of counts that the loss does not take one by one are not summed over")
        return counted(samples, theta, factor)
    width = math.prod(samples.event) if samples.event else 1
    if support.name == "sphere" and width > 2:
        return on_sphere(samples, theta, factor)
    chart = _chart(samples, theta, support)
    if support.name in ("simplex", "sphere"):
        width -= 1
    if width == 1:
        return _on_a_line(samples, theta, chart, factor)
    return in_space(samples, theta, chart, width, factor)


def _mixed(samples: Samples, theta: Theta, support: Support, known: Factor | None) -> Integrals:
    """The product over columns that no term of the loss reads together."""
    own = frozenset(samples.tail.terms)
    parts = [(c, among(samples, c)) for c in support.columns if c.terms & own]
    found = [totals(s, theta, c.support, known if known and c.support.name in known.supports else None)
             for c, s in parts]  # fmt: skip
    log_z, error = (torch.stack([getattr(one, name) for one in found]).sum(0) for name in ("log_z", "error"))
    return Integrals(log_z, error, torch.stack([one.diverges for one in found]).any(0))


def among(samples: Samples, columns: Columns) -> Samples:
    """The samples with some columns of a row as their target, and without the terms that read others."""
    kept = tuple(t for t in samples.tail.terms if t in columns.terms or not samples.tail.reads_target(t))
    event = (len(columns.places),) if len(columns.places) > 1 else ()
    return replace(samples, tail=replace(samples.tail, terms=kept), event=event, columns=columns.places)


def _chart(samples: Samples, theta: Theta, support: Support) -> Chart:
    if support.name != "interval":
        return CHARTS["circle" if support.name == "sphere" else support.name]
    if samples.event:
        raise UndecidedError("an interval is for targets that are numbers, and the loss takes whole rows")
    low, high = (torch.full(theta.axis.shape, end, dtype=WIDE) for end in support.ends)
    return between(low if support.begins is None else samples.node_at(theta.tensors, support.begins), high)


def enumerated(samples: Samples, theta: Theta, support: Support) -> torch.Tensor:
    """(C, P, N) the loss at each value that a discrete target can have, without the terms that do not read it."""
    values = _values(samples, support)
    if values.shape[0] > MOST_CLASSES or values.shape[0] * samples.base[-1].numel() * len(theta.axis) > MOST_WORK:
        raise UndecidedError(f"{len(values)} classes at {samples.count} samples are too many to sum over")
    targets = values[:, None, None].expand(len(values), len(theta.axis), samples.count, *samples.event)
    return samples.losses(targets, theta.tensors)


def summed(samples: Samples, theta: Theta, support: Support, factor: LogFactor | None) -> Integrals:
    """The finite sum, exact up to rounding."""
    logs = -enumerated(samples, theta, support)
    if support.is_folded:  # an index that always gives another's loss is that other one
        logs = torch.unique(logs, dim=0)
    if factor is not None:
        values = _values(samples, support)
        logs = logs + factor(values.to(WIDE)).reshape(len(values), -1).sum(-1)[:, None, None]
    log_z = torch.logsumexp(torch.where(torch.isnan(logs), -math.inf, logs), 0)
    known = torch.where(torch.isfinite(log_z) & ~torch.isnan(logs).any(0), 1e-9, math.inf)
    return Integrals(log_z, known.to(WIDE), torch.zeros_like(log_z, dtype=torch.bool))


def _values(samples: Samples, support: Support) -> torch.Tensor:
    kind = samples.base[samples.which].dtype
    if support.name == "one-hot":
        return torch.eye(samples.event[-1], dtype=kind)
    if support.name == "order":
        return _orders(samples.event[-1]).to(kind)
    if support.name == "multinomial":
        return _shared_out(support.classes, samples.event[-1]).to(kind)
    single = torch.arange(2 if support.name == "binary" else support.classes).to(kind)
    return _rows(single, samples.event) if samples.event else single


def _orders(count: int) -> torch.Tensor:
    """(count!, count) all orders of 0 .. count - 1."""
    if math.factorial(count) > MOST_CLASSES:
        raise UndecidedError(f"{count}! orders are too many to sum over")
    return torch.tensor(list(permutations(range(count))))


def _rows(single: torch.Tensor, event: tuple[int, ...]) -> torch.Tensor:
    """(C, *event) all rows whose numbers are among `single`."""
    width = math.prod(event)
    if len(single) ** width > MOST_CLASSES:
        raise UndecidedError(f"{len(single)}^{width} rows are too many to sum over")
    return torch.cartesian_prod(*(single for _ in range(width))).reshape(-1, *event)


def _shared_out(total: int, parts: int) -> torch.Tensor:
    """(C, parts) all ways to share a total out: the gaps between `parts - 1` bars among `total` stars.

    Not by torch.combinations, which lays out places ** (parts - 1) tuples first.
    """
    places = total + parts - 1
    if not total or math.comb(places, total) > MOST_CLASSES:
        raise UndecidedError("rows of counts need one small total to be summed over")
    bars = torch.tensor(list(combinations(range(places), parts - 1)), dtype=torch.long)
    edges = torch.cat([torch.full_like(bars[:, :1], -1), bars, torch.full_like(bars[:, :1], places)], 1)
    return edges.diff(dim=1) - 1


def _on_a_line(samples: Samples, theta: Theta, chart: Chart, factor: LogFactor | None) -> Integrals:
    at = log_density(samples, theta, chart, factor)
    read = centres(samples, theta, chart)
    all_given = given(samples, theta, chart)[..., 0]
    places = all_given if read is None else torch.cat([all_given[:1], read.place[..., 0]])
    first = _highest(at, places)
    spread = first[0].std() if chart.name == "real" and first.shape[1] > 1 else torch.tensor(1.0, dtype=WIDE)
    unit = torch.where(spread > 0, spread, 1.0).to(WIDE).expand(first.shape[1])
    marks = places if read is not None or len(places) > len(first) else None
    whole = integrate(lambda x: at(x[..., None]), first, unit, chart.low, chart.high, chart.is_closed, marks)
    return whole.shaped(len(theta.axis), samples.count)


def _highest(at: Density, places: torch.Tensor) -> torch.Tensor:
    """(K, M) -> (1 + SEEDS, M) the observed target and the places where the density is highest: narrow peaks."""
    if len(places) <= 1 + SEEDS:
        return places
    top = finite(at(places[1:, :, None])).topk(SEEDS, 0).indices
    return torch.cat([places[:1], places[1:].gather(0, top)])
