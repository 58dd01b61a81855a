"""Comments that answer for a finding where it is: `# nllcheck: ignore[NLL101] the logits are clamped above`.

Beside the line, on any line of the same statement, or alone on the line before it. The rules are named and a reason
is given: there is no comment that hides everything.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nllcheck.errors import NllcheckError, did_you_mean
from nllcheck.report import Accepted, Report
from nllcheck.report.spelling import short_path
from nllcheck.types import Finding

COMMENT = re.compile(r"#+\s*nllcheck\s*:\s*(?P<rest>.*)")
IGNORE = re.compile(r"ignore\s*\[(?P<rules>[^\]]*)\]\s*(?P<reason>.*)")
Known = Callable[[], Collection[str]]  # the ids of all rules; asked only where there is a comment
EXAMPLE = "write '# nllcheck: ignore[NLL101] reason'"


@dataclass(frozen=True, slots=True)
class Suppression:
    """One comment: the lines it answers for, both included, 1-based."""

    path: str
    line: int  # of the comment itself
    first: int
    last: int
    rules: tuple[str, ...]
    reason: str

    def covers(self, finding: Finding) -> bool:
        site = finding.site
        return site is not None and site.path == self.path and self.first <= site.line <= self.last and (
            finding.rule in self.rules
        )  # fmt: skip


def applied(reports: Sequence[Report], known: Known) -> tuple[Report, ...]:
    """The reports of one run with suppressed findings accepted, and a remark on each comment that matched nothing.

    Comments are looked for in the files that the findings, their chains and the losses stand in. Raises
    NllcheckError for a comment without rules or reason, or with an unknown rule.
    """
    found = [one for path in sorted(_paths(reports)) for one in read(path, known)]
    used: set[Suppression] = set()
    answered = [_answered(report, found, used) for report in reports]
    unused = [_unused(one) for one in found if one not in used]
    if answered and unused:
        answered[-1] = replace(answered[-1], notes=(*answered[-1].notes, *unused))
    return tuple(answered)


def _unused(one: Suppression) -> str:
    where, rules = f"{short_path(one.path)}:{one.line}", ", ".join(one.rules)
    return f"{where}: unused: ignore[{rules}] matched no finding of this run"


def _paths(reports: Sequence[Report]) -> set[str]:
    found: set[str] = set()
    for report in reports:
        sites = [report.facts.loss_site, *(f.site for f in report.findings)]
        sites += [step.site for f in report.findings for step in f.chain]
        found |= {site.path for site in sites if site is not None}
    return {path for path in found if Path(path).is_file() and "site-packages" not in Path(path).parts}


def _answered(report: Report, found: list[Suppression], used: set[Suppression]) -> Report:
    kept: list[Finding] = []
    accepted = list(report.accepted)
    for finding in report.findings:
        by = next((one for one in found if one.covers(finding)), None)
        if by is None:
            kept.append(finding)
        else:
            used.add(by)
            accepted.append(Accepted(finding, "suppressed", by.reason))
    return replace(report, findings=tuple(kept), accepted=tuple(accepted))


def read(path: str, known: Known) -> list[Suppression]:
    """The suppressions of a Python file, by line. Raises NllcheckError at the comment."""
    try:
        source = Path(path).read_bytes()
    except OSError as error:
        raise NllcheckError(f"cannot read it: {error.strerror}", where=path) from None
    if b"nllcheck" not in source:
        return []
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(source).readline))
    except (tokenize.TokenError, SyntaxError, UnicodeDecodeError):
        return []  # not Python, or changed since it was imported
    return [_parsed(token, *lines, path, known) for token, lines in _comments(tokens)]


def _comments(tokens: list[tokenize.TokenInfo]) -> list[tuple[tokenize.TokenInfo, tuple[int, int]]]:
    """Every comment for nllcheck with the lines of its statement: its own, or for one that stands alone the next."""
    waiting: list[tokenize.TokenInfo] = []
    found: list[tuple[tokenize.TokenInfo, tuple[int, int]]] = []
    first = 0
    for token in tokens:
        if token.type == tokenize.COMMENT:
            waiting += [token] if COMMENT.match(token.string) else []
        elif token.type == tokenize.NEWLINE:
            found += [(comment, (first, token.start[0])) for comment in waiting]
            waiting, first = [], 0
        elif token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING):
            first = first or token.start[0]
    return found + [(comment, (comment.start[0], comment.start[0])) for comment in waiting]


def _parsed(token: tokenize.TokenInfo, first: int, last: int, path: str, known: Known) -> Suppression:
    line = token.start[0]
    where = f"{short_path(path)}:{line}"
    comment = COMMENT.match(token.string)
    match = IGNORE.fullmatch(comment["rest"].strip()) if comment else None
    rules = tuple(rule.strip() for rule in match["rules"].split(",") if rule.strip()) if match else ()
    if match is None or not rules:
        raise NllcheckError("an ignore comment must name its rules", where=where, hint=EXAMPLE)
    for rule in rules:
        if rule not in known():
            raise NllcheckError(f"there is no rule '{rule}'", where=where, hint=did_you_mean(rule, set(known())))
    reason = match["reason"].strip(" -:—")
    if not reason:
        raise NllcheckError("an ignore comment must give its reason", where=where, hint=EXAMPLE)
    return Suppression(path, line, first, last, rules, reason)
