"""What a change of variables says of log q(z), in words, and the op to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nllcheck.axes import label_of
from nllcheck.capture import LossGraph
from nllcheck.density.kl.normals import SAME
from nllcheck.density.kl.pushed import Pushed, Step
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent
from nllcheck.types import Divergence, Graph

_ALONG = ("add", "sub", "neg", "mul", "div", "sum", "mean")


def divergence_by(graph: LossGraph, found: Pushed) -> Divergence:
    """The answer as a finding has it: a name, a sentence, and the op that puts log q together."""
    name = {"sound": "kl", "reversed": "reversed"}.get(found.name, "none")
    return Divergence(name, _sentence(graph, found), _place(graph.graph, found))  # type: ignore[arg-type]


def _place(graph: Graph, found: Pushed) -> int:
    """The op that adds up log q; where a log-determinant is taken in, or should be."""
    tail = _Tail(graph, frozenset(_tail(graph)))
    own = {s.term for s in found.steps if s.term is not None}
    if own:
        return max(tail.beyond(tail.wholes(own, {*found.terms, *found.beside} - own)))
    wholes = tail.wholes(set(found.terms), set(found.beside))
    is_beyond = _is_missing(found) or found.name == "reversed"
    return max(tail.beyond(wholes)) if is_beyond else max(wholes)


def sum_of(graph: Graph, term: int, others: set[int]) -> int:
    """The last op on the way from a term to the loss that adds none of the others: what the term is a part of."""
    return max(_Tail(graph, frozenset(_tail(graph))).wholes({term}, others))


def _is_missing(found: Pushed) -> bool:
    return bool(found.steps) and all(abs(s.times) < SAME for s in found.steps)


def _tail(graph: Graph) -> set[int]:
    """The ops below which the loss only adds and weighs."""
    found, stack = set[int](), [graph.loss]
    while stack:
        node = graph.nodes[stack.pop()]
        if node.index not in found and (node.op in _ALONG or is_transparent(node.op)):
            found.add(node.index)
            stack += refs(node)
    return found


@dataclass(frozen=True)
class _Tail:
    graph: Graph
    nodes: frozenset[int]

    def wholes(self, terms: set[int], others: set[int]) -> set[int]:
        """The last ops on the ways from the terms to the loss that add none of the others."""
        return {self._whole(index, others) for index in terms}

    def beyond(self, nodes: set[int]) -> set[int]:
        """What reads these next."""
        return {next(iter(self._readers(k)), k) for k in nodes}

    def _whole(self, index: int, others: set[int]) -> int:
        while len(after := self._readers(index)) == 1 and not self._adds(after[0], others):
            index = after[0]
        return index

    def _readers(self, index: int) -> list[int]:
        return [k for k in sorted(self.nodes) if index in refs(self.graph.nodes[k])]

    def _adds(self, index: int, others: set[int]) -> bool:
        seen, stack = {index}, [index]
        while stack and not seen & others:
            node = stack.pop()
            new = set(refs(self.graph.nodes[node])) - seen if node in self.nodes else set()
            seen |= new
            stack += new
        return bool(seen & others)


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
    """A clause for all steps that count alike."""
    alike: dict[float, list[Step]] = {}
    for step in steps:
        alike.setdefault(round(step.times, 2), []).append(step)
    for times, some in alike.items():
        more = f" and of {len(some) - 1} more" if len(some) > 1 else ""
        moves = max(s.moves for s in some)
        off = f"(log q is off by what moves by {moves:.3g} nats where it was tried)"
        what = "logarithm of the scale" if _scales(graph.graph, some) else "log-determinant"
        yield f"the {what} of the step to {_shown(graph, some[0].node)}{more} {_said(times)} {off}"


def _scales(graph: Graph, steps: list[Step]) -> bool:
    """Does each multiply what was drawn with something, and no more?"""
    return all(graph.nodes[s.node].op == "mul" for s in steps)


def _said(times: float) -> str:
    if abs(times) < SAME:
        return "is missing"
    return "has the wrong sign" if abs(times + 1) < SAME else f"counts {times:.3g} times instead of once"


def _shown(graph: LossGraph, index: int) -> str:
    node, label = graph.graph.nodes[index], label_of(graph.graph, index)
    name = f"the {node.op}" if "_on_line_" in label else label
    return f"{name}{f' (line {node.site.line})' if node.site else ''}"
