"""The terms without target against the divergence of a posterior from a prior, whatever family the graph shows.

The graph is cut where the parameters come from (and at the sample, to hold it fixed) and run at many of them at once;
`laws` tells what the terms are.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, fx

from nllcheck.axes import label_of
from nllcheck.capture import LossGraph
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.kl.families import FAMILIES, SAME, Family, Params
from nllcheck.density.kl.laws import Answer, by_closed_form, by_ratio, fitted
from nllcheck.density.posteriors import Posterior, noise_at
from nllcheck.density.samples.cut import samples_of
from nllcheck.density.samples.running import by_origin, run_to
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.samples.terms import Term
from nllcheck.types import Divergence

SETTINGS = 192
MOST_WIDTH = 6  # numbers of one normal posterior with a matrix
MOST_WORK = 2e7  # elements of the largest value, at all settings together
DRAWS = 64  # of the sample, for the terms' mean on the batch
FELT = 0.01  # nats


def divergence_of(graph: LossGraph, made: Posterior, beside: frozenset[int] | None) -> Divergence | None:
    """The answer for one posterior, None where nothing can be said. Raises UndecidedError, or what the ops raise."""
    samples = samples_of(graph, moved=made.sources)
    terms = terms_beside(samples, beside)
    if not terms:
        return None
    raw = _settings(samples.base[: len(made.sources)])
    params, values = _at(samples, made, terms, raw)
    family = FAMILIES[made.family]
    node = max(origin_of(t) or 0 for t in terms if t.constant is None)
    plain = made.family == "normal" and not made.is_matrix  # single numbers: `normals` knows the closed form
    units = params[0].shape[1]
    answer = None if plain else by_closed_form(family, params, _by_posterior(samples, terms, values, units))
    if answer is None and made.sample is not None and family.likely is not None:
        answer = _given_sample(graph, made, beside, family, params, raw)
    if answer is None:
        return None
    mean = _mean(graph, made, beside) if answer.name == "kl" and not answer.prior else ""
    return Divergence(answer.name, _sentence(graph, made, family, answer) + mean, node)


def terms_beside(samples: Samples, beside: frozenset[int] | None) -> list[Term]:
    """The terms that read what was moved and not the target (`beside`: the only ones that may be meant), and plain
    numbers; none where there are only these."""
    own = [t for t in samples.tail.terms if not samples.tail.reads_target(t)]
    model = [t for t in own if samples.tail.reads_model(t) and (beside is None or origin_of(t) in beside)]
    return [*model, *(t for t in own if not samples.tail.reads_model(t))] if model else []


def origin_of(term: Term) -> int | None:
    """The plain index of the node that a term is."""
    name = term.node.name
    if name.startswith("moved_"):
        return int(name.removeprefix("moved_"))
    return (term.node.meta.get("custom") or {}).get("origin")


def _settings(base: Sequence[Tensor]) -> list[Tensor]:
    """(S, ...) around the batch's own values. What is positive stays so, and zeros of a triangle stay zero."""
    made = torch.Generator().manual_seed(0)
    found = []
    for value in base:
        away = 2 * torch.rand(SETTINGS, *value.shape, generator=made, dtype=WIDE) - 1
        scaled = value * torch.exp(1.5 * away)
        keeps = bool((value > 0).all()) or bool((value == 0).any() and (value != 0).any())
        shifted = value + 2 * away * max(1.0, float(value.abs().max()))
        found.append(torch.where(value > 0, scaled, torch.where(value == 0, value, shifted)) if keeps else shifted)
    return found


def _at(samples: Samples, made: Posterior, terms: list[Term], raw: list[Tensor]) -> tuple[Params, list[Tensor]]:
    """The parameters, (S, U, ...) each, and the terms' own values."""
    names = by_origin(samples.module, samples.moved)
    if any(p not in names for p in made.params):
        raise UndecidedError("the loss does not read what is drawn")
    wanted = [names[p] for p in made.params]
    _check_work(samples, raw)
    rest = [b.expand(SETTINGS, *b.shape) for b in samples.base[len(raw) :]]
    found = run_to(samples.module, [*wanted, *_nodes(terms)], [*raw, *rest])
    params = made.read(found[: len(wanted)])
    if made.is_matrix and params[0].shape[-1] > MOST_WIDTH:
        raise UndecidedError("too many numbers in one posterior")
    return params, found[len(wanted) :]


def _nodes(terms: list[Term]) -> list[fx.Node]:
    return [t.node for t in terms if t.constant is None]


def _check_work(samples: Samples, raw: list[Tensor]) -> None:
    size = max(v.numel() for v in samples.values.values() if isinstance(v, Tensor))
    if size * SETTINGS > MOST_WORK:
        raise UndecidedError("too much work")


def _by_posterior(samples: Samples, terms: list[Term], values: list[Tensor], units: int) -> Tensor:
    """(S, U) the terms' sum by posterior, as one sample's loss takes them."""
    total, given = torch.zeros(len(values[0]), units, dtype=WIDE), iter(values)
    for term in terms:
        share = samples.shares[term]
        whole = (share * term.constant)[None] if term.constant is not None else next(given) * share
        if term.constant is not None and whole.numel() % units:
            continue  # a number of another term's
        total = total + _rows(whole, units).sum(-1)
    return total


def _rows(whole: Tensor, units: int) -> Tensor:
    """(S, ...) -> (S, U, n)."""
    if whole[0].numel() % units:
        raise UndecidedError("a term without target is no sum over the posteriors")
    return whole.reshape(len(whole), units, -1)


def _given_sample(
    graph: LossGraph, made: Posterior, beside: frozenset[int] | None, family: Family, params: Params, raw: list[Tensor]
) -> Answer | None:
    """By log q(z) - log p(z) with z held fixed, at the batch's own draw and at one ten times as far out."""
    assert made.sample is not None and family.likely is not None
    samples = samples_of(graph, moved=(*made.sources, made.sample))
    terms = terms_beside(samples, beside)
    if not terms:
        return None
    z = samples.base[len(made.sources)]
    rest = [b.expand(SETTINGS, *b.shape) for b in samples.base[len(made.sources) + 1 :]]
    units = _units(params[0], terms, samples)
    fits = []
    for far in (1.0, 10.0):
        values = run_to(samples.module, _nodes(terms), [*raw, (far * z).expand(SETTINGS, *z.shape), *rest])
        f, log = family.likely(far * z.reshape(1, *params[0].shape[1:]), *params)
        f, log = (v.reshape(SETTINGS, units, -1).sum(-1) for v in (f, log))
        fits.append(fitted([log, f, torch.ones_like(log)], _by_posterior(samples, terms, values, units)))
    return by_ratio(*fits)


def _units(mean: Tensor, terms: list[Term], samples: Samples) -> int:
    """How many posteriors the terms can be told by: single ones, else rows of them."""
    single = mean.shape[1]
    fewest = min(samples.shares[t].numel() for t in terms if t.constant is None)
    return single if fewest % single == 0 else fewest if single % fewest == 0 else 1


def _mean(graph: LossGraph, made: Posterior, beside: frozenset[int] | None) -> str:
    """What the terms are on the batch in the mean over the noise: below 0 if something else than log p stands there."""
    assert made.noise is not None
    samples = samples_of(graph, moved=(*made.sources, made.noise))
    terms = terms_beside(samples, beside)
    levels = torch.rand(DRAWS, *graph.values[made.noise].shape, generator=torch.Generator().manual_seed(1), dtype=WIDE)
    rest = [b.expand(DRAWS, *b.shape) for b in samples.base]
    rest[len(made.sources)] = noise_at(graph.graph.nodes[made.noise], levels)
    each = _by_posterior(samples, terms, run_to(samples.module, _nodes(terms), rest), 1)[:, 0]
    by_sample = graph.values[made.sample].shape[:1] == samples.shape[:1] if made.sample is not None else False
    count, unit = (samples.shape[0], "nats a sample") if by_sample else (1, "nats")
    mean, error = float(each.mean()) / count, float(each.std()) / count / DRAWS**0.5
    told = f" On the batch its mean over {DRAWS} draws is {mean:.4g} +- {error:.2g} {unit}"
    if mean > -max(FELT, 4 * error):
        return f"{told}."
    return f"{told}. No divergence is below 0: a constant is left out of log q or of log p, which moves no gradient."


def _sentence(graph: LossGraph, made: Posterior, family: Family, answer: Answer) -> str:
    shown = made.sample if made.sample is not None else made.params[0]
    site = graph.graph.nodes[shown].site
    label, place = label_of(graph.graph, shown), f" (line {site.line})" if site else ""
    drawn = f"that {label} is drawn from" if made.sample is not None else f"with {label}"
    drawn = f"{family.shown} {drawn}{place}"
    times = "" if abs(answer.weight - 1) < SAME else f"{answer.weight:.4g} times "
    prior = answer.prior or "a prior that the loss evaluates at the sample"
    match answer.name:
        case "kl":
            unchecked = "" if answer.prior else " (if that is a density: its integral was not taken)"
            agree = "never negative" if answer.prior else "its mean is never negative"
            told = f"The terms without target are {times}the KL divergence of {drawn} from {prior}{unchecked}"
            if answer.is_shifted:
                return f"{told}, but for a constant, which moves no gradient."
            return f"{told}: {agree}, 0 where the two agree."
        case "reversed":
            return (
                f"The KL term has the wrong sign: it is minus {times}the divergence of {drawn} from {prior}, so the "
                "loss rewards a posterior that leaves its prior."
            )
        case "turned":
            return (
                f"The KL term is turned round: it is the divergence of the prior from {drawn}. The bound on the "
                "likelihood takes that of the posterior from the prior; this one makes the posterior cover the prior."
            )
    return f"The terms without target are no KL divergence of {drawn} from a prior: {answer.wrong}."
