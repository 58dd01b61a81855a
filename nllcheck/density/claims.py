"""Does a loss present itself as a likelihood? Only then is its failing to be one an alarm."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator

from nllcheck.axes import depends_on
from nllcheck.graphs import ancestors, refs, selects
from nllcheck.ops import packet
from nllcheck.types import Graph, Ref

_YES = re.compile(
    r"(^|_|\.)(nll|negative_?log_?lik\w*|log_?lik\w*|likelihoods?|log_?probs?|logp|log_?pdf|pdf|density|ll|loglik\w*|elbo|"
    r"gaussian|normal|laplace|dirichlet|poisson|gamma|beta|student\w*|cauchy|weibull|lognormal|exponential(?!_loss)|pareto|rayleigh|mdn|mixture|bernoulli|"
    r"categorical|binomial|von_?mises|log_?norm|equation_1\d)(?=_|\d|$)",
    re.I,
)
_POSTERIOR = {"dirichlet", "beta", "gamma"}  # of which an evidential risk speaks, and a divergence is taken
_NO = re.compile(
    r"(^|_)(focal|smooth\w*|weighted|hinge|margin|contrast\w*|triplet|mse|mae|huber|l1|l2|rank\w*|dice|iou|nce|infonce|"
    r"perceptual|gan|quantile|pinball|robust|beta_nll|tempered|pseudo\w*|composite|distill\w*|nt_?xent|clip|"
    r"\w*deviance|symmetric|reverse)(_|\d|$)",
    re.I,
)
_CONSTANTS = (2 * math.pi, math.log(2 * math.pi), 0.5 * math.log(2 * math.pi), math.sqrt(2 * math.pi))


def claims_likelihood(graph: Graph, loss_name: str) -> bool:
    """By its name, by its variables' names, or by a normaliser: lgamma, 2 pi, erf of a truncated density.

    A name that says what else it is (focal, smoothing, hinge, ...) overrules all of these.
    """
    names = [_in_words(loss_name.rsplit(".", 1)[-1].rsplit(":", 1)[-1])]
    names += [n.site.function for n in graph.nodes if n.site and n.zone == "loss"]
    inner = [n.name for n in graph.nodes if n.name and n.zone == "loss"]
    others = {m.group(2).lower() for n in dict.fromkeys([*names, *inner]) if (m := _NO.search(n))}
    if any(n.op == "lgamma" for n in graph.nodes):
        others.discard("beta_nll")  # then of a beta distribution, and no weighed normal one (Seitzer et al. 2022)
    if others:
        return False
    if _is_reweighted(graph) or _is_expected(graph) or _is_score(graph) or _is_margin(graph):
        return False
    if _is_held(graph) or _is_partial(graph) or _is_modulated(graph) or _is_of_events(graph) or _is_mined(graph):
        return False
    said = {m.group(2).lower() for n in (*names, *inner) for m in _YES.finditer(n)}
    if _is_of_posterior(graph):
        return bool(said - _POSTERIOR) or _has_normaliser(graph, ("nll_loss", "i0"))
    return bool(said) or _has_normaliser(graph)


def _in_words(name: str) -> str:
    """A class's name as a function's is written: FocalLoss is focal_loss, GaussianNLLLoss gaussian_nll_loss."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)


_CLASSED = ("nll_loss", "binary_cross_entropy", "bce_with_logits")


def _is_modulated(graph: Graph) -> bool:
    """Is a classifier's log-likelihood multiplied with a function of itself, as (1 - exp(-ce))**2 * ce, which is made
    to weigh what is easy less (Lin et al. 2017, eq. 4)?"""
    read = [depends_on(graph, {n.index}) for n in graph.nodes if n.op in _CLASSED]
    return any(len(refs(n)) == 2 and set(refs(n)) <= one for one in read for n in graph.nodes if n.op == "mul")


def _is_mined(graph: Graph) -> bool:
    """Does what the model makes of a sample say whether it counts, as in training on hard examples only (Shrivastava
    et al. 2016) or on sure ones? What is left out has a loss of 0, which no density has. A guard against what is not
    finite leaves out nothing else."""
    moved = depends_on(graph, set(_moving(graph)))
    both = moved & depends_on(graph, set(graph.targets))
    filled = [n for n in graph.nodes if n.op == "masked_fill" and n.args[2:] == (0,) and both.issuperset(refs(n))]
    picked = [refs(n)[0] for n in graph.nodes if selects(graph, n) and refs(n)[0] in moved]
    return any(_asks(graph, mask) for mask in [*(refs(n)[1] for n in filled), *picked])


def _asks(graph: Graph, mask: int) -> bool:
    """Does a mask hold anything but whether values are finite?"""
    node = graph.nodes[mask]
    asked = packet(node.aten)
    if asked in ("isnan", "isinf", "isfinite"):
        return False
    if asked in ("eq", "ne") and (node.args[0] == node.args[1] or node.args[1] in (math.inf, -math.inf)):
        return False
    inner = [k for k in refs(node) if graph.nodes[k].dtype == "bool"]
    return any(_asks(graph, k) for k in inner) if inner else True


def _is_reweighted(graph: Graph) -> bool:
    """Class weights, or label smoothing: log-probabilities that are also summed over the classes."""
    logs = {n.index for n in graph.nodes if n.op == "log_softmax"}
    picked = [n for n in graph.nodes if n.op == "nll_loss"]
    weighted = any(len(n.args) > 2 and n.args[2] is not None for n in picked)
    summed = any(n.op in ("sum", "mean") and n.args and n.args[0] in {Ref(k) for k in logs} for n in graph.nodes)
    return weighted or (bool(picked) and summed)


def _is_margin(graph: Graph) -> bool:
    """Are the scores themselves changed at the label, as an angular margin does (Deng et al. 2019, eq. 3)? Such a
    cross-entropy is made to be more than a likelihood asks for."""
    labelled = depends_on(graph, set(graph.targets))
    return any(set(refs(n)[:1]) & labelled for n in graph.nodes if n.op == "nll_loss")


def _is_expected(graph: Graph) -> bool:
    """Is it the mean of a log-likelihood under a Dirichlet or gamma posterior? E[log p] is a difference of digammas,
    and by Jensen's inequality such a risk is a bound, no likelihood (Sensoy et al. 2018, eq. 4).

    A digamma in a term of its own, of a KL, is none: it meets the target in sums only.
    """
    means = depends_on(graph, {n.index for n in graph.nodes if n.op == "digamma"})
    data = depends_on(graph, set(graph.targets))
    met = [n for n in graph.nodes if n.op in ("mul", "gather", "index", "nll_loss", "matmul", "where")]
    return any(means & set(refs(n)) - data and data & set(refs(n)) - means for n in met)


def _is_of_posterior(graph: Graph) -> bool:
    """Is the digamma taken wherever lgamma is taken of what the model gives? So it is in a divergence between two
    Dirichlet or gamma distributions (Sensoy et al. 2018, eq. 5), and in no density, which has lgammas alone."""
    moved = depends_on(graph, set(_moving(graph)))
    taken = {op: {r for n in graph.nodes if n.op == op for r in refs(n) if r in moved} for op in ("lgamma", "digamma")}
    return bool(taken["lgamma"]) and taken["lgamma"] <= taken["digamma"]


def _is_held(graph: Graph) -> bool:
    """Is what the model gives a weight whose gradient is held back, as responsibilities in EM (Dempster et al. 1977)?

    Then the loss is there for its gradient, which is not that of its value. What is added and taken away again, as a
    maximum before exp, weighs nothing.
    """
    moved = depends_on(graph, set(_moving(graph)))
    held = {n.index for n in graph.nodes if n.aten.startswith("aten.detach") and n.index in moved}
    return any(
        held & set(_scalings(graph, one)) and other in moved
        for n in graph.nodes if n.op == "mul" and len(refs(n)) == 2 for one, other in (refs(n), refs(n)[::-1])
    )  # fmt: skip


def _is_partial(graph: Graph) -> bool:
    """Does the target only say which samples count, each against a sum that runs over the samples still at risk? Such
    a partial likelihood (Cox 1975) is a density of the order of events, not of the target."""
    data, moved = depends_on(graph, set(graph.targets)), depends_on(graph, set(_moving(graph)))
    sums = {n.index for n in graph.nodes if n.op in ("cumsum", "logcumsumexp") and n.args[1:2] == (0,)}
    running = depends_on(graph, (sums & moved) - data)
    met = [n for n in graph.nodes if set(refs(n)) & data and set(refs(n)) & moved - data]
    return bool(met) and all(n.op == "mul" and set(refs(n)) & running for n in met)


def _is_of_events(graph: Graph) -> bool:
    """Does the target only say which rows end in an event, each with the logarithm of its hazard, against terms that
    are not computed from that hazard? So a likelihood of times is written, log f = d log h - H, whose integral runs
    over the times, and they are no target. A Poisson loss takes away the very rate that its logarithm is of."""
    data, moved = depends_on(graph, set(graph.targets)), depends_on(graph, set(_moving(graph)))
    said = {r for r in data - moved if _unscaled(graph, r) in graph.targets}
    met = [n for n in graph.nodes if set(refs(n)) & data - moved and set(refs(n)) & moved]
    logs = [graph.nodes[_unscaled(graph, r)] for n in met for r in refs(n) if r in moved]
    if not met or any(n.op != "mul" or not set(refs(n)) & said for n in met) or any(n.op != "log" for n in logs):
        return False
    hazards = {_unfloored(graph, refs(n)[0]) for n in logs}
    if any(graph.nodes[h].op in ("sigmoid", "softmax") for h in hazards):  # a probability is no hazard
        return False
    told = depends_on(graph, {n.index for n in met})
    sums = [n for n in graph.nodes if n.op in ("add", "sub") and set(refs(n)) & told]
    rest = [r for n in sums for r in refs(n) if r in moved - data]
    return bool(rest) and not hazards & ancestors(graph, *rest)


_SCALED = ("mul", "div", "neg", "view", "select")
_FLOORED = ("clamp", "add", "view")


def _is_score(graph: Graph) -> bool:
    """Is a residual multiplied with its own distribution function, as in the CRPS of a normal (Gneiting & Raftery 2007,
    eq. 21)? A likelihood takes the function's logarithm, or multiplies it with a density."""
    data, moved = depends_on(graph, set(graph.targets)), depends_on(graph, set(_moving(graph)))
    inner = {n.index: ancestors(graph, n.index) & data & moved for n in graph.nodes if n.op in ("erf", "erfc", "ndtr")}
    return any(inner.values()) and any(
        e in ancestors(graph, *(o for o in refs(n) if o != r)) and _unscaled(graph, r) in residuals - {e}
        for n in graph.nodes if n.op == "mul" for r in refs(n) for e, residuals in inner.items()
    )  # fmt: skip


def _moving(graph: Graph) -> Iterator[int]:
    return (n.index for n in graph.nodes if n.op == "input" and n.index not in graph.targets)


def _unscaled(graph: Graph, index: int) -> int:
    """The node that a value is a multiple of."""
    *_, last = _scalings(graph, index)
    return last


def _unfloored(graph: Graph, index: int) -> int:
    """The node that a value is, but for a floor under it."""
    while (node := graph.nodes[index]).op in _FLOORED and len(refs(node)) == 1:
        index = refs(node)[0]
    return index


def _scalings(graph: Graph, index: int) -> Iterator[int]:
    """A node and, backwards, the nodes that it is a multiple of."""
    yield index
    while (node := graph.nodes[index]).op in _SCALED and len(refs(node)) == 1:
        index = refs(node)[0]
        yield index


def _has_normaliser(graph: Graph, ops: Collection[str] = ("lgamma", "nll_loss", "i0")) -> bool:
    loss = [n for n in graph.nodes if n.zone == "loss"]
    if any(n.op in ops for n in loss):
        return True
    numbers = [abs(a) for n in loss for a in n.args if isinstance(a, float)]
    return any(math.isclose(a, c, rel_tol=1e-6) for a in numbers for c in _CONSTANTS)
