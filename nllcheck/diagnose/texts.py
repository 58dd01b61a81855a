"""The sentence of a failure that no rule explains, and of one that a rule does."""

from __future__ import annotations

from typing import Any

from nllcheck.clamps import library_clamp
from nllcheck.diagnose.builtin import DATA, DEAD, DIGITS, RAISES, UNEXPLAINED, Builtin
from nllcheck.diagnose.explain import Explanation
from nllcheck.diagnose.finding import in_own_backward, op_name, where
from nllcheck.diagnose.wording import filled, sentence, special, substituted
from nllcheck.graphs import refs
from nllcheck.types import Event, Graph, Judged

Words = dict[str, Any]  # the fields of a Finding that hold text


def ruled(graph: Graph, judged: Judged, explanation: Explanation) -> Words:
    """A rule's words, filled in."""
    rule, captures = explanation.rule, explanation.found.captures
    message = filled(rule.message, graph, judged.event, captures, judged.reach)
    return {
        "rule": rule.id,
        "name": rule.name,
        "message": and_detail(message, judged.event),
        "fix": substituted(rule.fix, graph, captures) if rule.fix else None,
        "advice": " ".join(rule.advice.split()) if rule.advice else None,
        "why": " ".join(rule.why.split()),
    }


def and_detail(message: str, event: Event) -> str:
    span = f", {_on(event)}" if event.kind == "precision" else ""
    told = [event.detail + span] if event.detail else []
    if event.onset is not None and not (event.axis and event.axis.moves):  # a share of a way to a point says nothing
        told.append(f"the gradient fails earlier, from {event.onset:.9g}")
    return f"{message.rstrip('.')}; {'; '.join(told)}." if told else message


def unruled(graph: Graph, judged: Judged) -> Words:
    """The built-in words for what no rule explains."""
    event = judged.event
    if event.kind == "precision":
        return built(DIGITS, sentence(f"{event.detail}, {_on(event)}"))
    if event.kind == "dead-gradient":
        return built(DEAD, _dead(graph, event))
    if event.chain and event.chain[0].op == "input":
        return built(DATA, f"{event.detail}, before anything is computed.")
    if event.kind == "raises":
        return built(RAISES, and_detail(f"The code raises once {where(event)}", event))
    node = graph.nodes[event.node]
    what = "NaN" if _birth(event) == "nan" else "infinity"
    place = "on the batch itself" if event.on_batch else f"{_once(event)} {where(event)}"
    first = event.chain[0] if event.chain and event.chain[0].node != event.node else None
    after = f", after {first.op} {_harm(first.what)}" if first else ""
    half = "gradient of " if event.phase == "backward" and (not event.chain or _born_backward(event)) else ""
    nothing = " of an empty selection" if any(0 in graph.nodes[k].shape for k in refs(node)) else ""
    own = in_own_backward(graph, event)
    name = f"{own.op} in the function's own backward" if own else f"{half}{op_name(graph, node)}{nothing}"
    message = f"The {name} gives {what} {place}{after}."
    return built(UNEXPLAINED, and_detail(message, event))


def _once(event: Event) -> str:
    return special(event.axis) if event.axis and event.axis.is_special else "once"


def _on(event: Event) -> str:
    return "on the batch itself" if event.on_batch else f"for {where(event)}"


_STUCK = "their gradient is exactly 0, though the loss would fall if they could move"
_HARM = {
    "F.gaussian_nll_loss": "loss and gradient are those of the bound, not of the variance that the model gives",
    "F.binary_cross_entropy": "a probability that is exactly 0 or 1 on the wrong side costs 100, however wrong it is",
}


def _dead(graph: Graph, event: Event) -> str:
    clamp = library_clamp(graph.nodes[event.node])
    op = str(clamp or graph.nodes[event.node].op)
    if event.on_batch:
        return f"{event.detail} by {op}: {_HARM.get(clamp.function if clamp else '', _STUCK)}."
    head = f"The gradient is exactly 0 {'once' if event.threshold else 'at'} {where(event)}"
    verb = " is" if event.detail.startswith("held") else "'s derivative vanishes, while"
    share = f", at {100 * event.share:.0f} % of the points swept" if event.share and clamp else ""
    return f"{head}: {op}{verb} {event.detail}{share}."


def _birth(event: Event) -> str:
    return next((s.what for s in event.chain if s.node == event.node and s.what in ("nan", "inf")), event.kind)


def _born_backward(event: Event) -> bool:
    return any(s.node == event.node and s.phase == "backward" for s in event.chain)


def _harm(what: str) -> str:
    return {"overflow": "overflows", "underflow": "underflows to 0", "saturation": "saturates",
            "absorption": "loses its smaller part", "inf": "is infinite", "nan": "is NaN"}.get(what, what)  # fmt: skip


def built(builtin: Builtin, message: str) -> Words:
    """A built-in's words around a message."""
    return {"rule": builtin.id, "name": builtin.name, "message": message, "why": builtin.why, "advice": builtin.advice}
