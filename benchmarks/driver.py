"""Where the driver of many workers becomes the limit: a simulation from four measured figures.

    python benchmarks/driver.py [--piece 4.0] [--submit 0.0007] [--receive 0.002] [--megabytes 7]

One driver hands out pieces of `--piece` seconds each, at `--submit` seconds a task (Ray on one machine), and takes
every result back: `--receive` seconds and `--megabytes` over a link of `--link` bytes a second. Workers wait in a
queue for the driver, which does one thing at a time. Printed: speed-up and share of the time that workers compute.
"""

from __future__ import annotations

import argparse
import heapq


def simulated(workers: int, pieces: int, piece: float, submit: float, receive: float) -> float:
    """Seconds until the last result is with the driver. Every worker has one piece at hand and one queued."""
    driver, done, ready = 0.0, [], 0.0
    free = [0.0] * workers  # when each worker ends what it has
    for k in range(pieces):
        if k >= 2 * workers:  # a result makes room for the next task
            driver = max(driver, heapq.heappop(done)) + receive
        driver += submit
        start = max(driver, heapq.heappop(free))
        heapq.heappush(free, start + piece)
        heapq.heappush(done, start + piece)
    for ready in sorted(done):
        driver = max(driver, ready) + receive
    return driver


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--piece", type=float, default=4.0, help="seconds of a piece on a worker")
    parser.add_argument("--submit", type=float, default=0.0007, help="driver seconds a task")
    parser.add_argument("--receive", type=float, default=0.002, help="driver seconds a result")
    parser.add_argument("--megabytes", type=float, default=7.0, help="of a result")
    parser.add_argument("--link", type=float, default=1.25e9, help="bytes a second into the driver (10 Gbit/s)")
    asked = parser.parse_args()
    receive = asked.receive + asked.megabytes * 1e6 / asked.link
    limit = asked.piece / (asked.submit + receive)
    spent = 1000 * (asked.submit + receive)
    print(f"a piece {asked.piece} s, the driver {spent:.1f} ms: its limit is {limit:.0f} workers\n")
    print("| workers | speed-up | workers compute |\n|--:|--:|--:|")
    for workers in (1, 4, 16, 64, 256, 1024, 4096):
        pieces = 20 * workers
        seconds = simulated(workers, pieces, asked.piece, asked.submit, receive)
        speed = pieces * asked.piece / seconds
        print(f"| {workers:,} | {speed:,.1f} | {speed / workers:.0%} |")


if __name__ == "__main__":
    main()
