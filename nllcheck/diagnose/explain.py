"""Which rule explains a failure: patterns over the graph, anchored at the op where it is born."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nllcheck import expr, match
from nllcheck.rules import Rule
from nllcheck.rules.scope import scope
from nllcheck.types import Graph, Judged

_FAILURES = ("nan", "inf", "raises")  # what a rule without a kind explains


@dataclass(frozen=True, slots=True)
class Explanation:
    """A rule with the place where its pattern lies."""

    rule: Rule
    found: match.Match


Table = tuple[tuple[Rule, tuple[match.Match, ...]], ...]


def matches(graph: Graph, rules: Sequence[Rule]) -> Table:
    """All matches of all rules, computed once a graph."""
    return tuple(
        (rule, tuple(m for text in rule.match for m in match.find(match.parse(text), graph))) for rule in rules
    )


def explain(graph: Graph, table: Table, judged: Judged) -> Explanation | None:
    """The most specific rule whose pattern holds the birth, else one that holds a station of its chain."""
    event = judged.event
    chain = {step.node for step in event.chain if step.what not in ("loss", "gradient")}
    best: tuple[tuple[bool, int, bool, int], Explanation] | None = None
    for rule, found in table:
        if rule.on != "event" or (rule.op and graph.nodes[event.node].op not in rule.op):
            continue
        for one in found:
            if not (event.node in one.nodes or chain & one.nodes) or not _applies(rule, graph, judged, one):
                continue
            score = (event.node in one.nodes, len(one.nodes), bool(rule.when), -len(one.captures))
            if best is None or score > best[0]:
                best = (score, Explanation(rule, one))
    return best[1] if best else None


def _applies(rule: Rule, graph: Graph, judged: Judged, found: match.Match) -> bool:
    if judged.event.kind not in ((rule.kind,) if rule.kind else _FAILURES):
        return False
    if not rule.when:
        return True
    return bool(expr.compile(rule.when).evaluate(scope(graph, judged, found.captures)))
