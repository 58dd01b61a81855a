"""How the sweep grows: with points, within a memory budget, against the import of torch, and over Ray workers.

    python benchmarks/scale.py [linear] [memory] [fixture] [ray] [--points 10000000] [--memory 2G] [--dry]

`linear`   seconds for 10^3 ... 10^7 points, and how far each is from linear (seconds a point against those at 10^5)
`memory`   the most memory that the sweep of --points, and the whole check around it, took above what the process had
           before, with --memory
`fixture`  load, capture, sweep and detect of a shipped fixture against the import of torch, each in a fresh process
`ray`      one and two workers of one core each on the same pieces (needs ray)

Figures are kept in benchmarks/results/*.json; --dry only prints them beside the kept ones.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from kept import compared
from sweep import bench_target

from nllcheck.axes import default_axes
from nllcheck.axes.spec import parse
from nllcheck.capture import capture
from nllcheck.check import run
from nllcheck.options import bytes_of, options_of
from nllcheck.sweep import Plan, planned
from nllcheck.sweep.plan import gathered, local

HERE = Path(__file__).parent


def plan_of(points: int, memory: str = "1G") -> Plan:
    """The benchmark's loss over its correlation channel, in the training dtype and in float64."""
    target = bench_target(torch.device("cpu"))
    graph = capture(target, target.batches[0])
    axis = next(a for a in default_axes(graph)[0] if a.channel == (4, 5))
    spec = parse(f"{axis.selector}=-8:8:{points}")
    return planned(graph, (axis,), {axis.label: spec}, memory=bytes_of(memory))


def swept(plan: Plan, engine: Callable = local) -> float:
    start = time.perf_counter()
    gathered(plan, engine(plan, range(len(plan.pieces)), lambda text: None))
    return time.perf_counter() - start


def linear(most: int) -> dict[str, float]:
    counts = [10**k for k in range(3, 8) if 10**k <= most]
    plans = {count: plan_of(count) for count in counts}
    swept(plans[counts[0]])
    seconds = {n: statistics.median(swept(plans[n]) for _ in range(5 if n < 10**6 else 1)) for n in counts}
    base = seconds[10**5] / 10**5
    figures = {f"seconds, {n:,} points": s for n, s in seconds.items()}
    return figures | {f"x linear, {n:,} points": s / n / base for n, s in seconds.items() if n >= 10**5}


MEASURE = """
import sys, json, resource
sys.path.insert(0, sys.argv[1])
from scale import checked, peak, plan_of, swept
plan = plan_of(int(sys.argv[2]), sys.argv[3])
checked(1000, "1G")
before = peak()
seconds = swept(plan) if sys.argv[4] == "sweep" else checked(int(sys.argv[2]), sys.argv[3])
print(json.dumps({"seconds": seconds, "bytes": peak() - before}))
"""


def checked(points: int, memory: str) -> float:
    """Seconds of a whole check that sweeps the correlation channel."""
    start = time.perf_counter()
    target = bench_target(torch.device("cpu"))
    run(target, options_of({"memory": memory, "sweep": (f"output[..., 4]=-8:8:{points}",)}))
    return time.perf_counter() - start


def peak() -> int:
    """Bytes, the most that this process ever held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def memory(points: int, budget: str) -> dict[str, float]:
    figures = {"points": points, "MiB allowed": bytes_of(budget) / 2**20}
    for what in ("sweep", "check"):
        command = [sys.executable, "-c", MEASURE, str(HERE), str(points), budget, what]
        found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
        figures |= {f"{what}, MiB": found["bytes"] / 2**20, f"{what}, s": found["seconds"]}
        figures[f"{what}, share of the budget"] = found["bytes"] / bytes_of(budget)
    return figures


IMPORT = "import time; s = time.perf_counter(); import torch; print(time.perf_counter() - s)"
STAGES = """
import time
import torch
start = time.perf_counter()
from nllcheck.axes import default_axes
from nllcheck.capture.attempt import captured
from nllcheck.detect import detect
from nllcheck.load import Request, load_target
from nllcheck.sweep import sweep
target, _ = load_target(Request(("fixtures/bivariate_gaussian/model.pt",)))
graph, _ = captured(target, target.batches[0], 0)
detect(graph, sweep(graph, default_axes(graph)[0], {}))
print(time.perf_counter() - start)
"""


def fixture() -> dict[str, float]:
    runs = [[_printed(code) for code in (IMPORT, STAGES)] for _ in range(5)]
    torch_alone, stages = (statistics.median(column) for column in zip(*runs, strict=True))
    return {"import of torch, s": torch_alone, "load to detect, s": stages, "ratio": stages / torch_alone}


def _printed(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=HERE.parent)
    return float(done.stdout)


def over_ray(points: int) -> dict[str, float]:
    import ray
    from ray.cluster_utils import Cluster

    from nllcheck.engine.ray import Ray

    torch.set_num_threads(1)
    plan = plan_of(points, "256M")
    found = {"local, s": swept(plan)}
    for workers in (1, 2):
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": workers, "include_dashboard": False})
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        swept(plan_of(1000, "256M"), Ray())  # workers import torch
        found[f"{workers} workers, s"] = swept(plan, Ray())
        ray.shutdown()
        cluster.shutdown()
    return found | {"pieces": len(plan.pieces), "1 worker / 2 workers": found["1 workers, s"] / found["2 workers, s"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", nargs="*", default=["linear", "memory", "fixture"])
    parser.add_argument("--points", type=int, default=10**7)
    parser.add_argument("--memory", default="2G")
    parser.add_argument("--dry", action="store_true", help="do not keep the figures")
    asked = parser.parse_args()
    parts: dict[str, Callable[[], dict[str, float]]] = {
        "linear": lambda: linear(asked.points),
        "memory": lambda: memory(asked.points, asked.memory),
        "fixture": fixture,
        "ray": lambda: over_ray(min(asked.points, 2 * 10**6)),
    }
    for what in asked.what:
        print(compared(what, parts[what](), not asked.dry))


if __name__ == "__main__":
    main()
