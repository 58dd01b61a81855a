"""The density test's answer as findings: an alarm only where the loss presents itself as a likelihood."""

from __future__ import annotations

import math
from dataclasses import replace

from nllcheck import expr, match
from nllcheck.axes import depends_on
from nllcheck.diagnose.builtin import CONSTANT, NO_DIVERGENCE, NO_LIKELIHOOD, NO_LOGARITHM, NO_MINUS, READS_ITSELF
from nllcheck.diagnose.explain import Table
from nllcheck.diagnose.finding import edit_site, op_name
from nllcheck.diagnose.texts import built
from nllcheck.diagnose.wording import filled, sentence, substituted
from nllcheck.graphs import refs
from nllcheck.ops import is_transparent
from nllcheck.rules import Rule
from nllcheck.rules.scope import density_scope
from nllcheck.types import SEVERITIES, Density, Event, Finding, Graph, Severity

BENT = 0.05  # nats by which log Z must move on the batch to be an error: a fit is visibly wrong by then
LITTLE = 0.01  # nats by which it must move near the batch to be a warning


def with_density(graph: Graph, answer: Density, table: Table, shapes: list[Finding]) -> list[Finding]:
    """The findings by shape and the measured one; where both say that this is no likelihood, as one with the number."""
    if answer.name in ("varies", "unlogged") and any(f.kind == "wrong-density" for f in shapes):
        told = sentence(answer.text)
        shapes = [replace(f, message=f"{f.message} {told}") if f.kind == "wrong-density" else f for f in shapes]
        return [*shapes, *divergences(graph, answer)]
    return [*shapes, *densities(graph, answer, table), *divergences(graph, answer)]


def divergences(graph: Graph, answer: Density) -> list[Finding]:
    """A warning for the first KL term that has the wrong sign or is none: where one is wrong all are written alike."""
    wrong = [d for d in answer.divergences if d.name != "kl"]
    if not wrong:
        return []
    event = Event("wrong-density", "forward", wrong[0].node, None, math.nan, None)
    made = Finding(
        kind="wrong-density",
        verdict="wrong-formula",
        severity="warning",
        phase="forward",
        op=op_name(graph, graph.nodes[event.node]),
        site=edit_site(graph, event),
        reason="the terms at many parameters of the posterior against what a divergence is made of",
        on_batch=True,
        **built(NO_DIVERGENCE, sentence(wrong[0].text)),
    )
    return [made]


def densities(graph: Graph, answer: Density, table: Table) -> list[Finding]:
    """At most one finding: what exp(-loss) is, where it should be a density and is none.

    A normaliser that keeps Z constant whatever the scale says by itself that a likelihood is meant: there a rule
    decides without the loss' words.
    """
    if not answer.claims and answer.name != "constant":
        return []
    if answer.name == "reads-itself":
        return [_finding(graph, answer, "warning")]
    if answer.name in ("unlogged", "log-likelihood"):
        return [_finding(graph, answer, "error")]
    explained = _explained(graph, answer, table)
    if not answer.claims and not explained:
        return []
    if answer.name in ("constant", "target-factor") and not explained:
        return [_finding(graph, answer, "note")]
    if answer.name == "varies" or explained:
        worst = (
            "warning" if answer.name == "constant" else severity_of_density(answer)
        )  # of a constant that tells a fault
        return [_finding(graph, answer, worst, explained)]
    return []


def severity_of_density(answer: Density) -> Severity:
    """By how far log Z moves: on the batch as it is an error, only near it a warning, hardly anywhere a note."""
    if answer.name != "varies":
        return "warning" if answer.name == "not-samples" else "note"
    if _span(answer.batch_low, answer.batch_high) > BENT:
        return "error"
    return "warning" if _span(answer.low, answer.high) > LITTLE else "note"


def _span(low: float, high: float) -> float:
    return math.log(high / low) if 0 < low <= high < math.inf else math.inf if high > low else 0.0


_BUILTINS = {
    "varies": NO_LIKELIHOOD,
    "reads-itself": READS_ITSELF,
    "unlogged": NO_LOGARITHM,
    "log-likelihood": NO_MINUS,
}
_BY_SHAPE = {
    "not-samples": "by its shape: the terms of several samples cannot be told apart",
    "unlogged": "minus the loss integrated over the target",
    "log-likelihood": "exp(loss) integrated over the target",
    "reads-itself": "each of three neighbouring elements moved, as it is read and as it is predicted",
}

Explained = tuple[Rule, match.Match]


def _explained(graph: Graph, answer: Density, table: Table) -> Explained | None:
    """The rule on density evidence that says most: the one with the largest pattern, among equals the first."""
    found: list[tuple[int, Rule, match.Match]] = []
    for rule, places in table:
        for one in places if rule.on == "density" else ():
            if not rule.when or expr.compile(rule.when).evaluate(density_scope(graph, answer, one.captures)):
                found.append((len(one.nodes), rule, one))
    best = max(found, key=lambda f: f[0], default=None)
    return (best[1], best[2]) if best else None


def _finding(graph: Graph, answer: Density, severity: Severity, explained: Explained | None = None) -> Finding:
    culprit = answer.nodes[0] if answer.name in _BY_SHAPE and answer.nodes else _formula(graph)
    node = graph.nodes[explained[1].root if explained else culprit]
    made = Finding(
        rule="",
        name="",
        kind="wrong-density",
        verdict="legitimate" if answer.name in ("constant", "target-factor") else "wrong-formula",
        severity=severity,
        phase="forward",
        op=op_name(graph, node),
        site=edit_site(graph, Event("wrong-density", "forward", node.index, None, math.nan, None)),
        message="",
        reason=_BY_SHAPE.get(answer.name, f"exp(-loss) integrated over the target at {answer.samples} settings"),
        on_batch=True,
    )
    if explained is None:
        return replace(made, **built(_BUILTINS.get(answer.name, CONSTANT), sentence(answer.text)))
    return _ruled(graph, answer, made, *explained)


_PASSED = ("sum", "mean", "mul", "div", "neg", "where")


def _formula(graph: Graph) -> int:
    """What is summed or averaged over samples, behind a mask of the targets: whose line is to be mended, where the loss
    itself is a `mean`. The loss, where it is a sum of several terms."""
    data = {n.index for n in graph.nodes if n.op == "input"} - set(graph.targets)
    both = depends_on(graph, data) & depends_on(graph, set(graph.targets))
    node = found = graph.loss
    while True:
        read = refs(graph.nodes[node])
        inner = [r for r in read if r in both]
        if len(inner) != 1 or not (graph.nodes[node].op in _PASSED or is_transparent(graph.nodes[node].op)):
            return found
        is_masked = node == found != graph.loss and len(read) > 1
        node, found = inner[0], inner[0] if graph.nodes[node].op in ("sum", "mean") or is_masked else found


def _ruled(graph: Graph, answer: Density, made: Finding, rule: Rule, found: match.Match) -> Finding:
    message = filled(rule.message, graph, None, found.captures, math.nan)
    return replace(
        made,
        rule=rule.id,
        name=rule.name,
        kind=rule.kind or made.kind,
        verdict=rule.verdict or made.verdict,
        severity=max(made.severity, rule.severity, key=SEVERITIES.index),
        message=f"{message} {sentence(answer.text)}",
        fix=substituted(rule.fix, graph, found.captures) if rule.fix else None,
        advice=" ".join(rule.advice.split()) if rule.advice else None,
        why=" ".join(rule.why.split()),
    )
