"""How a check is spread over time and machines: `--resume`, `--shard` and `--engine` as an engine of the sweep."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nllcheck.cli.jobs import Job
from nllcheck.errors import NllcheckError, did_you_mean

if TYPE_CHECKING:
    from nllcheck.options import Options
    from nllcheck.sweep.plan import Engine
    from nllcheck.target import Target

ENGINES = ("local", "ray")
# Who says which share is whose: the variable with the index, with its first value, with the step, with the count.
SCHEDULERS = (
    ("torchrun", "RANK", "", "", "WORLD_SIZE"),
    ("SLURM array", "SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP", "SLURM_ARRAY_TASK_COUNT"),
    ("indexed job", "JOB_COMPLETION_INDEX", "", "", ""),
)
_FORM = "write --shard 2/8, or --shard auto under torchrun, a SLURM array or an indexed job"


def refused(work: Mapping[str, Any], shard: str | None, writes: bool) -> None:
    """Raises NllcheckError for options that do not go together."""
    if work["engine"] not in ENGINES:
        raise NllcheckError(
            f"no engine '{work['engine']}'", where="--engine", hint=did_you_mean(work["engine"], ENGINES)
        )
    if work["address"] and work["engine"] != "ray":
        raise NllcheckError("an address is for --engine ray", where="--address")
    if shard and not work["resume"]:
        hint = "add --resume DIR, then nllcheck merge DIR makes the report"
        raise NllcheckError("a shard needs a folder for its pieces", where="--shard", hint=hint)
    if shard and writes:
        raise NllcheckError("a shard makes no report", where="--shard", hint="ask nllcheck merge for what is written")


def share(text: str, environ: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """`2/8` -> (2, 8); `auto` from the scheduler's variables, `auto/8` where it does not say how many there are."""
    asked = re.fullmatch(r"(auto|\d{1,9})(?:/(\d{1,9}))?", text)
    if not asked or not (asked[2] or asked[1] == "auto"):
        raise NllcheckError(f"cannot read the shard '{text}'", where="--shard", hint=_FORM)
    index, count = _scheduled(environ, asked[2]) if asked[1] == "auto" else (int(asked[1]), int(asked[2]))
    if not 1 <= index <= count:
        raise NllcheckError(f"there is no shard {index} of {count}", where="--shard", hint="they are counted from 1")
    return index, count


def _scheduled(environ: Mapping[str, str], count: str | None) -> tuple[int, int]:
    row = next((row for row in SCHEDULERS if row[1] in environ), None)
    if row is None:
        names = ", ".join(row[1] for row in SCHEDULERS)
        raise NllcheckError(
            f"nobody says which shard this is: none of {names} is set", where="--shard auto", hint=_FORM
        )
    name, index, first, step, total = row
    many = count or environ.get(total, "")
    if not many:
        raise NllcheckError(
            f"the {name} does not say how many shards there are", where=index, hint="write --shard auto/8"
        )
    try:
        at = (int(environ[index]) - int(environ.get(first, 0))) // int(environ.get(step, 1))
        return at + 1, int(many)
    except (ValueError, ZeroDivisionError):
        raise NllcheckError(
            f"{index}={environ[index]} is no index of a shard", where="--shard auto", hint=_FORM
        ) from None


def engine_of(job: Job, shard: str = "") -> Engine:
    """The engine that a job's `work` asks for. Raises NllcheckError."""
    from nllcheck.sweep.plan import local

    engine: Engine = local
    if job.work.get("engine") == "ray":
        from nllcheck.engine.ray import Ray

        engine = Ray(job.work["address"])
    if job.work.get("resume"):
        from nllcheck.engine.folder import Folder, opened

        engine = Folder(opened(job.work["resume"]), engine, shard, {"request": job.request, "given": job.given})
    return engine


def fill(
    job: Job, shard: tuple[int, int], load: Callable[[Job], tuple[Target, Options]], tell: Callable[[str], None]
) -> str:
    """Do one shard's pieces of a job's sweep; what was done, in words. `load` makes target and options of a job."""
    from nllcheck.check import plan_of

    index, count = shard
    engine = engine_of(job, f"{index}/{count}")
    plan = plan_of(*load(job))
    own = range(len(plan.pieces))[index - 1 :: count]
    for _ in engine(plan, own, tell):
        pass
    folder = Path(job.work["resume"])
    return f"shard {index}/{count}: {len(own)} of {len(plan.pieces)} pieces are in {folder}; nllcheck merge {folder}"
