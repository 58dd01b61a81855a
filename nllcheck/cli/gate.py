"""From what was found to what fails: rules chosen, severities set, comments and the baseline heard, in this order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from nllcheck import baseline, policy, suppressions
from nllcheck.cli.jobs import Job
from nllcheck.config import Settings
from nllcheck.diagnose.ids import known_ids
from nllcheck.report import Report

Decide = Callable[[Sequence[Report]], tuple[Report, ...]]


def decisions(jobs: Sequence[Job], decided: Mapping[str, Any]) -> Decide:
    """What to do with the reports of these jobs. Everything is read and checked now. Raises NllcheckError."""
    settings = [job.settings.updated(Settings(**decided)) for job in jobs]
    folders = tuple(dict.fromkeys(folder for one in settings for folder in one.rules or ()))
    known = partial(known_ids, folders)
    policies = [_policy(one, known) for one in settings]
    entries = {one.baseline: baseline.read(one.baseline) for one in settings if one.baseline}

    def decide(reports: Sequence[Report]) -> tuple[Report, ...]:
        weighed = [policy.applied(report, one) for report, one in zip(reports, policies, strict=True)]
        answered = suppressions.applied(weighed, known)
        rows = zip(answered, settings, strict=True)
        done = [baseline.applied(r, entries[one.baseline]) if one.baseline else r for r, one in rows]
        return _with_strangers(done, entries.values()) if len(jobs) > 1 else tuple(done)

    return decide


def _with_strangers(reports: list[Report], baselines: Collection[Sequence[baseline.Entry]]) -> tuple[Report, ...]:
    """All targets were run: entries of others belong to nobody."""
    labels = [report.label for report in reports]
    said = [text for entries in baselines for text in baseline.strangers(entries, labels)]
    return (*reports[:-1], replace(reports[-1], notes=(*reports[-1].notes, *said)))


def _policy(settings: Settings, known: suppressions.Known) -> policy.Policy:
    made = policy.Policy(settings.select or (), settings.ignore or (), settings.severity or ())
    return policy.checked(made, known()) if made.codes() else made
