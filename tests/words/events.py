"""Judged failures on hand-made graphs: what the engine would hand over, without running one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from graphs import graph_of

from nllcheck.diagnose import diagnose
from nllcheck.rules import load
from nllcheck.types import Axis, ChainStep, Event, Finding, Graph, Judged, Site

RULES = load()
OUTPUT = Axis("output", 0, "output", selector="output", observed=(-1.0, 1.0))


def on_lines(graph: Graph, per_line: int = 1) -> Graph:
    """Every op but the inputs on a line of its own, `per_line` ops a line."""
    sites = [Site("loss.py", 1 + n.index // per_line, "loss", source="...") for n in graph.nodes]
    nodes = tuple(n if n.op == "input" else replace(n, site=s) for n, s in zip(graph.nodes, sites, strict=True))
    return replace(graph, nodes=nodes)


def born(graph: Graph, op: str) -> int:
    """The last node of an op."""
    return max(n.index for n in graph.nodes if n.op == op)


def failure(graph: Graph, op: str, harm: tuple[str, str] | None = None, **changes: Any) -> Judged:
    """A failure born at the last `op`, after `harm` at another op; `changes` go to the event or to the verdict."""
    own = {k: changes.pop(k) for k in ("verdict", "reach", "reference_loss", "reference_slope") if k in changes}
    node, kind = born(graph, op), changes.pop("kind", "inf")
    steps = [ChainStep(born(graph, harm[0]), harm[0], harm[1], None)] if harm else []  # type: ignore[arg-type]
    steps += [ChainStep(node, op, "nan" if kind == "nan" else "inf", None)]
    event = Event(kind, "forward", node, OUTPUT, 3.0, (1.5, 2.0), chain=tuple(steps), reaches=("loss",))
    return Judged(replace(event, **changes), own.pop("verdict", "defect"), own.pop("reach", 2.0), "because", **own)


def found(text: str, op: str, harm: tuple[str, str] | None = None, **changes: Any) -> Finding:
    """The one finding about a failure on `graph_of(text)`; `ranges={"r": (0, 1)}` goes by names of inputs and ops."""
    graph = on_lines(graph_of(text))
    ranges = changes.pop("ranges", {})
    places = {n.name or n.op: n.index for n in graph.nodes}
    changes["ranges"] = tuple((places[name], *pair) for name, pair in ranges.items())
    findings = diagnose(graph, (failure(graph, op, harm, **changes),), RULES)
    assert len(findings) == 1
    return findings[0]
