"""What a change of variables says of log q(z), in words, and the op to look at."""

from __future__ import annotations

from collections.abc import Iterator

from nllcheck.axes import label_of
from nllcheck.capture import LossGraph
from nllcheck.density.normals import SAME
from nllcheck.density.pushed import Pushed, Step
from nllcheck.graphs import ancestors, refs
from nllcheck.ops import is_transparent
from nllcheck.types import Divergence, Graph

_ALONG = ("add", "sub", "neg", "mul", "div", "sum", "mean")


def divergence_by(graph: LossGraph, found: Pushed) -> Divergence:
    """The answer as a finding has it: a name, a sentence, and the op that puts log q together."""
    name = {"sound": "kl", "reversed": "reversed"}.get(found.name, "none")
    own = [s.term for s in found.steps if s.term is not None]
    node = max((_joined(graph.graph, t) for t in own), default=_whole_of_all(graph.graph, found))
    if found.steps and all(abs(s.times) < SAME for s in found.steps):
        node = next(iter(_readers(graph.graph, node)), node)  # where what is missing should have come in
    return Divergence(name, _sentence(graph, found), node)  # type: ignore[arg-type]


def _whole_of_all(graph: Graph, found: Pushed) -> int:
    return max(_whole(graph, found, t) for t in found.terms)


def _joined(graph: Graph, index: int) -> int:
    """Where a term is added to or taken from another."""
    while len(after := _readers(graph, index)) == 1:
        index = after[0]
        if graph.nodes[index].op in ("add", "sub"):
            break
    return index


def _whole(graph: Graph, found: Pushed, index: int) -> int:
    """The last op on the way from a term that reads no other terms than those of log q."""
    while len(after := _readers(graph, index)) == 1 and not ancestors(graph, after[0]) & set(found.beside):
        index = after[0]
    return index


def _readers(graph: Graph, index: int) -> list[int]:
    """The ops that take a node on towards the loss, adding and weighing only."""
    return [k for k in sorted(_tail(graph)) if index in refs(graph.nodes[k])]


def _tail(graph: Graph) -> set[int]:
    found, stack = set[int](), [graph.loss]
    while stack:
        node = graph.nodes[stack.pop()]
        if node.index not in found and (node.op in _ALONG or is_transparent(node.op)):
            found.add(node.index)
            stack += refs(node)
    return found


def _sentence(graph: LossGraph, found: Pushed) -> str:
    name = _shown(graph, found.sample)
    times = "" if abs(found.weight - 1) < SAME else f"{found.weight:.4g} times "
    match found.name:
        case "sound":
            return (
                f"The terms without target hold {times}the log-density of {name} as it is drawn: by a change of "
                "variables every log-determinant from the noise on counts once."
            )
        case "reversed":
            return (
                f"The log-density of {name} has the wrong sign: the terms without target hold minus {times}log q of "
                "what is drawn, so the loss rewards a posterior that becomes narrow."
            )
        case "norm":
            return (
                f"The terms without target hold no log-density of {name}: by a change of variables log q is off by a "
                f"function of the parameters alone, which moves by {found.off:.3g} nats where it was tried. exp(log q) "
                "does not integrate to 1: a part of its normaliser is missing or wrong."
            )
    return (
        f"The terms without target are not the log-density of {name} as it is drawn, which is that of the noise less "
        f"log |det| of each step: {'; '.join(_counted(graph, found.steps))}."
    )


def _counted(graph: LossGraph, steps: tuple[Step, ...]) -> Iterator[str]:
    for step in steps:
        head = f"the log-determinant of the step to {_shown(graph, step.node)}"
        moves = f"(log q is off by what moves by {step.moves:.3g} nats where it was tried)"
        if abs(step.times) < SAME:
            yield f"{head} is missing {moves}"
        elif abs(step.times + 1) < SAME:
            yield f"{head} has the wrong sign {moves}"
        else:
            yield f"{head} counts {step.times:.3g} times instead of once {moves}"


def _shown(graph: LossGraph, index: int) -> str:
    site, label = graph.graph.nodes[index].site, label_of(graph.graph, index)
    if "_on_line_" in label:
        return f"the {label.replace('_on_line_', ' on line ')}"
    return f"{label}{f' (line {site.line})' if site else ''}"
