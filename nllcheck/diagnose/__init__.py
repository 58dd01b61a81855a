"""Verdicts + rules -> findings: one for each place that fails, led by the value that the checkpoint is nearest to."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from nllcheck.diagnose.broadcast import paired
from nllcheck.diagnose.builtin import UNEXPLAINED
from nllcheck.diagnose.density import with_density
from nllcheck.diagnose.explain import Explanation, Table, explain, matches
from nllcheck.diagnose.finding import base, is_meant, where, with_library_line
from nllcheck.diagnose.guards import thrown_away, with_idle_guards
from nllcheck.diagnose.severity import severity_of, weighed_of
from nllcheck.diagnose.signs import negative, signs, unbounded
from nllcheck.diagnose.structural import structural
from nllcheck.diagnose.texts import ruled, unruled
from nllcheck.diagnose.twins import as_one
from nllcheck.diagnose.wording import spelled
from nllcheck.rules import Rule
from nllcheck.types import SEVERITIES, Density, Event, Finding, Graph, Judged, Severity, Site

__all__ = ["diagnose", "spelled"]

_NO_FAILURE = ("negative-nll", "sign-flip", "unbounded")
_VERDICTS = ("defect", "wrong-formula", "silent", "limit", "undecided", "legitimate")


def diagnose(
    graph: Graph,
    judged: tuple[Judged, ...],
    rules: Sequence[Rule],
    answer: Density | None = None,
    others: Sequence[tuple[Graph, tuple[Judged, ...]]] = (),
    *,
    command: str = "",
    uniform: Collection[int] | None = None,
) -> tuple[Finding, ...]:
    """All findings. Failures at one op of one line, in one phase, are one finding, whatever axes show them.

    `answer` is the density test's (None: not made). `others` are verdicts on graphs of their own: what other batches
    show, and where the user's own code raises. `uniform`: nodes whose elements are all equal on the batch,
    where that is known.
    """
    table = matches(graph, rules)
    found = _failures(graph, [j for j in judged if j.event.kind not in _NO_FAILURE], table, command)
    for other in others:
        found += _of_another(other, rules, found, command)
    found += [negative(graph, j) for j in judged if j.event.kind == "negative-nll"]
    found += signs(graph, [j for j in judged if j.event.kind == "sign-flip"])
    if answer is None or answer.name != "log-likelihood":  # which has no minimum, and that is told by its cause
        found += unbounded(graph, [j for j in judged if j.event.kind == "unbounded"])
    found += thrown_away(graph)
    found += paired(graph, uniform) if uniform is not None else []
    shapes = list(structural(graph, table))
    measured = with_density(graph, answer, table, shapes) if answer else shapes
    return tuple(sorted([*found, *measured], key=_order))


def _failures(graph: Graph, judged: Sequence[Judged], table: Table, command: str) -> list[Finding]:
    groups = _grouped(graph, judged)
    return as_one(_folded([(_failure(graph, group, table, command), _is_searched(group)) for group in groups]))


def _of_another(
    other: tuple[Graph, tuple[Judged, ...]], rules: Sequence[Rule], told: list[Finding], command: str
) -> list[Finding]:
    """What another graph shows, where no alarm was raised at the same op and line before."""
    graph, judged = other
    known = {(f.op, f.site and (f.site.path, f.site.line)) for f in told if f.severity != "note"}
    found = _failures(graph, judged, matches(graph, rules) if judged else (), command)
    return [f for f in found if (f.op, f.site and (f.site.path, f.site.line)) not in known]


def _is_searched(group: Sequence[Judged]) -> bool:
    """Is it only a search that came upon this failure?"""
    return all(j.event.axis is not None and j.event.axis.moves for j in group)


def _folded(found: Sequence[tuple[Finding, bool]]) -> list[Finding]:
    """Without the points of a search that are only another way to an offence that is told, met nearer to the batch."""
    swept = [f for f, searched in found if not searched]
    kept = list(swept)
    for finding in (f for f, searched in found if searched):
        same = any(_is_nearer(k, finding) for k in swept if k.kind in ("nan", "inf"))
        kept += [] if same else [finding]
    return kept


def _is_nearer(told: Finding, finding: Finding) -> bool:
    """Is `told` as severe, not further from the batch, and the same offence: by its rule, or where the harm begins?"""
    if SEVERITIES.index(told.severity) > SEVERITIES.index(finding.severity):
        return False
    begins = finding.chain[0].site if finding.chain else None
    rule = told.rule == finding.rule != UNEXPLAINED.id and _function(told.site) == _function(finding.site)
    root = begins is not None and told.site is not None and begins.line == told.site.line
    same = rule or (root and _function(begins) == _function(told.site))
    return same and (told.reach or 0.0) <= (finding.reach or 0.0)


def _function(site: Site | None) -> tuple[str, str] | None:
    return (site.path, site.function) if site else None


def _order(finding: Finding) -> tuple[int, float, int, str, int]:
    """Worst first, then the nearest to the batch; what is seen by shape alone is there already."""
    place = (finding.site.path, finding.site.line) if finding.site else ("", 0)
    reach = finding.reach if finding.reach is not None else 0.0
    return SEVERITIES.index(finding.severity), reach, _VERDICTS.index(finding.verdict), *place


def _grouped(graph: Graph, judged: Sequence[Judged]) -> list[list[Judged]]:
    groups: dict[object, list[Judged]] = {}
    for one in judged:
        node = graph.nodes[one.event.node]
        place = (node.site.path, node.site.line) if node.site else node.index
        key = (place, node.op, one.event.phase, _way(one.event), _class(one.event))
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _class(event: Event) -> str:
    """NaN and infinity are one kind of failure; finite and wrong are two others."""
    return event.kind if event.kind in ("precision", "dead-gradient") else ""


def _way(event: Event) -> str:
    """Overflow and underflow at one op are two failures with two remedies."""
    harm = event.chain[0].what if event.chain else ""
    return harm if harm in ("overflow", "underflow") else ""


def _failure(graph: Graph, group: list[Judged], table: Table, command: str) -> Finding:
    told = [(j, explain(graph, table, j)) for j in group]
    ranked = sorted(told, key=lambda pair: _lead(graph, *pair))
    (lead, explanation), rest = ranked[0], [j for j, _ in ranked[1:]]
    explanation = explanation or next((e for _, e in ranked if e), None)
    rows = [(_severity(graph, *pair), weighed_of(*_weights(graph, *pair))) for pair in ranked]
    severity, weighed = min(rows, key=lambda row: SEVERITIES.index(row[0]))
    measured = replace(base(graph, lead, severity, command), weighed=weighed)
    also = _also(lead, rest)
    texts = ruled(graph, lead, explanation) if explanation else unruled(graph, lead)
    finding = with_library_line(graph, replace(measured, also=also, **texts), lead.event)
    return with_idle_guards(graph, finding, [j.event for j in group])


MOST_ALSO = 6


def _also(lead: Judged, rest: list[Judged]) -> tuple[str, ...]:
    """Where else the same failure was met, the nearest of each axis and way first, absurdly far ones left out."""
    near = [j for j in rest if j.event.axis and j.reach <= 1e4]
    near.sort(key=lambda j: (not (j.event.axis and j.event.axis.is_boundary), j.reach))
    words: dict[object, str] = {_way_along(lead.event): ""}
    for one in near:
        words.setdefault(_way_along(one.event), where(one.event))
    told = list(dict.fromkeys(filter(None, words.values())))
    left = len(told) - MOST_ALSO
    return (*told[:MOST_ALSO], *([f"{left} more"] if left > 0 else []))


def _way_along(event: Event) -> object:
    """The axis, and which way along it the failure lies."""
    if event.axis is None or event.threshold is None or event.axis.is_special:
        return event.axis and event.axis.label, event.witness
    return event.axis.label, event.threshold[1] > event.threshold[0]


def _severity(graph: Graph, judged: Judged, explanation: Explanation | None) -> Severity:
    return severity_of(*_weights(graph, judged, explanation))


def _weights(graph: Graph, judged: Judged, explanation: Explanation | None) -> tuple[Judged, Severity | None, bool]:
    """What a severity is made of."""
    return judged, explanation.rule.severity if explanation else None, is_meant(graph, judged.event)


def _lead(graph: Graph, judged: Judged, explanation: Explanation | None) -> tuple[float, ...]:
    """Alarms before notes; then what the model can reach by itself, the firmer verdict, what the model gives before
    labels between 0 and 1, the more severe, what begins somewhere before what fails wherever its axis is moved to,
    one channel with its threshold before a scale or a point that a search has found, the nearest."""
    axis = judged.event.axis
    inner = axis is not None and not axis.is_boundary
    label = axis is not None and axis.role == "target" and axis.domain == (0.0, 1.0)
    many = axis is not None and (axis.mode == "scale" or bool(axis.moves))
    severity = SEVERITIES.index(_severity(graph, judged, explanation))
    everywhere = axis is not None and not axis.is_special and judged.event.threshold is None
    quiet = severity == SEVERITIES.index("note")
    return quiet, inner, _VERDICTS.index(judged.verdict), label, severity, everywhere, many, _away(judged)


def _away(judged: Judged) -> float:
    """How far beyond the batch's own range, in parts of its size: across 0 is a long way, whatever the reach."""
    event = judged.event
    away = max(judged.reach - 1.0, 0.0)
    if event.axis is None or event.threshold is None or event.axis.is_special:
        return away
    low, high = event.axis.observed
    size = max(abs(low), abs(high))
    return max(away, (low - event.threshold[1]) / size, (event.threshold[1] - high) / size) if size else away
