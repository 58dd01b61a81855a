"""The names that a condition can use: `event`, `axis`, and the range of every capture."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from types import SimpleNamespace

from nllcheck.expr import Range
from nllcheck.graphs import ancestors
from nllcheck.types import Axis, ChainStep, Density, Event, Graph, Judged, Node, Ref

# The smallest number above 0, a subnormal one (IEEE 754-2019, table 3.5).
_SMALLEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133, "float32": 2.0**-149, "float64": 2.0**-1074}


def scope(graph: Graph, judged: Judged, captures: Mapping[str, Ref | float]) -> dict[str, object]:
    """What `when:` sees of one failure; captures stand for their values at the witness."""
    event, axis = judged.event, judged.event.axis
    ranges = {i: Range(low, high) for i, low, high in event.ranges}
    unknown = Range(math.nan, math.nan)
    names: dict[str, object] = {
        name: ranges.get(value.index, unknown) if isinstance(value, Ref) else Range(value, value)
        for name, value in captures.items()
    }
    names["event"] = SimpleNamespace(
        kind=event.kind,
        phase=event.phase,
        op=graph.nodes[event.node].op,
        verdict=judged.verdict,
        threshold=event.threshold[1] if event.threshold else event.witness,
        reach=judged.reach,
        on_batch=event.on_batch,
        chain=tuple(step.op for step in event.chain),
        what=tuple(step.what for step in event.chain),
        smallest=_SMALLEST.get(graph.nodes[event.node].dtype, _SMALLEST["float32"]),
    )
    names["axis"] = SimpleNamespace(role=axis.role if axis else "", label=axis.label if axis else "")
    return names


def sample(captures: Iterable[str]) -> dict[str, object]:
    """A scope with a value of the right kind under every name, to try a condition on."""
    refs = {name: Ref(i) for i, name in enumerate(captures)}
    step = ChainStep(0, "exp", "overflow", None)
    ranges = tuple((ref.index, 1.0, 2.0) for ref in refs.values())
    event = Event("nan", "forward", 0, Axis("x", 0, "output"), 1.0, (0.0, 1.0), chain=(step,), ranges=ranges)
    return scope(Graph((Node(0, "log", ()),), 0), Judged(event, "defect", 1.0, ""), refs)


def density_scope(graph: Graph, answer: Density, captures: Mapping[str, Ref | float]) -> dict[str, object]:
    """What `when:` sees of the density test's answer; captures that are no plain numbers have no range here."""
    unknown = Range(math.nan, math.nan)
    names: dict[str, object] = {k: unknown if isinstance(v, Ref) else Range(v, v) for k, v in captures.items()}
    names["density"] = SimpleNamespace(
        name=answer.name,
        claims=answer.claims,
        support=answer.support,
        constant=answer.constant,
        factor=answer.factor,
        low=answer.low,
        high=answer.high,
        batch_low=answer.batch_low,
        batch_high=answer.batch_high,
        reads=_reading_target(graph, captures),
    )
    return names


def _reading_target(graph: Graph, captures: Mapping[str, Ref | float]) -> tuple[str, ...]:
    """The captures that depend on the target."""
    data = set(graph.targets)
    return tuple(n for n, value in captures.items() if isinstance(value, Ref) and ancestors(graph, value.index) & data)


def density_sample(captures: Iterable[str]) -> dict[str, object]:
    """A scope of a density rule with a value of the right kind under every name."""
    answer = Density("varies", "", "real", low=0.5, high=2.0, batch_low=0.5, batch_high=2.0)
    return density_scope(Graph((Node(0, "log", ()),), 0), answer, dict.fromkeys(captures, 1.0))
