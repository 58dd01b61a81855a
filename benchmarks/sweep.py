"""How long the watched sweep takes, against what a person would write instead. Ratios within one run.

    python benchmarks/sweep.py [--device cpu|cuda] [--points 10000] [--compiled] [--markdown FILE] [--dry]

Measured on one loss (bivariate Gaussian mixture component, 64 rows), at the same points on the same device:
- loop + detect_anomaly: a Python loop, forward and backward of each point under `torch.autograd.detect_anomaly`;
- loop: the same without it;
- bare: the hand-batched loss, forward and backward of all points at once, nothing watched;
- sweep: nllcheck's vectorised sweep of loss, gradient, and range and finiteness of every op, both ways;
- compiled: the same as one compiled program, compiling not counted (always on a GPU, else with --compiled).
"""

from __future__ import annotations

import argparse
import datetime
import math
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from kept import compared

from nllcheck.axes import default_axes
from nllcheck.capture import capture
from nllcheck.sweep.joint import joint_graph
from nllcheck.sweep.watch import run_points, watched_names
from nllcheck.target import Target, split_batch

ROWS = 64


def bivariate(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """-log N(target | mu, sigma, rho), averaged over rows; extra leading dimensions are points."""
    return bivariate_rows(output, target).mean()


def bivariate_rows(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    mu, sigma, rho = output[..., :2], torch.exp(output[..., 2:4]), torch.tanh(output[..., 4])
    z = (target - mu) / sigma
    one_minus = 1 - rho**2
    quad = (z[..., 0] ** 2 + z[..., 1] ** 2 - 2 * rho * z[..., 0] * z[..., 1]) / one_minus
    return 0.5 * quad + torch.log(sigma).sum(-1) + 0.5 * torch.log(one_minus) + math.log(2 * math.pi)


def loop(base: torch.Tensor, target: torch.Tensor, points: torch.Tensor, anomaly: bool) -> None:
    for point in points:
        output = base.clone()
        output[..., 4] = point
        output.requires_grad_()
        with torch.autograd.set_detect_anomaly(anomaly, check_nan=False):
            loss = bivariate(output, target)
            torch.autograd.grad(loss, output)


def bare(base: torch.Tensor, target: torch.Tensor, points: torch.Tensor) -> None:
    output = base.expand(len(points), *base.shape).clone()
    output[..., 4] = points[:, None]
    output.requires_grad_()
    loss = bivariate_rows(output, target).mean(-1)
    torch.autograd.grad(loss.sum(), output)


def seconds(calls: dict[str, Callable[[], object]], device: torch.device, repeats: int) -> dict[str, float]:
    """The median of each, taken in turns, so that what else the machine does falls on all of them."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats + 1):
        for name, call in calls.items():
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(some[1:]) for name, some in times.items()}  # the first run warms up


def bench_target(device: torch.device) -> Target:
    """The loss on 64 seeded rows, without a model."""
    torch.manual_seed(0)
    base, target = torch.randn(ROWS, 5, device=device), torch.randn(ROWS, 2, device=device)
    return Target("bench", bivariate, "bivariate", torch.nn.Identity(), (split_batch((base, target)),))


def measure(device: torch.device, count: int, is_compiled: bool) -> dict[str, float]:
    checked = bench_target(device)
    base, target = checked.batches[0].args[0], checked.batches[0].targets
    graph = capture(checked, checked.batches[0])
    axis = next(a for a in default_axes(graph)[0] if a.channel == (4, 5))
    joint = joint_graph(graph, (axis.node,))
    names = watched_names(joint)
    points = torch.linspace(-8, 8, count, device=device)
    few = points[:: max(1, count // 300)]
    share = count / len(few)
    calls: dict[str, Callable[[], object]] = {
        "loop + detect_anomaly": lambda: loop(base, target, few, True),
        "loop": lambda: loop(base, target, few, False),
        "bare": lambda: bare(base, target, points),
        "sweep": lambda: run_points(joint, axis, points, names),
        "sweep, nothing watched": lambda: run_points(joint, axis, points, ()),
    }
    if is_compiled:
        calls["compiled"] = lambda: run_points(joint, axis, points, names, is_fused=True)
    found = seconds(calls, device, 5)
    return {name: time * (share if name.startswith("loop") else 1) for name, time in found.items()}


HEAD = "| points | loop + anomaly | loop | bare | sweep | compiled | anomaly / sweep | sweep / bare | compiled / bare |"


def machine(device: torch.device) -> str:
    cpu = f"{platform.machine()}, {torch.get_num_threads()} threads"
    name = torch.cuda.get_device_name() if device.type == "cuda" else cpu
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    return f"{datetime.date.today()}, {device.type} ({name}), {versions}"


def table(device: torch.device, measured: dict[int, dict[str, float]]) -> str:
    lines = [machine(device), "", HEAD, "|--:" * 9 + "|"]
    for count, m in measured.items():
        columns = [m["loop + detect_anomaly"], m["loop"], m["bare"], m["sweep"]]
        fused = m.get("compiled")
        told = [*(f"{c:.3g} s" for c in columns), f"{fused:.3g} s" if fused else ""]
        told += [f"{columns[0] / columns[3]:.0f} x", f"{columns[3] / columns[2]:.2f} x"]
        told += [f"{fused / columns[2]:.2f} x" if fused else ""]
        lines.append(f"| {count} | " + " | ".join(told) + " |")
    return "\n".join([*lines, "", "Loops are timed at every n-th of the points (about 300) and scaled up.", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--points", type=int, nargs="*", default=[1_000, 10_000, 100_000])
    parser.add_argument("--compiled", action="store_true", help="also the compiled sweep (always on a GPU)")
    parser.add_argument("--dry", action="store_true", help="do not keep the figures in benchmarks/results")
    parser.add_argument("--markdown", type=Path, help="also write the table to this file")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    is_compiled = arguments.compiled or device.type == "cuda"
    measured = {count: measure(device, count, is_compiled) for count in arguments.points}
    text = table(device, measured)
    print(text)
    ratios = {}
    for count, m in measured.items():
        ratios[f"anomaly / sweep, {count:,} points"] = m["loop + detect_anomaly"] / m["sweep"]
        ratios[f"sweep / bare, {count:,} points"] = m["sweep"] / m["bare"]
        if is_compiled:
            ratios[f"compiled / bare, {count:,} points"] = m["compiled"] / m["bare"]
    print(compared(f"sweep-{device.type}", ratios, not arguments.dry))
    if arguments.markdown:
        arguments.markdown.write_text(text)


if __name__ == "__main__":
    main()
