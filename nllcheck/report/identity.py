"""What stays the same about a finding from one commit to the next, and the one line it points at."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePath

from nllcheck.report.spelling import short_path
from nllcheck.types import Facts, Finding, Site

ANYWHERE = Site("pyproject.toml", 1, "")  # formats that must name a line, where nothing better is known


def fingerprints(findings: Sequence[Finding], facts: Facts) -> list[str]:
    """One text a finding, all different: the offence, its function and its line's text, never its line number.

    So it survives lines that move and a checkpoint that changes. Equal ones (two axes that fail at one line) are
    numbered by axis. Folders do not count: the same file may be checked from another working directory.
    """
    bases = [_digest(finding, facts) for finding in findings]
    seen: Counter[str] = Counter()
    named: dict[int, str] = {}
    for i in sorted(range(len(findings)), key=lambda i: (findings[i].axis or "", i)):
        seen[bases[i]] += 1
        named[i] = bases[i] if seen[bases[i]] == 1 else f"{bases[i]}-{seen[bases[i]]}"
    return [named[i] for i in range(len(findings))]


def _digest(finding: Finding, facts: Facts) -> str:
    site = finding.site
    where = (PurePath(site.path).name, site.function, site.source) if site else (loss_function(facts), "", "")
    text = "\0".join((finding.rule, finding.kind, finding.phase, *where))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:20]


def loss_function(facts: Facts) -> str:
    """The loss' own name, without the file or module it was asked for in."""
    return facts.loss_name.rpartition(":")[2] or facts.loss_name


def place_of(finding: Finding, facts: Facts) -> Site:
    """The line a format points at: the finding's own, else the first of its chain, else the loss function.

    A line inside the working directory is preferred to one outside: no review can show the latter.
    """
    known = (finding.site, *(step.site for step in finding.chain), facts.loss_site)
    sites = [site for site in known if site is not None] or [ANYWHERE]
    inside = [site for site in sites if is_relative(short_path(site.path))]
    return (inside or [ANYWHERE])[0] if finding.site is None else (inside or sites)[0]


def is_relative(path: str) -> bool:
    """Does a path as reports spell it lie below the working directory?"""
    return not os.path.isabs(path) and not path.startswith(("..", "<"))
