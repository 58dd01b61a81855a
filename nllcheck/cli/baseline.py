"""`nllcheck baseline`: the findings of today, written down for review."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from nllcheck.cli.output import say
from nllcheck.errors import NllcheckError

NAME = "nllcheck-baseline.toml"


def write(
    path: Annotated[str | None, typer.Option("--output", "-o", help=f"The file; by default {NAME}.")] = None,
    target: Annotated[str | None, typer.Option(help="Only this target of pyproject.toml.")] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Check again what has not changed.")] = False,
) -> None:
    """Write down today's findings of the targets in pyproject.toml; then only new or worse ones fail."""
    from nllcheck import baseline, config
    from nllcheck.cli.run import gated
    from nllcheck.report.formats import write as write_file
    from nllcheck.report.spelling import count, short_path

    found = config.nearest(())
    if found is None or not found.targets:
        hint = "nllcheck init writes [tool.nllcheck.targets.NAME]"
        raise NllcheckError("no pyproject.toml with targets was found", hint=hint)
    place = Path(path or found.settings.baseline or found.folder / NAME)
    before = baseline.read(place) if place.exists() else ()
    request = {"paths": (), "model": None, "loss": None, "batches": (), "target": target, "trust": False, "init": False}
    reports = gated(request, {}, {"baseline": ""}, not no_cache)
    labels = {report.label for report in reports}
    others = tuple(entry for entry in before if target and entry.target not in labels)
    entries = (*others, *baseline.entries_of(reports, before))
    write_file(baseline.text_of(sorted(entries, key=baseline.order)), place)
    left = [f"not evaluated: {report.label}: {text}" for report in reports for text in report.incomplete]
    shown = short_path(str(place))
    used = f'use it with --baseline {shown}, or baseline = "{place.name}" in [tool.nllcheck]'
    say("\n".join([f"{shown}: {count(len(entries), 'finding')}", *left, used]))
    raise typer.Exit(4 if left else 0)
