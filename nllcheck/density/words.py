"""The answer in one or two sentences, with its numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nllcheck.density.factors import FACTORS
from nllcheck.density.turned import Turned
from nllcheck.density.unlogged import Unlogged
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent
from nllcheck.types import Density, Graph

GIVEN = "The loss has no target, so it is read as a density of what the model is given."
HELD = "Labels that the loss asks about, as a mask does, are as observed there."
COMPARED = (
    "The loss reads no target, so the data that it compares with stand for one, while what the model reads of them is "
    "held: a density given that."
)
_MISSING = {
    "sqrt(2 pi)": "1/2 log(2 pi) is left out, as gaussian_nll_loss does without full=True",
    "2 pi": "log(2 pi) is left out: a two-dimensional Gaussian",
    "pi": "log(pi) is missing, or a two-dimensional Gaussian without its 1/2",
    "sqrt(pi)": "a squared error without its 1/2 and its constant",
    "2": "log 2 is missing",
    "1/2": "a two-dimensional Gaussian without its 1/2, or log 2 one too many",
    "1/sqrt(2)": "the 1/2 before the square is missing, so sigma comes out sqrt(2) times too large",
    "1/sqrt(2 pi)": "1/2 log(2 pi) is one too many",
    "1/(2 pi)": "log(2 pi) is one too many",
    "4 pi": "log(4 pi) is left out: the area of the unit sphere",
    "e": "1 is missing",
    "1/e": "1 is one too many",
}  # fmt: skip
_WHERE = {
    "real": "over all reals", "positive": "over the positive numbers", "unit": "over (0, 1)",
    "simplex": "over the simplex", "count": "over 0, 1, 2, ...", "class": "over the classes",
    "one-hot": "over the one-hot rows", "binary": "over 0 and 1", "angle": "over one turn",
    "sphere": "over the unit sphere", "interval": "over its interval",
    "multinomial": "over the rows of counts with that total", "order": "over the orders of the classes",
    "mixed": "over all parts of the target, each on its own support",
}  # fmt: skip
_DISCRETE = ("count", "class", "one-hot", "binary", "multinomial", "order")


def sentence(d: Density, loss: float) -> str:
    """What the density test found. `loss` is one sample's mean loss on the batch."""
    z = f"Z, {'the sum' if d.support in _DISCRETE else 'the integral'} of exp(-loss) {_WHERE.get(d.support, '')}"
    z += " at the last step, given those before it" if d.by_step else ""
    tail = _left_out(d)
    match d.name:
        case "proper":
            head = "A proper likelihood" if d.weight == 1 else f"{d.weight:.6g} times a proper likelihood"
            freed = "" if d.weight == 1 else ", that factor taken out"
            return f"{head}: {z}, is 1 at {_settings(d)}{freed}{_bar(d)}.{_beside(d)}{tail}"
        case "constant":
            missing = f" {_MISSING[d.constant][0].upper()}{_MISSING[d.constant][1:]}." if d.constant in _MISSING else ""
            name = f" = {d.constant}" if d.constant else ""
            off = math.log(d.low) if d.low > 0 else math.nan
            return (
                f"A likelihood up to a constant: {z}, is {d.low:.5g}{name} whatever the parameters. Gradients "
                f"are right, reported nats are off by {off:.3g} a sample.{missing}{tail}"
            )
        case "target-factor":
            means = next((f.means for f in FACTORS if f.name == d.factor), "")
            return (
                f"A likelihood up to a factor of the target: with {d.factor} in it, {z}, is {d.low:.5g} whatever the "
                f"parameters ({means}). Gradients are right, nats are off.{tail}"
            )
        case "varies":
            return f"No likelihood: {z}, changes with the parameters: {_spread(d)}{_pulled(d)}.{_bent(d)}{tail}"
        case "diverges":
            return f"No density of the target: {z}, is infinite, so nothing can be said about likelihood.{tail}"
    return d.text


def without_log(found: Unlogged, places: tuple[str, ...]) -> str:
    """Of a loss, or of its terms at these places, that is minus a density."""
    is_sum = found.support.name in _DISCRETE
    part = f"Sign aside, {'; '.join(places)}" if places else "Minus the loss"
    return (
        f"{part} is itself a {'probability' if is_sum else 'density'} of the target: it "
        f"{'sums' if is_sum else 'integrates'} to 1 {_WHERE.get(found.support.name, '')} at all {found.settings} "
        "settings tried. A likelihood takes its logarithm, which is missing here."
    )


def without_minus(found: Turned, places: tuple[str, ...]) -> str:
    """Of a loss, or of its terms at these places, that is the log-likelihood itself."""
    sums = "sums" if found.support.name in _DISCRETE else "integrates"
    value = "1" if found.constant == "1" else f"{found.constant} whatever the parameters"
    part, of = (f"{'; '.join(places)} is a", "exp of it") if places else ("The loss is the", "exp(loss)")
    return (
        f"{part} log-likelihood itself: {of} {sums} to {value} {_WHERE.get(found.support.name, '')} at all "
        f"{found.settings} settings tried. Minimised, it makes the targets ever less likely: the minus is missing."
    )


def _spread(d: Density) -> str:
    if math.isnan(d.batch_low) or d.batch_high <= d.batch_low * 1.001:
        return f"{d.low:.4g} .. {d.high:.4g} near the batch"
    return f"{d.batch_low:.4g} .. {d.batch_high:.4g} on the batch, {d.low:.4g} .. {d.high:.4g} near it"


def _pulled(d: Density) -> str:
    if not d.axis or not math.isfinite(d.pull) or d.pull == 0:
        return ""
    way = "up" if d.pull > 0 else "down"
    return (
        f". Most along {d.axis}, which training is pulled {way} by {abs(d.pull):.3g} nats a unit more than the data say"
    )


def _bent(d: Density) -> str:
    if math.isnan(d.epsilon):
        return ""
    return f" With an epsilon of {d.epsilon:.0e} beside the target, Z would be the same for every sample of the batch."


def in_loss(graph: Graph, index: int) -> int:
    """Of a value that the model gives, the first op of the loss that computes with it: its line says what it is for."""
    found, seen = [index], {index}
    while found and graph.nodes[index].zone == "model":
        users = [n for n in graph.nodes if set(refs(n)) & seen and n.index not in seen]
        own = [n.index for n in users if n.zone == "loss" and not is_transparent(n.op)]
        if own:
            return own[0]
        found = [n.index for n in users if is_transparent(n.op)]
        seen |= set(found)
    return index


def _settings(d: Density) -> str:
    if not d.undecided:
        return f"all {d.samples} settings tried"
    return f"{d.samples} of {d.samples + d.undecided} settings tried, the others undecided"


def _bar(d: Density) -> str:
    return f" (error bar {max(d.error, 1e-12):.1g})"


def _beside(d: Density) -> str:
    if not d.beside:
        return ""
    terms = "; ".join(d.beside)
    return f" Set aside for this, though the target is in it: {terms} (a penalty, or a second likelihood)."


def _left_out(d: Density) -> str:
    if not d.left_out:
        return ""
    return f" Terms without the target, taken for penalties, are left out of this: {'; '.join(d.left_out)}."


def told(d: Density, said: Iterable[str]) -> tuple[str, ...]:
    """The answer as a remark of the report; nothing where the test was not made or a message has `said` it."""
    terms = _divergences([one.text for one in d.divergences if one.name == "kl"])
    if d.name in ("undecided", "not-samples") or any(d.text in message for message in said):
        return terms
    meant = "" if d.name != "varies" or d.claims else " If it is meant as one, say so with --nll."
    support = f"{meant} The target is taken for {d.support} ({d.why_support})." if d.why_support else ""
    return (f"density test: {d.text}{support}", *terms)


def _divergences(texts: list[str]) -> tuple[str, ...]:
    """One remark: of several latent variables the first is told."""
    more = f" The same holds for {len(texts) - 1} more that are drawn." if len(texts) > 1 else ""
    return (f"KL term: {texts[0]}{more}",) if texts else ()


def untold(d: Density) -> tuple[str, ...]:
    """Why the test was not made, or decided nothing; and why there are no curves."""
    curves = (f"curves of Z: because {d.undrawn}",) if d.undrawn else ()
    return (f"density test: {d.text}", *curves) if d.name in ("undecided", "not-samples") else curves
