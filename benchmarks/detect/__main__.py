"""Run the detection benchmark and print one table.

    python benchmarks/detect [--only PATTERN] [--tool NAME]... [--json FILE] [--verbose]

What is compared and on which batches: `tools.py`. What counts as right: `score.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if not __package__:  # run as a folder: its own name is not a package yet
    sys.path[0] = str(ROOT)

import argparse  # noqa: E402
import dataclasses  # noqa: E402
import datetime  # noqa: E402
import fnmatch  # noqa: E402
import json  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402

import torch  # noqa: E402

import nllcheck  # noqa: E402
from benchmarks.detect.case import Case  # noqa: E402
from benchmarks.detect.cases import CASES  # noqa: E402
from benchmarks.detect.score import Mark, mark, summary, table  # noqa: E402
from benchmarks.detect.tools import NLLCHECK, TOOLS, Answer, ask  # noqa: E402


def main() -> None:
    options = _options()
    chosen = [c for c in CASES if any(fnmatch.fnmatch(c.id, f"*{p}*") for p in options.only or ("*",))]
    if not chosen:
        sys.exit(f"no case matches {' '.join(options.only)}")
    torch.set_num_threads(1)
    for tool in options.tool or TOOLS:  # what a first call costs is start-up, not the case
        ask(TOOLS[tool], chosen[0], chosen[0].setup())
    marks: dict[str, list[Mark]] = {}
    for case in chosen:
        for tool in options.tool or TOOLS:
            for batch, answer in _answers(tool, case):
                row = tool if tool == NLLCHECK else f"{tool}, {batch}"
                marks.setdefault(row, []).append(mark(case, answer))
                if options.verbose:
                    _tell(case, row, marks[row][-1], answer)
    rows = {name: summary(found) for name, found in sorted(marks.items(), key=lambda item: item[0] != NLLCHECK)}
    bugs = sum(c.bug is not None for c in chosen)
    print(f"{bugs} defective and {len(chosen) - bugs} sound losses, one thread of {platform.machine()}\n")
    print(table(rows))
    if options.json:
        Path(options.json).write_text(json.dumps(_record(rows, marks), indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/detect", description="recall and false alarms on known losses")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="cases whose id holds this (shell wildcards)"
    )
    parser.add_argument("--tool", action="append", choices=tuple(TOOLS), help="this tool only; may be repeated")
    parser.add_argument("--json", metavar="FILE", help="write figures, marks and versions")
    parser.add_argument("--verbose", action="store_true", help="what is said about every case")
    return parser.parse_args()


def _answers(tool: str, case: Case) -> list[tuple[str, Answer]]:
    """The ordinary batch for all; tools that cannot search also get the extreme one (the ordinary where none is)."""
    first = ask(TOOLS[tool], case, case.setup())
    if tool == NLLCHECK:
        return [("batch", first)]
    extreme = case.extreme_setup()
    return [("batch", first), ("extreme batch", ask(TOOLS[tool], case, extreme) if extreme else first)]


def _tell(case: Case, row: str, got: Mark, answer: Answer) -> None:
    if case.bug is None:
        right = not got.found
        wrong = "" if right else " FALSE ALARM"
    else:
        parts = ("op", "line", "phase", "verdict")
        right = got.found and all(getattr(got, p) for p in parts)
        wrong = "" if right else " MISSED" if not got.found else " WRONG " + " ".join(
            p for p in parts if not getattr(got, p))  # fmt: skip
    print(f"{case.id}  {row}  {got.seconds:.2f} s{wrong}{'  ERROR ' + got.error if got.error else ''}")
    for flag in () if right and not got.stray else answer.flags:
        where = f"{Path(flag.line[0]).name}:{flag.line[1]}" if flag.line else "-"
        print(f"    {flag.kind} {flag.verdict} {flag.phase} {flag.op} {where} | {flag.text}")


def _record(rows: dict[str, dict[str, float]], marks: dict[str, list[Mark]]) -> dict[str, object]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "threads": torch.get_num_threads()},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "nllcheck": nllcheck.__version__},
        "summary": {k: {c: v if v == v else None for c, v in row.items()} for k, row in rows.items()},
        "cases": {name: [dataclasses.asdict(m) for m in found] for name, found in marks.items()},
    }


if __name__ == "__main__":
    main()
