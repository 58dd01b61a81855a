"""One job checked: here, or by `main` in a process of its own."""

from __future__ import annotations

import functools
import gc
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nllcheck import cache
from nllcheck.cli.jobs import OPTIONS, Job
from nllcheck.cli.spread import engine_of
from nllcheck.config import Settings
from nllcheck.errors import NllcheckError
from nllcheck.report import Report, formats, stored

if TYPE_CHECKING:
    from nllcheck.options import Options
    from nllcheck.sweep.plan import Engine
    from nllcheck.target import Target


def check(job: Job, tell: Callable[[str], None], key: str, engine: Engine | None = None) -> Report:
    """Load a job's target and check it; the report is kept under `key`. Raises NllcheckError."""
    since = time.time()
    run_check = _loaded_engine()
    target, options = loaded(job)
    options = replace(options, progress=tell, engine=engine or engine_of(job))
    report = replace(run_check(target, options), name=job.name)
    cache.store(key, report, {*job.files, *cache.users_files()}, since)
    return report


def _loaded_engine() -> Callable[..., Report]:
    """`check.run`, with torch loaded: without a search for garbage among its objects, none of which ever
    goes."""
    gc.disable()
    try:
        from nllcheck.check import run

        gc.freeze()
    finally:
        gc.enable()
    return run


def loaded(job: Job) -> tuple[Target, Options]:
    """What is checked, and how. Raises NllcheckError."""
    from nllcheck.cli.options import check_values, spelled
    from nllcheck.load import Request, load_target
    from nllcheck.options import Options

    target, settings = load_target(Request(**job.request))
    settings = settings.updated(Settings(**job.given))
    values = {name: getattr(settings, name) for name in OPTIONS if getattr(settings, name) is not None}
    check_values(values)
    _thread(target, Options(**values))
    return replace(target, command=target.command + spelled(job.given)), Options(**values)


LARGE = 2**20  # elements of batch and weights from which on several threads are worth it,
POINTWISE = 10  # or a tenth as many points on an axis


def _thread(target: Target, options: Options) -> None:
    """One thread for a small problem: thousands of small ops lose more by waking another than it does for them.

    Decided by the job alone, since how work is divided can move a last bit; OMP_NUM_THREADS decides before.
    """
    import torch
    from torch.utils._pytree import tree_leaves

    from nllcheck.axes.spec import parse

    weights = [*target.model.parameters(), *target.model.buffers()] if target.model else []
    given = tree_leaves([(b.args, b.kwargs, b.targets) for b in target.batches])
    elements = sum(t.numel() for t in (*weights, *given) if isinstance(t, torch.Tensor))
    points = [options.points or 0, *(parse(text).count or 0 for text in options.sweep)]
    small, own = max(elements, POINTWISE * max(points)) <= LARGE, _threads()
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(1 if small else own)


@functools.cache
def _threads() -> int:
    """How many torch takes by itself: several targets may follow each other in one process."""
    import torch

    return torch.get_num_threads()


def packed(job: Job, key: str) -> str:
    """The job as the text that `main` reads."""
    settings = {name: getattr(job.settings, name) for name in Settings.__dataclass_fields__}
    told = {"name": job.name, "request": job.request, "given": job.given, "settings": settings}
    told |= {"meant": job.meant, "files": job.files, "work": job.work}
    return json.dumps({"job": told, "key": key})


def _job(told: dict[str, Any]) -> Job:
    lists = {"request": tuples(told["request"]), "given": tuples(told["given"])}
    return Job(
        told["name"],
        **lists,
        settings=Settings(**tuples(told["settings"])),
        meant=tuple(told["meant"]),
        files=tuple(told["files"]),
        work=told["work"],
    )


def tuples(value: Any) -> Any:
    """JSON's lists as the tuples that they were."""
    if isinstance(value, dict):
        return {name: tuples(one) for name, one in value.items()}
    return tuple(map(tuples, value)) if isinstance(value, list) else value


def main() -> None:
    """A job from standard input; `{"report": ...}` or `{"error": ...}` to the path in the first argument."""
    from nllcheck.cli.ending import users_code

    asked = json.loads(sys.stdin.read())
    try:
        with users_code():
            report = check(_job(asked["job"]), lambda text: None, asked["key"])
        told: dict[str, Any] = {"report": stored.encode(report)}
    except NllcheckError as error:
        names = ("message", "where", "hint", "exit_code")
        told = {"error": {name: getattr(error, name) for name in names}}
    formats.write(stored.dumps(told), Path(sys.argv[1]))
