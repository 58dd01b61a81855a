"""Run the detection benchmark and print one table.

    python benchmarks/detect [--only PATTERN] [--tool NAME]... [--jobs N] [--json FILE] [--verbose]

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
import functools  # noqa: E402
import itertools  # noqa: E402
import json  # noqa: E402
import multiprocessing  # noqa: E402
import os  # noqa: E402
import platform  # noqa: E402
from collections.abc import Iterator  # noqa: E402

import torch  # noqa: E402

import nllcheck  # noqa: E402
from benchmarks.detect.asked import BY_ID, Told, asked, start  # noqa: E402
from benchmarks.detect.case import Case  # noqa: E402
from benchmarks.detect.cases import CASES  # noqa: E402
from benchmarks.detect.score import Mark, summary, table  # noqa: E402
from benchmarks.detect.tools import NLLCHECK, TOOLS, Answer  # noqa: E402


def main() -> None:
    options = _options()
    chosen = [c for c in CASES if any(fnmatch.fnmatch(c.id, f"*{p}*") for p in options.only or ("*",))]
    if not chosen:
        sys.exit(f"no case matches {' '.join(options.only)}")
    marks: dict[str, list[Mark]] = {}
    for case, row, found, answer in _told(tuple(options.tool or TOOLS), [c.id for c in chosen], options.jobs):
        marks.setdefault(row, []).append(found)
        if options.verbose:
            _tell(BY_ID[case], row, found, answer)
    rows = {name: summary(found) for name, found in sorted(marks.items(), key=lambda item: item[0] != NLLCHECK)}
    bugs = sum(c.bug is not None for c in chosen)
    print(f"{bugs} defective and {len(chosen) - bugs} sound losses, one thread of {platform.machine()}\n")
    print(table(rows))
    if options.json:
        Path(options.json).write_text(json.dumps(_record(rows, marks, options.jobs), indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/detect", description="recall and false alarms on known losses")
    parser.add_argument(
        "--only", action="append", metavar="PATTERN", help="cases whose id holds this (shell wildcards)"
    )
    parser.add_argument("--tool", action="append", choices=tuple(TOOLS), help="this tool only; may be repeated")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="processes of one thread each (default: 1)")
    parser.add_argument("--json", metavar="FILE", help="write figures, marks and versions")
    parser.add_argument("--verbose", action="store_true", help="what is said about every case")
    return parser.parse_args()


def _told(tools: tuple[str, ...], cases: list[str], jobs: int) -> Iterator[Told]:
    """Case by case in the order given, `jobs` of them at a time, each process with one thread."""
    with multiprocessing.get_context("spawn").Pool(jobs, start, (tools, cases[0])) as pool:
        yield from itertools.chain.from_iterable(pool.imap(functools.partial(asked, tools), cases))


def _tell(case: Case, row: str, got: Mark, answer: Answer) -> None:
    if case.bug is None:
        right = not got.found
        wrong = "" if right else " FALSE ALARM"
    else:
        parts = ("op", "line", "phase", "verdict")
        right = got.found and all(getattr(got, p) for p in parts)
        wrong = "" if right else " MISSED" if not got.found else " WRONG " + " ".join(
            p for p in parts if not getattr(got, p))  # fmt: skip
    print(f"{case.id}  {row}  {got.seconds:.2f} s{wrong}{'  ERROR ' + got.error if got.error else ''}", flush=True)
    for flag in () if right and not got.stray else answer.flags:
        where = f"{Path(flag.line[0]).name}:{flag.line[1]}" if flag.line else "-"
        print(f"    {flag.kind} {flag.verdict} {flag.phase} {flag.op} {where} | {flag.text}")


def _record(rows: dict[str, dict[str, float]], marks: dict[str, list[Mark]], jobs: int) -> dict[str, object]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {"cpu": platform.machine(), "cores": os.cpu_count(), "threads": 1, "jobs": jobs},
        "versions": {"python": platform.python_version(), "torch": torch.__version__, "nllcheck": nllcheck.__version__},
        "summary": {k: {c: v if v == v else None for c, v in row.items()} for k, row in rows.items()},
        "cases": {name: [dataclasses.asdict(m) for m in found] for name, found in marks.items()},
    }


if __name__ == "__main__":
    main()
