"""Jobs to reports: from the cache, in this process, or several side by side in processes of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from pathlib import Path

from nllcheck import cache
from nllcheck.cli.ending import heard
from nllcheck.cli.jobs import Job
from nllcheck.cli.worker import check, packed
from nllcheck.errors import NllcheckError
from nllcheck.report import Report, not_evaluated, stored
from nllcheck.report.spelling import count, short_path

Tell = Callable[[str], None]
_HOME = str(Path(__file__).resolve().parents[2])
# This nllcheck and no other, and no file of the user's repository in place of a standard module.
START = (
    "import sys; sys.path.insert(0, sys.argv.pop(1)); import nllcheck; sys.path.pop(0); "
    "from nllcheck.cli.worker import main; main()"
)


def evaluated(jobs: Sequence[Job], tell: Tell, use_cache: bool, at_once: int | None) -> tuple[list[Report], list[str]]:
    """A report a job, in order, and remarks for standard error.

    A single job raises NllcheckError; of several, one that cannot be checked becomes a report that says so.
    """
    keys = [job.key for job in jobs]
    found = {i: cache.find(key) for i, key in enumerate(keys)} if use_cache else {}
    reports = {i: report for i, report in found.items() if report is not None}
    remarks = [f"{job.label}: unchanged, answered from the cache (--no-cache checks again)"
               for i, job in enumerate(jobs) if i in reports]  # fmt: skip
    left = [i for i in range(len(jobs)) if i not in reports]
    if len(jobs) == 1 and left:
        return [check(jobs[0], tell, keys[0])], remarks
    if left:
        fresh, said = _side_by_side({i: (jobs[i], keys[i]) for i in left}, tell, at_once or cores())
        reports |= fresh
        remarks += said
    return [reports[i] for i in range(len(jobs))], remarks


def cores() -> int:
    """Those that this process may use."""
    with suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Workers:
    """The processes that run now, so that Ctrl-C can end them."""

    def __init__(self, threads: int) -> None:
        self.running: set[subprocess.Popen[str]] = set()
        self.ended = False
        self.environment = {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS") or str(threads)}

    def run(self, job: Job, key: str) -> Report:
        if self.ended:
            return _lost(job, "interrupted")
        with tempfile.TemporaryDirectory(prefix="nllcheck-") as folder:
            out = Path(folder) / "report.json"
            command = [sys.executable, "-P", "-c", START, _HOME, str(out)]
            pipe = subprocess.PIPE
            process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, errors="replace",
                                       env=self.environment, start_new_session=True)  # fmt: skip
            self.running.add(process)
            _, said = process.communicate(packed(job, key))
            self.running.discard(process)
            return _lost(job, "interrupted") if self.ended else _result(job, out, process.returncode, said)

    def end(self) -> None:
        self.ended = True
        for process in list(self.running):
            with suppress(OSError):
                process.kill()


def _side_by_side(jobs: dict[int, tuple[Job, str]], tell: Tell, at_once: int) -> tuple[dict[int, Report], list[str]]:
    workers = _Workers(max(1, cores() // min(at_once, len(jobs))))
    with ThreadPoolExecutor(min(at_once, len(jobs))) as pool:
        futures = {pool.submit(workers.run, *job): i for i, job in jobs.items()}
        try:
            _watched(futures, tell)
        except KeyboardInterrupt:
            workers.end()
            heard()
    reports = {i: future.result() for future, i in futures.items()}
    if not workers.ended:
        return reports, []
    done = sum(report.evaluated for report in reports.values())
    return reports, [f"interrupted: {done} of {count(len(jobs), 'target')} done; their results are kept"]


def _watched(futures: dict[Future[Report], int], tell: Tell) -> None:
    waiting = set(futures)
    while waiting:
        done = [future.result() for future in futures if future.done()]
        found = sum(len(report.findings) for report in done)
        tell(f"{len(done)} of {count(len(futures), 'target')}, {count(found, 'finding')} so far")
        _, waiting = wait(waiting, return_when=FIRST_COMPLETED)


def _result(job: Job, out: Path, code: int, said: str) -> Report:
    try:
        told = json.loads(out.read_text(encoding="utf-8"))
        if "report" in told:
            return stored.decode(told["report"])
        error = NllcheckError(**told["error"])
    except (OSError, ValueError, KeyError, TypeError):
        last = (said.strip().splitlines() or [""])[-1]
        return _lost(job, f"the check ended with code {code}: {last}".rstrip(": "))
    where = f"{short_path(error.where)}: " if error.where else ""
    return _lost(job, f"{where}{error.message}" + (f" ({error.hint})" if error.hint else ""))


def _lost(job: Job, reason: str) -> Report:
    return not_evaluated(job.name, job.label, reason)
