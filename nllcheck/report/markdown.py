"""The reports as Markdown, for a job summary or a comment: verdicts on top, then each finding folded up."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from nllcheck.report import Report, brief, words
from nllcheck.report.spelling import clean, code, number, prose
from nllcheck.types import Finding

ICONS = {"error": "🔴", "warning": "🟠", "note": "🔵"}
MOST = 1_000_000  # a job summary may hold 1 MiB


def render(reports: Sequence[Report]) -> str:
    parts = ["## nllcheck\n", _overview(reports), *(_report(report) for report in reports)]
    text = "\n".join(parts)
    return text if len(text.encode("utf-8", "replace")) <= MOST else text[: MOST // 4] + "\n\n…cut: too long\n"


def _overview(reports: Sequence[Report]) -> str:
    rows = ["| target | result | loss on the batch | checked |", "|---|---|---|---|"]
    for report in reports:
        result = "ok" if report.exit_code == 0 else "fails"
        cells = (
            _text(report.label),
            f"**{result}**: {words.tally(report)}",
            number(report.facts.loss) if report.evaluated else "–",
        )
        rows.append("| " + " | ".join((*cells, _text(words.coverage(report)))) + " |")
    return "\n".join(rows) + "\n"


def _report(report: Report) -> str:
    parts = [f"### {_text(report.label)}\n"]
    groups = brief.grouped(report.findings, False)
    parts += [_finding(report, one, one is first) for first, same in groups for one in (first, *same)]
    lists = (
        ("not evaluated", report.incomplete),
        ("accepted", [f"{one.finding.rule} {one.finding.name}: {one.reason}" for one in report.accepted]),
        ("remark", report.notes),
        ("skipped", report.skipped),
    )
    rows = [f"- {label}: {_text(text)}" for label, texts in lists for text in texts]
    return "\n".join([*parts, *rows, ""])


def _finding(report: Report, finding: Finding, is_first: bool) -> str:
    """Unfolded is what fails, once: not the same offence at other ops."""
    table = next((t for t in report.sweeps if t.axis.label == finding.axis), None)
    place = f" at {_code(words.place(finding.site))}" if finding.site else ""
    title = html.escape(prose(f"{finding.rule} {finding.name}"))
    head = f"{ICONS[finding.severity]} <b>{title}</b> · {finding.verdict}{place}"
    rows = [("when", words.when(finding, report.facts, table))]
    rows += words.rows(finding, report.facts, table, verbose=False)
    told = [f"- **{label}**: {_text(text)}" for label, text in rows if text]
    source = finding.site.source if finding.site else ""
    blocks = [_block(source, "python")] if source else []
    fix = (
        ["Instead (a suggestion, not yet tried on your code):\n", _block(finding.fix, "python")] if finding.fix else []
    )
    opened = " open" if is_first and report.failing(finding) else ""
    body = [f"<details{opened}><summary>{head}</summary>\n", _text(finding.message) + "\n", *blocks, *told, ""]
    rerun = [_block(finding.command, "sh")] if finding.command else []
    return "\n".join([*body, *fix, *rerun, "</details>\n"])


def _text(text: str) -> str:
    """Words as they are: nothing in them is markup, a link, a mention or an issue number."""
    escaped = re.sub(r"([\\`*_\[\]#|~]|^[-+](?= ))", r"\\\1", html.escape(prose(text), quote=False))
    return escaped.replace("@", "&#64;").replace("://", "&#58;//")


def _code(text: str) -> str:
    return f"<code>{html.escape(clean(text))}</code>"


def _block(text: str, language: str) -> str:
    """A fence longer than any run of backticks inside."""
    body = code(text)
    fence = "`" * max([3, *(len(run) + 1 for run in re.findall(r"`+", body))])
    return f"{fence}{language}\n{body}\n{fence}\n"
