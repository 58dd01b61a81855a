"""Negative losses and changing signs as findings."""

from __future__ import annotations

from dataclasses import replace

from nllcheck.diagnose.builtin import COLLAPSE, LABELS, NEGATIVE, SIGNS, UNBOUNDED
from nllcheck.diagnose.finding import base, where
from nllcheck.diagnose.severity import severity_of, weighed_of
from nllcheck.diagnose.texts import built
from nllcheck.types import SEVERITIES, Event, Finding, Graph, Judged, Severity

MOST_NAMED = 3  # axes beside the first along which a line turns signs


def negative(graph: Graph, judged: Judged) -> Finding:
    """A loss below zero: an error for labels, a note for a density."""
    event = judged.event
    labels = judged.verdict == "wrong-formula"
    severity: Severity = "error" if labels else "note"
    head = f"The loss on the batch is {event.loss:.6g}" if event.on_batch else f"The loss is negative {_from(event)}"
    verdict = "a label's probability cannot exceed 1" if labels else judged.reason.rstrip(".")
    return replace(base(graph, judged, severity, ""), **built(NEGATIVE, f"{head}: {verdict}."), command="")


def _from(event: Event) -> str:
    return f"from {where(event)}" if event.threshold else f"at {where(event)}"


def signs(graph: Graph, judged: list[Judged]) -> list[Finding]:
    """Wrong signs, those of one line in one finding; and the sign changes that are the loss' own shape in another."""
    own = [j for j in judged if j.event.axis is not None and j.verdict == "legitimate"]
    rest = [j for j in judged if j not in own]
    found = [_wrong(graph, group) for group in _by_line(graph, rest)]
    if own:
        lead = min(own, key=lambda j: j.reach)
        text = "; ".join(f"{j.event.axis.label} {j.event.detail}" for j in own if j.event.axis)
        known = "certified by exact arithmetic" if all(j.reference == "exact" for j in own) else "compared with float64"
        along = "one axis" if len(own) == 1 else f"{len(own)} axes"
        found.append(_sign(graph, lead, f"Near the batch the slope passes 0 along {along}, {known}: {text}."))
    return found


def _by_line(graph: Graph, judged: list[Judged]) -> list[list[Judged]]:
    """What one line does along several axes together; what is read of no axis stays by itself."""
    groups: dict[object, list[Judged]] = {}
    for k, one in enumerate(judged):
        site = graph.nodes[one.event.node].site
        key = (site.path, site.line) if site and one.event.axis and one.verdict == "defect" else k
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def _wrong(graph: Graph, group: list[Judged]) -> Finding:
    lead, *others = sorted(group, key=lambda j: (SEVERITIES.index(severity_of(j, None)), j.reach))
    names = [j.event.axis.label for j in others if j.event.axis]
    left = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    also = f" So it does along {', '.join(names[:MOST_NAMED])}{left}." if names else ""
    return _sign(graph, lead, _sign_text(lead.event) + also)


def unbounded(graph: Graph, judged: list[Judged]) -> list[Finding]:
    """The axes along which the loss falls without end, as one finding a line; the samples that can collapse; labels
    that no cross entropy is made for."""
    lines: dict[int, list[Judged]] = {}
    labelled = [j for j in judged if j.event.on_batch]
    for one in (j for j in judged if not j.event.on_batch):
        lines.setdefault(one.event.node if one.event.axis else -1, []).append(one)
    alone = [_collapse(graph, one) for one in lines.pop(-1, [])]
    return [*(_endless(graph, group) for group in lines.values()), *alone, *(_labels(graph, j) for j in labelled)]


def _collapse(graph: Graph, one: Judged) -> Finding:
    text = f"One sample alone can take its loss to minus infinity, as {one.event.detail}."
    return replace(base(graph, one, "note", ""), **built(COLLAPSE, text), command="")


def _labels(graph: Graph, one: Judged) -> Finding:
    text = f"A cross entropy of labels that are no probabilities: {one.event.detail}."
    return replace(base(graph, one, "warning", ""), **built(LABELS, text), command="")


def _endless(graph: Graph, group: list[Judged]) -> Finding:
    lead = max(group, key=lambda j: abs(j.event.slope))
    severity: Severity = "warning" if lead.verdict == "wrong-formula" else "note"
    text = "; it ".join(j.event.detail for j in group)
    return replace(
        base(graph, lead, severity, ""), **built(UNBOUNDED, f"The loss has no minimum: it {text}."), command=""
    )


def _sign_text(event: Event) -> str:
    head = f"Along {event.axis.label} " if event.axis else ""
    text = f"{head}{event.detail}."
    return text[0].upper() + text[1:] if event.axis else text


def _sign(graph: Graph, judged: Judged, text: str) -> Finding:
    found = base(graph, judged, severity_of(judged, None), "")
    return replace(found, **built(SIGNS, text), command="", weighed=weighed_of(judged, None))
