"""Commands that say whether and how the tool works here: `doctor` and `demo`."""

from __future__ import annotations

import typer

from nllcheck.cli.output import progress, remark, say, show


def doctor() -> None:
    """Versions, devices, and what is missing. Ends with 2 if something required is."""
    from nllcheck.doctor import examine

    with progress() as tell:
        tell("looking around")
        facts, problems = examine()
    say("\n".join(f"{name:<18} {value}" for name, value in facts))
    for problem in problems:
        remark(f"problem: {problem}")
    raise typer.Exit(2 if problems else 0)


def demo() -> None:
    """Check a shipped model that has problems, to see what a report looks like."""
    from nllcheck import resources
    from nllcheck.cli.run import gated

    place = resources.folder("fixtures") / "bivariate_gaussian" / "model.pt"
    request = {"paths": (str(place),), "model": None, "loss": None, "batches": (), "target": None, "trust": False}
    (report,) = gated({**request, "init": False}, {}, {})
    show((report,))
    first = report.findings[0].rule if report.findings else "NLL000"
    say(
        "\nThis was a trained model, shipped as an example; the demo itself ends with exit 0. Next:\n"
        f"  nllcheck explain {first}    why the first finding happens\n"
        "  nllcheck run model.pt --model file.py:build --loss file.py:loss --batch batch.pt    on your own"
    )
