"""What was checked, on what, in plain values: the head of every report and its sweep tables."""

from __future__ import annotations

import math
import platform

import torch

from nllcheck.capture import LossGraph
from nllcheck.sweep import Swept
from nllcheck.sweep.watch import Trace
from nllcheck.target import Target
from nllcheck.types import Facts, State, SweepTable

_STATES: tuple[State, ...] = ("finite", "inf", "nan")


def sweep_table(trace: Trace) -> SweepTable:
    """One swept axis as parallel columns of plain values."""
    nan = torch.isnan(trace.gradient_low) | torch.isnan(trace.gradient_high)
    inf = torch.isinf(trace.gradient_low) | torch.isinf(trace.gradient_high)
    states = torch.where(nan, 2, torch.where(inf, 1, 0)).tolist()
    return SweepTable(
        trace.axis,
        tuple(trace.points.tolist()),
        tuple(trace.loss.tolist()),
        tuple(trace.slope.tolist()),
        tuple(_STATES[s] for s in states),
    )


def facts_of(
    target: Target, graph: LossGraph, swept: Swept, seed: int, seconds: dict[str, float], settings: dict[str, str]
) -> Facts:
    """The report's head."""
    return Facts(
        target=target.name,
        loss_name=target.loss_name,
        loss=float(graph.loss),
        dtype=str(graph.loss.dtype).removeprefix("torch."),
        device=str(graph.loss.device),
        capture="graph",
        ops=len(graph.graph.nodes),
        points=swept.points,
        batches=len(target.batches),
        flush_denormals=flushes_denormals(graph.loss.device),
        seed=seed,
        versions=(("python", platform.python_version()), ("torch", torch.__version__)),
        seconds=tuple(seconds.items()),
        gradient_norm=_gradient_norm(swept),
        settings=tuple(sorted(settings.items())),
    )


def _gradient_norm(swept: Swept) -> float:
    if not swept.parts:
        return math.nan
    trace = swept.parts[0].trace
    low, high = trace.axis.observed
    inside = (trace.points >= low) & (trace.points <= high)
    return float(trace.magnitude[inside].mean()) if bool(inside.any()) else math.nan


def flushes_denormals(device: torch.device) -> bool:
    """Are subnormal numbers treated as zero on this device? (That moves every -104 edge to -87.4.)"""
    tiny = torch.tensor(1e-40, dtype=torch.float32, device=device)
    return bool((tiny * 1.0 == 0).item())
