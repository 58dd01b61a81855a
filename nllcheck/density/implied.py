"""The terms without target against the divergence of a posterior from a prior, whatever family the graph shows.

Three laws, tried in turn, each at many settings of the parameters (`families` has the columns):

- the terms are a weight times KL(q || p): linear in E_q[log q] and the means that log p is made of;
- the same pieces with other coefficients: meant as a divergence, and none;
- with the sample z held fixed, the terms are log q(z) - log p(z): linear in log q, and what is left reads z alone. Then
  p may be anything, a mixture for instance, whose divergence has no closed form. In the mean over the noise only
  log |scale| moves with the parameters, so that its coefficient is the weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nllcheck.axes import label_of
from nllcheck.capture import LossGraph
from nllcheck.density.cut import samples_of
from nllcheck.density.families import FAMILIES, SAME, Family, Params
from nllcheck.density.normals import EXACT, PLAIN
from nllcheck.density.posteriors import WIDE, Posterior, by_origin, run_to
from nllcheck.density.sample import Samples, UndecidedError
from nllcheck.density.terms import Term
from nllcheck.types import Divergence

SETTINGS = 192
MOST_UNITS = 64  # posteriors of a batch that are fitted
MOST_WIDTH = 6  # numbers of one normal posterior with a matrix
MOST_WORK = 2e8  # elements of what is computed on the way to the terms
MOST_OF = 0.9  # share of the posteriors that must agree
DRAWS = 64
FELT = 1e-3


@dataclass(frozen=True)
class _Fit:
    """Least squares by posterior: `found` (U, C) and `left` (U,), the largest residual as a share of the range;
    `weighs` (U, C): what each column moves, as a share of the range."""

    found: Tensor
    left: Tensor
    weighs: Tensor


def divergence_of(graph: LossGraph, made: Posterior, beside: frozenset[int] | None) -> Divergence | None:
    """The answer for one posterior, None where nothing can be said. Raises UndecidedError, or what the ops raise."""
    samples = samples_of(graph, moved=made.sources)
    terms = terms_beside(samples, beside)
    if not terms:
        return None
    raw = _settings(samples.base[: len(made.sources)])
    params, value = _at(samples, made, terms, raw)
    family, node = FAMILIES[made.family], max((origin_of(t) or 0 for t in terms), default=graph.graph.loss)
    name, told = ("", "") if _is_plain(made) else _closed(family, params, value)
    if not name and made.sample is not None and family.likely is not None:
        name, told = _given_sample(graph, made, beside, family, params, raw)
    if not name:
        return None
    return Divergence(name, _sentence(graph, made, family, name, told), node)  # type: ignore[arg-type]


def terms_beside(samples: Samples, beside: frozenset[int] | None) -> list[Term]:
    """The terms that read what was moved and not the target; `beside`: the only ones that may be meant."""
    own = [t for t in samples.tail.terms if not samples.tail.reads_target(t) and samples.tail.reads_model(t)]
    return [t for t in own if beside is None or origin_of(t) in beside]


def origin_of(term: Term) -> int | None:
    """The plain index of the node that a term is."""
    return (term.node.meta.get("custom") or {}).get("origin")


def _is_plain(made: Posterior) -> bool:
    """A normal posterior of single numbers: `normals` has its closed form."""
    return made.family == "normal" and not made.is_matrix


def _settings(base: Sequence[Tensor]) -> list[Tensor]:
    """(S, ...) around the batch's own values. What is positive stays so, and zeros (of a triangle) stay zero."""
    made = torch.Generator().manual_seed(0)
    found = []
    for value in base:
        away = 2 * torch.rand(SETTINGS, *value.shape, generator=made, dtype=WIDE) - 1
        scaled = value * torch.exp(1.5 * away)
        keeps = bool((value > 0).all()) or bool((value == 0).any())
        shifted = value + 2 * away * max(1.0, float(value.abs().max()))
        found.append(torch.where(value > 0, scaled, torch.where(value == 0, value, shifted)) if keeps else shifted)
    return found


def _at(samples: Samples, made: Posterior, terms: list[Term], raw: list[Tensor]) -> tuple[Params, Tensor]:
    """The parameters, (S, U, ...) each, and the terms by posterior, (S, U)."""
    names = by_origin(samples.module, samples.moved)
    if any(p not in names for p in made.params):
        raise UndecidedError("the loss does not read what is drawn")
    wanted = [*(names[p] for p in made.params), *(t.node for t in terms)]
    _check_work(samples, raw)
    rest = [b.expand(SETTINGS, *b.shape) for b in samples.base[len(raw) :]]
    found = run_to(samples.module, wanted, [*raw, *rest])
    params = made.read(found[: len(made.params)])
    units = params[0].shape[1]
    if made.is_matrix and params[0].shape[-1] > MOST_WIDTH:
        raise UndecidedError("too many numbers in one posterior")
    return params, _by_posterior(samples, terms, found[len(made.params) :], units)


def _check_work(samples: Samples, raw: list[Tensor]) -> None:
    size = max(v.numel() for v in samples.values.values() if isinstance(v, Tensor))
    if size * SETTINGS > MOST_WORK / 8:
        raise UndecidedError("too much work")


def _by_posterior(samples: Samples, terms: list[Term], values: list[Tensor], units: int) -> Tensor:
    """(S, U) the terms' sum by posterior, as one sample's loss takes them."""
    total = torch.zeros(len(values[0]), units, dtype=WIDE)
    for term, value in zip(terms, values, strict=True):
        whole = value * samples.shares[term]
        if whole[0].numel() % units:
            raise UndecidedError("a term without target is no sum over the posteriors")
        total = total + whole.reshape(len(whole), units, -1).sum(-1)
    return total


def _closed(family: Family, params: Params, value: Tensor) -> tuple[str, str]:
    """By closed forms: (name, the prior in words, or what is wrong), both empty where nothing can be said."""
    whole = _fitted(family.whole(*params), value)
    weight = whole.found[:, 0]
    rest = whole.found[:, 1:-1] / weight[:, None]
    sound, felt = family.is_prior(rest.nan_to_num(0.0)), whole.weighs[:, 0] > PLAIN
    if _mostly((whole.left < EXACT) & (weight > 0) & felt & sound):
        return "kl", f"{_times(weight)}|{family.prior(rest)}"
    if _mostly((whole.left < PLAIN) & (weight < 0) & felt & sound):
        return "reversed", f"{_times(-weight)}|{family.prior(rest)}"
    if family.turned is not None and _is_turned(_fitted(family.turned(*params), value)):
        return "turned", "|"
    if _mostly((whole.left < PLAIN) & (weight > 0) & felt & family.is_improper(rest)):
        return "none", "what it is measured from is no distribution: a parameter of it is not above 0"
    if _mostly((whole.left < PLAIN) & ~felt & _has_entropy_left(family, whole)):
        return "none", "the logarithm of the scale is missing, and with it what keeps the posterior wide"
    pieces = _fitted(family.pieces(*params), value)
    marked = torch.stack([(pieces.weighs[:, list(group)] > FELT).any(-1) for group in family.marks(_width(params))])
    logs = pieces.found[:, 0] > 0 if family.likely is not None else torch.ones_like(sound)
    if _mostly((pieces.left < PLAIN) & (whole.left > FELT) & marked.all(0) & logs):
        return "none", "it is made of the same pieces, with other coefficients than a divergence has"
    return "", ""


def _has_entropy_left(family: Family, fit: _Fit) -> Tensor:
    """(U,) is the constant that of a normal divergence, -1/2 for each 1/2 of a square? Only one was meant has it."""
    width = fit.found.shape[1] - 2
    if family.turned is None:  # not the normal family
        return torch.zeros(len(fit.found), dtype=torch.bool)
    size = round(((9 + 8 * width) ** 0.5 - 3) / 2)
    own = [i * (i + 1) // 2 + i for i in range(size)]
    squares = fit.found[:, [1 + k for k in own]].sum(-1)
    return (squares > 0) & ((fit.found[:, -1] + squares).abs() < SAME * squares)


def _is_turned(fit: _Fit) -> bool:
    log, square = fit.found[:, 0], fit.found[:, -2]
    return _mostly((fit.left < PLAIN) & (log > 0) & (fit.weighs[:, 0] > FELT) & ((2 * square - log).abs() < SAME * log))


def _given_sample(
    graph: LossGraph, made: Posterior, beside: frozenset[int] | None, family: Family, params: Params, raw: list[Tensor]
) -> tuple[str, str]:
    """By log q(z) - log p(z) with z held fixed, at the batch's own draw and at one ten times as far out."""
    assert made.sample is not None and family.likely is not None
    samples = samples_of(graph, moved=(*made.sources, made.sample))
    terms = terms_beside(samples, beside)
    names = by_origin(samples.module, samples.moved)
    if not terms:
        return "", ""
    z = samples.base[len(made.sources)]
    rest = [b.expand(SETTINGS, *b.shape) for b in samples.base[len(made.sources) + 1 :]]
    units = _units(params[0], terms, samples)
    near, far = (
        _by_posterior(
            samples,
            terms,
            run_to(samples.module, [t.node for t in terms], [*raw, (k * z).expand(SETTINGS, *z.shape), *rest]),
            units,
        )
        for k in (1.0, 10.0)
    )
    del names
    fits, priors = [], []
    for k, value in ((1.0, near), (10.0, far)):
        f, log = family.likely(k * z.reshape(1, *params[0].shape[1:]), *params)
        f, log = (v.reshape(SETTINGS, units, -1).sum(-1) for v in (f, log))
        fits.append(_fitted([log, f, torch.ones_like(log)], value))
        priors.append(fits[-1].found[:, 2])
    return _of_ratio(fits, priors)


def _units(mean: Tensor, terms: list[Term], samples: Samples) -> int:
    """How many posteriors the terms can be told by: single ones, else rows of them."""
    single = mean.shape[1]
    fewest = min(samples.shares[t].numel() for t in terms)
    return single if fewest % single == 0 else fewest if single % fewest == 0 else 1


def _of_ratio(fits: list[_Fit], priors: list[Tensor]) -> tuple[str, str]:
    fit = fits[0]
    weight, share = fit.found[:, 0], fit.found[:, 1]
    same = (fits[1].found[:, 0] - weight).abs() < SAME * weight.abs() + PLAIN
    falls = (priors[1] - priors[0]) / weight > FELT  # -log p rises outwards
    fits_well = (torch.maximum(fit.left, fits[1].left) < EXACT) & same
    if _mostly(fits_well & (weight > 0) & (fit.weighs[:, 0] > FELT) & falls) and _agree(weight):
        return "kl", f"{_times(weight)}|"
    if _mostly(fits_well & (weight < 0) & (fit.weighs[:, 0] > FELT) & falls) and _agree(weight):
        return "reversed", f"{_times(-weight)}|"
    rises = priors[1] - priors[0] > FELT
    lacks = (fit.left < PLAIN) & (fit.weighs[:, 0] < PLAIN) & (fit.weighs[:, 1] > FELT) & (share > 0) & rises
    if _mostly(lacks):
        return "none", "log q(z) lacks the logarithm of the scale, and with it what keeps the posterior wide"
    return "", ""


def _fitted(columns: list[Tensor], value: Tensor) -> _Fit:
    """The fit of (S, U) values at (S, U) columns, every posterior on its own, without settings that have no value."""
    base, value = torch.stack(columns, -1).movedim(1, 0)[:MOST_UNITS], value.T[:MOST_UNITS]
    known = torch.isfinite(base).all(-1) & torch.isfinite(value)
    base = torch.where(known[..., None], base, 0.0)
    value = torch.where(known, value, 0.0)
    size = base.abs().amax(1).clamp(min=1e-300)
    found = torch.linalg.lstsq(base / size[:, None], value[..., None], driver="gelsd").solution[..., 0]
    left = (value - (base / size[:, None] * found[:, None]).sum(-1)).abs().amax(-1)
    span = torch.where(known, value, -torch.inf).amax(-1) - torch.where(known, value, torch.inf).amin(-1)
    enough = known.sum(-1) >= 2 * len(columns)
    left = torch.where(enough & (span > FELT), left / span, torch.inf)
    return _Fit(found / size, left, (found.abs() / span[:, None]).nan_to_num(0.0))


def _mostly(mask: Tensor) -> bool:
    return bool(mask.double().mean() >= MOST_OF)


def _agree(weight: Tensor) -> bool:
    """A term that each sample weighs in its own way is a score or an advantage, no divergence."""
    middle = weight.median()
    return _mostly((weight - middle).abs() < SAME * middle.abs())


def _times(weight: Tensor) -> str:
    one = float(weight.median())
    return "" if abs(one - 1) < SAME else f"{one:.4g} times "


def _width(params: Params) -> int:
    return params[0].shape[-1]


def _sentence(graph: LossGraph, made: Posterior, family: Family, name: str, told: str) -> str:
    times, _, prior = told.partition("|")
    shown = made.sample if made.sample is not None else made.params[0]
    site = graph.graph.nodes[shown].site
    place = f" (line {site.line})" if site else ""
    label = label_of(graph.graph, shown)
    drawn = f"{family.shown} that {label} is drawn from{place}" if made.sample is not None else (
        f"{family.shown} with {label}{place}")  # fmt: skip
    start = prior or "a prior that the loss evaluates at the sample"
    if name == "kl":
        mean = "" if prior else " One draw of it may be negative, its mean is not if that prior is a distribution."
        return (
            f"The terms without target are {times}the KL divergence of {drawn} from {start}: never negative, 0 where "
            f"the two agree.{mean}"
        )
    if name == "reversed":
        return (
            f"The KL term has the wrong sign: it is minus {times}the divergence of {drawn} from {start}, so the loss "
            "rewards a posterior that leaves its prior."
        )
    if name == "turned":
        return (
            f"The KL term is turned round: it is the divergence of the prior from {drawn}. The bound on the "
            "likelihood takes that of the posterior from the prior; this one makes the posterior cover the prior."
        )
    return f"The terms without target are no KL divergence of {drawn} from a prior: {told}."
