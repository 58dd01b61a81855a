"""Verdicts + rules -> findings: one for each place that fails, led by the value that the checkpoint is nearest to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from nllcheck.diagnose.builtin import DATA, NEGATIVE, RAISES, SIGNS, UNEXPLAINED, Builtin
from nllcheck.diagnose.explain import Explanation, Table, explain, matches
from nllcheck.diagnose.severity import severity_of
from nllcheck.diagnose.wording import filled, is_library, number, spelled, substituted
from nllcheck.rules import Rule
from nllcheck.types import SEVERITIES, Event, Finding, Graph, Judged, Node, Ref, Severity, Site

_VERDICTS = ("defect", "wrong-formula", "silent", "limit", "undecided", "legitimate")


def diagnose(
    graph: Graph, judged: tuple[Judged, ...], rules: Sequence[Rule], *, command: str = ""
) -> tuple[Finding, ...]:
    """All findings. Failures at one op of one line, in one phase, are one finding, whatever axes show them."""
    table = matches(graph, rules)
    failures = [j for j in judged if j.event.kind in ("nan", "inf", "raises")]
    found = [_failure(graph, group, table, command) for group in _grouped(graph, failures)]
    found += [_negative(graph, j) for j in judged if j.event.kind == "negative-nll"]
    found += _signs(graph, [j for j in judged if j.event.kind == "sign-flip"])
    return tuple(sorted([*found, *_structural(graph, table)], key=_order))


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
        groups.setdefault((place, node.op, one.event.phase, _way(one.event)), []).append(one)
    return list(groups.values())


def _way(event: Event) -> str:
    """Overflow and underflow at one op are two failures with two remedies."""
    harm = event.chain[0].what if event.chain else ""
    return harm if harm in ("overflow", "underflow") else ""


def _failure(graph: Graph, group: list[Judged], table: Table, command: str) -> Finding:
    told = [(j, explain(graph, table, j)) for j in group]
    ranked = sorted(told, key=lambda pair: _lead(*pair))
    (lead, explanation), rest = ranked[0], [j for j, _ in ranked[1:]]
    explanation = explanation or next((e for _, e in ranked if e), None)
    severity = min((_severity(*pair) for pair in told), key=SEVERITIES.index)
    base = _base(graph, lead, severity, command)
    also = _also(rest)
    texts = _ruled(graph, lead, explanation) if explanation else _unruled(graph, lead)
    return _with(base, also=also, **texts)


MOST_ALSO = 6


def _also(rest: list[Judged]) -> tuple[str, ...]:
    """Where else the same failure was met, the nearest first, absurdly far ones left out."""
    near = [j for j in rest if j.event.axis and j.reach <= 1e4]
    near.sort(key=lambda j: (not (j.event.axis and j.event.axis.is_boundary), j.reach))
    words = list(dict.fromkeys(_where(j.event) for j in near))
    left = len(words) - MOST_ALSO
    return (*words[:MOST_ALSO], *([f"{left} more"] if left > 0 else []))


def _severity(judged: Judged, explanation: Explanation | None) -> Severity:
    return severity_of(judged, explanation.rule.severity if explanation else None)


def _lead(judged: Judged, explanation: Explanation | None) -> tuple[bool, bool, int, bool, float]:
    """Alarms before notes; then what the model can reach by itself, the firmer verdict, one channel, the nearest."""
    axis = judged.event.axis
    inner = axis is not None and not axis.is_boundary
    scaled = axis is not None and axis.mode == "scale"
    quiet = _severity(judged, explanation) == "note"
    return quiet, inner, _VERDICTS.index(judged.verdict), scaled, judged.reach


def _with(finding: Finding, **changes: object) -> Finding:
    from dataclasses import replace

    return replace(finding, **changes)  # type: ignore[arg-type]


def _base(graph: Graph, judged: Judged, severity: Severity, command: str) -> Finding:
    """Everything that is measured; the words come from a rule or a builtin."""
    event = judged.event
    node = graph.nodes[event.node]
    axis = event.axis
    return Finding(
        rule=UNEXPLAINED.id,
        name=UNEXPLAINED.name,
        kind=event.kind,
        verdict=judged.verdict,
        severity=severity,
        phase=event.phase,
        op=_op(graph, node),
        site=_site(graph, event),
        message="",
        axis=axis.label if axis else None,
        threshold=event.threshold[1] if event.threshold else None,
        last_good=event.threshold[0] if event.threshold else None,
        reach=judged.reach if axis or event.on_batch else None,
        witness=_known(event.witness) if axis else None,
        loss=event.loss,
        slope=event.slope if axis else None,
        reference_loss=_known(judged.reference_loss),
        reference_slope=_known(judged.reference_slope),
        reference=judged.reference,
        observed=axis.observed if axis and not math.isnan(axis.observed[0]) else None,
        chain=event.chain,
        reason=judged.reason,
        reaches=event.reaches,
        on_batch=event.on_batch,
        command=_command(event, command),
    )


def _known(value: float) -> float | None:
    return None if math.isnan(value) else value


def _op(graph: Graph, node: Node) -> str:
    """The rule name of the op; behind a mere view, of what it shows."""
    while node.op == "view" and node.args and isinstance(node.args[0], Ref):
        node = graph.nodes[node.args[0].index]
    return node.op


def _site(graph: Graph, event: Event) -> Site | None:
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


def _command(event: Event, command: str) -> str:
    axis = event.axis
    if axis is None:
        return command
    at = event.threshold[1] if event.threshold else event.witness
    width = 0.1 * abs(at) or 1.0
    low, high = float(f"{at - width:.3g}"), float(f"{at + width:.3g}")
    if command:
        return f"{command} --sweep '{axis.selector}={low:g}:{high:g}:201'"
    return f"nllcheck.check(..., sweep={{'{axis.selector}': ({low:g}, {high:g})}})"


def _where(event: Event) -> str:
    axis = event.axis
    if axis is None:
        return "on the batch"
    if event.threshold is None:
        return f"{axis.label} = {number(event.witness)}"
    good, bad = event.threshold
    inner = "" if axis.is_boundary else " (an intermediate)"
    far = _other_end(event)
    if far is not None:
        low, high = sorted((bad, far))
        return f"{axis.label} in [{number(low)}, {number(high)}]{inner}"
    return f"{axis.label} {'>=' if bad > good else '<='} {number(bad)}{inner}"


def _other_end(event: Event) -> float | None:
    """Where the failing interval ends again; None where it goes on to the end of the axis."""
    good, bad = event.threshold or (0.0, 0.0)
    if bad > good:
        far = min((b for _, b in event.region if b >= bad), default=math.inf)
    else:
        far = max((a for a, _ in event.region if a <= bad), default=-math.inf)
    low, high = event.axis.domain if event.axis else (-math.inf, math.inf)
    top = 1e4 if event.axis and event.axis.mode == "scale" else 1e30
    return None if abs(far) > top or far in (low, high) else far


def _ruled(graph: Graph, judged: Judged, explanation: Explanation) -> dict[str, object]:
    rule, captures = explanation.rule, explanation.found.captures
    message = filled(rule.message, graph, judged.event, captures, judged.reach)
    return {
        "rule": rule.id,
        "name": rule.name,
        "message": _and_detail(message, judged.event),
        "fix": substituted(rule.fix, graph, captures) if rule.fix else None,
        "advice": " ".join(rule.advice.split()) if rule.advice else None,
        "why": " ".join(rule.why.split()),
    }


def _and_detail(message: str, event: Event) -> str:
    return f"{message.rstrip('.')}; {event.detail}." if event.detail else message


def _unruled(graph: Graph, judged: Judged) -> dict[str, object]:
    event = judged.event
    if event.chain and event.chain[0].op == "input":
        return _built(DATA, f"{event.detail}, before anything is computed.")
    if event.kind == "raises":
        return _built(RAISES, _and_detail(f"The code raises once {_where(event)}", event))
    node = graph.nodes[event.node]
    what = "NaN" if _birth(event) == "nan" else "infinity"
    where = "on the batch itself" if event.on_batch else f"once {_where(event)}"
    first = event.chain[0] if event.chain and event.chain[0].node != event.node else None
    after = f", after {first.op} {_harm(first.what)}" if first else ""
    half = "gradient of " if event.phase == "backward" and (not event.chain or _born_backward(event)) else ""
    message = f"The {half}{node.op} gives {what} {where}{after}."
    return _built(UNEXPLAINED, _and_detail(message, event))


def _birth(event: Event) -> str:
    return next((s.what for s in event.chain if s.node == event.node and s.what in ("nan", "inf")), event.kind)


def _born_backward(event: Event) -> bool:
    return any(s.node == event.node and s.phase == "backward" for s in event.chain)


def _harm(what: str) -> str:
    return {"overflow": "overflows", "underflow": "underflows to 0", "saturation": "saturates",
            "absorption": "loses its smaller part", "inf": "is infinite", "nan": "is NaN"}.get(what, what)  # fmt: skip


def _built(builtin: Builtin, message: str) -> dict[str, object]:
    return {"rule": builtin.id, "name": builtin.name, "message": message, "why": builtin.why, "advice": builtin.advice}


def _negative(graph: Graph, judged: Judged) -> Finding:
    event = judged.event
    labels = not event.detail.startswith("continuous")
    severity: Severity = "error" if labels else "note"
    where = f"The loss on the batch is {event.loss:.6g}" if event.on_batch else f"The loss is negative {_from(event)}"
    verdict = "a label's probability cannot exceed 1" if labels else "possible for a density above 1"
    return _with(_base(graph, judged, severity, ""), **_built(NEGATIVE, f"{where}: {verdict}."), command="")


def _from(event: Event) -> str:
    return f"from {_where(event)}" if event.threshold else f"at {_where(event)}"


def _signs(graph: Graph, judged: list[Judged]) -> list[Finding]:
    """Wrong signs one by one; all the sign changes that are the loss' own shape along axes in one finding."""
    own = [j for j in judged if j.event.axis is not None and j.verdict == "legitimate"]
    rest = [j for j in judged if j not in own]
    found = [_sign(graph, j, _sign_text(j.event)) for j in rest]
    if own:
        lead = min(own, key=lambda j: j.reach)
        text = "; ".join(f"{j.event.axis.label} {j.event.detail}" for j in own if j.event.axis)
        found.append(_sign(graph, lead, f"Near the batch the slope along {len(own)} axes {_crosses(own)}: {text}."))
    return found


def _crosses(own: list[Judged]) -> str:
    return "passes an optimum" if len(own) > 1 else "passes its optimum"


def _sign_text(event: Event) -> str:
    head = f"Along {event.axis.label} " if event.axis else ""
    text = f"{head}{event.detail}."
    return text[0].upper() + text[1:] if event.axis else text


def _sign(graph: Graph, judged: Judged, text: str) -> Finding:
    severity = severity_of(judged, None) if judged.verdict == "defect" else "note"
    return _with(_base(graph, judged, severity, ""), **_built(SIGNS, text), command="")


def _structural(graph: Graph, table: Table) -> Iterable[Finding]:
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


__all__ = ["diagnose", "spelled"]
