"""The pieces of a sweep as tasks of a Ray cluster.

What is sent is the program as plain values (`wire`): workers need nllcheck, and neither the user's code nor files.
Each joint graph is put once; a piece whose worker dies is done again elsewhere; only the driver writes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from nllcheck import __version__
from nllcheck.engine.wire import packed, unpacked
from nllcheck.errors import NllcheckError
from nllcheck.sweep.plan import Lane, Plan, Remaining, Tell
from nllcheck.sweep.trace import Trace
from nllcheck.sweep.watch import UnsweepableError, run_points

RETRIES = 5  # of a piece whose worker or machine was lost
AHEAD = 2  # tasks queued for every one that can run, so that no worker waits for the driver


@dataclass(frozen=True, slots=True)
class Setting:
    """What must be alike on driver and workers for the same bytes to come out."""

    versions: tuple[str, str]
    threads: int
    matmul: str
    device: str  # the kind, "cpu" or "cuda"


@dataclass(frozen=True)
class Ray:
    """An engine. `address` as in `ray.init`: "auto" finds a running cluster, None starts one on this machine.

    A task takes as many cores as torch has threads here (OMP_NUM_THREADS), on CUDA one GPU. Raises NllcheckError
    where Ray is missing, no cluster answers, or a piece was lost too often.
    """

    address: str | None = None

    def __call__(self, plan: Plan, wanted: Sequence[int], tell: Tell) -> Iterator[tuple[int, Trace]]:
        if not wanted:
            return
        ray = _imported()
        with _connected(ray, self.address):
            try:
                yield from _spread(ray, plan, wanted, tell)
            except UnsweepableError as error:  # Ray's own class around it cannot be told from others by name
                raise UnsweepableError(str(getattr(error, "cause", error))) from None
            except ray.exceptions.RayError as error:
                text = (str(getattr(error, "cause", None) or error).strip() or type(error).__name__).splitlines()[-1]
                hint = "the workers need the driver's versions of nllcheck and torch, and memory for a piece (--memory)"
                raise NllcheckError(f"the Ray cluster lost a piece: {text[:300]}", hint=hint, exit_code=4) from None


def _imported() -> Any:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a check tells nobody that it was run
    try:
        import ray
    except ImportError:
        raise NllcheckError("--engine ray needs Ray", hint="pip install 'nllcheck[ray]'") from None
    return ray


@contextmanager
def _connected(ray: Any, address: str | None) -> Iterator[None]:
    """A connection of our own, or the one that the caller has made already, which is left alone."""
    if ray.is_initialized():
        yield
        return
    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError) as error:
        cause = (str(error).strip() or type(error).__name__).splitlines()[0]
        hint = "ray start --head starts one; without --address one is started here"
        raise NllcheckError(f"no Ray cluster: {cause}", where=f"--address {address}", hint=hint) from None
    try:
        yield
    finally:
        with suppress(Exception):
            ray.shutdown()


def _spread(ray: Any, plan: Plan, wanted: Sequence[int], tell: Tell) -> Iterator[tuple[int, Trace]]:
    """Never more tasks under way than keep the cluster busy, so that results do not pile up on the driver."""
    setting = _here(plan)
    task, at_once = _task(ray, setting)
    joints = [[ray.put(packed(joint))] for joint in plan.joints]
    left, waiting = Remaining(plan, wanted, tell), list(wanted)[::-1]
    running: dict[Any, int] = {}
    while waiting or running:
        while waiting and len(running) < AHEAD * at_once:
            k = waiting.pop()
            running[task.remote(joints[plan.lanes[plan.pieces[k].lane].joint], *_work(plan, k), setting)] = k
        done, _ = ray.wait(list(running), num_returns=1)
        k = running.pop(done[0])
        left.announce(k)
        yield k, ray.get(done[0])
        left.done(k)


def _here(plan: Plan) -> Setting:
    device = plan.joints[0].base[0].device.type
    versions = (__version__, torch.__version__)
    return Setting(versions, torch.get_num_threads(), torch.get_float32_matmul_precision(), device)


def _task(ray: Any, setting: Setting) -> tuple[Any, int]:
    """The remote function with what it takes, and how many of it the cluster runs at once."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    largest = max((int(node.get("CPU", 0)) for node in nodes), default=1)
    cores = max(1, min(setting.threads, largest))
    name, each = ("GPU", 1) if setting.device == "cuda" else ("CPU", cores)
    slots = sum(int(node.get(name, 0)) // each for node in nodes)
    if not slots:
        raise NllcheckError(f"no machine of the Ray cluster has a {name}", hint="check --device and the cluster")
    taken = {"num_cpus": cores, "num_gpus": int(setting.device == "cuda"), "max_retries": RETRIES}
    return ray.remote(**taken)(_evaluate), slots


def _work(plan: Plan, k: int) -> tuple[Lane, int]:
    """The piece as a lane of its own, and the memory that it may take."""
    piece = plan.pieces[k]
    lane = plan.lanes[piece.lane]
    points = lane.points[piece.start : piece.stop].cpu().clone()  # a slice would send the storage of all points
    return replace(lane, points=points), plan.memory


def _evaluate(joint: list[Any], lane: Lane, memory: int, setting: Setting) -> Trace:
    """On a worker: one piece. `joint` is in a list so that Ray hands over the reference, whose value is kept."""
    here = (__version__, torch.__version__)
    if here != setting.versions:
        raise RuntimeError(f"a worker has nllcheck {here[0]} and torch {here[1]}, the driver {setting.versions}")
    torch.set_num_threads(setting.threads)
    torch.set_float32_matmul_precision(setting.matmul)
    points = lane.points.to(setting.device)
    here_joint = _joint(joint[0], setting.device)
    return run_points(here_joint, lane.axis, points, lane.names, lane.dtype, memory, lane.is_fused)


@lru_cache(maxsize=4)
def _joint(reference: Any, device: str) -> Any:
    import ray

    return unpacked(ray.get(reference), torch.device(device))
