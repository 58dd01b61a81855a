"""What a person and a machine receive, kept as files."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from report_cases import clear, on_batch, realistic, structural

from nllcheck.report.formats import FORMATS
from nllcheck.report.terminal import render

Golden = Callable[[str, str], None]


@pytest.mark.parametrize("width", [60, 80, 120])
def test_terminal(golden: Golden, width: int) -> None:
    golden(f"realistic-{width}.txt", render(realistic(), width))


def test_terminal_in_colour_ascii_and_full(golden: Golden) -> None:
    golden("realistic-80.ansi", render(realistic(), 80, color=True))
    golden("realistic-80-ascii.txt", render(realistic(), 80, ascii_only=True))
    golden("realistic-80-verbose.txt", render(realistic(), 80, verbose=True))


def test_terminal_of_small_reports(golden: Golden) -> None:
    parts = [render(make(), 80) for make in (structural, clear, on_batch)]
    golden("small-80.txt", "\n".join(parts))


def test_json(golden: Golden) -> None:
    golden("realistic.json", realistic().to_json())


def test_notebook(golden: Golden) -> None:
    golden("realistic.html", realistic()._repr_html_())


@pytest.mark.parametrize("kind", ["sarif", "junit", "github", "gitlab", "markdown"])
def test_formats_for_machines(golden: Golden, kind: str) -> None:
    golden(f"realistic.{kind}", FORMATS[kind]((realistic(),)))
