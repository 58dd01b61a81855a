"""Findings of graph rules: the pattern alone is the offence."""

from __future__ import annotations

import math
from collections.abc import Iterable

from nllcheck.diagnose.explain import Table
from nllcheck.diagnose.wording import filled, substituted
from nllcheck.types import Finding, Graph


def structural(graph: Graph, table: Table) -> Iterable[Finding]:
    """One finding a rule and line."""
    """Graph rules: the pattern alone is the offence."""
    seen: set[tuple[str, str, int]] = set()
    for rule, found in table:
        for one in found if rule.on == "graph" else ():
            node = graph.nodes[one.root]
            place = (rule.id, node.site.path if node.site else "", node.site.line if node.site else one.root)
            if place in seen:
                continue
            seen.add(place)
            yield Finding(
                rule=rule.id,
                name=rule.name,
                kind=rule.kind or "wrong-density",
                verdict=rule.verdict or "wrong-formula",
                severity=rule.severity,
                phase="forward",
                op=node.op,
                site=node.site,
                message=filled(rule.message, graph, None, one.captures, math.nan),
                fix=substituted(rule.fix, graph, one.captures) if rule.fix else None,
                advice=" ".join(rule.advice.split()) if rule.advice else None,
                why=" ".join(rule.why.split()),
                reason="by its shape; no value was needed to see it",
            )
