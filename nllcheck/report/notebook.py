"""The report as a piece of HTML for a notebook cell: the parts of the page, without a script."""

from __future__ import annotations

from pathlib import Path

from nllcheck.report import Report, spelling, web, words
from nllcheck.report.web import parts
from nllcheck.report.web.markup import Safe, join, tag
from nllcheck.types import Finding


def render(report: Report) -> str:
    """A heading, one block a finding (errors and warnings open), what was skipped, the tally."""
    facts = report.facts
    style = Safe(Path(web.__file__).with_name("parts.css").read_text(encoding="utf-8"))
    loss = f" {facts.target}: {facts.loss_name} = {spelling.number(facts.loss)} on the batch"
    head = tag("p", tag("b", "nllcheck"), loss, tag("br"), tag("small", words.coverage(report)))
    lists = (("skipped", report.skipped), ("not evaluated", report.incomplete), ("remark", report.notes))
    rest = [tag("p", f"{name}: {spelling.prose(text)}") for name, texts in lists for text in texts]
    blocks = [_finding(report, finding) for finding in report.findings]
    tally = tag("p", tag("b", words.tally(report)))
    return tag("div", tag("style", style), head, *blocks, *rest, tally, class_="nllcheck")


def _finding(report: Report, finding: Finding) -> Safe:
    severity = tag("b", finding.severity, class_="severity")
    title = join(severity, " ", tag("b", f"{finding.rule} {finding.name}"), f" · {finding.verdict}", tag("br"))
    summary = tag("summary", title, spelling.prose(finding.message))
    kind = f"finding {finding.severity}"
    return tag("details", summary, parts.body(report, finding), class_=kind, open=finding.severity != "note")
