"""Eleven small losses, five tools, side by side, in one process.

    python benchmarks/peers.py [--markdown FILE]

nllcheck gets an ordinary batch. The others see one batch only: they are given the failing one. A cell says what is
flagged; "op" and "line" stand where these are named rightly.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import torch

from benchmarks.detect.case import Case
from benchmarks.detect.cases.peers import CASES
from benchmarks.detect.score import Mark, mark
from benchmarks.detect.tools import NLLCHECK, TOOLS, ask


def compared(case: Case) -> list[Mark]:
    """One row: every tool on one case."""
    marks = []
    for name, tool in TOOLS.items():
        setup = case.setup() if name == NLLCHECK else case.extreme_setup() or case.setup()
        marks.append(mark(case, ask(tool, case, setup)))
    return marks


def cell(got: Mark) -> str:
    """What a reader wants to know: flagged or not, and how much of it is right."""
    if got.error:
        return "not checked"
    if not got.is_bug:
        return "false alarm" if got.found else "silent"
    if not got.found:
        return "missed"
    return "flagged" + "".join(f", {what}" for what in ("op", "line") if getattr(got, what))


def table(rows: list[tuple[Case, list[Mark]]]) -> str:
    """Markdown: a row a case, then the sums."""
    lines = ["| | " + " | ".join(TOOLS) + " |", "|---" * (len(TOOLS) + 1) + "|"]
    for case, marks in rows:
        lines.append(f"| {case.id.partition('/')[2]} | " + " | ".join(map(cell, marks)) + " |")
    columns = list(zip(*(marks for _, marks in rows), strict=True))
    bugs = sum(case.bug is not None for case, _ in rows)
    for title, counts in (
        (f"flagged of {bugs}", [sum(m.is_bug and m.found for m in c) for c in columns]),
        ("right op", [sum(m.is_bug and m.found and bool(m.op) for m in c) for c in columns]),
        (f"false alarms of {len(rows) - bugs}", [sum(not m.is_bug and m.found for m in c) for c in columns]),
    ):
        lines.append(f"| **{title}** | " + " | ".join(map(str, counts)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description="nllcheck beside other tools on eleven losses")
    parser.add_argument("--markdown", metavar="FILE", help="write the table here, too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    text = table([(case, compared(case)) for case in CASES])
    print(text)
    if options.markdown:
        Path(options.markdown).write_text(text + "\n")


if __name__ == "__main__":
    main()
