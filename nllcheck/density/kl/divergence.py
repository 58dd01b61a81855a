"""KL terms of variational losses, checked against the posterior that the code itself draws from.

Where the graph shows a reparameterised sample z = mu + sigma * noise (Kingma and Welling 2013), the terms without a
target that read mu and sigma are evaluated at many of them; a term that reads the noise as well, log q(z) - log p(z),
by its mean over the noise (Gauss-Hermite quadrature). A fit (`normals`) gives their weight, the prior, and what does
not belong.
"""

from __future__ import annotations

import numpy as np
import torch

from nllcheck.axes import label_of
from nllcheck.capture import LossGraph
from nllcheck.capture.interpret import Runner
from nllcheck.capture.numerics import plain_kernels
from nllcheck.density.allowance import UndecidedError
from nllcheck.density.kl.implied import origin_of
from nllcheck.density.kl.normals import PLAIN, SAME, Fit, Mistaken, Turned, fitted, mistaken, name_of, turned
from nllcheck.density.latent import Latent
from nllcheck.density.samples.cut import samples_of
from nllcheck.density.samples.prune import until
from nllcheck.density.samples.running import by_origin
from nllcheck.density.samples.sample import WIDE, Samples
from nllcheck.density.samples.terms import Term
from nllcheck.graphs import refs
from nllcheck.types import Divergence, Node

SETTINGS = 48  # of mu and sigma
DRAWS = 24  # nodes of the quadrature over the noise
MOST_WORK = 1e8  # elements of the model's tensors
MOST_FITTED = 2048  # elements of mu
FELT = 0.01  # nats
SIGMA = (0.1, 10.0)  # standard deviations of the posterior that are tried
SHIFTS = torch.linspace(-100, 100, 401, dtype=WIDE)  # of the raw scale


def of_normal(graph: LossGraph, latent: Latent, beside: frozenset[int] | None) -> Divergence | None:
    """The answer for one normal posterior of single numbers, fitted with all that goes wrong with it; None where
    nothing can be said. Raises UndecidedError, or what the ops raise."""
    samples = samples_of(graph, moved=(latent.raw_mean, latent.raw_scale, latent.noise))
    if any(node not in by_origin(samples.module, samples.moved) for node in (latent.sample, latent.mean, latent.scale)):
        return None  # the loss does not read what is drawn
    size = graph.values[latent.sample].numel()
    terms, noisy = _terms(samples, size, beside)
    draws = DRAWS if noisy else 1
    if not terms or size * SETTINGS * draws * len(graph.fx_nodes) > MOST_WORK * len(terms):
        return None
    mean, scale, value, _ = _evaluated(samples, latent, terms, _settings(samples, latent, terms), draws)
    few = mean[:, :MOST_FITTED], scale[:, :MOST_FITTED], value[:, :MOST_FITTED]
    node = max((origin_of(t) or 0 for t in terms if t.constant is None), default=graph.graph.loss)
    other = turned(*few)
    if other is not None:
        return Divergence("turned", _told_turned(graph, latent, other), node)
    fit = fitted(*few)
    name = name_of(fit)
    if name is None:
        wrong = mistaken(*few)
        return Divergence("none", _told_mistaken(graph, latent, wrong), node) if wrong else None
    return Divergence(name, _told(graph, samples, latent, terms, fit, name, draws), node)


def _terms(samples: Samples, size: int, beside: frozenset[int] | None) -> tuple[list[Term], bool]:
    """The loss' terms without target that are made of mu and sigma, element by element, and whether any reads noise.

    Raises UndecidedError where one of them is not made element by element.
    """
    own = [t for t in samples.tail.terms if t.node not in samples.tail.on_target]
    holders = {n.name: n for n in samples.module.graph.nodes if n.op == "placeholder"}
    raw = [holders[f"moved_{k}"] for k in samples.moved[:2]]

    def is_beside(term: Term) -> bool:
        """What reads the noise alone was a number where that was seen."""
        return beside is None or origin_of(term) in beside or not any(_reads(term.node, n) for n in raw)

    models = [t for t in own if samples.tail.reads_model(t) and is_beside(t)]
    if not any(_reads(t.node, n) for t in models for n in raw):
        return [], False
    fixed = [t for t in own if not samples.tail.reads_model(t)]
    terms = [t for t in (*models, *fixed) if samples.shares[t].numel() == size]
    if any(t not in terms for t in models):
        raise UndecidedError("a term without target is no sum over the elements of mu")
    noise = holders[f"moved_{samples.moved[2]}"]
    return terms, any(_reads(t.node, noise) for t in models)


def _reads(node: torch.fx.Node, source: torch.fx.Node) -> bool:
    seen, stack = {node}, [node]
    while stack:
        new = set(stack.pop().all_input_nodes) - seen
        seen |= new
        stack += new
    return source in seen


def _settings(samples: Samples, latent: Latent, terms: list[Term]) -> tuple[torch.Tensor, torch.Tensor]:
    """(S, ...) raw means around the batch's own, and raw scales that make sigma about 1, where sigma^2 is felt."""
    made = torch.Generator().manual_seed(0)
    mean, scale = samples.base[:2]
    away = torch.rand(SETTINGS, *mean.shape, generator=made, dtype=WIDE) * 2 - 1
    steps = SHIFTS.reshape(-1, *(1 for _ in scale.shape))
    sigma = _evaluated(samples, latent, terms, (mean.expand(len(steps), *mean.shape), scale + steps), 1)[1]
    usable = (sigma > SIGMA[0]) & (sigma < SIGMA[1])
    usable = torch.where(usable.any(0), usable, (SHIFTS.abs() < 2)[:, None])
    picks = torch.multinomial(usable.T.to(WIDE), SETTINGS, replacement=True, generator=made).T
    return mean + 2 * away * max(1.0, float(mean.abs().max())), scale + SHIFTS[picks].reshape(-1, *scale.shape)


Evaluated = tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]


def _evaluated(
    samples: Samples, latent: Latent, terms: list[Term], raw: tuple[torch.Tensor, torch.Tensor], draws: int
) -> Evaluated:
    """(S, n) mu, sigma and the mean of the terms over the noise, and the (S, n) variance of one draw."""
    nodes = by_origin(samples.module, samples.moved)
    own = [t for t in terms if t.constant is None]
    short = until(
        samples.module, [*(nodes[k] for k in (latent.sample, latent.mean, latent.scale)), *(t.node for t in own)]
    )

    def at(noise: torch.Tensor, mean: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, ...]:
        drawn, *given = Runner(short, WIDE, keep=False).run(mean, scale, noise, *samples.base[3:])
        values = dict(zip(own, given[2:], strict=True))
        parts = [(values[t] if t.constant is None else t.constant) * samples.shares[t] for t in terms]
        given = [value.expand(drawn.shape).reshape(-1) for value in given[:2]]
        return (*given, sum(p.reshape(-1) for p in parts))  # type: ignore[return-value]

    places, weights = (torch.tensor(v, dtype=WIDE) for v in np.polynomial.hermite_e.hermegauss(draws))
    noise = places.reshape(-1, *(1 for _ in samples.base[2].shape)).expand(-1, *samples.base[2].shape)
    with torch.no_grad(), plain_kernels():
        each = torch.func.vmap(torch.func.vmap(at, (None, 0, 0)), (0, None, None))(noise, *raw)
    weights = (weights / weights.sum())[:, None, None]
    mean = (weights * each[2]).sum(0)
    return each[0][0], each[1][0], mean, (weights * (each[2] - mean) ** 2).sum(0)


def _told(
    graph: LossGraph, samples: Samples, latent: Latent, terms: list[Term], fit: Fit, name: str, draws: int
) -> str:
    drawn = _drawn(graph, latent)
    if name == "none":
        found = {"log sigma weighs": -fit.entropy, "sigma^2": fit.square, "mu^2": fit.mean_square, "sigma": fit.scale}
        weights = ", ".join(f"{of} {round(weight, 6) + 0:.4g}" for of, weight in found.items())  # no -3e-16
        return (
            f"The terms without target are no KL divergence of {drawn} from a normal prior: {weights}. A "
            "divergence has the same weight above 0 at sigma^2 and mu^2, one below 0 at log sigma, and none at sigma."
        )
    weight = abs(fit.entropy)
    prior = _prior(fit.prior)
    times = "" if abs(weight - 1) < SAME else f"{weight:.4g} times "
    if name == "reversed":
        return (
            f"The KL term has the wrong sign: it is minus {times}the divergence of {drawn} from {prior}, so the loss "
            "rewards a posterior that leaves its prior."
        )
    text = (
        f"The terms without target are {times}the KL divergence of {drawn} from {prior}: never negative, 0 where the "
        "two agree."
    )
    if fit.prior is None and len(fit.each) < graph.values[latent.sample].numel():
        return text  # of the others no prior is known
    return text + _on_batch(graph, samples, latent, terms, fit, draws)


def _on_batch(graph: LossGraph, samples: Samples, latent: Latent, terms: list[Term], fit: Fit, draws: int) -> str:
    here = _evaluated(samples, latent, terms, (samples.base[0][None], samples.base[1][None]), draws)
    by_sample = graph.values[latent.sample].shape[:1] == samples.shape[:1]
    count, unit = (samples.shape[0], "nats a sample") if by_sample else (1, "nats")
    noise = f" (one draw of it: standard deviation {float(here[3].sum().sqrt()) / count:.3g})" if draws > 1 else ""
    text = f" On the batch it is {float(fit.divergence(*here[:2]).sum()) / count:.4g} {unit}{noise}."
    return text + _held(here, fit, draws) + _floor(graph, samples, latent, terms, fit, draws)


def _told_turned(graph: LossGraph, latent: Latent, other: Turned) -> str:
    times = "" if abs(other.weight - 1) < SAME else f"{other.weight:.4g} times "
    return (
        f"The KL term is turned round: it is {times}the divergence of {'the prior ' if other.prior else ''}"
        f"{_prior(other.prior)} "
        f"from {_drawn(graph, latent)}. The bound on the likelihood takes that of the posterior from the prior; this "
        "one makes the posterior cover the prior, wherever the data are."
    )


def _told_mistaken(graph: LossGraph, latent: Latent, wrong: Mistaken) -> str:
    return (
        f"The terms without target are no KL divergence of {_drawn(graph, latent)} from a normal prior: mu^2 weighs "
        f"{wrong.mean_square:.4g} and {wrong.square} {wrong.weight:.4g}. A divergence has sigma^2 beside mu^2: "
        f"{wrong.cause}."
    )


def _drawn(graph: LossGraph, latent: Latent) -> str:
    place = _place(graph.graph.nodes[latent.sample])
    return f"the normal posterior that {label_of(graph.graph, latent.sample)} is drawn from{place}"


def _prior(prior: tuple[float, float] | None) -> str:
    if prior is None:
        return "normal priors that differ from element to element"
    middle, spread = prior
    return f"N({middle if abs(middle) > PLAIN * spread else 0:.3g}, {spread:.3g}^2)"


def _held(here: Evaluated, fit: Fit, draws: int) -> str:
    """Elements of the batch that the loss holds at one number above their divergence: free bits, Kingma et al. 2016."""
    own, counted = fit.divergence(*here[:2])[0], here[2][0]
    held = counted[counted - own > FELT]
    if draws > 1 or len(held) < 2 or float(held.max() - held.min()) > FELT:  # one constant beside all: no bound
        return ""
    return (
        f" The loss holds it from below (free bits): {len(held)} of {len(counted)} elements of the batch count as "
        f"{float(held.median()):.3g} nats, and no gradient pulls them."
    )


def _floor(graph: LossGraph, samples: Samples, latent: Latent, terms: list[Term], fit: Fit, draws: int) -> str:
    """An epsilon that the sampler adds to sigma and the density does not know: how far the two part near it."""
    node = graph.graph.nodes[latent.scale]
    added = next((a for a in node.args if isinstance(a, float)), 0.0) if node.op == "add" else 0.0
    if not 0 < added < 0.01 or len(refs(node)) != 1:
        return ""
    down = torch.linspace(0, 60, SETTINGS, dtype=WIDE).reshape(-1, *(1 for _ in samples.base[1].shape))
    raw = (samples.base[0].expand(SETTINGS, *samples.base[0].shape), samples.base[1] - down)
    here = _evaluated(samples, latent, terms, raw, draws)
    change = (here[2] - fit.divergence(*here[:2])) - (here[2] - fit.divergence(*here[:2]))[:1]
    near = here[1] < 2 * added
    if not bool(near.any()) or float(change[near].abs().min()) < FELT:
        return ""
    gap = float(change[near].abs().min())
    return (
        f" The sampler adds {added:.0e} to sigma{_place(node)} and the density does not: where sigma is as small as "
        f"that the two are not the same distribution, and the term is off by {gap:.3g} nats and more an element."
    )


def _place(node: Node) -> str:
    return f" (line {node.site.line})" if node.site else ""
