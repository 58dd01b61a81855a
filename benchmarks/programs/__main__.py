"""Check every program in turn, each in a process of its own, and print what it took and what was found.

    python -m benchmarks.programs [--only NAME ...] [--json FILE]

Seconds are of one thread; `slowest` are the stages that took most of them. Memory is the process's highest, torch and
nllcheck themselves included (about 300 MB). `missed`: marked lines without an error or a warning; `false`: errors and
warnings on other lines.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
from pathlib import Path
from typing import Any

from benchmarks.programs import PROGRAMS
from benchmarks.programs.measure import measured

SLOWEST = 3  # stages that are told


def row(found: dict[str, Any]) -> str:
    slowest = sorted(found["stages"].items(), key=lambda item: -item[1])[:SLOWEST]
    stages = ", ".join(f"{name} {seconds:.1f}" for name, seconds in slowest)
    wrong = [", ".join(found[kind]) or "-" for kind in ("missed", "false")]
    cells = (found["name"], f"{found['seconds']:.1f}", stages, found["memory"], found["how"], *wrong)
    return f"| {' | '.join(map(str, cells))} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=[p.name for p in PROGRAMS], default=[p.name for p in PROGRAMS])
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    print("| program | seconds | slowest | MB | run as | missed | false |\n|---|---|---|---|---|---|---|", flush=True)
    found = []
    for name in given.only:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found.append(pool.apply(measured, (name,)))
        print(row(found[-1]), flush=True)
    if given.json:
        given.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
