"""What was checked, on what, in plain values: the head of every report and its sweep tables."""

from __future__ import annotations

import inspect
import platform
from array import array
from collections.abc import Callable, Collection
from typing import Any, Literal

import torch

from nllcheck.devices import convolved, flushes_denormals, shortened
from nllcheck.ops import packet
from nllcheck.sweep import Part
from nllcheck.target import Target
from nllcheck.types import Facts, Graph, Site, State, SweepTable

_STATES: tuple[State, ...] = ("finite", "inf", "nan")
MOST_BESIDE = 100_000  # points of an axis that float64's columns are kept for: a picture needs no more


def sweep_table(part: Part, drawn: Collection[str] = ()) -> SweepTable:
    """One swept axis as parallel columns of plain values, with float64's beside them for the axes to be `drawn`."""
    trace, wide = part.trace, part.wide
    nan = torch.isnan(trace.gradient_low) | torch.isnan(trace.gradient_high)
    inf = torch.isinf(trace.gradient_low) | torch.isinf(trace.gradient_high)
    states = torch.where(nan, 2, torch.where(inf, 1, 0)).tolist()
    beside = wide if wide and trace.axis.label in drawn and len(trace.points) <= MOST_BESIDE else None
    return SweepTable(
        trace.axis,
        _column(trace.points),
        _column(trace.loss),
        _column(trace.slope),
        tuple(_STATES[s] for s in states),
        _column(beside.loss) if beside else (),
        _column(beside.slope) if beside else (),
    )


def _column(values: torch.Tensor) -> array[float]:
    """Eight bytes a number, where a tuple of them takes 32."""
    return array("d", values.double().numpy().tobytes())


def facts_of(
    target: Target,
    loss: torch.Tensor,
    capture: Literal["graph", "eager"],
    graph: Graph,
    sweeps: tuple[SweepTable, ...],
    seed: int,
    seconds: dict[str, float],
    settings: dict[str, str],
) -> Facts:
    """The report's head. `loss` is the 0-d loss on the batch, for its value, dtype and device."""
    return Facts(
        target=target.name,
        loss_name=target.loss_name,
        loss=float(loss),
        dtype=str(loss.dtype).removeprefix("torch."),
        device=str(loss.device),
        capture=capture,
        ops=len(graph.nodes),
        points=sum(len(table.values) for table in sweeps),
        batches=len(target.batches),
        flush_denormals=flushes_denormals(loss.device),
        shortened=_shortened(graph, loss),
        seed=seed,
        versions=(("python", platform.python_version()), ("torch", torch.__version__)),
        seconds=tuple(seconds.items()),
        settings=tuple(sorted(settings.items())),
        loss_site=_defined(target.loss),
    )


_PRODUCTS = (
    ("matrix products", ("mm", "addmm", "bmm", "baddbmm", "matmul", "linear"), torch.matmul),
    ("convolutions", ("convolution",), convolved),
)


def _shortened(graph: Graph, loss: torch.Tensor) -> tuple[str, ...]:
    """Which ops of the graph get fewer bits than float32 has on this device."""
    if loss.dtype != torch.float32:
        return ()
    used = {packet(node.aten) for node in graph.nodes}
    return tuple(name for name, ops, product in _PRODUCTS if used & set(ops) and shortened(loss.device, product))


def _defined(loss: Callable[..., Any]) -> Site | None:
    """The line on which the loss' own function starts; None for what has no Python source."""
    function = inspect.unwrap(loss) if inspect.isroutine(loss) else getattr(type(loss), "forward", type(loss))
    try:
        path = inspect.getsourcefile(function)
        lines, first = inspect.getsourcelines(function)
    except (TypeError, OSError):
        return None
    name = getattr(loss, "__qualname__", type(loss).__name__)
    return Site(path, first, name, source=lines[0].strip()) if path else None


def summed_terms(target: Target) -> tuple[str, ...]:
    """A remark on a loss that returns several numbers."""
    names = ", ".join(target.terms)
    return (f"the loss returns {len(target.terms)} terms ({names}): their sum is checked",) if target.terms else ()


def complex_steps(graph: Graph) -> tuple[str, ...]:
    """What complex numbers keep from being done, with the first op that makes them."""
    first = next((n for n in graph.nodes if n.dtype.startswith("complex")), None)
    if first is None:
        return ()
    place = f" at {first.site.path}:{first.site.line}" if first.site else ""
    return (f"exact arithmetic: because {first.op}{place} gives complex numbers: verdicts are float64's",)
