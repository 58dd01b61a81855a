"""The report as a piece of HTML for a notebook cell: no script, everything escaped, the page's own colours."""

from __future__ import annotations

import html

from nllcheck.report import Report, spelling, strip, words
from nllcheck.types import Finding

EDGE = {"error": "#c62828", "warning": "#b26a00", "note": "#00838f"}
CELLS = 72
PRE = "margin:.3em 0;padding:.3em .6em;background:rgba(128,128,128,.12);overflow-x:auto"


def render(report: Report) -> str:
    """A heading, one block a finding (errors and warnings open), what was skipped, the tally."""
    facts = report.facts
    head = f"<b>nllcheck</b> {_safe(facts.target)}: {_safe(facts.loss_name)} = {spelling.number(facts.loss)}"
    blocks = [f"<div>{head} on the batch<br><small>{_safe(words.coverage(report))}</small></div>"]
    blocks += [_finding(report, finding) for finding in report.findings]
    blocks += [f"<div><small>skipped: {_safe(text)}</small></div>" for text in report.skipped]
    blocks += [f"<div><b>not evaluated: {_safe(text)}</b></div>" for text in report.incomplete]
    blocks += [f"<div><small>{_safe(text)}</small></div>" for text in report.notes]
    return f'<div class="nllcheck">{"".join(blocks)}<div><b>{_safe(words.tally(report))}</b></div></div>'


def _safe(text: str) -> str:
    return html.escape(spelling.prose(text))


def _finding(report: Report, finding: Finding) -> str:
    edge = EDGE[finding.severity]
    title = f'<b style="color:{edge}">{finding.severity}</b> <b>{_safe(finding.rule)} {_safe(finding.name)}</b>'
    summary = f"<summary>{title} · {finding.verdict}<br>{_safe(finding.message)}</summary>"
    opened = "" if finding.severity == "note" else " open"
    style = f"border-left:4px solid {edge};padding:.2em .8em;margin:.6em 0"
    return f'<details style="{style}"{opened}>{summary}{_code(finding)}{_facts(report, finding)}</details>'


def _code(finding: Finding) -> str:
    site = finding.site
    if site is None:
        return ""
    start, stop = site.span or (0, 0)
    before, guilty, after = (
        html.escape(spelling.clean(part)) for part in (site.source[:start], site.source[start:stop], site.source[stop:])
    )
    place = f"<div><code>{html.escape(words.place(site))}</code> in {_safe(site.function)}</div>"
    return f'{place}<pre style="{PRE}">{before}<u>{guilty}</u>{after}</pre>' if site.source else place


def _facts(report: Report, finding: Finding) -> str:
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    bad, good = finding.threshold, finding.last_good
    label = "" if bad is None else spelling.exact(bad, report.facts.dtype)
    drawn = strip.build(table, CELLS, bad=bad, good=good, label=label) if table else None
    picture = "\n".join((drawn.loss, drawn.slope, drawn.marks, drawn.scale)) if drawn else ""
    rows = [("when", words.when(finding, report.facts, table))]
    rows += words.rows(finding, report.facts, table, verbose=True)
    rows += [("instead", finding.fix or ""), ("rerun", finding.command)]
    told = "".join(f"<dt><b>{label}</b></dt><dd>{_safe(text)}</dd>" for label, text in rows if text)
    return (f'<pre style="{PRE}">{html.escape(picture)}</pre>' if picture else "") + f"<dl>{told}</dl>"
