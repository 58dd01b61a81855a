"""Correct likelihoods and all their mutants by one symbol: does the density test tell them apart?

    OMP_NUM_THREADS=1 python -m benchmarks.mutants [--only NAME] [--verbose]

The truth is Z by brute force (`brute.py`). An answer is wrong if it calls a likelihood what is none, or the other way
round; it is 'undecided' if it says so.
"""

from __future__ import annotations

import argparse
from collections import Counter

from benchmarks.mutants.ask import asked, cases


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    marks: Counter[str] = Counter()
    for name, change, fn in cases(args.only):
        one = asked(name, fn)
        marks[one.mark] += 1
        if args.verbose or one.mark != "right":
            print(f"{one.mark:9} {name}: {change}\n          truth {one.truth}; {one.text}", flush=True)
    total = sum(marks.values())
    print(f"{total} losses: " + ", ".join(f"{n} {m} ({n / total:.1%})" for m, n in sorted(marks.items())))


if __name__ == "__main__":
    main()
