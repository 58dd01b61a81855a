"""What is measured of a failure, as a `Finding` without words; and where it is, in words."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import PurePath
from typing import Literal

from nllcheck.diagnose.builtin import UNEXPLAINED
from nllcheck.diagnose.wording import is_library, number
from nllcheck.graphs import ancestors, refs
from nllcheck.types import Axis, ChainStep, Event, Finding, Graph, Judged, Node, Ref, Severity, Site


def base(graph: Graph, judged: Judged, severity: Severity, command: str) -> Finding:
    """Everything that is measured; the words come from a rule or a builtin."""
    event = judged.event
    node = graph.nodes[event.node]
    axis = event.axis
    found = axis is not None and bool(axis.moves)  # its label says the values; a share of the way says nothing
    return Finding(
        rule=UNEXPLAINED.id,
        name=UNEXPLAINED.name,
        kind=event.kind,
        verdict=judged.verdict,
        severity=severity,
        phase=event.phase,
        op=own.op if (own := in_own_backward(graph, event)) else op_name(graph, node),
        site=own.site if own and own.site else edit_site(graph, event),
        message="",
        axis=axis.label if axis else None,
        threshold=event.threshold[1] if event.threshold and not found else None,
        last_good=event.threshold[0] if event.threshold and not found else None,
        already=event.already,
        already_by=_who(graph, event.already_by),
        reach=judged.reach if event.on_batch or found or (axis and not axis.is_special) else None,
        witness=_known(event.witness) if axis and not found else None,
        loss=event.loss if _measures(event, "loss") else None,
        slope=event.slope if _measures(event, "slope") else None,
        reference_loss=_known(judged.reference_loss),
        reference_slope=_known(judged.reference_slope) if _measures(event, "slope") else None,
        reference=judged.reference,
        observed=axis.observed if axis and not axis.is_special and not math.isnan(axis.observed[0]) else None,
        chain=event.chain,
        reason=judged.reason,
        reaches=event.reaches,
        on_batch=event.on_batch,
        command=_command(event, command),
        term=_term(graph, event),
    )


def in_own_backward(graph: Graph, event: Event) -> ChainStep | None:
    """Where a failure begins in a backward that somebody wrote: that op of it, with its line."""
    if graph.nodes[event.node].op != "own_backward" or event.phase != "backward":
        return None
    return next((s for s in event.chain if s.node == event.node and s.op != "own_backward"), None)


LONGEST = 70  # characters of a package's line that are shown


def with_library_line(graph: Graph, finding: Finding, event: Event) -> Finding:
    """The message with the line of an installed package that the op stands in, where it does."""
    within = graph.nodes[event.node].within
    if within is None:
        return finding
    place = f"{within.path.rpartition('-packages/')[2]}:{within.line}"
    text = within.source if len(within.source) <= LONGEST else f"{within.source[:LONGEST].rstrip()} …"
    line = f" ({text})" if text else ""
    return replace(finding, message=f"{finding.message.rstrip('.')}; in {place}{line}.")


def _who(graph: Graph, node: int | None) -> str | None:
    """An op with its line, where it has one of the user's own."""
    site = graph.nodes[node].site if node is not None else None
    if node is None or site is None or is_library(site):
        return None
    return f"{op_name(graph, graph.nodes[node])} at {PurePath(site.path).name}:{site.line}"


_UNMEASURED = {"sign-flip": ("loss",), "negative-nll": ("slope",), "unbounded": ("loss", "slope")}


def _measures(event: Event, what: Literal["loss", "slope"]) -> bool:
    """Was it evaluated at the witness in the training dtype? Of a target no slope is, nor of the batch as it is."""
    if what == "slope" and (event.axis is None or event.axis.role == "target"):
        return False
    return what not in _UNMEASURED.get(event.kind, ()) and not (event.kind == "sign-flip" and math.isnan(event.slope))


def _term(graph: Graph, event: Event) -> str | None:
    """Of several terms those that fail: by their values, else those that the op leads to, unless that is all."""
    ends = {node: (low, high) for node, low, high in event.ranges}
    broken = [name for name, node in graph.terms if not all(map(math.isfinite, ends.get(node, (0.0, 0.0))))]
    fed = [name for name, node in graph.terms if event.node in ancestors(graph, node)]
    told = broken or fed
    return ", ".join(told) if 0 < len(told) < len(graph.terms) else None


_BOUNDS = ("clamp", "relu", "maximum", "minimum", "hardtanh")


def is_meant(graph: Graph, event: Event) -> bool:
    """Is a dead gradient's op a bound that somebody wrote on purpose, or code of a library?"""
    node = graph.nodes[event.node]
    meant = node.op in _BOUNDS or (node.site is not None and is_library(node.site))
    return event.kind == "dead-gradient" and meant


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def op_name(graph: Graph, node: Node) -> str:
    """The rule name of the op; behind a mere view, one of several results, or torch's own choice between NaN and a
    log-determinant, of what it shows."""
    while (node.op == "view" or "getitem" in node.aten) and node.args and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
    chosen = [graph.nodes[k] for k in refs(node)] if node.op == "where" else []
    if any("getitem" in n.aten and op_name(graph, n) == "logdet" for n in chosen):
        return "logdet"
    return node.meant or node.op


def edit_site(graph: Graph, event: Event) -> Site | None:
    """The op's own line. A leaf has none: the first line that reads it; nor has the loss: the last line.

    A line inside an installed package is no place to edit: then the last line of the loss, if there is one.
    """
    node = graph.nodes[event.node]
    lines = [n.site for n in graph.nodes if n.site and n.zone == "loss"]
    own = [s for s in lines if not is_library(s)]
    if node.site and not (is_library(node.site) and own):
        return node.site
    readers = [n.site for n in graph.nodes[event.node :] if n.site in own and n.op != "view"]
    choices = (readers if node.op == "input" else []) or own[::-1] or lines[::-1]
    return choices[0] if choices else None


SHORT = 4.0  # times the value shown: a failing interval that one sweep of 201 points shows well


def _command(event: Event, command: str) -> str:
    axis = event.axis
    if axis is None or axis.mode == "batch" or axis.moves:  # a search finds the same point again
        return command
    low, high = (float(f"{end:.3g}") for end in _around(event))
    if command:
        return f"{command} --sweep '{axis.selector}={low:g}:{high:g}:201'"
    return f"nllcheck.check(..., sweep={{'{axis.selector}': ({low:g}, {high:g})}})"


def _around(event: Event) -> tuple[float, float]:
    """The threshold, or the failing interval if it is a short one, with some room on both sides."""
    at = event.threshold[1] if event.threshold else event.witness
    own = next(((a, b) for a, b in event.region if a <= at <= b and b - a < SHORT * abs(at)), (at, at))
    low, high = own if event.threshold is None else (at, at)
    width = 0.1 * max(abs(low), abs(high)) or 1.0
    return low - width, high + width


def where(event: Event) -> str:
    """On which values: "rho >= 0.99999", "on the batch"."""
    axis = event.axis
    if axis is None:
        return "on the batch"
    if axis.is_special:
        return axis.label
    if event.threshold is None and event.region:
        return " or ".join(_spanned(axis, low, high) for low, high in event.region[:2])
    if event.threshold is None:
        return f"{axis.label} = {number(event.witness)}"
    good, bad = event.threshold
    inner = "" if axis.is_boundary else " (an intermediate)"
    far = _other_end(event)
    if far is not None:
        low, high = sorted((bad, far))
        return f"{axis.label} in [{number(low)}, {number(high)}]{inner}"
    return f"{axis.label} {'>=' if bad > good else '<='} {number(bad)}{inner}"


END = 1e30  # an interval that goes on to here goes on to the end of the axis


def _spanned(axis: Axis, low: float, high: float) -> str:
    """Ends that are 0 for all that matters are 0; an end of the number line is none."""
    lowest, highest = (0.0 if axis.is_speck(end) else end for end in (low, high))
    if low <= 0 <= high and lowest == highest:
        return f"{axis.label} = 0"
    if low < -END:
        return f"{axis.label} {'<' if highest != high else '<='} {number(highest)}"
    if high > END:
        return f"{axis.label} {'>' if lowest != low else '>='} {number(lowest)}"
    return f"{axis.label} = {number(low)}" if low == high else f"{axis.label} in [{number(low)}, {number(high)}]"


def _other_end(event: Event) -> float | None:
    """Where the failing interval ends again; None where it goes on to the end of the axis."""
    good, bad = event.threshold or (0.0, 0.0)
    if bad > good:
        far = min((b for _, b in event.region if b >= bad), default=math.inf)
    else:
        far = max((a for a, _ in event.region if a <= bad), default=-math.inf)
    low, high = event.axis.domain if event.axis else (-math.inf, math.inf)
    top = 1e4 if event.axis and event.axis.mode == "scale" else END
    return None if abs(far) > top or far in (low, high) else far
