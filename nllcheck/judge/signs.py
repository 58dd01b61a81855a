"""A negative loss: on the batch, or from which value of an axis on."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import torch

from nllcheck.axes import depends_on
from nllcheck.axes.reach import reaches
from nllcheck.capture import LossGraph
from nllcheck.density.apart import conditions
from nllcheck.detect.events import batch_axis
from nllcheck.detect.threshold import Question, Single, bisect
from nllcheck.graphs import refs
from nllcheck.sweep import Part
from nllcheck.sweep.joint import Joint, of_batch
from nllcheck.sweep.watch import Trace, run_one
from nllcheck.types import Density, Event, Graph, Judged

NEAR = 10.0  # signs are looked at up to this factor of the batch's range
_ROUNDING = 1e-6  # a loss this close below zero, against its size, is rounding


def is_discrete(graph: LossGraph) -> str:
    """'class' or 'one-hot' when the targets are labels, for which no likelihood exceeds 1; else ''.

    Data of both signs beside the labels (an advantage, a return), or made from them, makes a weighted objective, not a
    likelihood.
    """
    compared = [index for index in graph.graph.targets if index not in conditions(graph.graph)]
    targets = [graph.values[index] for index in compared]
    if any(t.is_floating_point() and bool((t < 0).any()) for t in targets) or _is_weighted(graph):
        return ""
    for index, value in zip(compared, targets, strict=True):
        if not value.is_floating_point() and value.dtype != torch.bool and _is_label(graph.graph, index):
            return "class"
        if value.is_floating_point() and value.dim() >= 2 and value.shape[-1] > 1 and _is_one_hot(value):
            return "one-hot"
    return ""


def _is_weighted(graph: LossGraph) -> bool:
    """Is what the model gives multiplied with numbers of both signs that are computed from the targets alone?"""
    leaves = {n.index for n in graph.graph.nodes if n.op == "input"} - set(graph.graph.targets)
    given = depends_on(graph.graph, leaves)
    data = depends_on(graph.graph, set(graph.graph.targets)) - given
    products = [set(refs(n)) for n in graph.graph.nodes if n.op == "mul"]
    weights = [graph.values[k] for used in products if used & given for k in used & data]
    return any(w.is_floating_point() and bool((w < 0).any() & (w > 0).any()) for w in weights)


def _is_label(graph: Graph, target: int) -> bool:
    """Is the target used as an index (and not as a number, like a count)?"""
    users = [n for n in graph.nodes if target in refs(n)]
    views = [n.index for n in users if n.op in ("view", "select")]
    direct = any(n.op in ("nll_loss", "gather", "index", "full", "scatter", "one_hot") for n in users)
    return direct or any(_is_label(graph, v) for v in views)


def _is_one_hot(value: torch.Tensor) -> bool:
    binary = bool(((value == 0) | (value == 1)).all())
    return binary and bool((value.sum(-1) == 1).all())


def negative_loss(graph: LossGraph, joint: Joint, parts: list[Part], answer: Density) -> list[Judged]:
    """At most one finding: the batch's loss is below zero, or the nearest value of an axis that makes it so."""
    kind = is_discrete(graph) or ("binary" if answer.support == "binary" and answer.claims else "continuous")
    all_ = of_batch(joint, graph)
    base = run_one(all_, batch_axis(all_), 1.0, ())
    wide = run_one(all_, batch_axis(all_), 1.0, (), torch.float64)
    loss, exact = float(base.loss[0]), float(wide.loss[0])
    if math.isfinite(loss) and loss < -_ROUNDING and exact < 0:
        event = Event("negative-nll", "forward", graph.graph.loss, None, loss, None, loss=loss, on_batch=True)
        return [_negative(replace(event, detail=f"{kind} target"), 1.0, exact, answer)]
    nearest = min((found for p in parts if (found := _nearest_negative(p))), default=None, key=lambda f: f[0])
    return [_negative_on(graph, joint, nearest[1], nearest[2], nearest[0], kind, answer)] if nearest else []


def _negative(event: Event, reach: float, exact: float, answer: Density) -> Judged:
    """What a negative loss means, by the density test: a density above 1, a constant left out, or no likelihood."""
    is_likelihood = answer.name in ("proper", "constant", "target-factor")
    if event.detail.startswith("continuous") or (is_likelihood and answer.left_out):
        return Judged(event, "legitimate" if is_likelihood else "undecided", reach, _why(answer), exact)
    if answer.name == "not-samples" and not answer.claims:  # labels that say which rows go together
        return Judged(
            event, "undecided", reach, "the loss is no sum over samples, so no label has a probability", exact
        )
    return Judged(event, "wrong-formula", reach, "the probability of a label cannot exceed 1", exact)


def _why(answer: Density) -> str:
    if not math.isnan(answer.peak) and answer.peak > 1 and answer.name == "proper":
        top = f"it reaches {answer.peak:.3g} at an observed target"
        return f"right for a density above 1, and this is one: Z = 1, and {top}"
    match answer.name:
        case "proper":
            return "the likelihood itself is proper (Z = 1)" + (
                " and its other terms are negative" * bool(answer.left_out)
            )
        case "constant":
            return f"this is a likelihood up to a constant (Z = {answer.low:.4g}), so its zero means nothing"
        case "target-factor":
            return "this is a likelihood up to a factor of the target, so its zero means nothing"
        case "unlogged":
            return "this is minus a density, without its logarithm, so it is always below 0"
        case "log-likelihood":
            return "this is the log-likelihood itself, whose minus is missing, so its sign is turned round"
        case "varies":
            return "this is no likelihood (Z changes with the parameters), so its sign says nothing"
    return f"possible for a density above 1; the density test could not tell: {answer.text}"


def _nearest_negative(part: Part) -> tuple[float, Trace, int] | None:
    """(reach, trace, position) of the nearest negative loss that float64 finds negative, too."""
    trace = part.trace
    if trace.axis.role not in ("output", "weight", "input"):
        return None
    below = torch.isfinite(trace.loss) & (trace.loss < -_ROUNDING * (1 + trace.loss.abs()))
    below &= part.wide is None or part.wide.loss < 0
    reach = np.where(below.numpy(), reaches(trace.axis, trace.points.double()), np.inf)
    nearest = int(reach.argmin())
    return (float(reach[nearest]), trace, nearest) if reach[nearest] <= NEAR else None


def _negative_on(
    graph: LossGraph, joint: Joint, trace: Trace, k: int, reach: float, kind: str, answer: Density
) -> Judged:
    value = float(trace.points[k])
    question = Question(Single(joint, trace.axis, ()), lambda t: (t.loss < 0).numpy())
    sound = [j for j in (k - 1, k + 1) if 0 <= j < len(trace.points) and not bool(trace.loss[j] < 0)]
    good = float(trace.points[sound[0]]) if sound else None
    pair = bisect(question, good, value, trace.points.dtype) if good is not None else None
    exact = float(run_one(joint, trace.axis, value, (), torch.float64).loss[0])
    event = Event("negative-nll", "forward", graph.graph.loss, trace.axis, value, pair, loss=float(trace.loss[k]))
    return _negative(replace(event, detail=f"{kind} target"), reach, exact, answer)
